//! Sessions: one per node (invariant I6), and what becomes of them when gateways, owners or commands get lost.

use tmtp_contract::{Answer, Command, Content, Envelope, LoginRefusal};
use tmtp_domain::{
    Epoch, Member, MemberStatus, NameHolder, Node, NodeNum, Registration, SessionId, SiteStatus,
};
use tmtp_store::Change;

use crate::rig::{
    ANN, BEN, EPOCH, G1, G2, HERE, LIMITS, Rig, THERE, acks, attach, login, new_alias, post, register, secret,
};

/// Goal: the second login on a node is refused, and the first session is probed but not disturbed; method: log in
/// twice, then post to the node.
#[test]
fn a_node_has_one_session() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let told = rig.run((G2, 1), login(ANN, 1));
    assert_eq!(told.not_logged_in(), LoginRefusal::AlreadyConnected);
    assert_eq!(told.probed(), [(G1, 1)]);
    rig.log_in((G2, 2), BEN, 1);
    let told = rig.run((G2, 2), post(1, &[ANN]));
    assert_eq!(told.delivered((G1, 1)), [told.posted().0]);
}

/// Goal: an attach cannot push another session off its node; method: attach another session to an occupied node.
#[test]
fn an_attach_respects_the_occupant() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let told = rig.run((G2, 1), attach(ANN, 1, &[], 0));
    assert_eq!(told.not_logged_in(), LoginRefusal::AlreadyConnected);
    assert_eq!(rig.run((G1, 1), attach(ANN, 1, &[], 0)).answer(), &Answer::Attached);
    assert_eq!(rig.home.sessions(), 1);
}

/// Goal: a session that ends frees its node; method: detach, and log in elsewhere.
#[test]
fn detaching_frees_the_node() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let told = rig.run((G1, 1), Command::Detach);
    assert!(told.0.answers.is_empty());
    assert_eq!(told.0.done.len(), 1, "its gateway learns that it is done");
    rig.log_in((G2, 1), ANN, 1);
}

/// Goal: the nodes of a gateway that is gone are free, and no others; method: two gateways, one goes.
#[test]
fn a_gateway_that_is_gone_frees_its_nodes() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G2, 1), BEN, 1);
    rig.home.gateway_is_gone(G1);
    assert_eq!(rig.home.gateways(), [G2].into());
    rig.log_in((G2, 2), ANN, 1);
    assert_eq!(rig.run((G2, 3), login(BEN, 1)).not_logged_in(), LoginRefusal::AlreadyConnected);
}

/// Goal: a new owner takes no login before every gateway has said that its sessions are there; method: two gateways,
/// of which one speaks of an older epoch first, and one brings the node's session.
#[test]
fn logins_wait_for_old_sessions() {
    let mut rig = Rig::with(LIMITS, &[G1, G2]);
    assert!(rig.run((G1, 1), login(ANN, 1)).is_silence());
    assert!(rig.run((G1, 2), login(BEN, 1)).is_silence());
    rig.present(G1, EPOCH);
    rig.present(G2, Epoch(EPOCH.0 - 1));
    assert!(rig.home.is_waiting() && rig.home.has_deferred());
    assert!(rig.home.take_deferred().is_empty());

    assert_eq!(rig.run((G2, 9), attach(ANN, 1, &[], 0)).answer(), &Answer::Attached);
    rig.present(G2, EPOCH);
    assert!(!rig.home.is_waiting());
    let deferred = rig.home.take_deferred();
    assert_eq!(deferred.len(), 2);
    for (gateway, envelope) in deferred {
        rig.decide(gateway, envelope);
    }
    let answers: Vec<Answer> = rig
        .settle()
        .0
        .answers
        .into_iter()
        .map(|(_, event)| match event {
            tmtp_contract::Event::Answer { answer, .. } => answer,
            other => panic!("{other:?}"),
        })
        .collect();
    let logged_in = Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() };
    assert_eq!(answers, [Answer::NotLoggedIn(LoginRefusal::AlreadyConnected), logged_in]);
    assert!(!rig.home.has_deferred());
}

