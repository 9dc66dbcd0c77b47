//! What the admin API keeps: keys, requests that may come twice, the audit log, and sites as their admins see them.

use tmtp_domain::{KeyId, MemberStatus, NodeNum, RequestId, Role, Scope, SiteId, SiteStatus};
use tmtp_store::{
    AdminRecord, ApiKey, AuditFilter, Change, Claim, CreateSiteError, NewApiKey, NewAudit, Settled,
    SettledAnswer, SiteChange, SiteFilter, SiteKind, SiteRecord, SiteTurn, Spill, Suspension,
};
use uuid::Uuid;

use crate::rig::{Rig, SHARDS, inbox, is_fenced, message, new_site, uid, under_older_epoch};

const HASH: [u8; 32] = [7; 32];

fn new_key(sites: Option<Vec<SiteId>>) -> NewApiKey {
    NewApiKey {
        id: Uuid::new_v4(),
        hash: HASH,
        name: "A key".into(),
        role: if sites.is_some() { Role::Owner } else { Role::Operator },
        scopes: Some(vec![Scope::SitesRead, Scope::KeysWrite]),
        sites,
        created_by: None,
        expires_at: None,
    }
}

async fn create(rig: &Rig, key: &NewApiKey) -> ApiKey {
    let mut tx = rig.store.admin().await.unwrap();
    let created = tx.create_key(key).await.unwrap();
    tx.commit().await.unwrap();
    created
}

async fn create_site(rig: &Rig, domain: &str) -> SiteRecord {
    let mut tx = rig.store.admin().await.unwrap();
    let site = new_site(SiteId(Uuid::new_v4()), &[domain]);
    let record = tx.create_site(&site, SiteKind::Sandbox, SHARDS).await.unwrap();
    tx.commit().await.unwrap();
    record
}

/// Goal: a key is found by its hash, its use is noted, and neither a revoked one nor one at its end is found; method:
/// one of each.
#[tokio::test]
async fn keys() {
    let rig = Rig::new().await;
    let site = SiteId(Uuid::new_v4());
    let created = create(&rig, &new_key(Some(vec![site]))).await;
    assert_eq!((created.role, &created.sites), (Role::Owner, &Some(vec![site])));
    assert_eq!(created.scopes, Some(vec![Scope::SitesRead, Scope::KeysWrite]));
    assert_eq!(rig.store.use_key(&HASH).await.unwrap(), Some(created.clone()));
    let used = rig.all().await.key(created.id).await.unwrap().unwrap();
    assert!(used.last_used_at.is_some_and(|at| at % 60_000 == 0), "{used:?}");
    assert_eq!(rig.store.use_key(&[8; 32]).await.unwrap(), None);

    let past = NewApiKey { hash: [9; 32], expires_at: Some(1_000), ..new_key(None) };
    assert_eq!(create(&rig, &past).await.expires_at, Some(1_000));
    assert_eq!(rig.store.use_key(&[9; 32]).await.unwrap(), None);

    let mut tx = rig.store.admin().await.unwrap();
    assert!(tx.revoke_key(created.id).await.unwrap().unwrap().revoked_at.is_some());
    assert_eq!(tx.revoke_key(created.id).await.unwrap(), None);
    tx.commit().await.unwrap();
    assert_eq!(rig.store.use_key(&HASH).await.unwrap(), None);
}

