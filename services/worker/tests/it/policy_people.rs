//! What a policy asks of members with each other: who posts as whom, to whom, and who is away.

use bytes::Bytes;
use tmtp_contract::{
    AdminAnswer, AdminChange, Answer, Body, BodyRef, Command, Content, DataInfo, Envelope, SetAway,
};
use tmtp_domain::policy::SenderTruth;
use tmtp_domain::{
    Away, BodyId, GroupEdit, GroupMode, GroupRule, Member, MemberFlags, MemberStatus, NameHolder, Policy,
    Recipient, RecipientKind, SessionId, Uid,
};
use tmtp_store::{Change, PolicyChange};
use tmtp_worker::home::{Facts, Wanted};
use uuid::Uuid;

use crate::admin::{answer, ask, records, request};
use crate::rig::{ANN, BEN, G1, HERE, LIMITS, Rig, Told, digest, new_alias, post};

const CY: Uid = Uid([3; 20]);

/// Ann, Ben and Cy with an alias each, at a site with this policy.
fn all(policy: Policy) -> Rig {
    let mut rig = Rig::new();
    rig.member(HERE, CY, 1);
    for (number, uid, alias) in [(1, ANN, "Ann Bell"), (2, BEN, "Ben Bell"), (3, CY, "Cy Bellow")] {
        rig.log_in((G1, number), uid, 1);
        rig.run((G1, number), new_alias(200, alias));
    }
    rig.sites.get_mut(&HERE).unwrap().policy = policy;
    rig
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

fn ping(n: u8, from: &str, to: &str) -> Command {
    Command::Ping {
        digest: digest(n),
        from: from.to_owned(),
        to: to.to_owned(),
        data: DataInfo::default(),
        body: Body::Empty,
    }
}

fn invite(n: u8, gid: &str, from: &str, to: &str) -> Command {
    Command::GroupInvite {
        digest: digest(n),
        gid: gid.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        data: DataInfo::default(),
        body: Body::Empty,
    }
}

fn policy_changes(rig: &Rig) -> Vec<PolicyChange> {
    let changes = rig.commits.iter().flat_map(|commit| &commit.changes);
    changes
        .filter_map(|change| match change {
            Change::Policy(change) => Some(change.clone()),
            _ => None,
        })
        .collect()
}

/// Goal: what is delivered is true, and its lengths and checksum are of what is delivered; what lies in the body store is
/// refused instead; method: a false uid, with and without a checksum, then the same in stored data.
#[test]
fn senders_are_corrected() {
    let mut rig = all(policy(|policy| policy.posts.sender_truth = SenderTruth::Correct));
    let head = format!(r#"{{"alias":"Ben Bell","cc":[{{"byuid":"{BEN}","x":1}}]}}"#);
    let corrected = format!(r#"{{"alias":"Ann Bell","cc":[{{"byuid":"{ANN}","x":1}}]}}"#);
    let octets = [head.as_bytes(), b"text"].concat();
    let send = |n: u8, sum: u64, body: Body, front| {
        let recipients = vec![Recipient { id: BEN.to_string(), kind: RecipientKind::User }];
        let data = DataInfo { len: octets.len() as u64, head: head.len() as u64, sum };
        Command::Post { digest: digest(n), recipients, data, body, front }
    };
    for (n, sum) in [(1, 0), (2, 77)] {
        let told = rig.run((G1, 1), send(n, sum, Body::Inline(octets.clone().into()), None));
        told.posted();
        let message = told.messages((G1, 2)).remove(0);
        let expected = [corrected.as_bytes(), b"text"].concat();
        assert_eq!(message.body, Body::Inline(expected.clone().into()));
        let sum = if sum == 0 { 0 } else { u64::from(crc32c::crc32c(&expected)) };
        let info = DataInfo { len: expected.len() as u64, head: corrected.len() as u64, sum };
        assert_eq!(message.data, info);
    }
    let stored = Body::Stored(BodyRef { id: BodyId(Uuid::from_u128(5)), len: 100_000, chunk: 65_536 });
    let told = rig.run((G1, 1), send(3, 0, stored, Some(Bytes::from(head.clone()))));
    assert_eq!(told.refusal(), "site policy: alias Ben Bell is not the sender's");
    assert_eq!(rig.home.take_orphans().len(), 1);
}

/// Goal: the sender's own alias is asked of the database only where it may be needed, also when the same batch opens the
/// session; method: what a post wants, under both policies and by both kinds of session.
#[test]
fn own_aliases_are_loaded() {
    let mut rig = all(Policy::default());
    let body = Body::Inline(Bytes::from_static(br#"{"alias":"Ben Bell"}"#));
    let command = Command::Post {
        digest: digest(1),
        recipients: vec![],
        data: DataInfo { len: 20, head: 20, sum: 0 },
        body,
        front: None,
    };
    let envelope = |session| Envelope {
        site: HERE,
        session: SessionId(session),
        seq: 9,
        trace: None,
        command: command.clone(),
    };
    let wants = |rig: &Rig, session, facts: &Facts| {
        let mut wanted = Wanted::default();
        rig.home.wants_for_policy(G1, &envelope(session), &rig.sites, facts, &mut wanted);
        wanted.aliases
    };
    assert!(wants(&rig, 1, &Facts::default()).is_empty());
    rig.sites.get_mut(&HERE).unwrap().policy.posts.sender_truth = SenderTruth::Correct;
    assert_eq!(wants(&rig, 1, &Facts::default()), [(HERE, ANN)].into());
    assert!(wants(&rig, 99, &Facts::default()).is_empty());
    let facts = Facts { opening: [((G1, SessionId(99)), BEN)].into(), ..Facts::default() };
    assert_eq!(wants(&rig, 99, &facts), [(HERE, BEN)].into());
}

/// Goal: who has written to somebody is a row, once, and lets that one write; what was refused leaves none; rows and
/// groups of the database count; method: pings, refusals, an answer, then facts as the database has them.
#[test]
fn acquaintances_are_rows() {
    let mut rig = all(policy(|policy| policy.posts.acquaintances = true));
    let stranger = format!("site policy: no posts to {BEN} before an answer to a ping or invitation");
    assert_eq!(rig.run((G1, 1), post(1, &[BEN])).refusal(), stranger);
    assert_eq!(rig.run((G1, 1), ping(2, "Ben Bell", "Ben Bell")).refusal(), "from must identify sender");
    assert!(policy_changes(&rig).is_empty());
    rig.run((G1, 1), ping(3, "Ann Bell", "Ben Bell")).posted();
    rig.run((G1, 1), ping(4, "Ann Bell", "Ben Bell")).posted();
    let acquainted = |uid, with| PolicyChange::Acquainted { site: HERE, uid, with };
    assert_eq!(policy_changes(&rig), [acquainted(BEN, ANN)]);
    rig.run((G1, 2), post(5, &[ANN])).posted();
    rig.run((G1, 1), post(1, &[BEN])).posted();
    assert_eq!(policy_changes(&rig), [acquainted(BEN, ANN), acquainted(ANN, BEN)]);

    // Another owner knows it from the rows.
    rig.facts.acquainted.clear();
    assert_eq!(rig.run((G1, 1), post(6, &[BEN])).refusal(), stranger);
    rig.facts.acquainted.insert((HERE, ANN, BEN));
    rig.run((G1, 1), post(6, &[BEN])).posted();
    // Nobody is nobody's acquaintance, but the protocol says so.
    let nobody = Uid([9; 20]);
    assert_eq!(rig.run((G1, 1), post(7, &[nobody])).refusal(), format!("OpenNodes: iUid {nobody} not found"));
}

/// Goal: at sites that do not ask for it nothing is written about who writes to whom; method: the same without policy.
#[test]
fn without_the_rule_there_are_no_rows() {
    let mut rig = all(Policy::default());
    rig.run((G1, 1), ping(1, "Ann Bell", "Ben Bell")).posted();
    rig.run((G1, 2), post(2, &[ANN])).posted();
    assert!(policy_changes(&rig).is_empty());
    let mut wanted = Wanted::default();
    let envelope =
        Envelope { site: HERE, session: SessionId(1), seq: 9, trace: None, command: post(3, &[BEN]) };
    rig.home.wants_for_policy(G1, &envelope, &rig.sites, &rig.facts, &mut wanted);
    assert!(!wanted.leave_out(&mut Wanted::default()), "{wanted:?}");
}

/// Goal: pings that fail are counted in a row, an answer ends it, and so does a day; method: each in turn.
#[test]
fn failed_pings() {
    let mut rig = all(policy(|policy| policy.pings.failed_max = Some(2)));
    let text = "site policy: 2 pings without an answer, try again later";
    rig.run((G1, 1), ping(1, "Ann Bell", "Ann Bell")).posted();
    rig.run((G1, 1), ping(2, "Ann Bell", "Ben Bell")).posted();
    assert_eq!(
        rig.run((G1, 1), ping(3, "Ann Bell", "Nobody!!")).refusal(),
        "Lookup: iAlias Nobody!! not found"
    );
    assert_eq!(rig.run((G1, 1), ping(4, "Ann Bell", "Cy Bellow")).refusal(), text);
    // Somebody who was not pinged has not answered.
    rig.run((G1, 3), post(1, &[ANN])).posted();
    assert_eq!(rig.run((G1, 1), ping(4, "Ann Bell", "Cy Bellow")).refusal(), text);
    rig.run((G1, 2), invite(1, "The group", "Ben Bell", "Ann Bell")).posted();
    rig.run((G1, 1), ping(4, "Ann Bell", "Cy Bellow")).posted();
    rig.run((G1, 1), ping(5, "Ann Bell", "Ben Bell")).posted();
    assert_eq!(rig.run((G1, 1), ping(6, "Ann Bell", "Ben Bell")).refusal(), text);
    rig.now.nanos += 24 * 60 * 60 * 1_000_000_000;
    rig.run((G1, 1), ping(6, "Ann Bell", "Ben Bell")).posted();
}

/// Goal: a member's groups are those that rows and this batch have; method: a count of the database, then groups made,
/// joined and left.
#[test]
fn groups_of_a_member() {
    let mut rig = all(policy(|policy| policy.groups.per_member = Some(3)));
    rig.facts.places.insert((HERE, ANN), 2);
    rig.run((G1, 1), invite(1, "Third group", "Ann Bell", "Ben Bell")).posted();
    let text = "site policy: at most 3 groups for each member";
    assert_eq!(rig.run((G1, 1), invite(2, "Fourth group", "Ann Bell", "Ben Bell")).refusal(), text);
    // Inviting into what there is makes no group.
    rig.run((G1, 1), invite(3, "Third group", "Ann Bell", "Cy Bellow")).posted();
    let edit = |n, edit| Command::GroupEdit { digest: digest(n), gid: "Third group".to_owned(), edit };
    // Who belongs to it can join again, which changes nothing.
    let again = edit(4, GroupEdit::Join { new_alias: None });
    assert_eq!(rig.run((G1, 1), again).answer(), &Answer::Done);
    let leave = edit(5, GroupEdit::Drop { to: "Ann Bell".to_owned() });
    assert_eq!(rig.run((G1, 1), leave).answer(), &Answer::Done);
    rig.run((G1, 1), invite(2, "Fourth group", "Ann Bell", "Ben Bell")).posted();
    let back = edit(6, GroupEdit::Join { new_alias: None });
    assert_eq!(rig.run((G1, 1), back).refusal(), text);
    assert_eq!(rig.facts.places[&(HERE, ANN)], 3);
}

/// Goal: an admin's rule of a group holds at once, is committed with the group unharmed, and is refused for what is not
/// there; method: a group, rules, a post.
#[test]
fn rules_of_groups() {
    let mut rig = all(Policy::default());
    rig.run((G1, 1), invite(1, "The group", "Ann Bell", "Ben Bell")).posted();
    let rule = |gid: &str, posters: &[Uid]| AdminChange::GroupRule {
        gid: gid.to_owned(),
        rule: GroupRule { mode: GroupMode::Announce, posters: posters.iter().copied().collect() },
    };
    let told = ask(&mut rig, request("a", rule("No group", &[])));
    assert!(matches!(answer(&told), AdminAnswer::Refused { .. }));
    let told = ask(&mut rig, request("b", rule("The group", &[Uid([9; 20])])));
    assert!(matches!(answer(&told), AdminAnswer::Refused { .. }));
    assert!(policy_changes(&rig).is_empty());
    let told = ask(&mut rig, request("c", rule("The group", &[ANN])));
    assert!(matches!(answer(&told), AdminAnswer::Done { .. }));
    assert_eq!(policy_changes(&rig).len(), 1);
    assert_eq!(records(&rig)[0].before.as_deref(), Some(r#"{"mode":"free","posters":[]}"#));
    let to_group = |n: u8| {
        let recipients = vec![Recipient { id: "The group".to_owned(), kind: RecipientKind::GroupOthers }];
        let (data, body) = (DataInfo::default(), Body::Empty);
        Command::Post { digest: digest(n), recipients, data, body, front: None }
    };
    rig.run((G1, 1), to_group(2)).posted();
    let text = "site policy: posting to group The group is for those its admins have named";
    assert_eq!(rig.run((G1, 2), to_group(3)).refusal(), text);
}

/// Goal: a member's flags are set one by one, committed whole, and refused for what is not there; method: changes and
/// what is committed of them.
#[test]
fn flags_of_members() {
    let mut rig = all(Policy::default());
    let away = Away { text: "away".to_owned(), until: None, delegate: Some(CY) };
    let change = |uid, receive_only, away| AdminChange::MemberFlags { uid, receive_only, away };
    let set = |delegate| Some(SetAway::Away { away: Away { delegate, ..away.clone() } });
    for (text, change) in [
        ("a", change(Uid([9; 20]), Some(true), None)),
        ("b", change(ANN, None, set(Some(ANN)))),
        ("c", change(ANN, None, set(Some(Uid([9; 20]))))),
    ] {
        let told = ask(&mut rig, request(text, change));
        assert!(matches!(answer(&told), AdminAnswer::Refused { .. }), "{text}");
    }
    ask(&mut rig, request("d", change(ANN, Some(true), None)));
    ask(&mut rig, request("e", change(ANN, None, set(Some(CY)))));
    ask(&mut rig, request("f", change(ANN, Some(false), Some(SetAway::Back))));
    let flags = |receive_only, away| PolicyChange::MemberFlags {
        site: HERE,
        uid: ANN,
        flags: MemberFlags { receive_only, away },
    };
    assert_eq!(policy_changes(&rig), [flags(true, None), flags(true, Some(away)), flags(false, None)]);
    // The words that it has others told are not the log's.
    assert!(records(&rig).iter().all(|record| !record.after.clone().unwrap().contains("\"away\":\"")));
}

/// Goal: somebody is away until the time that is set, those who write are told once a day each, a repeated request tells
/// nobody, and a delegate stands in for one only; method: posts over two days, then after the end.
#[test]
fn away() {
    let mut rig = all(Policy::default());
    let until = rig.now.millis() + 48 * 60 * 60 * 1_000;
    for (text, uid, delegate) in [("a", ANN, CY), ("b", CY, BEN)] {
        let away = Away { text: format!("{uid} is away"), until: Some(until), delegate: Some(delegate) };
        let away = Some(SetAway::Away { away });
        ask(&mut rig, request(text, AdminChange::MemberFlags { uid, receive_only: None, away }));
    }
    let notices = |told: &Told| -> Vec<(Uid, Content)> {
        let messages = told.messages((G1, 2));
        messages.iter().map(|message| (message.from, message.content.clone())).collect()
    };
    let told = rig.run((G1, 2), post(1, &[ANN]));
    let (id, _) = told.posted();
    let ping = Content::Ping { alias: "Ann Bell".to_owned(), to: "Ben Bell".to_owned() };
    assert_eq!(notices(&told), [(ANN, ping.clone())]);
    assert_eq!(told.delivered((G1, 1)), [id]);
    assert_eq!(told.delivered((G1, 3)), [id], "Cy stands in, though away");
    let again = rig.run((G1, 2), post(1, &[ANN]));
    assert_eq!((again.posted().0, notices(&again)), (id, vec![]));
    assert_eq!(notices(&rig.run((G1, 2), post(2, &[ANN]))), []);
    rig.now.nanos += 25 * 60 * 60 * 1_000_000_000;
    assert_eq!(notices(&rig.run((G1, 2), post(3, &[ANN]))), [(ANN, ping)]);
    rig.now.nanos += 25 * 60 * 60 * 1_000_000_000;
    let told = rig.run((G1, 2), post(4, &[ANN]));
    assert_eq!((notices(&told), told.delivered((G1, 3))), (vec![], vec![]));
}

/// Goal: what is needed of those who are away is loaded; method: a new owner that knows only the one who is named.
#[test]
fn delegates_are_loaded() {
    let mut rig = Rig::recovered(&tmtp_store::Recovery::default(), LIMITS, &[]);
    rig.member(HERE, BEN, 1);
    let mut ann = Member {
        uid: ANN,
        status: MemberStatus::Active,
        nodes: Vec::new(),
        revoked: Vec::new(),
        flags: MemberFlags::default(),
        notice: None,
    };
    ann.flags.away = Some(Away { text: "away".to_owned(), until: None, delegate: Some(CY) });
    rig.home.learn(HERE, ann);
    rig.log_in((G1, 2), BEN, 1);
    let wants = |rig: &Rig, command: Command, facts: &Facts| {
        let mut wanted = Wanted::default();
        let envelope = Envelope { site: HERE, session: SessionId(2), seq: 9, trace: None, command };
        rig.home.wants_for_policy(G1, &envelope, &rig.sites, facts, &mut wanted);
        (wanted.members, wanted.aliases)
    };
    let needs = ([(HERE, CY)].into(), [(HERE, ANN), (HERE, BEN)].into());
    assert_eq!(wants(&rig, post(1, &[ANN]), &Facts::default()), needs);
    let names = [((HERE, "Ann Bell".to_owned()), NameHolder::Member(ANN))].into();
    let facts = Facts { names, ..Facts::default() };
    assert_eq!(wants(&rig, ping(1, "Ben Bell", "Ann Bell"), &facts), needs);
}
