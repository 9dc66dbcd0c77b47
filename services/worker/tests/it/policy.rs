//! What a site's policy forbids is refused with its text, and leaves nothing behind; and nothing else changes.

use bytes::Bytes;
use tmtp_contract::{Answer, Body, BodyRef, Command, DataInfo, Envelope};
use tmtp_domain::policy::{Allowed, SenderTruth};
use tmtp_domain::{BodyId, NameHolder, OhiAct, OhiItem, Policy, SessionId};
use tmtp_worker::home::Wanted;
use uuid::Uuid;

use crate::rig::{
    ANN, BEN, G1, HERE, LIMITS, Rig, THERE, Told, digest, new_alias, post, post_body, register,
};

/// Ann and Ben at a site with this policy.
fn both(policy: Policy) -> Rig {
    let mut rig = Rig::new();
    rig.sites.get_mut(&HERE).unwrap().policy = policy;
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    rig
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[track_caller]
fn refused(told: &Told, text: &str) {
    assert_eq!(told.refusal(), text);
    assert!(told.0.pushes.is_empty());
}

/// Goal: posts are counted over a minute, a repetition is none more, and a new owner counts from nothing; method: time
/// passes between posts, then the shard moves.
#[test]
fn posts_of_a_minute() {
    let limited = policy(|policy| policy.posts.per_minute = Some(2));
    let mut rig = both(limited.clone());
    let text = "site policy: at most 2 posts in a minute, try again later";
    let first = rig.run((G1, 1), post(1, &[BEN])).posted();
    rig.now.nanos += 30_000_000_000;
    rig.run((G1, 1), post(2, &[BEN])).posted();
    refused(&rig.run((G1, 1), post(3, &[BEN])), text);
    assert_eq!(rig.run((G1, 1), post(1, &[BEN])).posted(), first);
    rig.run((G1, 2), post(1, &[ANN])).posted();
    rig.now.nanos += 31_000_000_000;
    rig.run((G1, 1), post(3, &[BEN])).posted();
    refused(&rig.run((G1, 1), post(4, &[BEN])), text);

    let mut next = Rig::recovered(&rig.journal(), LIMITS, &[]);
    next.sites.get_mut(&HERE).unwrap().policy = limited;
    next.member(HERE, ANN, 1);
    next.member(HERE, BEN, 1);
    next.log_in((G1, 1), ANN, 1);
    next.run((G1, 1), post(4, &[BEN])).posted();
}

/// Goal: the stored data of a refused post is given up; method: a post that is larger than allowed.
#[test]
fn refused_data_is_given_up() {
    let mut rig = both(policy(|policy| policy.posts.recipients_max = Some(1)));
    let body = BodyRef { id: BodyId(Uuid::from_u128(5)), len: 100_000, chunk: 65_536 };
    let told = rig.run((G1, 1), post_body(1, &[ANN, BEN], Body::Stored(body)));
    refused(&told, "site policy: a post has at most 1 recipients");
    assert_eq!(rig.home.take_orphans(), [(HERE, body)]);
    assert_eq!(rig.waiting(), 0);
}

/// Goal: who only receives sends nothing of any kind, and can still do the rest; method: one of each.
#[test]
fn receive_only() {
    let mut rig = both(policy(|policy| policy.members.receive_only = vec![ANN.to_string()]));
    let ping = |n, from: &str| Command::Ping {
        digest: digest(n),
        from: from.to_owned(),
        to: "Ben Bell".to_owned(),
        data: DataInfo::default(),
        body: Body::Empty,
    };
    let text = "site policy: this member only receives messages";
    refused(&rig.run((G1, 1), post(1, &[BEN])), text);
    refused(&rig.run((G1, 1), ping(2, "Ann Bell")), text);
    assert_eq!(rig.run((G1, 1), new_alias(3, "Ann Bell")).answer(), &Answer::Done);
    rig.run((G1, 2), post(1, &[ANN])).posted();
}

/// Goal: presence that is not allowed is not shown, and what is shown can be taken back; method: each act.
#[test]
fn presence() {
    let mut rig = both(policy(|policy| policy.presence.allowed = false));
    let ohi = |n, act| Command::OhiEdit {
        digest: digest(n),
        act,
        list: vec![OhiItem { id: BEN.to_string(), kind: 1 }],
    };
    refused(&rig.run((G1, 1), ohi(1, OhiAct::Init)), "site policy: no presence");
    refused(&rig.run((G1, 1), ohi(2, OhiAct::Add)), "site policy: no presence");
    assert_eq!(rig.run((G1, 1), ohi(3, OhiAct::Drop)).answer(), &Answer::Done);
}

/// Goal: rules of names hold for who registers, and not elsewhere; method: the same registration at two sites.
#[test]
fn names_at_the_registration() {
    let mut rig = both(policy(|policy| policy.names.reserved = vec!["Acme Support".to_owned()]));
    let register = || register(tmtp_domain::Uid([9; 20]), Some("acme supp0rt"));
    let alias_error = |told: &Told| match told.answer() {
        Answer::Registered { alias_error, .. } => alias_error.clone(),
        other => panic!("{other:?}"),
    };
    let told = rig.run_in(HERE, (G1, 7), register());
    assert_eq!(alias_error(&told).as_deref(), Some("site policy: name acme supp0rt is reserved"));
    assert_eq!(alias_error(&rig.run_in(THERE, (G1, 8), register())), None);
}

/// Goal: a policy that changes holds for the next request; method: groups are made before and after.
#[test]
fn changed_while_sessions_are_open() {
    let mut rig = both(Policy::default());
    rig.run((G1, 1), new_alias(1, "Ann Bell"));
    rig.run((G1, 2), new_alias(1, "Ben Bell"));
    let invite = |n, gid: &str| Command::GroupInvite {
        digest: digest(n),
        gid: gid.to_owned(),
        from: "Ann Bell".to_owned(),
        to: "Ben Bell".to_owned(),
        data: DataInfo::default(),
        body: Body::Empty,
    };
    rig.run((G1, 1), invite(2, "The group")).posted();
    rig.sites.get_mut(&HERE).unwrap().policy = policy(|policy| policy.groups.create = Allowed::Nobody);
    refused(&rig.run((G1, 1), invite(3, "A group more")), "site policy: groups are made by admins");
    rig.run((G1, 1), invite(4, "The group")).posted();
}

/// Goal: a post is from whom it says, wherever its datahead is, and what nobody can read is refused; method: own and
/// other names and uids, in data that came along and in data that is stored.
#[test]
fn senders_are_who_they_say() {
    let mut rig = both(policy(|policy| policy.posts.sender_truth = SenderTruth::Refuse));
    rig.run((G1, 1), new_alias(1, "Ann Bell"));
    rig.run((G1, 2), new_alias(1, "Ben Bell"));
    let stored = Body::Stored(BodyRef { id: BodyId(Uuid::from_u128(5)), len: 100_000, chunk: 65_536 });
    let mut number = 1;
    let mut send = |head: &str, body: &Body| {
        number += 1;
        let front = Bytes::from(head.to_owned());
        let len = u64::try_from(front.len()).unwrap();
        let (body, front) = match body {
            Body::Stored(_) => (body.clone(), Some(front)),
            _ => (Body::Inline([&front[..], b"text"].concat().into()), None),
        };
        let data = DataInfo { len: 100_000, head: len, sum: 0 };
        rig.run((G1, 1), Command::Post { digest: digest(number), recipients: vec![], data, body, front })
    };
    let own = format!(r#"{{"Alias":"Ann Bell","Cc":[{{"By":"Ann Bell","ByUid":"{ANN}"}},{{"By":""}}]}}"#);
    let foreign = format!(r#"{{"cc":[{{"byuid":"{BEN}"}}]}}"#);
    for body in [&Body::Empty, &stored] {
        send(&own, body).posted();
        refused(&send(r#"{"alias":"Ben Bell"}"#, body), "site policy: alias Ben Bell is not the sender's");
        refused(&send(r#"{"alias":"Nobody"}"#, body), "site policy: alias Nobody is not the sender's");
        refused(&send(&foreign, body), &format!("site policy: uid {BEN} is not the sender's"));
        let unreadable = "site policy: datahead must be a JSON object of at most 65536 octets";
        refused(&send("{", body), unreadable);
    }
    let lost = Command::Post {
        digest: digest(90),
        recipients: vec![],
        data: DataInfo { len: 100_000, head: 70_000, sum: 0 },
        body: stored,
        front: None,
    };
    refused(&rig.run((G1, 1), lost), "site policy: datahead must be a JSON object of at most 65536 octets");
}

/// Goal: whose the claimed names are is asked of the database, but only where the rule holds; method: what a post wants.
#[test]
fn claimed_names_are_loaded() {
    let mut rig = both(Policy::default());
    let front = Bytes::from_static(br#"{"alias":"Ben Bell","cc":[{"by":"short"}]}"#);
    let command = Command::Post {
        digest: digest(1),
        recipients: vec![],
        data: DataInfo { len: 50, head: 42, sum: 0 },
        body: Body::Inline(front),
        front: None,
    };
    let envelope = Envelope { site: HERE, session: SessionId(1), seq: 9, trace: None, command };
    let mut wanted = Wanted::default();
    rig.home.wants_for_policy(G1, &envelope, &rig.sites, &rig.facts, &mut wanted);
    assert!(wanted.names.is_empty());
    rig.sites.get_mut(&HERE).unwrap().policy.posts.sender_truth = SenderTruth::Refuse;
    rig.home.wants_for_policy(G1, &envelope, &rig.sites, &rig.facts, &mut wanted);
    assert_eq!(wanted.names, [(HERE, "Ben Bell".to_owned())].into());
}

/// Goal: a name that looks like another's is not given out, within a batch and after it; method: names that were made
/// here, then ones that the database knows.
#[test]
fn imitations() {
    let mut rig = both(policy(|policy| policy.names.lookalikes = false));
    rig.run((G1, 1), new_alias(1, "Ann Bell"));
    let like = |name: &str| format!("site policy: name {name} looks like a name in use");
    refused(&rig.run((G1, 2), new_alias(2, "ann be1l")), &like("ann be1l"));
    assert_eq!(rig.run((G1, 1), new_alias(3, "ann be1l")).answer(), &Answer::Done);

    let envelope = |alias: &str| {
        let command = new_alias(4, alias);
        Envelope { site: HERE, session: SessionId(1), seq: 9, trace: None, command }
    };
    let mut wanted = Wanted::default();
    rig.home.wants_for_policy(G1, &envelope("Cy Bell the 1st"), &rig.sites, &rig.facts, &mut wanted);
    assert!(wanted.looks.contains(&(HERE, "cy bell the lst".to_owned())), "{wanted:?}");
    let looks = wanted.looks.into_iter().map(|look| (look, vec![NameHolder::Group]));
    rig.facts.looks.extend(looks);
    refused(&rig.run((G1, 1), new_alias(4, "Cy Bell the 1st")), &like("Cy Bell the 1st"));
}
