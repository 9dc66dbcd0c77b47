//! Requests: who gets what, what is refused with which text, and what a repetition gets (invariant I3).

use std::collections::HashSet;

use tmtp_contract::{Answer, Body, BodyRef, Command, Content, Envelope};
use tmtp_domain::{BodyId, NameHolder, NodeNum, SessionId};
use tmtp_store::{Change, StoredBody};
use tmtp_worker::home::{Limits, Wanted};
use uuid::Uuid;

use crate::rig::{
    ANN, BEN, G1, HERE, LIMITS, Rig, THERE, acks, attach, digest, new_alias, new_node, post, post_body,
    register, secret, user,
};

const BODY: BodyRef = BodyRef { id: BodyId(Uuid::from_u128(5)), len: 100_000, chunk: 65_536 };
const STORED: StoredBody = StoredBody { id: BODY.id, len: BODY.len, chunk: BODY.chunk };

fn both() -> Rig {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    rig
}

/// Goal: a post becomes one message, the same for its ack and its receivers; method: post, and compare.
#[test]
fn a_post_is_delivered_as_it_was_acked() {
    let mut rig = both();
    let told = rig.run((G1, 1), post(1, &[BEN]));
    let (id, posted) = told.posted();
    let [message] = &told.messages((G1, 2))[..] else { panic!("{:?}", told.0) };
    assert_eq!((message.id, message.posted, message.from), (id, posted, ANN));
    assert_eq!(message.content, Content::Delivery { notify: 0 });
    assert_eq!((message.data.len, message.data.sum), (1, 3));
    assert_eq!(message.body, Body::Inline(vec![1].into()));
    assert!(told.messages((G1, 1)).is_empty());
    assert!(rig.run((G1, 1), post(2, &[BEN])).posted().0 > id);
}

/// Goal: a resent request gets the first answer and queues nothing, also under a new owner; method: each kind of
/// request twice.
#[test]
fn a_resent_request_gets_the_first_answer() {
    let mut rig = both();
    let requests = [post(1, &[BEN]), new_alias(2, "Ann Bell"), new_node(3, ANN, 2)];
    let first: Vec<Answer> =
        requests.iter().map(|request| rig.run((G1, 1), request.clone()).answer().clone()).collect();
    let (waiting, commits) = (rig.waiting(), rig.commits.len());
    for (request, answer) in requests.iter().zip(&first) {
        let told = rig.run((G1, 1), request.clone());
        assert_eq!(told.answer(), answer);
        assert!(told.0.pushes.is_empty());
    }
    assert_eq!(rig.waiting(), waiting);
    assert_eq!(rig.commits.len(), commits, "there is nothing to commit");

    let mut next = Rig::recovered(&rig.journal(), LIMITS, &[]);
    next.member(HERE, ANN, 2);
    next.member(HERE, BEN, 1);
    next.now = rig.now;
    next.run((G1, 9), attach(ANN, 1, &[], 0));
    for (request, answer) in requests.iter().zip(&first) {
        assert_eq!(next.run((G1, 9), request.clone()).answer(), answer);
    }
    assert_eq!(next.waiting(), waiting);
}

/// Goal: another content, another node or a later time makes a new request; method: vary one after the other.
#[test]
fn a_new_request_is_a_new_message() {
    let mut rig = both();
    let (first, _) = rig.run((G1, 1), post(1, &[BEN])).posted();
    let (second, _) = rig.run((G1, 1), post(2, &[BEN])).posted();
    let (third, _) = rig.run((G1, 2), post(1, &[ANN])).posted();
    assert!(first < second && second < third);
    let window = u64::try_from(LIMITS.dedupe_window.as_nanos()).unwrap();
    rig.now.nanos += window - 100_000_000;
    assert_eq!(rig.run((G1, 1), post(1, &[BEN])).posted().0, first);
    rig.now.nanos += 200_000_000;
    assert!(rig.run((G1, 1), post(1, &[BEN])).posted().0 > third);
}

/// Goal: the memory of requests is bounded, the oldest go first; method: three places, four posts, a spill.
#[test]
fn old_receipts_make_room() {
    let mut rig = Rig::with(Limits { receipts_max: 3, ..LIMITS }, &[]);
    rig.log_in((G1, 1), ANN, 1);
    let ids: Vec<_> = (1..=4).map(|n| rig.run((G1, 1), post(n, &[BEN])).posted().0).collect();
    rig.spill();
    for n in 2..=4 {
        assert_eq!(rig.run((G1, 1), post(n, &[BEN])).posted().0, ids[usize::from(n) - 1]);
    }
    assert!(rig.run((G1, 1), post(1, &[BEN])).posted().0 > ids[3]);
}