/// Goal: a login that waits is one login, however often its gateway repeats it; method: repeat it under a new number.
#[test]
fn a_waiting_login_is_one_login() {
    let mut rig = Rig::with(LIMITS, &[G1]);
    rig.run((G1, 1), login(ANN, 1));
    rig.run((G1, 1), login(ANN, 1));
    rig.home.stop_waiting();
    let deferred = rig.home.take_deferred();
    assert_eq!(deferred.iter().map(|(_, envelope)| envelope.seq).collect::<Vec<_>>(), [2]);
}

/// Goal: a client that hangs up while its login waits leaves nobody at its node; method: detach, or lose its gateway,
/// before the wait ends.
#[test]
fn a_waiting_login_can_be_given_up() {
    let mut rig = Rig::with(LIMITS, &[G1, G2]);
    rig.run((G1, 1), login(ANN, 1));
    let told = rig.run((G1, 1), Command::Detach);
    assert_eq!(told.lost(), None);
    assert_eq!(told.0.done.values().copied().collect::<Vec<_>>(), [2]);
    rig.run((G2, 1), login(BEN, 1));
    rig.home.gateway_is_gone(G2);
    rig.home.stop_waiting();
    assert!(rig.home.take_deferred().is_empty());
}

/// Goal: who registers need not wait, as its node is new; method: register while a gateway is waited for.
#[test]
fn registering_does_not_wait() {
    let mut rig = Rig::with(LIMITS, &[G1]);
    let uid = tmtp_domain::Uid([9; 20]);
    let told = rig.run((G1, 1), register(uid, None));
    assert_eq!(told.answer(), &Answer::Registered { node: NodeNum(1), alias_error: None });
}

/// Goal: only a member's own password opens its node, and only while member and site are active; method: one of each
/// kind of refusal.
#[test]
fn logins_are_checked() {
    let mut rig = Rig::new();
    let stranger = tmtp_domain::Uid([9; 20]);
    let suspended = tmtp_domain::Uid([8; 20]);
    let nodes = vec![Node { num: NodeNum(1), secret: secret(suspended, 1) }];
    rig.home.learn(
        HERE,
        Member {
            uid: suspended,
            status: MemberStatus::Suspended,
            nodes,
            revoked: Vec::new(),
            flags: tmtp_domain::MemberFlags::default(),
            notice: None,
        },
    );
    let crossed = Command::Login { uid: ANN, secret: secret(BEN, 1) };
    for command in
        [crossed, login(ANN, 2), login(stranger, 1), login(suspended, 1), attach(suspended, 1, &[], 0)]
    {
        let told = rig.run((G1, 1), command.clone());
        assert_eq!(told.not_logged_in(), LoginRefusal::Failed, "{command:?}");
    }
    assert_eq!(rig.run_in(THERE, (G1, 2), login(ANN, 1)).not_logged_in(), LoginRefusal::Failed);
    assert_eq!(rig.run((G1, 3), attach(ANN, 2, &[], 0)).not_logged_in(), LoginRefusal::Failed);
    rig.sites.get_mut(&HERE).unwrap().status = SiteStatus::Suspended;
    assert_eq!(rig.run((G1, 4), login(ANN, 1)).not_logged_in(), LoginRefusal::Failed);
    assert_eq!(rig.home.sessions(), 0);
    assert!(rig.commits.is_empty());
}

/// Goal: each login is told to all nodes of the user, once; method: two nodes, and the login's command three times: as
/// it was, renumbered, and by a new owner.
#[test]
fn a_login_is_told_once() {
    let mut rig = Rig::new();
    rig.member(HERE, ANN, 2);
    rig.log_in((G1, 1), ANN, 1);
    let told = rig.run((G1, 2), login(ANN, 2));
    assert_eq!(told.contents((G1, 1)), [Content::Login]);
    let both = [Content::Login, Content::Login];
    assert_eq!(told.contents((G1, 2)), both, "the notice of the other's login waited");
    let ids = told.delivered((G1, 2));

    for seq in [1, 2] {
        let again = rig.run_at(HERE, (G1, 2), seq, login(ANN, 2));
        assert_eq!(again.answer(), &Answer::LoggedIn { node: NodeNum(2), ohi: Vec::new() });
        assert_eq!(again.delivered((G1, 2)), ids, "the session is a new one");
        assert!(again.delivered((G1, 1)).is_empty());
    }
    let mut next = Rig::recovered(&rig.journal(), LIMITS, &[]);
    next.member(HERE, ANN, 2);
    next.now = rig.now;
    assert_eq!(next.run((G1, 2), login(ANN, 2)).delivered((G1, 2)), ids);
    // Another session is another login.
    let again = next.run((G1, 3), login(ANN, 1));
    assert_eq!(again.delivered((G1, 2)).len(), 1);
}

