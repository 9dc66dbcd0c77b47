//! Invites, providers of sign-ins, and what the built-in issuer keeps.

use std::time::Duration;

use tmtp_domain::{Endpoint, InviteCode, InviteId, InviteState, MemberStatus, Provider, SiteId, Uid};
use tmtp_store::{Change, InviteFilter, InviteRecord, NewInvite, SignInCode};
use uuid::Uuid;

use crate::rig::Rig;

fn new_invite(site: SiteId, number: u64) -> NewInvite {
    NewInvite {
        id: InviteId(Uuid::from_u128(u128::from(number))),
        code_hash: InviteCode::from_random(number).hash(site),
        alias: Some(format!("member no. {number}")),
        external_id: Some("e1".into()),
        groups: vec!["all of us".into(), "it's \"two\"".into()],
        role: Some("member".into()),
        note: None,
        max_uses: 1,
        requires_approval: false,
        expires_at: Some(4_000_000_000_000),
    }
}

async fn create(rig: &Rig, site: SiteId, invites: &[NewInvite]) -> Vec<InviteRecord> {
    let mut tx = rig.store.admin().await.unwrap();
    let made = tx.create_invites(site, None, invites).await.unwrap();
    tx.commit().await.unwrap();
    made
}

/// Goal: an invite is kept as it was made, and found by its id and by its code at its site only; method: make two.
#[tokio::test]
async fn made_and_found() {
    let rig = Rig::new().await;
    let (here, there) = (rig.create_site("a.example").await, rig.create_site("b.example").await);
    let news = [
        new_invite(here, 1),
        NewInvite { alias: None, max_uses: 5, expires_at: None, ..new_invite(here, 2) },
    ];
    let made = create(&rig, here, &news).await;
    assert_eq!(made.iter().map(InviteRecord::id).collect::<Vec<_>>(), news.clone().map(|new| new.id));
    let first = &made[0];
    assert_eq!((first.site, &first.alias, &first.groups), (here, &news[0].alias, &news[0].groups));
    assert_eq!((first.usage.uses_allowed, first.usage.expires_at), (1, news[0].expires_at));
    assert_eq!((made[1].usage.uses_allowed, made[1].usage.expires_at), (5, None));
    assert_eq!(rig.all().await.invite(here, first.id()).await.unwrap().as_ref(), Some(first));
    assert_eq!(rig.all().await.invite(there, first.id()).await.unwrap(), None);
    let hash = &news[0].code_hash;
    assert_eq!(rig.store.invite_by_code(here, hash).await.unwrap().as_ref(), Some(first));
    assert_eq!(rig.store.invite_by_code(there, hash).await.unwrap(), None);

    let mut tx = rig.store.admin().await.unwrap();
    let twice = NewInvite { id: InviteId(Uuid::new_v4()), ..new_invite(here, 1) };
    let refused = tx.create_invites(here, None, &[new_invite(here, 3), twice]).await.unwrap_err();
    assert!(refused.is_about_data(), "{refused:?}");
}

