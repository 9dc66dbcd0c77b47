//! Sites: made once, found by their domains, and announced in the order of their revisions.

use std::collections::HashSet;

use sqlx::error::DatabaseError;
use tmtp_domain::{Registration, Site, SiteId, SiteStatus, shard_of};
use tmtp_store::CreateSiteError;
use tmtp_testkit::eventually;
use uuid::Uuid;

use crate::rig::{DEADLINE, Rig, SHARDS, new_site};

/// Goal: a site is found by each of its domains in any case, and by its id; method: make one and read it three ways.
#[tokio::test]
async fn a_site_is_found() {
    let rig = Rig::new().await;
    let id = SiteId(Uuid::new_v4());
    let shard = rig.store.create_site(&new_site(id, &["Chat.Example", "*.b.example"])).await.unwrap();
    assert_eq!(shard, shard_of(id, SHARDS));
    let site = rig.store.site_by_domain("chat.EXAMPLE").await.unwrap().unwrap();
    let expected = Site {
        id,
        revision: site.revision,
        shard,
        name: "A site".into(),
        domains: vec!["*.b.example".into(), "chat.example".into()],
        registration: Registration::Open,
        status: SiteStatus::Active,
        policy: tmtp_domain::Policy::default(),
        providers: Vec::new(),
        notice: None,
    };
    assert_eq!(site, expected);
    assert_eq!(rig.store.sites(&[id, SiteId(Uuid::new_v4())]).await.unwrap(), [expected]);
    assert_eq!(rig.store.site_by_domain("a.b.example").await.unwrap(), None);
}

/// Goal: two sites never share a domain, and a refused site leaves nothing; method: the second has one domain of its
/// own and one of the first in other letters.
#[tokio::test]
async fn a_domain_belongs_to_one_site() {
    let rig = Rig::new().await;
    let first = rig.create_site("chat.example").await;
    let second = SiteId(Uuid::new_v4());
    let result = rig.store.create_site(&new_site(second, &["own.example", "CHAT.example"])).await;
    assert!(matches!(result, Err(CreateSiteError::DomainTaken)), "{result:?}");
    assert_eq!(rig.store.site_by_domain("own.example").await.unwrap(), None);
    assert_eq!(rig.store.site_by_domain("chat.example").await.unwrap().unwrap().id, first);
    assert_eq!(rig.store.sites_since(0, 10).await.unwrap().len(), 1);
}

/// Goal: nobody takes host names from under another site's wildcard, or puts one above another site's names, while a site
/// may have both and names beside a wildcard are free; method: each in turn, of one site and of two, by the store and by
/// the bare statement of a process that knows nothing of the rule.
#[tokio::test]
async fn wildcards_keep_others_out() {
    let rig = Rig::new().await;
    let wild = SiteId(Uuid::new_v4());
    rig.store.create_site(&new_site(wild, &["a.wild.example", "*.wild.example"])).await.unwrap();
    let exact = rig.create_site("a.exact.example").await;
    for taken in ["b.wild.example", "B.Wild.Example", "*.exact.example", "*.wild.example"] {
        let result = rig.store.create_site(&new_site(SiteId(Uuid::new_v4()), &["own.example", taken])).await;
        assert!(matches!(result, Err(CreateSiteError::DomainTaken)), "{taken}: {result:?}");
    }
    let add = async |site: SiteId, domain: &str| {
        let mut tx = rig.store.admin().await.unwrap();
        tx.lock_site(site).await.unwrap().unwrap();
        tx.add_domain(site, domain).await?;
        tx.commit().await.map_err(CreateSiteError::Store)
    };
    for (site, domain) in [(exact, "b.wild.example"), (wild, "*.exact.example")] {
        let result = add(site, domain).await;
        assert!(matches!(result, Err(CreateSiteError::DomainTaken)), "{domain}: {result:?}");
        let bare = sqlx::query("INSERT INTO site_domain (site_id, domain) VALUES ($1, $2)");
        let refused = bare.bind(site.0).bind(domain).execute(&rig.pool).await.unwrap_err();
        assert!(
            refused.as_database_error().is_some_and(<dyn DatabaseError>::is_unique_violation),
            "{refused}"
        );
    }
    let mine = [(wild, "b.wild.example"), (exact, "*.exact.example")];
    let beside = [(exact, "wild.example"), (exact, "a.b.wild.example"), (wild, "*.a.exact.example")];
    for (site, domain) in mine.into_iter().chain(beside) {
        add(site, domain).await.unwrap_or_else(|error| panic!("{domain}: {error}"));
    }
}