/// Goal: a user is made once, with its first node and alias; method: the command twice, and what is committed.
#[test]
fn registering_makes_one_user() {
    let mut rig = Rig::new();
    let uid = tmtp_domain::Uid([9; 20]);
    for _ in 0..2 {
        let told = rig.run((G1, 1), register(uid, Some("New Name")));
        assert_eq!(told.answer(), &Answer::Registered { node: NodeNum(1), alias_error: None });
        assert!(told.delivered((G1, 1)).is_empty(), "registering is no login");
    }
    let changes: Vec<Change> = rig.commits.iter().flat_map(|commit| commit.changes.clone()).collect();
    let node =
        Change::Node { site: HERE, uid, num: NodeNum(1), secret: secret(uid, 1), label: "first".into() };
    let name = Change::Name { site: HERE, name: "New Name".into(), uid };
    assert_eq!(changes, [Change::Member { site: HERE, uid }, node, name]);
    assert_eq!(rig.home.sessions(), 1);
}

/// Goal: a refused alias does not refuse the user; method: register with a name that is taken, and with a short one.
#[test]
fn registering_survives_a_refused_alias() {
    let mut rig = Rig::new();
    rig.facts.names.insert((HERE, "Ann Bell".into()), NameHolder::Member(ANN));
    for (n, alias, text) in [
        (8, "Ann Bell", "AddAlias: alias Ann Bell already taken"),
        (9, "short", "newalias must be 8+ characters"),
    ] {
        let told = rig.run((G1, u64::from(n)), register(tmtp_domain::Uid([n; 20]), Some(alias)));
        assert_eq!(told.answer(), &Answer::Registered { node: NodeNum(1), alias_error: Some(text.into()) });
    }
    assert_eq!(rig.home.sessions(), 2);
}

/// Goal: a closed, suspended or unknown site takes nobody in, but a user that it has made meanwhile still gets its
/// answer; method: register under each, and repeat an earlier one.
#[test]
fn registration_can_be_closed() {
    let mut rig = Rig::new();
    let early = tmtp_domain::Uid([8; 20]);
    let late = tmtp_domain::Uid([9; 20]);
    rig.run((G1, 1), register(early, None));
    let commits = rig.commits.len();

    rig.sites.get_mut(&HERE).unwrap().registration = Registration::Closed;
    rig.sites.get_mut(&THERE).unwrap().status = SiteStatus::Suspended;
    let unknown = tmtp_domain::SiteId(uuid::Uuid::from_u128(3));
    for (n, site) in (2..).zip([HERE, THERE, unknown]) {
        let told = rig.run_in(site, (G1, n), register(late, Some("New Name")));
        assert_eq!(told.not_logged_in(), LoginRefusal::RegistrationClosed);
    }
    assert_eq!(rig.commits.len(), commits);
    assert!(rig.facts.names.is_empty());
    assert!(matches!(rig.run((G1, 1), register(early, None)).answer(), Answer::Registered { .. }));
}

/// Goal: a command that cannot be applied is told to be lost, and one that was applied before is passed over; method:
/// an unknown session, a gap, repetitions, then the missing command.
#[test]
fn lost_commands_are_told() {
    let mut rig = Rig::new();
    assert_eq!(rig.run_at(HERE, (G1, 1), 5, post(1, &[BEN])).lost(), Some(5));
    rig.run_at(HERE, (G1, 1), 6, login(ANN, 1));
    let ahead = rig.run_at(HERE, (G1, 1), 8, post(1, &[BEN]));
    assert_eq!(ahead.lost(), Some(8));
    assert!(ahead.0.done.is_empty());
    for old in [5, 6] {
        assert!(rig.run_at(HERE, (G1, 1), old, post(1, &[BEN])).is_silence());
    }
    let (id, _) = rig.run_at(HERE, (G1, 1), 7, post(1, &[BEN])).posted();
    assert!(rig.run_at(HERE, (G1, 1), 7, post(1, &[BEN])).is_silence());
    let told = rig.run_at(HERE, (G1, 1), 8, post(2, &[BEN]));
    assert!(told.posted().0 > id);
    // What one session's gateway says does not concern the session of the same number elsewhere.
    assert_eq!(rig.run_at(HERE, (G2, 1), 9, post(3, &[BEN])).lost(), Some(9));
}

