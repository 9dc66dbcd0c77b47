//! Which site a client gets: the directory of sites, by the host name that the client asked for. The directory comes
//! over the bus; a name must never lead to a site that is not served, but for one that has something to tell its members
//! about that: their logins, which it refuses, are how they hear it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tmtp_domain::{Site, SiteId, SiteStatus};

/// The directory. Lookups take no lock.
pub struct Sites {
    known: ArcSwap<Known>,
    /// A domain of the default site.
    default: Option<String>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<SiteId, Arc<Site>>,
    by_domain: HashMap<String, Arc<Site>>,
    revision: i64,
}

impl Sites {
    /// An empty directory. `default` is a domain of the site for clients that name none, or one that is no site's.
    pub fn new(default: Option<&str>) -> Self {
        Self { known: ArcSwap::default(), default: default.map(str::to_ascii_lowercase) }
    }

    /// The newest revision that was taken in.
    pub fn revision(&self) -> i64 {
        self.known.load().revision
    }

    /// Takes changes in. Says which sites of them are not served, and what their members are told.
    pub fn apply(&self, changed: Vec<Site>, revision: i64) -> HashMap<SiteId, Option<String>> {
        let mut by_id = self.known.load().by_id.clone();
        let unserved = changed.iter().filter(|site| site.status != SiteStatus::Active);
        let unserved = unserved.map(|site| (site.id, site.notice.clone())).collect();
        for site in changed {
            by_id.insert(site.id, Arc::new(site));
        }
        // Domains move between sites, so their map is always made anew. Sites change seldom.
        let mut by_revision: Vec<&Arc<Site>> = by_id.values().collect();
        by_revision.sort_by_key(|site| site.revision);
        let by_domain = by_revision
            .into_iter()
            .flat_map(|site| {
                site.domains.iter().map(|domain| (domain.to_ascii_lowercase(), Arc::clone(site)))
            })
            .collect();
        self.known.store(Arc::new(Known { by_id, by_domain, revision }));
        unserved
    }

    /// A site as it is now.
    pub fn get(&self, site: SiteId) -> Option<Arc<Site>> {
        self.known.load().by_id.get(&site).cloned()
    }

    /// The site that serves a client that asked for this host, or tells it why not, if any does. A site that is not served
    /// does not fall back to the default: its name is taken.
    pub fn find(&self, host: Option<&str>) -> Option<Arc<Site>> {
        let known = self.known.load();
        let named = host.and_then(|host| by_host(&known.by_domain, host));
        let site = named.or_else(|| known.by_domain.get(self.default.as_deref()?))?;
        let is_served = site.status == SiteStatus::Active;
        let tells = site.status == SiteStatus::Suspended && site.notice.is_some();
        (is_served || tells).then(|| Arc::clone(site))
    }
}

/// Looks a host name up: itself, or its first label replaced by `*`. Case does not count.
pub fn by_host<'m, T>(map: &'m HashMap<String, T>, host: &str) -> Option<&'m T> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    map.get(&host).or_else(|| {
        let (_, parent) = host.split_once('.')?;
        map.get(&format!("*.{parent}"))
    })
}

#[cfg(test)]
mod tests {
    use tmtp_domain::{Registration, ShardId};
    use uuid::Uuid;

    use super::*;

    fn site(n: u128, revision: i64, domains: &[&str], status: SiteStatus) -> Site {
        Site {
            id: SiteId(Uuid::from_u128(n)),
            revision,
            shard: ShardId(0),
            name: format!("site {n}"),
            domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
            registration: Registration::Open,
            status,
            policy: tmtp_domain::Policy::default(),
            providers: Vec::new(),
            notice: None,
        }
    }

    fn found(sites: &Sites, host: Option<&str>) -> Option<String> {
        sites.find(host).map(|site| site.name.clone())
    }

    /// Goal: names choose the site as the protocol says; method: exact, other case, wildcard, unknown, none, and a
    /// site that is not served, with and without a default.
    #[test]
    fn names_choose_the_site() {
        let all = vec![
            site(1, 1, &["one.example", "*.wild.example"], SiteStatus::Active),
            site(2, 2, &["two.example"], SiteStatus::Suspended),
            site(3, 3, &["three.example"], SiteStatus::Active),
        ];
        let sites = Sites::new(Some("Three.example"));
        assert_eq!(sites.apply(all.clone(), 3), HashMap::from([(SiteId(Uuid::from_u128(2)), None)]));
        assert_eq!(sites.revision(), 3);
        let one = Some("site 1".to_owned());
        let three = Some("site 3".to_owned());
        assert_eq!(found(&sites, Some("one.example")), one);
        assert_eq!(found(&sites, Some("ONE.example")), one);
        assert_eq!(found(&sites, Some("a.wild.example")), one);
        assert_eq!(found(&sites, Some("a.b.wild.example")), three);
        assert_eq!(found(&sites, Some("two.example")), None);
        assert_eq!(found(&sites, Some("other")), three);
        assert_eq!(found(&sites, None), three);
        let strict = Sites::new(None);
        strict.apply(all, 3);
        assert_eq!(found(&strict, Some("other")), None);
        assert_eq!(found(&strict, None), None);
    }

    /// Goal: clients of a site that is not served get through only to hear why; method: a suspended site with a notice, and
    /// the same deleted.
    #[test]
    fn notices_are_heard() {
        let sites = Sites::new(None);
        let site = |revision, status| Site {
            notice: Some("back on Monday".into()),
            ..site(1, revision, &["a.example"], status)
        };
        let told = HashMap::from([(SiteId(Uuid::from_u128(1)), Some("back on Monday".to_owned()))]);
        assert_eq!(sites.apply(vec![site(1, SiteStatus::Suspended)], 1), told);
        assert_eq!(found(&sites, Some("a.example")), Some("site 1".to_owned()));
        sites.apply(vec![site(2, SiteStatus::Deleted)], 2);
        assert_eq!(found(&sites, Some("a.example")), None);
    }

    /// Goal: a domain that moves belongs to one site only; method: take it from one and give it to another.
    #[test]
    fn domains_move() {
        let sites = Sites::new(None);
        sites.apply(vec![site(1, 1, &["a.example"], SiteStatus::Active)], 1);
        sites.apply(
            vec![site(1, 2, &[], SiteStatus::Active), site(2, 3, &["a.example"], SiteStatus::Active)],
            3,
        );
        assert_eq!(found(&sites, Some("a.example")), Some("site 2".to_owned()));
    }
}