/// Goal: the memory of requests can be cut at any time, and is when a shard is taken over; method: keep the youngest of
/// three; recover a pack of three with room for two.
#[test]
fn receipts_can_be_cut() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let ids: Vec<_> = (1..=3).map(|n| rig.run((G1, 1), post(n, &[BEN])).posted().0).collect();
    assert_eq!(rig.home.receipts(), 4, "the login and the posts");
    let (_, pack) = rig.home.spill(rig.now).unwrap().receipts.unwrap();
    rig.home.limit_receipts(1);
    assert_eq!(rig.home.receipts(), 1);
    assert_eq!(rig.run((G1, 1), post(3, &[BEN])).posted().0, ids[2]);
    assert!(rig.run((G1, 1), post(2, &[BEN])).posted().0 > ids[2]);
    rig.home.limit_receipts(0);
    assert_eq!(rig.home.receipts(), 0);

    let left = tmtp_store::Recovery { journal: Vec::new(), receipts: vec![pack] };
    let next = Rig::recovered(&left, Limits { receipts_max: 2, ..LIMITS }, &[]);
    assert_eq!(next.home.receipts(), 2);
}

/// Goal: after a refusal the same request may succeed; method: post to a stranger, who then joins; claim a name that
/// then is free.
#[test]
fn a_refusal_is_not_remembered() {
    let mut rig = both();
    let late = tmtp_domain::Uid([9; 20]);
    let told = rig.run((G1, 1), post(1, &[BEN, late]));
    assert_eq!(told.refusal(), format!("OpenNodes: iUid {late} not found"));
    assert!(told.0.pushes.is_empty(), "nobody gets anything");
    rig.facts.names.insert((HERE, "Ann Bell".into()), NameHolder::Member(BEN));
    assert_eq!(
        rig.run((G1, 1), new_alias(2, "Ann Bell")).refusal(),
        "AddAlias: alias Ann Bell already taken"
    );
    let commits = rig.commits.len();

    rig.member(HERE, late, 1);
    rig.facts.names.clear();
    assert_eq!(rig.run((G1, 1), post(1, &[BEN, late])).delivered((G1, 2)).len(), 1);
    assert_eq!(rig.run((G1, 1), new_alias(2, "Ann Bell")).answer(), &Answer::Done);
    assert_eq!(rig.commits.len(), commits + 2);
}

/// Goal: aliases follow the rules, each refusal with its text; method: one of each.
#[test]
fn aliases_are_checked() {
    let mut rig = both();
    rig.facts.names.insert((HERE, "Ben's name".into()), NameHolder::Member(BEN));
    rig.facts.names.insert((HERE, "Ann's name".into()), NameHolder::Member(ANN));
    let before = rig.commits.len();
    for (n, alias, text) in [
        (1, "seven77", "newalias must be 8+ characters"),
        (2, "_", "newalias must be 8+ characters"),
        (3, "with \0 zero", "AddAlias: invalid string 'with \0 zero'"),
        (4, "Ben's name", "AddAlias: alias Ben's name already taken"),
    ] {
        let told = rig.run((G1, 1), new_alias(n, alias));
        assert_eq!(told.refusal(), text);
        assert!(told.0.pushes.is_empty());
    }
    assert_eq!(rig.commits.len(), before);

    // One that it has already is a success, and told to its nodes like a new one.
    let told = rig.run((G1, 1), new_alias(5, "Ann's name"));
    assert_eq!(told.answer(), &Answer::Done);
    assert_eq!(told.contents((G1, 1)), [Content::NewAlias { alias: "Ann's name".into() }]);
    assert!(rig.commits.last().unwrap().changes.is_empty());
    rig.run((G1, 1), new_alias(6, "Ann's 2nd name"));
    let name = Change::Name { site: HERE, name: "Ann's 2nd name".into(), uid: ANN };
    assert_eq!(rig.commits.last().unwrap().changes, [name]);
}