/// Goal: sites that share a shard share nothing else (invariant I7); method: the same uid, secrets, digest and alias
/// in both.
#[test]
fn sites_stay_apart() {
    let mut rig = Rig::new();
    rig.member(THERE, ANN, 1);
    rig.log_in((G1, 1), ANN, 1);
    let there = rig.run_in(THERE, (G1, 2), login(ANN, 1));
    assert_eq!(there.contents((G1, 2)), [Content::Login]);
    assert!(there.delivered((G1, 1)).is_empty());
    rig.run_in(THERE, (G1, 2), acks(&there.delivered((G1, 2))));

    let here = rig.run((G1, 1), new_alias(1, "Ann Bell"));
    let there = rig.run_in(THERE, (G1, 2), new_alias(1, "Ann Bell"));
    for told in [&here, &there] {
        assert_eq!(told.answer(), &Answer::Done);
    }
    assert_eq!((here.delivered((G1, 1)).len(), here.delivered((G1, 2)).len()), (1, 0));
    assert_eq!((there.delivered((G1, 1)).len(), there.delivered((G1, 2)).len()), (0, 1));
    assert_eq!(rig.facts.names.len(), 2);
    // Ben is a member of one site only.
    let told = rig.run_in(THERE, (G1, 2), post(2, &[BEN]));
    assert_eq!(told.refusal(), format!("OpenNodes: iUid {BEN} not found"));
    let told = rig.run((G1, 1), post(2, &[BEN]));
    assert!(told.posted().0.0 > 0);
}

/// Goal: a session that an opening command opens after its end does not keep its node when the gateway says that it has
/// no such session, and that hurts no other; method: a login that comes again behind its `Detach`, Ann elsewhere before
/// and after the word of the gateway, and words about sessions that are not there.
#[test]
fn a_ghost_session_is_let_go() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    rig.run((G1, 1), Command::Detach);
    // The first attempt to append it was believed to have failed.
    let told = rig.run_at(HERE, (G1, 1), 1, login(ANN, 1));
    assert!(matches!(told.answer(), Answer::LoggedIn { .. }));
    let told = rig.run((G2, 1), login(ANN, 1));
    assert_eq!(told.not_logged_in(), LoginRefusal::AlreadyConnected);
    assert_eq!(told.probed(), [(G1, 1)]);

    // Not of this gateway, and not at all.
    for (gateway, session) in [(G2, 1), (G1, 3)] {
        assert!(rig.run_envelope(gateway, Envelope::gone(THERE, SessionId(session))).is_silence());
    }
    assert_eq!(rig.home.sessions(), 2);
    assert!(rig.run_envelope(G1, Envelope::gone(THERE, SessionId(1))).is_silence());
    assert_eq!(rig.home.sessions(), 1);
    let told = rig.run((G2, 2), login(ANN, 1));
    assert!(matches!(told.answer(), Answer::LoggedIn { .. }));
    assert!(rig.run((G1, 2), post(1, &[ANN])).posted().0.0 > 0, "Ben's session is as it was");
}

/// Goal: a login that waits for other gateways is let go, too; method: a new owner that waits, the word of the gateway,
/// and the others.
#[test]
fn a_waiting_login_of_a_ghost_is_let_go() {
    let mut rig = Rig::with(LIMITS, &[G2]);
    assert!(rig.run((G1, 1), login(ANN, 1)).is_silence());
    assert!(rig.home.has_deferred());
    rig.run_envelope(G1, Envelope::gone(THERE, SessionId(1)));
    assert!(!rig.home.has_deferred());
}
