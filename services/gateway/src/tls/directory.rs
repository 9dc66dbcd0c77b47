//! The certificates of sites, from the directory of certificates. Of each only the names are kept here; itself and its
//! key are fetched over the bus and opened when a client first asks for it, and kept ready as long as there is room.
//!
//! A site's certificate must never serve another site's names, whatever it says, and one that cannot be used must never
//! keep a client out that the files can serve.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use lru::LruCache;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tmtp_bus::Bus;
use tmtp_domain::{CertificateContent, CertificateId, SiteCertificate, SiteId, covers, seal_context};
use tmtp_seal::Sealer;

use crate::metrics::Metrics;

/// The certificates that sites have. Choosing takes no lock.
pub struct SiteCertificates {
    sealer: Option<Sealer>,
    bus: Bus,
    /// A handshake with the certificates of the files; a site's differs in its certificate only.
    base: Arc<ServerConfig>,
    metrics: Metrics,
    known: ArcSwap<Known>,
    /// What is ready for use, and what can never be. A certificate never changes, so nothing here goes stale.
    ready: Mutex<LruCache<CertificateId, Option<Arc<ServerConfig>>>>,
}

#[derive(Default, Clone)]
struct Known {
    by_site: HashMap<SiteId, Arc<[SiteCertificate]>>,
    revision: i64,
}

impl SiteCertificates {
    /// An empty directory.
    pub fn new(
        sealer: Option<Sealer>,
        bus: Bus,
        base: Arc<ServerConfig>,
        metrics: Metrics,
        ready_max: usize,
    ) -> Self {
        let ready_max = NonZeroUsize::new(ready_max).unwrap_or(NonZeroUsize::MIN);
        let ready = Mutex::new(LruCache::new(ready_max));
        Self { sealer, bus, base, metrics, known: ArcSwap::default(), ready }
    }

    /// The newest revision that was taken in.
    pub fn revision(&self) -> i64 {
        self.known.load().revision
    }

    /// Takes changes in.
    pub fn apply(&self, changed: Vec<SiteCertificate>, revision: i64) {
        if self.sealer.is_none() && changed.iter().any(|certificate| !certificate.removed) {
            tracing::warn!("sites have certificates, but secrets.key is not set: only the files serve");
        }
        let mut known = Known::clone(&self.known.load());
        known.revision = revision;
        for certificate in changed {
            known.take(certificate, &mut self.ready.lock());
        }
        let count: usize = known.by_site.values().map(|of_site| of_site.len()).sum();
        self.metrics.site_certificates.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.known.store(Arc::new(known));
    }

    /// A handshake with the site's own certificate for this host (lower case), if it has one that can be used.
    pub async fn find(&self, site: SiteId, host: &str) -> Option<Arc<ServerConfig>> {
        let sealer = self.sealer.as_ref()?;
        let id = best(self.known.load().by_site.get(&site)?, host)?.id;
        if let Some(ready) = self.ready.lock().get(&id) {
            return ready.clone();
        }
        let made = match self.bus.certificate_content(id).await {
            Ok(Some(content)) => self.make(sealer, site, id, content),
            // Removed just now, or lost by Redis and soon published again.
            Ok(None) => return None,
            Err(error) => {
                self.metrics.site_certificate_failures_total.inc();
                tracing::warn!(site.id = %site, error = &error as &dyn std::error::Error, "cannot fetch a certificate");
                return None;
            }
        };
        let made = match made {
            Ok(config) => Some(config),
            Err(error) => {
                self.metrics.site_certificate_failures_total.inc();
                let error = format!("{error:#}");
                tracing::error!(site.id = %site, certificate.id = %id, error, "certificate cannot be used");
                None
            }
        };
        self.ready.lock().put(id, made.clone());
        made
    }

    fn make(
        &self,
        sealer: &Sealer,
        site: SiteId,
        id: CertificateId,
        content: CertificateContent,
    ) -> anyhow::Result<Arc<ServerConfig>> {
        let key = sealer.open(&seal_context(site, id), &content.sealed_key).context("open its key")?;
        let key = PrivateKeyDer::try_from(key).map_err(anyhow::Error::msg)?;
        let chain = content.chain.into_iter().map(CertificateDer::from).collect();
        let key =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).context("use its key")?;
        let mut config = ServerConfig::clone(&self.base);
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        Ok(Arc::new(config))
    }
}

impl Known {
    fn take(
        &mut self,
        certificate: SiteCertificate,
        ready: &mut LruCache<CertificateId, Option<Arc<ServerConfig>>>,
    ) {
        let of_site = self.by_site.remove(&certificate.site).unwrap_or_default();
        let (site, id) = (certificate.site, certificate.id);
        let others = of_site.iter().filter(|known| known.id != id).cloned();
        let stays = (!certificate.removed).then_some(certificate);
        if stays.is_none() {
            ready.pop(&id);
        }
        let of_site: Arc<[SiteCertificate]> = others.chain(stays).collect();
        if !of_site.is_empty() {
            self.by_site.insert(site, of_site);
        }
    }
}

/// The certificate for a host: one of its very name before a wildcard, and of several the one that lives longest.
fn best<'c>(of_site: &'c [SiteCertificate], host: &str) -> Option<&'c SiteCertificate> {
    let fitting = of_site.iter().filter(|one| one.names.iter().any(|name| covers(name, host)));
    fitting.max_by_key(|one| (one.names.iter().any(|name| name == host), one.not_after, one.revision))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn certificate(n: u128, names: &[&str], not_after: i64) -> SiteCertificate {
        SiteCertificate {
            id: CertificateId(Uuid::from_u128(n)),
            site: SiteId(Uuid::from_u128(1)),
            revision: i64::try_from(n).unwrap(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            not_after,
            removed: false,
        }
    }

    /// Goal: the right one of several serves; method: exact names, wildcards, an older and a newer one, and nothing.
    #[test]
    fn the_best_serves() {
        let all = [
            certificate(1, &["a.example"], 5),
            certificate(2, &["a.example", "b.example"], 7),
            certificate(3, &["*.example"], 9),
        ];
        let chosen = |host| best(&all, host).map(|one| one.id.0.as_u128());
        assert_eq!(chosen("a.example"), Some(2));
        assert_eq!(chosen("b.example"), Some(2));
        assert_eq!(chosen("c.example"), Some(3));
        assert_eq!(chosen("a.c.example"), None);
        assert_eq!(chosen("example"), None);
    }

    /// Goal: changes replace and remove what they are about, and nothing else; method: add, replace, remove.
    #[test]
    fn changes_are_taken_in() {
        let mut known = Known::default();
        let mut ready = LruCache::new(NonZeroUsize::MIN);
        let site = SiteId(Uuid::from_u128(1));
        for change in [certificate(1, &["a"], 1), certificate(2, &["b"], 1), certificate(1, &["a"], 3)] {
            known.take(change, &mut ready);
        }
        assert_eq!(known.by_site[&site].iter().map(|one| one.not_after).collect::<Vec<_>>(), [1, 3]);
        ready.put(CertificateId(Uuid::from_u128(2)), None);
        for n in [2, 2, 1] {
            known.take(SiteCertificate { removed: true, ..certificate(n, &["b"], 1) }, &mut ready);
        }
        assert!(known.by_site.is_empty() && ready.is_empty());
    }
}