/// Goal: of two who want a name at once exactly one gets it; method: both in one batch, by alias and by registration.
#[test]
fn a_name_goes_to_one() {
    let mut rig = both();
    let late = tmtp_domain::Uid([9; 20]);
    let commands = [
        (1, 9, new_alias(1, "One Name")),
        (2, 9, new_alias(1, "One Name")),
        (3, 1, register(late, Some("One Name"))),
    ];
    for (session, seq, command) in commands {
        let opened = if session == 3 { seq } else { 3 };
        let envelope =
            Envelope { site: HERE, session: SessionId(session), seq: opened, trace: None, command };
        rig.decide(G1, envelope);
    }
    let told = rig.settle();
    let answers: Vec<&Answer> = told
        .0
        .answers
        .iter()
        .map(|(_, event)| match event {
            tmtp_contract::Event::Answer { answer, .. } => answer,
            other => panic!("{other:?}"),
        })
        .collect();
    let taken = "AddAlias: alias One Name already taken".to_owned();
    let registered = Answer::Registered { node: NodeNum(1), alias_error: Some(taken.clone()) };
    assert_eq!(answers, [&Answer::Done, &Answer::Refused(taken), &registered]);
    let names =
        rig.commits.last().unwrap().changes.iter().filter(|change| matches!(change, Change::Name { .. }));
    assert_eq!(names.count(), 1);
}

/// Goal: a new node gets the backlog of the node that asks but not what that has acked, and everybody learns of it
/// first; method: Ben with three messages, one acked, makes a node and logs in there.
#[test]
fn a_new_node_gets_the_backlog() {
    let mut rig = both();
    let ids: Vec<_> = (1..=3).map(|n| rig.run((G1, 1), post(n, &[BEN])).posted().0).collect();
    rig.run((G1, 2), acks(&ids[..1]));
    let told = rig.run((G1, 2), new_node(4, BEN, 2));
    assert_eq!(told.answer(), &Answer::Done);
    let news = Content::NewNode { label: "new".into(), node_id: "secret".into() };
    assert_eq!(told.contents((G1, 2)), std::slice::from_ref(&news));
    let made =
        Change::Node { site: HERE, uid: BEN, num: NodeNum(2), secret: secret(BEN, 2), label: "new".into() };
    let copied =
        Change::CopyInbox { site: HERE, uid: BEN, from: NodeNum(1), to: NodeNum(2), except: Vec::new() };
    assert_eq!(rig.commits.last().unwrap().changes, [made, copied]);

    let told = rig.run((G1, 3), crate::rig::login(BEN, 2));
    let login = Content::Login;
    let post = Content::Delivery { notify: 0 };
    assert_eq!(told.contents((G1, 3)), [news, post.clone(), post, login]);
    assert_eq!(told.delivered((G1, 3))[1..3], ids[1..]);
}

/// Goal: rows that were acked and not yet removed are not copied; method: spill, ack, and the change that is committed.
#[test]
fn acked_rows_are_not_copied() {
    let mut rig = both();
    let told = rig.run((G1, 1), post(1, &[BEN]));
    rig.spill();
    rig.run((G1, 2), acks(&told.delivered((G1, 2))));
    rig.run((G1, 2), new_node(2, BEN, 2));
    let except = vec![told.posted().0];
    let copy = Change::CopyInbox { site: HERE, uid: BEN, from: NodeNum(1), to: NodeNum(2), except };
    assert!(rig.commits.last().unwrap().changes.contains(&copy));
}

/// Goal: a user has at most a hundred nodes; method: the hundredth and the next.
#[test]
fn nodes_are_limited() {
    let mut rig = Rig::new();
    rig.member(HERE, ANN, 99);
    rig.log_in((G1, 1), ANN, 1);
    assert_eq!(rig.run((G1, 1), new_node(1, ANN, 100)).answer(), &Answer::Done);
    assert_eq!(rig.run((G1, 1), new_node(2, ANN, 101)).refusal(), "AddNode: Exceeds 100 nodes");
}