/// Goal: an invite can be taken back and given a new code, and a list shows each state; method: invites in all states,
/// pages of one.
#[tokio::test]
async fn states_and_lists() {
    let rig = Rig::new().await;
    let site = rig.create_site("a.example").await;
    let past = NewInvite { expires_at: Some(1_000), external_id: None, ..new_invite(site, 2) };
    let used = NewInvite { alias: None, max_uses: 2, ..new_invite(site, 4) };
    create(&rig, site, &[new_invite(site, 1), past, new_invite(site, 3), used]).await;
    sqlx::query("UPDATE invite SET completed = 1 WHERE site_id = $1 AND max_uses = 2")
        .bind(site.0)
        .execute(&rig.pool)
        .await
        .unwrap();
    let id = |number| InviteId(Uuid::from_u128(number));
    let mut tx = rig.store.admin().await.unwrap();
    let revoked = tx.revoke_invite(site, id(3)).await.unwrap().unwrap();
    assert_eq!(revoked.usage.state(0), InviteState::Revoked);
    assert_eq!(tx.revoke_invite(site, id(3)).await.unwrap(), None);
    assert_eq!(tx.recode_invite(site, id(3), &[1; 32], None).await.unwrap(), None);
    let recoded = tx.recode_invite(site, id(1), &[1; 32], None).await.unwrap().unwrap();
    assert_eq!(recoded.usage.expires_at, None);
    tx.commit().await.unwrap();
    let old = new_invite(site, 1).code_hash;
    assert_eq!(rig.store.invite_by_code(site, &old).await.unwrap(), None);
    assert!(rig.store.invite_by_code(site, &[1; 32]).await.unwrap().is_some());

    let list = async |mut filter: InviteFilter<'_>| -> Vec<InviteId> {
        let mut seen = Vec::new();
        while let [invite] = &rig.all().await.invites(site, filter, 1).await.unwrap()[..] {
            seen.push(invite.id());
            filter.after = Some(invite.id());
        }
        seen
    };
    assert_eq!(list(InviteFilter::default()).await, [id(4), id(3), id(2), id(1)]);
    for (state, expected) in [
        (InviteState::Pending, vec![id(1)]),
        (InviteState::Active, vec![id(4)]),
        (InviteState::Used, vec![]),
        (InviteState::Expired, vec![id(2)]),
        (InviteState::Revoked, vec![id(3)]),
    ] {
        assert_eq!(list(InviteFilter { state: Some(state), ..InviteFilter::default() }).await, expected);
    }
    let of_e1 = InviteFilter { external_id: Some("e1"), ..InviteFilter::default() };
    assert_eq!(list(of_e1).await, [id(4), id(3), id(1)]);
}

/// Goal: who waits for approval counts as a use until it is denied; method: two who wait, one approved, one not.
#[tokio::test]
async fn approval() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let users = [Uid([1; 20]), Uid([2; 20])];
    let site = rig.create_site("a.example").await;
    let shard = rig.store.sites(&[site]).await.unwrap()[0].shard;
    let owned = shards.iter_mut().find(|owned| owned.shard == shard).unwrap();
    let members = users.map(|uid| Change::Member { site, uid });
    rig.commit(owned, None, members.to_vec()).await.unwrap();
    let invite = NewInvite { alias: None, max_uses: 2, requires_approval: true, ..new_invite(site, 1) };
    let id = create(&rig, site, &[invite]).await[0].id();
    for uid in users {
        sqlx::query("INSERT INTO invite_use (site_id, invite_id, uid, state) VALUES ($1, $2, $3, 'pending')")
            .bind(site.0)
            .bind(id.0)
            .bind(uid.0.as_slice())
            .execute(&rig.pool)
            .await
            .unwrap();
    }
    sqlx::query("UPDATE invite SET pending = 2").execute(&rig.pool).await.unwrap();
    assert_eq!(rig.all().await.invite(site, id).await.unwrap().unwrap().usage.state(0), InviteState::Used);

    assert_eq!(rig.all().await.awaited_groups(site, users[0]).await.unwrap(), ["all of us", "it's \"two\""]);

    let mut settle = async |uid: Uid, status| {
        rig.commit(owned, None, vec![Change::MemberStatus { site, uid, status }]).await.unwrap();
        let usage = rig.all().await.invite(site, id).await.unwrap().unwrap().usage;
        (usage.uses_pending, usage.uses_completed)
    };
    assert_eq!(settle(users[0], MemberStatus::Pending).await, (2, 0));
    assert_eq!(settle(users[0], MemberStatus::Active).await, (1, 1));
    assert_eq!(settle(users[0], MemberStatus::Deactivated).await, (1, 1), "it is decided");
    assert_eq!(settle(users[1], MemberStatus::Deactivated).await, (0, 1));
    assert!(rig.all().await.awaited_groups(site, users[0]).await.unwrap().is_empty());
    let states: Vec<String> = rig
        .all()
        .await
        .joined(site, id, None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|joined| joined.state)
        .collect();
    assert_eq!(states, ["completed", "denied"]);
}

