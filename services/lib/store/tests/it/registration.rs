//! What registrations look up and leave behind.

use std::net::{IpAddr, Ipv4Addr};

use tmtp_domain::{Identity, InviteCode, InviteId, InviteRef, MemberStatus, SiteId, Uid};
use tmtp_store::{AuditFilter, Change, ExternalId, Joining, MemberFilter, NewInvite};
use uuid::Uuid;

use crate::rig::{Rig, node, uid};

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

async fn invite(rig: &Rig, site: SiteId, number: u64, max_uses: i32) -> (InviteId, [u8; 32]) {
    let code_hash = InviteCode::from_random(number).hash(site);
    let invite = NewInvite {
        groups: vec!["The group".into()],
        max_uses,
        requires_approval: true,
        ..NewInvite::for_one(InviteId(Uuid::new_v4()), code_hash)
    };
    let id = invite.id;
    let mut tx = rig.store.admin().await.unwrap();
    tx.create_invites(site, None, &[invite]).await.unwrap();
    tx.commit().await.unwrap();
    (id, code_hash)
}

fn identity(subject: &str, expires_at: i64) -> Identity {
    Identity {
        provider: "corp".into(),
        issuer: "https://id.example".into(),
        subject: subject.into(),
        audience: "client".into(),
        expires_at,
        token_digest: [subject.as_bytes()[0]; 32],
        alias: None,
        invite: None,
    }
}

fn joins(
    site: SiteId,
    uid: Uid,
    invite: Option<(InviteId, bool)>,
    identity: Option<Identity>,
) -> Vec<Change> {
    vec![
        Change::Member { site, uid },
        node(site, uid, 1, "first"),
        Change::Joined(Box::new(Joining { site, uid, invite, identity, from: Some(FROM) })),
    ]
}

/// Goal: invites are found by id and by code, each where it was asked for, at their site only; method: one of two sites,
/// asked for in all ways at once.
#[tokio::test]
async fn invites_are_found() {
    let rig = Rig::new().await;
    let (here, there) = (rig.create_site("a.example").await, rig.create_site("b.example").await);
    let (id, hash) = invite(&rig, here, 1, 3).await;
    let unknown = InviteRef::Code([9; 32]);
    let wanted = [
        (here, unknown),
        (here, InviteRef::Code(hash)),
        (there, InviteRef::Code(hash)),
        (here, InviteRef::Id(id)),
        (there, InviteRef::Id(id)),
    ];
    let found = rig.store.invites_for(&wanted).await.unwrap();
    assert_eq!(found.len(), 2);
    let by_code = &found[&wanted[1]];
    assert_eq!(by_code, &found[&wanted[3]]);
    assert_eq!((by_code.usage.id, by_code.usage.uses_allowed), (id, 3));
    assert_eq!((&by_code.groups[..], by_code.requires_approval), (&["The group".to_owned()][..], true));
}