/// Goal: a stored body is held while somebody is owed it, and freed once with the last ack; method: post to two, each
/// acks; then one that nobody is owed.
#[test]
fn stored_bodies_are_held_while_owed() {
    let mut rig = both();
    rig.member(HERE, ANN, 2);
    let told = rig.run((G1, 1), post_body(1, &[BEN], Body::Stored(BODY)));
    let (id, _) = told.posted();
    assert_eq!(rig.commits.last().unwrap().changes, [Change::BodyHeld { site: HERE, body: STORED }]);
    rig.run((G1, 2), acks(&[id]));
    assert!(rig.home.take_free_bodies().is_empty());
    rig.run((G1, 3), attach(ANN, 2, &[], 0));
    rig.run((G1, 3), acks(&[id]));
    assert_eq!(rig.home.take_free_bodies(), [(HERE, BODY)]);
    assert_eq!(rig.commits.last().unwrap().changes, [Change::BodyFree { site: HERE, body: STORED }]);

    let told = rig.run((G1, 2), post_body(2, &[], Body::Stored(BODY)));
    assert!(told.posted().0 > id);
    assert_eq!(rig.home.take_free_bodies(), [(HERE, BODY)]);
    let freed = [Change::BodyFree { site: HERE, body: STORED }];
    assert_eq!(rig.commits.last().unwrap().changes, freed, "whoever comes next finds it in the rows");
    assert!(rig.home.take_orphans().is_empty());
}

/// Goal: a stored body that no message comes to refer to is given away at once, but not as one that is certainly nobody's;
/// method: one request that is refused, one that is sent again with another body, and one whose answer got lost.
#[test]
fn stored_bodies_of_no_message_are_given_away() {
    let mut rig = both();
    let other = |n| BodyRef { id: BodyId(Uuid::from_u128(n)), ..BODY };
    let stranger = tmtp_domain::Uid([9; 20]);
    rig.run((G1, 1), post_body(1, &[stranger], Body::Stored(other(6))));
    assert_eq!(rig.home.take_orphans(), [(HERE, other(6))]);

    let first = rig.run((G1, 1), post_body(2, &[BEN], Body::Stored(BODY))).posted();
    assert!(rig.home.take_orphans().is_empty());
    for body in [other(7), BODY] {
        assert_eq!(rig.run((G1, 1), post_body(2, &[BEN], Body::Stored(body))).posted(), first);
        assert_eq!(rig.home.take_orphans(), [(HERE, body)]);
    }
    assert!(rig.home.take_free_bodies().is_empty());
}

/// Goal: a message whose body was removed before it came is refused, but one that was posted before stays posted; method:
/// the same request with and without the news, and once more in the next batch.
#[test]
fn a_removed_body_is_not_posted() {
    let mut rig = both();
    let first = rig.run((G1, 1), post_body(1, &[BEN], Body::Stored(BODY))).posted();
    rig.home.learn_condemned(HERE, BODY.id);
    assert_eq!(rig.run((G1, 1), post_body(1, &[BEN], Body::Stored(BODY))).posted(), first);
    rig.home.learn_condemned(HERE, BODY.id);
    rig.home.learn_condemned(THERE, STORED.id);
    let told = rig.run((G1, 1), post_body(2, &[BEN], Body::Stored(BODY)));
    assert_eq!(told.refusal(), "data took too long");
    assert!(told.0.pushes.is_empty());
    // It is looked up for each batch anew.
    assert!(rig.run((G1, 1), post_body(3, &[BEN], Body::Stored(BODY))).posted().0 > first.0);
}

