//! Certificates of sites, and the domains that certificates are ordered for.

use std::time::Duration;

use serde_json::{Value, json};
use tmtp_domain::{CertificateContent, CertificateId, SiteId};
use tmtp_store::{
    AcmeDomain, AcmeEnableError, AcmeState, AuditFilter, CertificateRecord, CertificateSource, NewCertificate,
};
use uuid::Uuid;

use crate::rig::{ENDED, LONG, Rig};

const DAY: i64 = 24 * 60 * 60 * 1_000;
/// In the year 2100.
const FAR: i64 = 4_102_444_800_000;

fn new(site: SiteId, names: &[&str], not_after: i64) -> NewCertificate {
    NewCertificate {
        id: CertificateId(Uuid::new_v4()),
        site,
        source: CertificateSource::Acme,
        names: names.iter().map(|&name| name.to_owned()).collect(),
        issuer: "CN=Test".into(),
        content: CertificateContent { chain: vec![vec![1, 2], vec![3]], sealed_key: vec![4] },
        not_before: 1_000,
        not_after,
    }
}

async fn add(rig: &Rig, new: &NewCertificate) -> CertificateRecord {
    let mut tx = rig.store.admin().await.unwrap();
    let added = tx.add_certificate(new).await.unwrap();
    tx.commit().await.unwrap();
    added
}

async fn remove(rig: &Rig, site: SiteId, id: CertificateId) -> Option<CertificateRecord> {
    let mut tx = rig.store.admin().await.unwrap();
    let removed = tx.remove_certificate(site, id).await.unwrap();
    tx.commit().await.unwrap();
    removed
}

/// Goal: directories hear of every certificate, and of its removal, after which nothing of it is left; method: add two,
/// remove one, by its own site and by another, forget it.
#[tokio::test]
async fn directories_hear_of_changes() {
    let rig = Rig::new().await;
    let site = rig.create_site("a.example").await;
    let (first, second) = (new(site, &["a.example"], FAR), new(site, &["*.a.example", "b.example"], FAR));
    let added = add(&rig, &first).await;
    assert_eq!((added.id, added.not_before, added.not_after), (first.id, 1_000, FAR));
    let other = add(&rig, &second).await;
    assert_eq!(rig.all().await.certificates(site).await.unwrap(), [other.clone(), added.clone()]);

    let seen = rig.store.certificates_since(0, 10).await.unwrap();
    let (known, content) = &seen[0];
    assert_eq!((known.id, known.site, known.removed, known.not_after), (first.id, site, false, FAR));
    assert_eq!((&known.names, content), (&first.names, &first.content));
    let newest = seen[1].0.revision;
    assert!(newest > known.revision);
    assert!(rig.store.certificates_since(newest, 10).await.unwrap().is_empty());

    assert_eq!(remove(&rig, SiteId(Uuid::new_v4()), first.id).await, None, "another site's");
    assert_eq!(remove(&rig, site, first.id).await, Some(added));
    assert_eq!(remove(&rig, site, first.id).await, None, "gone");
    let news = rig.store.certificates_since(newest, 10).await.unwrap();
    assert_eq!((news.len(), news[0].0.id, news[0].0.removed), (1, first.id, true));
    assert!(news[0].1.chain.is_empty() && news[0].1.sealed_key.is_empty());
    assert_eq!(rig.all().await.certificates(site).await.unwrap(), [other]);

    let unknown = async || rig.store.unknown_certificates(&[first.id, second.id]).await.unwrap();
    rig.store.forget_removed_certificates(LONG).await.unwrap();
    assert_eq!(unknown().await, []);
    rig.store.forget_removed_certificates(Duration::ZERO).await.unwrap();
    assert_eq!(unknown().await, [first.id], "what is in use stays");
}

/// Goal: only what is in use and about to expire is warned of; method: one far away, one near, one near that has been
/// replaced by a longer one for more names, one of another site.
#[tokio::test]
async fn expiry_is_seen() {
    let rig = Rig::new().await;
    let (here, there) = (rig.create_site("a.example").await, rig.create_site("b.example").await);
    let now: i64 = rig.count("SELECT (extract(epoch FROM now()) * 1000)::bigint").await;
    add(&rig, &new(here, &["a.example"], now + 3 * DAY)).await;
    add(&rig, &new(here, &["a.example", "c.example"], now + 90 * DAY)).await;
    let near = add(&rig, &new(here, &["d.example"], now + 5 * DAY)).await;
    let nearer = add(&rig, &new(there, &["a.example"], now - DAY)).await;
    let fortnight = Duration::from_hours(14 * 24);
    assert_eq!(rig.store.certificates_expiring(fortnight, 10).await.unwrap(), [nearer, near]);
}

async fn enable(rig: &Rig, site: SiteId, domain: &str) -> Result<AcmeDomain, AcmeEnableError> {
    let mut tx = rig.store.admin().await.unwrap();
    let enabled = tx.enable_acme(site, domain).await;
    if enabled.is_ok() {
        tx.commit().await.unwrap();
    }
    enabled
}