/// Goal: joining uses an invite in the transaction of the registration, waiting or not, and what is decided about who waits
/// settles it; method: join twice, approve one; then an invite that was revoked meanwhile, and one that is gone.
#[tokio::test]
async fn joining_uses_an_invite() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let shard = &mut shards[0];
    let site = rig.create_site("a.example").await;
    let (id, hash) = invite(&rig, site, 1, 3).await;
    let usage = async || {
        let usage = rig.all().await.invite(site, id).await.unwrap().unwrap().usage;
        (usage.uses_pending, usage.uses_completed)
    };
    let mut changes = joins(site, uid(1), Some((id, true)), None);
    changes.insert(2, Change::MemberStatus { site, uid: uid(1), status: MemberStatus::Pending });
    rig.commit(shard, None, changes).await.unwrap();
    assert_eq!(usage().await, (1, 0));
    rig.commit(shard, None, joins(site, uid(2), Some((id, false)), None)).await.unwrap();
    assert_eq!(usage().await, (1, 1));
    let found = rig.store.invites_for(&[(site, InviteRef::Code(hash))]).await.unwrap();
    assert_eq!(found[&(site, InviteRef::Code(hash))].usage.uses_pending, 1);
    let approved = Change::MemberStatus { site, uid: uid(1), status: MemberStatus::Active };
    rig.commit(shard, None, vec![approved]).await.unwrap();
    assert_eq!(usage().await, (0, 2));
    let joined = rig.all().await.joined(site, id, None, 9).await.unwrap();
    assert!(joined.iter().all(|joined| joined.state == "completed") && joined.len() == 2, "{joined:?}");

    // Looked at before it was revoked, used after: the registration counts, and does not fail.
    let mut tx = rig.store.admin().await.unwrap();
    tx.revoke_invite(site, id).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    rig.commit(shard, None, joins(site, uid(3), Some((id, false)), None)).await.unwrap();
    assert_eq!(usage().await, (0, 3));
    let gone = InviteId(Uuid::new_v4());
    rig.commit(shard, None, joins(site, uid(4), Some((gone, false)), None)).await.unwrap();
    assert_eq!(rig.count("SELECT count(*) FROM member").await, 4);
}