/// Goal: whoever has one site's keys to see sees no others; method: keys of one site, of another, of both, of all, and
/// pages of one.
#[tokio::test]
async fn keys_of_a_site() {
    let rig = Rig::new().await;
    let (here, there) = (SiteId(Uuid::from_u128(1)), SiteId(Uuid::from_u128(2)));
    let mut ids = Vec::new();
    for (number, sites) in
        [Some(vec![here]), Some(vec![there]), Some(vec![here, there]), None].into_iter().enumerate()
    {
        let hash = [u8::try_from(number).unwrap(); 32];
        ids.push(create(&rig, &NewApiKey { hash, ..new_key(sites) }).await.id);
    }
    let seen = async |sites: Option<&[SiteId]>| -> Vec<Uuid> {
        let mut seen = Vec::new();
        loop {
            let page = rig.all().await.keys(sites, None, seen.last().copied(), 1).await.unwrap();
            let Some(key) = page.first() else { return seen };
            seen.push(key.id);
        }
    };
    assert_eq!(seen(Some(&[here])).await, [ids[0]]);
    assert_eq!(seen(Some(&[here, there])).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(seen(None).await, [ids[3], ids[2], ids[1], ids[0]]);
}

const ANSWER: SettledAnswer<'_> = SettledAnswer { status: 201, answer: "{}", etag: Some("\"1\"") };

/// Goal: a request has its effect once, and its answer each time; method: claim, settle, claim again with the same and
/// with another content; and what is not committed is forgotten.
#[tokio::test]
async fn requests_that_come_twice() {
    let rig = Rig::new().await;
    let key = create(&rig, &new_key(None)).await.id;
    let claim =
        async |request: &[u8; 32]| rig.store.admin().await.unwrap().claim(key, "i", request).await.unwrap();
    for commits in [false, true] {
        let mut tx = rig.store.admin().await.unwrap();
        assert_eq!(tx.claim(key, "i", &[1; 32]).await.unwrap(), Claim::New);
        tx.settle(key, "i", &[1; 32], ANSWER).await.unwrap();
        if commits {
            tx.commit().await.unwrap();
        }
    }
    assert_eq!(
        claim(&[1; 32]).await,
        Claim::Done { status: 201, answer: "{}".into(), etag: Some("\"1\"".into()) }
    );
    assert_eq!(claim(&[2; 32]).await, Claim::Other);
}

/// Goal: of two requests with one idempotency key at the same moment the second waits for the first; method: two
/// transactions.
#[tokio::test]
async fn requests_at_the_same_moment() {
    let rig = Rig::new().await;
    let key = create(&rig, &new_key(None)).await.id;
    let mut first = rig.store.admin().await.unwrap();
    assert_eq!(first.claim(key, "i", &[1; 32]).await.unwrap(), Claim::New);
    let mut second = rig.store.admin().await.unwrap();
    let waiting = tokio::spawn(async move { second.claim(key, "i", &[1; 32]).await });
    tmtp_testkit::eventually(crate::rig::DEADLINE, "the second to wait", async || {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        (rig.count(waits).await > 0).then_some(())
    })
    .await
    .unwrap();
    first.settle(key, "i", &[1; 32], ANSWER).await.unwrap();
    first.commit().await.unwrap();
    let claim = waiting.await.unwrap().unwrap();
    assert_eq!(claim, Claim::Done { status: 201, answer: "{}".into(), etag: Some("\"1\"".into()) });
}

/// Goal: the log can be read by site and action, the newest first, and nobody can change it; method: three entries,
/// filters, and an update, a removal and a truncation.
#[tokio::test]
async fn the_audit_log() {
    let rig = Rig::new().await;
    let (here, there) = (SiteId(Uuid::from_u128(1)), SiteId(Uuid::from_u128(2)));
    let mut tx = rig.store.admin().await.unwrap();
    for (site, action) in
        [(Some(here), "site.create"), (Some(there), "site.create"), (Some(here), "site.suspend")]
    {
        let request = Uuid::from_u128(5);
        let after = Some(r#"{"a": 1}"#.to_owned());
        let audit = NewAudit {
            site,
            key: None,
            action,
            target: "x",
            from: "127.0.0.1",
            request,
            before: None,
            after,
        };
        tx.note(&audit).await.unwrap();
    }
    tx.commit().await.unwrap();
    let seen = async |filter| -> Vec<String> {
        let entries = rig.all().await.audit(filter, 10).await.unwrap();
        entries.into_iter().map(|entry| entry.action).collect()
    };
    let of_here = AuditFilter { sites: Some(&[here]), ..AuditFilter::default() };
    assert_eq!(seen(of_here).await, ["site.suspend", "site.create"]);
    assert_eq!(seen(AuditFilter { action: Some("site.create"), ..of_here }).await, ["site.create"]);
    let newest = &rig.all().await.audit(AuditFilter::default(), 1).await.unwrap()[0];
    assert_eq!((newest.site, newest.after.as_deref()), (Some(here), Some(r#"{"a": 1}"#)));
    assert_eq!(seen(AuditFilter { before: Some(newest.id), ..AuditFilter::default() }).await.len(), 2);
    for change in ["UPDATE audit SET target = 'y'", "DELETE FROM audit", "TRUNCATE audit"] {
        let refused = sqlx::query(change).execute(&rig.pool).await;
        assert!(refused.is_err(), "{change}");
    }
}

/// Goal: a site can be made, read, changed, suspended and resumed, and its workers hear of each; method: do so, and
/// look at what directories see.
#[tokio::test]
async fn sites() {
    let rig = Rig::new().await;
    let made = create_site(&rig, "Chat.Example").await;
    assert_eq!(
        (made.kind, made.status, &made.domains),
        (SiteKind::Sandbox, SiteStatus::Active, &vec!["chat.example".into()])
    );
    assert_eq!(rig.all().await.site_record(made.id).await.unwrap(), Some(made.clone()));
    let revision = rig.store.sites(&[made.id]).await.unwrap()[0].revision;

    let change = async |change: SiteChange| {
        let mut tx = rig.store.admin().await.unwrap();
        assert!(tx.lock_site(made.id).await.unwrap().is_some());
        let changed = tx.change_site(made.id, &change).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        changed
    };
    let turn = async |turn: SiteTurn| {
        let mut tx = rig.store.admin().await.unwrap();
        let changed = tx.turn_site(made.id, &turn).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        changed
    };
    let changed = turn(SiteTurn::Suspend { reason: "unpaid".into(), notice: Some("soon".into()) }).await;
    let notice = async || rig.store.sites(&[made.id]).await.unwrap()[0].notice.clone();
    assert_eq!(notice().await.as_deref(), Some("soon"), "gateways and homes have it");
    assert_eq!(
        (changed.status, changed.suspended_reason.as_deref()),
        (SiteStatus::Suspended, Some("unpaid"))
    );
    let changed = change(SiteChange { name: Some("Another".into()), ..SiteChange::default() }).await;
    assert_eq!((changed.name.as_str(), changed.registration), ("Another", made.registration));
    assert_eq!(changed.suspended_reason.as_deref(), Some("unpaid"), "stays");
    let changed = turn(SiteTurn::Delete).await;
    assert_eq!((changed.status, changed.deleted_at.is_some()), (SiteStatus::Deleted, true));
    assert_eq!(notice().await, None, "nobody hears of a deleted site");
    let changed = turn(SiteTurn::Restore).await;
    assert_eq!((changed.status, changed.deleted_at), (SiteStatus::Suspended, None), "as it was");
    let changed = turn(SiteTurn::Resume).await;
    assert_eq!((changed.status, changed.suspended_reason), (SiteStatus::Active, None));
    assert_eq!(notice().await, None);
    let seen = rig.store.sites_since(revision, 10).await.unwrap();
    assert_eq!((seen.len(), seen[0].name.as_str()), (1, "Another"));
}

/// Goal: sites are listed the newest first, page by page, and only those that are asked for; method: three of them.
#[tokio::test]
async fn lists_of_sites() {
    let rig = Rig::new().await;
    let mut ids = Vec::new();
    for domain in ["a.example", "b.example", "c.example"] {
        ids.push(create_site(&rig, domain).await.id);
    }
    let list = async |only: Option<&[SiteId]>, after: Option<SiteId>| -> Vec<SiteId> {
        let filter = SiteFilter { only, ..SiteFilter::default() };
        let records = rig.all().await.site_records(filter, after, 2).await.unwrap();
        records.into_iter().map(|record| record.id).collect()
    };
    assert_eq!(list(None, None).await, [ids[2], ids[1]]);
    assert_eq!(list(None, Some(ids[1])).await, [ids[0]]);
    assert_eq!(list(Some(&ids[..1]), None).await, [ids[0]]);

    let mut tx = rig.store.admin().await.unwrap();
    let taken = new_site(SiteId(Uuid::new_v4()), &["A.example"]);
    let refused = tx.create_site(&taken, SiteKind::Live, SHARDS).await;
    assert!(matches!(refused, Err(CreateSiteError::DomainTaken)), "{refused:?}");
}

/// Goal: what a worker does for an admin is committed with its audit entry and its answer, or not at all; method: a
/// fenced commit, then a good one, and the request is asked for by its key.
#[tokio::test]
async fn changes_by_workers() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[0], uid(1)).await;
    let key = create(&rig, &new_key(None)).await;
    let record = AdminRecord {
        site,
        key: KeyId(key.id),
        once: "order 7".into(),
        digest: [3; 32],
        answer: "{}".into(),
        request: RequestId(Uuid::new_v4()),
        action: "member.suspend".into(),
        target: "somebody".into(),
        from: "192.0.2.1".into(),
        before: Some(r#"{"status":"active"}"#.into()),
        after: None,
    };
    let changes = || {
        let status = Change::MemberStatus { site, uid: uid(1), status: MemberStatus::Suspended };
        vec![status, Change::Admin(Box::new(record.clone()))]
    };
    let asked = [(KeyId(key.id), "order 7".to_owned()), (KeyId(key.id), "order 8".to_owned())];
    let mut stale = under_older_epoch(shards[0]);
    assert!(is_fenced(&rig.commit(&mut stale, None, changes()).await));
    assert!(rig.store.settled(&asked).await.unwrap().is_empty());

    rig.commit(&mut shards[0], None, changes()).await.unwrap();
    let settled = rig.store.settled(&asked).await.unwrap();
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[&asked[0]], Settled { digest: [3; 32], answer: "{}".into() });
    let (_, member) = rig.store.members(&[(site, uid(1))]).await.unwrap().remove(0);
    assert_eq!(member.status, MemberStatus::Suspended);
    let entries = rig.all().await.audit(AuditFilter::default(), 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].site, entries[0].key), (Some(site), Some(key.id)));
    assert_eq!(entries[0].before.as_deref(), Some(r#"{"status": "active"}"#));
}

/// Goal: the audit entry of a queue that was dropped says how much waited, in rows and elsewhere; entries of other changes
/// are left alone. Method: a node with two messages in rows and three elsewhere, another one with rows, and a second drop.
#[tokio::test]
async fn what_was_dropped_is_counted() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[0], uid(1)).await;
    let key = create(&rig, &new_key(None)).await;
    let spill = Spill {
        messages: vec![message(site, 10, 2), message(site, 20, 1)],
        inbox: [(1, 10), (1, 20), (2, 10)].map(|(num, id)| inbox(site, uid(1), num, 1, id)).into(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    let drop = |num| Change::DropInbox { site, uid: uid(1), node: NodeNum(num), trace: None };
    let noted = |once: &str, before: &str| {
        Change::Admin(Box::new(AdminRecord {
            site,
            key: KeyId(key.id),
            once: once.into(),
            digest: [3; 32],
            answer: "{}".into(),
            request: RequestId(Uuid::new_v4()),
            action: "device.drop_queue".into(),
            target: "it".into(),
            from: "192.0.2.1".into(),
            before: Some(before.into()),
            after: None,
        }))
    };
    let changes = vec![
        drop(1),
        noted("a", r#"{"waiting":3}"#),
        drop(2),
        noted("b", "{}"),
        noted("c", r#"{"waiting":0}"#),
    ];
    rig.commit(&mut shards[0], None, changes).await.unwrap();
    let entries = rig.all().await.audit(AuditFilter::default(), 10).await.unwrap();
    let befores: Vec<&str> = entries.iter().rev().filter_map(|entry| entry.before.as_deref()).collect();
    assert_eq!(befores, [r#"{"waiting": 5}"#, "{}", r#"{"waiting": 0}"#]);
    assert_eq!(rig.count("SELECT count(*) FROM message").await, 0);
}

/// Goal: what a suspended member is told is kept for whoever serves it next, and gone when it is back; method: the member
/// as a worker reads it, after each.
#[tokio::test]
async fn notices_are_kept() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[0], uid(1)).await;
    let notice = async || rig.store.members(&[(site, uid(1))]).await.unwrap().remove(0).1.notice;
    let suspension = Suspension {
        reason: "unpaid".into(),
        notice: Some("call us".into()),
        until: None,
        by: KeyId(Uuid::new_v4()),
    };
    let suspended = Change::Suspended { site, uid: uid(1), suspension };
    rig.commit(&mut shards[0], None, vec![suspended]).await.unwrap();
    assert_eq!(notice().await.as_deref(), Some("call us"));
    let back = Change::MemberStatus { site, uid: uid(1), status: MemberStatus::Active };
    rig.commit(&mut shards[0], None, vec![back]).await.unwrap();
    assert_eq!(notice().await, None);
}