/// Goal: a domain that is due is worked on by one at a time, and what comes of it is kept; method: two owners, a failure,
/// a retry, an end of a lease, a success, a renewal.
#[tokio::test]
async fn one_at_a_time() {
    let rig = Rig::new().await;
    let site = rig.create_site("a.example").await;
    assert!(matches!(enable(&rig, site, "b.example").await, Err(AcmeEnableError::NoSuchDomain)));
    let enabled = enable(&rig, site, "a.example").await.unwrap();
    assert_eq!((enabled.state, enabled.attempts), (AcmeState::Waiting, 0));
    assert_eq!(enable(&rig, site, "a.example").await.unwrap(), enabled, "again");

    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let claim = async |owner, lease| rig.store.acme_claim(owner, lease, 10).await.unwrap();
    let claimed = claim(one, LONG).await;
    assert_eq!(claimed, [enabled]);
    assert!(claim(two, LONG).await.is_empty(), "taken");

    rig.store.acme_failed(two, &claimed[0], "not mine", LONG).await.unwrap();
    rig.store.acme_failed(one, &claimed[0], "no route", LONG).await.unwrap();
    let failed = rig.all().await.acme_domains(site).await.unwrap();
    assert_eq!((failed[0].state, failed[0].attempts), (AcmeState::Failed, 1));
    assert_eq!(failed[0].last_error.as_deref(), Some("no route"));
    assert!(claim(two, LONG).await.is_empty(), "pauses");
    assert_eq!(rig.store.acme_states().await.unwrap(), [(AcmeState::Failed, 1)]);

    let mut tx = rig.store.admin().await.unwrap();
    assert_eq!(tx.retry_acme(site, "a.example").await.unwrap().unwrap().state, AcmeState::Waiting);
    tx.commit().await.unwrap();
    assert_eq!(claim(one, ENDED).await.len(), 1);
    assert_eq!(claim(two, LONG).await.len(), 1, "the lease of the first is over");
    let issue = async |owner, certificate: &NewCertificate, renew_at| {
        rig.store.acme_issued(owner, "a.example", certificate, renew_at).await.unwrap()
    };
    let first = new(site, &["a.example"], FAR);
    assert_eq!(issue(one, &first, FAR).await, None, "too late");
    assert!(rig.all().await.certificates(site).await.unwrap().is_empty());
    assert!(issue(two, &first, 1_000).await.is_some());

    let uploaded = NewCertificate { source: CertificateSource::Upload, ..new(site, &["a.example"], FAR) };
    let uploaded = add(&rig, &uploaded).await;
    let claimed = claim(one, LONG).await;
    assert_eq!((claimed[0].state, claimed[0].attempts), (AcmeState::Issued, 0));
    let second = issue(one, &new(site, &["a.example"], FAR + 1), FAR).await.unwrap();
    let left = rig.all().await.certificates(site).await.unwrap();
    assert_eq!(left, [second, uploaded], "replaces its own only");
    assert!(claim(one, LONG).await.is_empty(), "not due");

    let sites = [site];
    let filter = AuditFilter { sites: Some(&sites), ..AuditFilter::default() };
    let noted = rig.all().await.audit(filter, 9).await.unwrap();
    let cert = |id: CertificateId| format!("cert_{id}");
    let json = |text: &Option<String>| -> Value { serde_json::from_str(text.as_deref().unwrap()).unwrap() };
    let [newer, older] = &noted[..] else { panic!("{noted:?}") };
    assert_eq!((&*older.action, &older.target, older.key), ("certificate.issue", &cert(first.id), None));
    assert_eq!((&*newer.from, &newer.target), ("acme", &cert(left[0].id)));
    assert_eq!(json(&older.before)["certificates"], json!([]));
    assert_eq!(json(&newer.before)["certificates"], json!([cert(first.id)]));
    assert_eq!(json(&newer.after)["domain"], "a.example");

    let mut tx = rig.store.admin().await.unwrap();
    assert!(tx.disable_acme(site, "a.example").await.unwrap().is_some());
    assert!(tx.disable_acme(site, "a.example").await.unwrap().is_none());
    tx.commit().await.unwrap();
    assert!(rig.all().await.acme_domains(site).await.unwrap().is_empty());
}

/// Goal: all admin processes use one account; method: two that make one at the same time.
#[tokio::test]
async fn one_account() {
    let rig = Rig::new().await;
    assert_eq!(rig.store.acme_account("https://ca").await.unwrap(), None);
    assert_eq!(rig.store.keep_acme_account("https://ca", b"first").await.unwrap(), b"first");
    assert_eq!(rig.store.keep_acme_account("https://ca", b"second").await.unwrap(), b"first");
    assert_eq!(rig.store.keep_acme_account("https://other", b"third").await.unwrap(), b"third");
    rig.store.forget_acme_account("https://ca").await.unwrap();
    assert_eq!(rig.store.acme_account("https://ca").await.unwrap(), None);
}