/// An invite for somebody whom the site's own systems know.
async fn invite_for(rig: &Rig, site: SiteId, number: u64, external_id: &str, max_uses: i32) -> InviteId {
    let code_hash = InviteCode::from_random(number).hash(site);
    let invite = NewInvite {
        external_id: Some(external_id.into()),
        max_uses,
        ..NewInvite::for_one(InviteId(Uuid::new_v4()), code_hash)
    };
    let id = invite.id;
    let mut tx = rig.store.admin().await.unwrap();
    tx.create_invites(site, None, &[invite]).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// Goal: who joins with an invite for one has its external id and is found by it; one for several gives it to nobody. One
/// that another member has costs neither the registration nor others of its batch, and is noted; who is turned away leaves
/// it free. Method: each of them.
#[tokio::test]
async fn the_external_id_reaches_the_member() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let shard = &mut shards[0];
    let site = rig.create_site("a.example").await;
    let found = async |external_id: &str| {
        let filter = MemberFilter { external_id: Some(external_id), ..MemberFilter::default() };
        let records = rig.all().await.member_records(site, filter, None, 9).await.unwrap();
        records.into_iter().map(|record| record.uid).collect::<Vec<_>>()
    };
    let one = invite_for(&rig, site, 1, "E 1", 1).await;
    rig.commit(shard, None, joins(site, uid(1), Some((one, false)), None)).await.unwrap();
    assert_eq!(found("E 1").await, [uid(1)]);
    let several = invite_for(&rig, site, 2, "E 2", 2).await;
    rig.commit(shard, None, joins(site, uid(2), Some((several, false)), None)).await.unwrap();
    assert!(found("E 2").await.is_empty());

    let (taken, free) =
        (invite_for(&rig, site, 3, "E 1", 1).await, invite_for(&rig, site, 4, "E 4", 1).await);
    let mut both = joins(site, uid(3), Some((taken, false)), None);
    both.extend(joins(site, uid(4), Some((free, true)), None));
    both.push(Change::MemberStatus { site, uid: uid(4), status: MemberStatus::Pending });
    rig.commit(shard, None, both).await.unwrap();
    assert_eq!((found("E 1").await, found("E 4").await), (vec![uid(1)], vec![uid(4)]));
    assert_eq!(rig.all().await.invite(site, taken).await.unwrap().unwrap().usage.uses_completed, 1);
    let noted = rig.all().await.audit(AuditFilter::default(), 9).await.unwrap();
    let [entry] = &noted[..] else { panic!("{noted:?}") };
    let expected = ("member.external_id_taken", uid(3).to_string(), "192.0.2.7");
    assert_eq!((&*entry.action, entry.target.clone(), &*entry.from), expected);
    assert_eq!(entry.after, Some(format!(r#"{{"invite": "inv_{taken}"}}"#)));

    let denied = Change::MemberStatus { site, uid: uid(4), status: MemberStatus::Deactivated };
    rig.commit(shard, None, vec![denied]).await.unwrap();
    let again = invite_for(&rig, site, 5, "E 4", 1).await;
    rig.commit(shard, None, joins(site, uid(5), Some((again, false)), None)).await.unwrap();
    assert_eq!(found("E 4").await, [uid(5)]);
    let deactivated = Change::MemberStatus { site, uid: uid(5), status: MemberStatus::Deactivated };
    rig.commit(shard, None, vec![deactivated]).await.unwrap();
    assert_eq!(found("E 4").await, [uid(5)], "who was let in keeps it");
}

/// Goal: an external id is set, taken by another, or of nobody who is there; method: each.
#[tokio::test]
async fn external_ids() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[0], uid(1)).await;
    rig.commit(&mut shards[0], None, joins(site, uid(2), None, None)).await.unwrap();
    let set = async |of: Uid| {
        let mut tx = rig.store.admin().await.unwrap();
        let what = tx.set_external_id(site, of, Some("E 1")).await.unwrap();
        if what == ExternalId::Set {
            tx.commit().await.unwrap();
        }
        what
    };
    assert_eq!(set(uid(3)).await, ExternalId::NoMember);
    assert_eq!(set(uid(1)).await, ExternalId::Set);
    assert_eq!(set(uid(2)).await, ExternalId::Taken);
}

/// Goal: a token and a person are known after the registration that they came with, at that site only; a token that has
/// ended is forgotten, the person is not. Method: two people, one with a token of the past.
#[tokio::test]
async fn tokens_and_people_are_known() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let shard = &mut shards[0];
    let (here, there) = (rig.create_site("a.example").await, rig.create_site("b.example").await);
    let (ann, ben) = (identity("ann", 4_000_000_000), identity("ben", 1_000));
    rig.commit(shard, None, joins(here, uid(1), None, Some(ann.clone()))).await.unwrap();
    rig.commit(shard, None, joins(here, uid(2), None, Some(ben.clone()))).await.unwrap();

    let tokens = [(here, ann.token_digest), (here, ben.token_digest), (there, ann.token_digest)];
    assert_eq!(rig.store.used_tokens(&tokens).await.unwrap(), [tokens[0], tokens[1]].into());
    let subject = |identity: &Identity| (identity.issuer.clone(), identity.subject.clone());
    let people = [
        (here, subject(&ann)),
        (there, subject(&ann)),
        (here, subject(&ben)),
        (here, ("x".into(), "y".into())),
    ];
    let known = rig.store.known_subjects(&people).await.unwrap();
    assert_eq!(known, [people[0].clone(), people[2].clone()].into());

    assert_eq!(rig.store.forget_sign_ins().await.unwrap(), 1);
    assert_eq!(rig.store.used_tokens(&tokens).await.unwrap(), [tokens[0]].into());
    assert_eq!(rig.store.known_subjects(&people).await.unwrap().len(), 2);
}

/// Goal: a guessed code stands in the audit log of its site, with the address that it came from and without the code; method: a
/// guess with an address, and one without.
#[tokio::test]
async fn guesses_are_noted() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.create_site("a.example").await;
    let guessed = |from| Change::CodeGuessed { site, from };
    rig.commit(&mut shards[0], None, vec![guessed(Some(FROM)), guessed(None)]).await.unwrap();
    let sites = [site];
    let filter = tmtp_store::AuditFilter { sites: Some(&sites), ..Default::default() };
    let log = rig.all().await.audit(filter, 9).await.unwrap();
    let [older, entry] = &log[..] else { panic!("{log:?}") };
    assert_eq!((&*entry.from, &*older.from), ("192.0.2.7", "register"), "of gateways that do not say it");
    assert_eq!((&*entry.action, &*entry.target, entry.key), ("invite.code_failed", &*site.to_string(), None));
    assert_eq!((entry.before.as_ref(), entry.after.as_ref()), (None, None));
}