/// Goal: nor does it work at the same moment; method: each order, by the store and by the bare statement: the second waits
/// for the first, and is refused when that has come true.
#[tokio::test]
async fn wildcards_keep_others_out_at_once() {
    let rig = Rig::new().await;
    let (one, two) = (rig.create_site("one.example").await, rig.create_site("two.example").await);
    let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
    for (first, second) in [("*.x.example", "a.x.example"), ("a.y.example", "*.y.example")] {
        let mut open = rig.store.admin().await.unwrap();
        open.lock_site(one).await.unwrap().unwrap();
        open.add_domain(one, first).await.unwrap();
        let store = rig.store.clone();
        let adding = tokio::spawn(async move {
            let mut tx = store.admin().await.unwrap();
            tx.lock_site(two).await.unwrap().unwrap();
            tx.add_domain(two, second).await?;
            tx.commit().await.map_err(CreateSiteError::Store)
        });
        let pool = rig.pool.clone();
        let bare = tokio::spawn(async move {
            let bare = sqlx::query("INSERT INTO site_domain (site_id, domain) VALUES ($1, $2)");
            bare.bind(two.0).bind(second).execute(&pool).await
        });
        let both = async || (rig.count(waits).await == 2).then_some(());
        eventually(DEADLINE, "both others to wait", both).await.unwrap();
        open.commit().await.unwrap();
        let result = adding.await.unwrap();
        assert!(matches!(result, Err(CreateSiteError::DomainTaken)), "{second}: {result:?}");
        let refused = bare.await.unwrap().unwrap_err();
        assert!(
            refused.as_database_error().is_some_and(<dyn DatabaseError>::is_unique_violation),
            "{refused}"
        );
    }
}

/// Goal: directories see each change once, oldest first, in steps as large as they like; method: change the first of
/// three sites last.
#[tokio::test]
async fn changes_come_in_order() {
    let rig = Rig::new().await;
    let mut ids = Vec::new();
    for domain in ["a.example", "b.example", "c.example"] {
        ids.push(rig.create_site(domain).await);
    }
    let newest = rig.store.sites_since(0, 10).await.unwrap().last().unwrap().revision;
    sqlx::query("UPDATE site SET status = 'suspended' WHERE site_id = $1")
        .bind(ids[0].0)
        .execute(&rig.pool)
        .await
        .unwrap();
    let order = |sites: Vec<Site>| sites.iter().map(|site| site.id).collect::<Vec<_>>();
    assert_eq!(order(rig.store.sites_since(0, 10).await.unwrap()), [ids[1], ids[2], ids[0]]);
    assert_eq!(order(rig.store.sites_since(0, 2).await.unwrap()), [ids[1], ids[2]]);
    let changed = rig.store.sites_since(newest, 10).await.unwrap();
    assert_eq!(changed[0].status, SiteStatus::Suspended);
    assert_eq!(order(changed), [ids[0]]);
}

/// Goal: no revision becomes visible after a higher one; method: hold the first change open until the second is seen
/// waiting for it, and look at what is visible then.
#[tokio::test]
async fn a_revision_waits_for_the_one_before() {
    let rig = Rig::new().await;
    let first = Uuid::new_v4();
    let mut open = rig.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO site (site_id, shard_id, name, registration) VALUES ($1, 0, 'first', 'open')")
        .bind(first)
        .execute(&mut *open)
        .await
        .unwrap();
    let second = SiteId(Uuid::new_v4());
    let store = rig.store.clone();
    let making = tokio::spawn(async move { store.create_site(&new_site(second, &["b.example"])).await });
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
    eventually(DEADLINE, "the second change to wait", async || (rig.count(waiting).await == 1).then_some(()))
        .await
        .unwrap();
    assert!(rig.store.sites_since(0, 10).await.unwrap().is_empty());
    open.commit().await.unwrap();
    making.await.unwrap().unwrap();
    let order: Vec<SiteId> = rig.store.sites_since(0, 10).await.unwrap().iter().map(|site| site.id).collect();
    assert_eq!(order, [SiteId(first), second]);
}

/// Goal: a directory that asks for what is new misses nothing while many sites are made at once; method: four makers
/// of ten sites, and a reader that goes on from the highest revision it has seen.
#[tokio::test]
async fn a_directory_misses_nothing() {
    let rig = Rig::new().await;
    let makers: Vec<_> = (0..4)
        .map(|maker| {
            let store = rig.store.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let id = SiteId(Uuid::new_v4());
                    store.create_site(&new_site(id, &[&format!("{maker}-{n}.example")])).await.unwrap();
                }
            })
        })
        .collect();
    let (mut seen, mut revision) = (HashSet::new(), 0);
    eventually(DEADLINE, "all sites", async || {
        for site in rig.store.sites_since(revision, 3).await.unwrap() {
            assert!(site.revision > revision);
            revision = site.revision;
            assert!(seen.insert(site.id));
        }
        (seen.len() == 40).then_some(())
    })
    .await
    .unwrap();
    for maker in makers {
        maker.await.unwrap();
    }
}
