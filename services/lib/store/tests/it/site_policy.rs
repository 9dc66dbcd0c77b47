//! Who may register: one truth in the policy of the site, and the column that gateways read.

use serde_json::{Value, json};
use tmtp_domain::{Registration, SiteId};
use uuid::Uuid;

use crate::rig::{Rig, new_site};

const MIGRATION: &str = include_str!("../../../../../migrations/20261126080200_registration_policy.sql");

/// What the column says, and what the policy says.
async fn both(rig: &Rig, site: SiteId) -> (String, Value) {
    let row: (String, String) =
        sqlx::query_as("SELECT registration, policy::text FROM site WHERE site_id = $1")
            .bind(site.0)
            .fetch_one(&rig.pool)
            .await
            .unwrap();
    let read = rig.store.sites(&[site]).await.unwrap().remove(0);
    assert_eq!(read.registration.as_str(), row.0);
    (row.0, serde_json::from_str(&row.1).unwrap())
}

async fn set(rig: &Rig, site: SiteId, document: &Value) -> Result<i64, tmtp_store::Error> {
    let mut tx = rig.store.admin().await.unwrap();
    let set = tx.set_site_policy(site, &document.to_string(), None).await?;
    tx.commit().await?;
    Ok(set.version)
}

async fn run(rig: &Rig, statement: &'static str) {
    sqlx::query(statement).execute(&rig.pool).await.unwrap();
}

async fn history(rig: &Rig, site: SiteId) -> Vec<(i64, Value)> {
    let entries = rig.all().await.site_policies(site, None, 9).await.unwrap();
    let read = |text: &str| serde_json::from_str(text).unwrap();
    entries.iter().map(|entry| (entry.policy.version, read(&entry.policy.document))).collect()
}

/// Goal: the policy and the column never say different things, whichever is written and by whom, and every step by the
/// policy is in the history; method: a site made open, policies with and without the field, bare statements as a process
/// of another release would make them, and a word that there is not.
#[tokio::test]
async fn registration_never_drifts() {
    let rig = Rig::new().await;
    let site = rig.create_site("a.example").await;
    let opened = json!({ "registration": "open" });
    assert_eq!(both(&rig, site).await, ("open".into(), opened.clone()));
    let asked = json!({ "registration": "invite", "pings": { "per_day": 5 } });
    assert_eq!(set(&rig, site, &asked).await.unwrap(), 1);
    assert_eq!(both(&rig, site).await, ("invite".into(), asked.clone()));
    assert_eq!(set(&rig, site, &json!({})).await.unwrap(), 2);
    assert_eq!(both(&rig, site).await, ("closed".into(), json!({})));
    assert_eq!(history(&rig, site).await, [(2, json!({})), (1, asked), (0, opened)]);

    run(&rig, "UPDATE site SET registration = 'oidc'").await;
    assert_eq!(both(&rig, site).await, ("oidc".into(), json!({ "registration": "oidc" })));
    run(&rig, r#"UPDATE site SET registration = 'open', policy = '{"registration":"approval"}'"#).await;
    assert_eq!(both(&rig, site).await, ("approval".into(), json!({ "registration": "approval" })));
    // As the release before replaces a policy, in which it knows no such field.
    run(&rig, r#"UPDATE site SET policy = '{"pings":{"per_day":5}}'"#).await;
    let kept = json!({ "registration": "approval", "pings": { "per_day": 5 } });
    assert_eq!(both(&rig, site).await, ("approval".into(), kept));
    assert_eq!(set(&rig, site, &json!({})).await.unwrap(), 3);
    assert_eq!(both(&rig, site).await, ("closed".into(), json!({})));
    run(&rig, "UPDATE site SET registration = 'open', name = 'Another'").await;
    assert_eq!(both(&rig, site).await, ("open".into(), json!({ "registration": "open" })));
    run(&rig, "UPDATE site SET registration = 'closed'").await;
    assert_eq!(both(&rig, site).await, ("closed".into(), json!({ "registration": "closed" })));
    assert!(set(&rig, site, &json!({ "registration": "sometimes" })).await.is_err());

    let older = Uuid::new_v4();
    sqlx::query("INSERT INTO site (site_id, shard_id, name, registration) VALUES ($1, 0, 'older', 'invite')")
        .bind(older)
        .execute(&rig.pool)
        .await
        .unwrap();
    assert_eq!(both(&rig, SiteId(older)).await, ("invite".into(), json!({ "registration": "invite" })));
    let mut closed = new_site(SiteId(Uuid::new_v4()), &["b.example"]);
    closed.registration = Registration::Closed;
    rig.store.create_site(&closed).await.unwrap();
    assert_eq!(both(&rig, closed.id).await, ("closed".into(), json!({})));
    assert!(history(&rig, closed.id).await.is_empty(), "it is made with the defaults");
}

/// Goal: sites that there are keep their registration when this comes, and whatever they go back to; method: rows as they
/// were before, one with a policy and its history, and the migration.
#[tokio::test]
async fn sites_keep_their_registration() {
    let rig = Rig::new().await;
    let (plain, changed) = (rig.create_site("a.example").await, rig.create_site("b.example").await);
    let mut closed = new_site(SiteId(Uuid::new_v4()), &["c.example"]);
    closed.registration = Registration::Closed;
    rig.store.create_site(&closed).await.unwrap();
    let rules = json!({ "pings": { "per_day": 5 } });
    set(&rig, changed, &rules).await.unwrap();
    set(&rig, closed.id, &rules).await.unwrap();
    for statement in [
        "DROP TRIGGER site_registration_follows ON site",
        "DROP FUNCTION site_registration_follows",
        "ALTER TABLE site DROP CONSTRAINT site_registration_is_the_policys",
        "UPDATE site SET policy = policy - 'registration', registration = 'open' WHERE name = 'A site'",
        "UPDATE site SET registration = 'closed'
         WHERE site_id = (SELECT site_id FROM site_domain WHERE domain = 'c.example')",
        "DELETE FROM site_policy_history WHERE version = 0",
    ] {
        run(&rig, statement).await;
    }
    sqlx::raw_sql(MIGRATION).execute(&rig.pool).await.unwrap();
    let opened = json!({ "registration": "open" });
    let with_rules = json!({ "registration": "open", "pings": { "per_day": 5 } });
    assert_eq!(both(&rig, plain).await, ("open".into(), opened.clone()));
    assert_eq!(both(&rig, changed).await, ("open".into(), with_rules.clone()));
    assert_eq!(both(&rig, closed.id).await, ("closed".into(), rules.clone()));
    assert_eq!(history(&rig, plain).await, [(0, opened.clone())]);
    assert_eq!(history(&rig, changed).await, [(1, with_rules), (0, opened)]);
    assert_eq!(history(&rig, closed.id).await, [(1, rules)]);
}