/// Goal: a command that the database does not take ends with an error, and the session goes on behind it; method: refuse
/// one command of each kind.
#[test]
fn commands_can_be_refused_as_they_are() {
    let mut rig = both();
    let refuse = |rig: &mut Rig, session: u64, seq: u64, command: Command| {
        let envelope = Envelope { site: HERE, session: SessionId(session), seq, trace: None, command };
        rig.home.refuse_command(G1, &envelope, rig.now);
        rig.settle()
    };
    let commands = [post_body(1, &[BEN], Body::Stored(BODY)), new_alias(2, "Ann Bell"), new_node(3, ANN, 2)];
    for (seq, command) in (3..).zip(commands) {
        assert_eq!(refuse(&mut rig, 1, seq, command.clone()).refusal(), "internal error", "{command:?}");
        assert!(refuse(&mut rig, 1, seq, command).is_silence(), "repeated");
    }
    assert_eq!(rig.home.take_orphans(), [(HERE, BODY)]);
    let told = refuse(&mut rig, 1, 6, acks(&[]));
    assert_eq!(told.0.done.values().copied().collect::<Vec<_>>(), [6]);
    assert!(rig.run_at(HERE, (G1, 1), 7, post(4, &[BEN])).posted().0.0 > 0);
    assert_eq!(refuse(&mut rig, 1, 9, post(5, &[BEN])).lost(), Some(9));

    assert!(refuse(&mut rig, 2, 3, Command::Detach).0.answers.is_empty());
    let opening = crate::rig::login(BEN, 1);
    assert_eq!(refuse(&mut rig, 2, 4, opening).not_logged_in(), tmtp_contract::LoginRefusal::Failed);
    assert_eq!(
        refuse(&mut rig, 1, 8, attach(ANN, 1, &[], 0)).not_logged_in(),
        tmtp_contract::LoginRefusal::Failed
    );
    let (uid, secret) = (tmtp_domain::Uid([9; 20]), tmtp_domain::NodeSecret([9; 25]).hash());
    let registering = Command::Register { uid, secret, label: "x".into(), alias: None, credentials: None };
    assert_eq!(
        refuse(&mut rig, 3, 1, registering).not_logged_in(),
        tmtp_contract::LoginRefusal::RegistrationFailed
    );
    assert_eq!(rig.home.sessions(), 0);
    assert!(rig.home.gateways().is_empty());
    let effects = |rig: &Rig| rig.commits.iter().filter(|commit| commit.entry.is_some()).count();
    assert_eq!(effects(&rig), effects(&both()) + 1, "only the post that was not refused");
}

/// Goal: a batch asks for what the home lacks, and only for what Postgres can be asked; method: commands of each kind
/// against a home that knows Ann and Ben.
#[test]
fn only_what_is_missing_is_wanted() {
    let rig = both();
    let late = tmtp_domain::Uid([9; 20]);
    let wanted = |rig: &Rig, site, command: Command| {
        let mut wanted = Wanted::default();
        let session = SessionId(if site == HERE { 1 } else { 7 });
        let envelope = Envelope { site, session, seq: 9, trace: None, command };
        rig.home.wants(G1, &envelope, &rig.facts, &mut wanted);
        wanted
    };
    let post_to = |ids: &[String]| {
        let recipients =
            ids.iter().map(|id| tmtp_domain::Recipient { id: id.clone(), ..user(ANN) }).collect();
        Command::Post {
            digest: digest(1),
            recipients,
            data: tmtp_contract::DataInfo::default(),
            body: Body::Empty,
            front: None,
        }
    };
    let found = wanted(&rig, HERE, post_to(&[BEN.to_string(), late.to_string(), "no uid\0".into()]));
    assert_eq!(found.members, HashSet::from([(HERE, late)]));
    assert!(found.names.is_empty() && found.bodies.is_empty());
    assert_eq!(found.sites, [HERE].into(), "the gateway may know a site earlier");
    let found = wanted(&rig, HERE, post_body(1, &[], Body::Stored(BODY)));
    assert_eq!(found.bodies, [(HERE, BODY.id)].into());
    let found = wanted(&rig, HERE, Command::Present { epoch: tmtp_domain::Epoch(1) });
    assert!(found.sites.is_empty(), "it is about a shard");
    let found = wanted(&rig, THERE, crate::rig::login(BEN, 1));
    assert_eq!((found.members, found.sites), ([(THERE, BEN)].into(), [THERE].into()));
    let found = wanted(&rig, HERE, new_alias(1, "Good Name"));
    assert_eq!(found.names, [(HERE, "Good Name".to_owned())].into());
    for bad in ["with \0 zero", "short", &"x".repeat(256)] {
        assert!(wanted(&rig, HERE, new_alias(1, bad)).names.is_empty());
        assert!(wanted(&rig, HERE, register(late, Some(bad))).names.is_empty());
    }
}

/// Goal: the cache of members is bounded, and those with a session stay; method: room for one, four members.
#[test]
fn members_without_a_session_are_forgotten() {
    let mut rig = Rig::with(Limits { members_max: 1, ..LIMITS }, &[]);
    rig.log_in((G1, 1), ANN, 1);
    rig.home.forget_members();
    let told = rig.run((G1, 1), post(1, &[BEN]));
    assert_eq!(told.refusal(), format!("OpenNodes: iUid {BEN} not found"), "what is not loaded is not there");
    rig.member(HERE, BEN, 1);
    assert!(rig.run((G1, 1), post(1, &[BEN])).posted().0.0 > 0);
}