/// Goal: providers are kept whole, and a change of one is a change of the site; method: add, change, remove, look at
/// the site's revision.
#[tokio::test]
async fn providers() {
    let rig = Rig::new().await;
    let site = rig.create_site("a.example").await;
    let provider = Provider { id: "corp".into(), ..Provider::invitation(site, "A", "https://join.example") };
    let mut revision = rig.store.sites(&[site]).await.unwrap()[0].revision;
    let mut is_new = async || {
        let now = rig.store.sites(&[site]).await.unwrap()[0].revision;
        std::mem::replace(&mut revision, now) < now
    };
    let mut tx = rig.store.admin().await.unwrap();
    assert_eq!(tx.create_provider(site, &provider).await.unwrap().unwrap().provider, provider);
    assert_eq!(tx.create_provider(site, &provider).await.unwrap(), None);
    assert_eq!(tx.lock_providers(site).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    assert!(is_new().await);

    let changed =
        Provider { token: Endpoint { url: "https://t/".into(), params: vec![] }, ..provider.clone() };
    let mut tx = rig.store.admin().await.unwrap();
    assert!(tx.change_provider(site, &changed).await.unwrap().is_some());
    let other = Provider { id: "other".into(), ..provider };
    assert_eq!(tx.change_provider(site, &other).await.unwrap(), None);
    tx.commit().await.unwrap();
    assert!(is_new().await);
    assert_eq!(rig.all().await.provider(site, "corp").await.unwrap().unwrap().provider, changed);
    assert_eq!(rig.all().await.providers(site).await.unwrap().len(), 1);
    assert_eq!(rig.store.sites(&[site]).await.unwrap()[0].providers, [changed]);

    let mut tx = rig.store.admin().await.unwrap();
    assert!(tx.delete_provider(site, "corp").await.unwrap().is_some());
    assert_eq!(tx.delete_provider(site, "corp").await.unwrap(), None);
    tx.commit().await.unwrap();
    assert!(is_new().await);
    assert_eq!(rig.all().await.provider(site, "corp").await.unwrap(), None);
}

/// Goal: a code can be taken once, at its site, in its time; method: codes of some and of no life.
#[tokio::test]
async fn sign_in_codes() {
    let rig = Rig::new().await;
    let (here, there) = (rig.create_site("a.example").await, rig.create_site("b.example").await);
    let invite = create(&rig, here, &[new_invite(here, 1)]).await[0].id();
    let code = SignInCode {
        invite,
        redirect_uri: "http://localhost:8123/u".into(),
        challenge: "c".into(),
        nonce: Some("n".into()),
    };
    let life = Duration::from_mins(1);
    rig.store.put_sign_in_code(here, &[1; 32], &code, life).await.unwrap();
    rig.store.put_sign_in_code(here, &[2; 32], &code, Duration::ZERO).await.unwrap();
    assert_eq!(rig.store.take_sign_in_code(there, &[1; 32]).await.unwrap(), None);
    assert_eq!(rig.store.take_sign_in_code(here, &[2; 32]).await.unwrap(), None);
    assert_eq!(rig.store.take_sign_in_code(here, &[1; 32]).await.unwrap(), Some(code.clone()));
    assert_eq!(rig.store.take_sign_in_code(here, &[1; 32]).await.unwrap(), None);
    rig.store.put_sign_in_code(here, &[3; 32], &code, Duration::ZERO).await.unwrap();
    rig.store.put_sign_in_code(here, &[4; 32], &code, life).await.unwrap();
    assert_eq!(rig.count("SELECT count(*) FROM sign_in_code").await, 1, "those that have ended are gone");
}

/// Goal: the issuer has a young key, the old ones stay for a while; method: several servers rotate, with lives of all
/// lengths.
#[tokio::test]
async fn issuer_keys() {
    let rig = Rig::new().await;
    let (long, none) = (Duration::from_hours(1), Duration::ZERO);
    for id in ["a", "b"] {
        rig.store.rotate_issuer_key(id, &[1], long, long).await.unwrap();
    }
    let ids = async || -> Vec<String> {
        rig.store.issuer_keys().await.unwrap().into_iter().map(|key| key.id).collect()
    };
    assert_eq!(ids().await, ["a"]);
    rig.store.rotate_issuer_key("c", &[2], none, long).await.unwrap();
    assert_eq!(ids().await, ["c", "a"]);
    assert!(rig.store.issuer_keys().await.unwrap()[0].age < long);
    rig.store.rotate_issuer_key("d", &[3], long, none).await.unwrap();
    assert_eq!(ids().await, ["c", "a"], "both are young enough");
}
