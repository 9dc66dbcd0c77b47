//! Presence at its home: who is told, when sessions come, come back after a take-over, and go in whatever way.

use tmtp_contract::{Answer, Attach, Command, Content, Event, Showing};
use tmtp_domain::{GatewayId, NodeNum, OhiAct, OhiItem, Uid};

use crate::rig::{ANN, BEN, EPOCH, G1, G2, HERE, LIMITS, Rig, Told, Who, digest, login};

const CID: Uid = Uid([3; 20]);

fn ohi(n: u8, act: OhiAct, uids: &[Uid]) -> Command {
    let list = uids.iter().map(|uid| OhiItem { id: uid.to_string(), kind: 0 }).collect();
    Command::OhiEdit { digest: digest(n), act, list }
}

/// Ann with two nodes, one at each gateway; Ben and Cid with one.
fn three(rig: &mut Rig) {
    for (uid, nodes) in [(ANN, 2), (BEN, 1), (CID, 1)] {
        rig.member(HERE, uid, nodes);
    }
}

fn online() -> Rig {
    let mut rig = Rig::new();
    three(&mut rig);
    for (who, uid, node) in [((G1, 1), ANN, 1), ((G2, 2), ANN, 2), ((G2, 3), BEN, 1)] {
        rig.run(who, login(uid, node));
    }
    rig
}

/// What a session is told of others: who is online, who is not.
fn notices(told: &Told, who: Who) -> Vec<(Vec<Uid>, Vec<Uid>)> {
    let notice = |(gateway, event): &(GatewayId, Event)| match event {
        Event::Ohi { session, online, offline, .. } if (*gateway, session.0) == who => {
            Some((online.clone(), offline.clone()))
        }
        _ => None,
    };
    told.0.pushes.iter().filter_map(notice).collect()
}

/// What a session is told of its own user's set.
fn shows(told: &Told, who: Who) -> Vec<(bool, Vec<Uid>, Vec<Uid>)> {
    let shows = |(gateway, event): &(GatewayId, Event)| match event {
        Event::Shows { session, full, added, dropped, .. } if (*gateway, session.0) == who => {
            Some((*full, added.clone(), dropped.clone()))
        }
        _ => None,
    };
    told.0.pushes.iter().filter_map(shows).collect()
}

fn version(told: &Told) -> u64 {
    let version = |(_, event): &(GatewayId, Event)| match event {
        Event::Shows { version, .. } => Some(*version),
        _ => None,
    };
    told.0.pushes.iter().find_map(version).unwrap()
}

fn attach(uid: Uid, num: i16, showing: Option<(u64, &[Uid])>, seen: &[Uid]) -> Command {
    Command::Attach(Attach {
        uid,
        node: NodeNum(num),
        in_flight: Vec::new(),
        pending: 0,
        showing: showing.map(|(version, uids)| Showing { version, uids: uids.to_vec() }),
        seen: seen.to_vec(),
    })
}

/// Goal: each change is told once to those whom it concerns, and the user's nodes get the list where they should; method:
/// init, add, drop, each twice, and a list with strangers.
#[test]
fn changes_are_told() {
    let mut rig = online();
    let told = rig.run((G1, 1), ohi(1, OhiAct::Init, &[BEN, CID, BEN]));
    assert_eq!(told.answer(), &Answer::Done);
    assert_eq!(notices(&told, (G2, 3)), [(vec![ANN], vec![])]);
    assert_eq!(shows(&told, (G1, 1)), [(true, vec![BEN, CID], vec![])]);
    assert!(shows(&told, (G2, 2)).is_empty(), "it has not told any itself");
    assert!(told.contents((G2, 2)).is_empty(), "init is not passed on");

    let told = rig.run((G2, 2), ohi(2, OhiAct::Drop, &[BEN]));
    assert_eq!(notices(&told, (G2, 3)), [(vec![], vec![ANN])]);
    assert_eq!(shows(&told, (G1, 1)), [(false, vec![], vec![BEN])]);
    assert_eq!(shows(&told, (G2, 2)), [(true, vec![CID], vec![])]);
    let list = |uid: Uid| vec![OhiItem { id: uid.to_string(), kind: 0 }];
    let passed = Content::OhiEdit { act: OhiAct::Drop, list: list(BEN) };
    assert!(told.contents((G1, 1)).contains(&passed) && told.contents((G2, 2)).contains(&passed));

    let told = rig.run((G2, 2), ohi(2, OhiAct::Drop, &[BEN]));
    assert_eq!(told.answer(), &Answer::Done);
    assert!(told.0.pushes.is_empty(), "a repetition");
    let stranger = Uid([9; 20]);
    let told = rig.run((G1, 1), ohi(3, OhiAct::Add, &[BEN, stranger]));
    assert_eq!(told.refusal(), format!("OpenNodes: iUid {stranger} not found"));
    assert!(told.0.pushes.is_empty());
    let told = rig.run((G1, 1), ohi(4, OhiAct::Add, &[BEN]));
    assert_eq!(notices(&told, (G2, 3)), [(vec![ANN], vec![])]);
}

/// Goal: who logs in learns who shows presence to it; method: Cid comes late.
#[test]
fn a_login_tells_who_is_online() {
    let mut rig = online();
    rig.run((G1, 1), ohi(1, OhiAct::Init, &[BEN, CID]));
    rig.run((G2, 3), ohi(1, OhiAct::Init, &[CID]));
    let told = rig.run((G1, 4), login(CID, 1));
    assert_eq!(told.answer(), &Answer::LoggedIn { node: NodeNum(1), ohi: vec![ANN, BEN] });
}

/// Goal: presence lasts as long as a session that has told it, and ends however that ends; method: of two holders one
/// leaves, the other's gateway is gone; a session without any changes nothing.
#[test]
fn presence_ends_with_its_last_holder() {
    let mut rig = online();
    rig.run((G1, 1), ohi(1, OhiAct::Init, &[BEN]));
    rig.run((G2, 2), ohi(1, OhiAct::Init, &[BEN]));
    let told = rig.run((G2, 2), Command::Detach);
    assert!(notices(&told, (G2, 3)).is_empty());
    rig.run((G2, 2), login(ANN, 2));
    rig.home.gateway_is_gone(G1);
    let told = rig.settle();
    assert_eq!(notices(&told, (G2, 3)), [(vec![], vec![ANN])], "the other session of Ann has told nobody");
    assert!(told.0.pushes.iter().all(|(gateway, _)| *gateway != G1));
}

/// Goal: a session that is opened anew causes no notices, and a holder that was never told its user's set is told it;
/// method: attach it again at the same home, with the set and without.
#[test]
fn opening_anew_is_no_news() {
    let mut rig = online();
    let told = rig.run((G1, 1), ohi(1, OhiAct::Init, &[BEN]));
    let version = version(&told);
    let told = rig.run((G1, 1), attach(ANN, 1, Some((version, &[BEN])), &[]));
    assert!(notices(&told, (G2, 3)).is_empty() && shows(&told, (G1, 1)).is_empty());
    let told = rig.run((G1, 1), attach(ANN, 1, None, &[]));
    assert!(notices(&told, (G2, 3)).is_empty());
    assert_eq!(shows(&told, (G1, 1)), [(true, vec![BEN], vec![])], "it missed the first time");
    let told = rig.run((G2, 2), attach(ANN, 2, None, &[]));
    assert!(shows(&told, (G2, 2)).is_empty(), "it has told nobody");
    let told = rig.run((G2, 3), attach(BEN, 1, None, &[ANN]));
    assert!(notices(&told, (G2, 3)).is_empty());
    // What got lost on the way is told again.
    let told = rig.run((G2, 3), attach(BEN, 1, None, &[CID]));
    assert_eq!(notices(&told, (G2, 3)), [(vec![ANN], vec![CID])]);
}

/// Goal: after a take-over everybody knows what is true, and is told nothing that it knows; method: of two gateways one
/// attaches all its sessions, the other is gone; sessions with old and new versions, in either order.
#[test]
fn a_new_owner_tells_what_is_different() {
    for newest_first in [false, true] {
        let old = Rig::new();
        let gateways = [G1, G2];
        let mut rig = Rig::recovered(&old.journal(), LIMITS, &gateways);
        three(&mut rig);
        let newest = ((G2, 2), attach(ANN, 2, Some((8, &[BEN, CID])), &[]));
        let older = ((G2, 5), attach(ANN, 1, Some((7, &[BEN])), &[]));
        // Ben believes that Cid is online, too, who was at the gateway that is gone.
        let ben = ((G2, 3), attach(BEN, 1, None, &[ANN, CID]));
        let order = if newest_first { [newest, older, ben] } else { [ben, older, newest] };
        for (who, command) in order {
            let told = rig.run(who, command);
            assert!(notices(&told, (G2, 3)).is_empty());
        }
        let told = rig.run_at(HERE, (G2, 0), 0, Command::Present { epoch: EPOCH });
        assert!(notices(&told, (G2, 3)).is_empty(), "the other gateway may still come");
        rig.home.gateway_is_gone(G1);
        let told = rig.settle();
        assert_eq!(notices(&told, (G2, 3)), [(vec![], vec![CID])]);
        let told = rig.run((G2, 6), login(CID, 1));
        assert_eq!(told.answer(), &Answer::LoggedIn { node: NodeNum(1), ohi: vec![ANN] });
        // The older one knows all of it now.
        let told = rig.run((G2, 5), ohi(1, OhiAct::Drop, &[CID]));
        assert_eq!(shows(&told, (G2, 2)), [(false, vec![], vec![CID])]);
    }
}

/// Goal: a new owner that cannot know all gateways takes nobody for offline, and lets nobody in, before they had their
/// time; method: sessions come back one by one to a home that knows of no gateway, and one logs in.
#[test]
fn gateways_that_nobody_knows_have_their_time() {
    let mut rig = Rig::recovered(&Rig::new().journal(), LIMITS, &[]);
    three(&mut rig);
    rig.home.expect_unknown();
    for (who, command) in [
        ((G1, 4), login(CID, 1)),
        ((G2, 3), attach(BEN, 1, None, &[ANN])),
        ((G2, 0), Command::Present { epoch: EPOCH }),
        ((G1, 1), attach(ANN, 1, Some((7, &[BEN])), &[])),
    ] {
        let told = rig.run(who, command);
        assert!(notices(&told, (G2, 3)).is_empty());
        assert!(rig.home.is_waiting() && rig.home.take_deferred().is_empty());
    }
    rig.home.stop_waiting();
    assert!(notices(&rig.settle(), (G2, 3)).is_empty());
    assert_eq!(rig.home.take_deferred().len(), 1);
}

/// Goal: a list that no message can pass on is refused, but not before its users were looked up; method: a long list with
/// and without a stranger, which `init` may have, as nobody is told of it.
#[test]
fn a_list_that_cannot_be_told_is_refused() {
    let mut rig = online();
    let stranger = Uid([9; 20]);
    let long = vec![BEN; 1_400];
    let told = rig.run((G1, 1), ohi(1, OhiAct::Add, &[&long[..], &[stranger]].concat()));
    assert_eq!(told.refusal(), format!("OpenNodes: iUid {stranger} not found"));
    for act in [OhiAct::Add, OhiAct::Drop] {
        let told = rig.run((G1, 1), ohi(2, act, &long));
        assert_eq!(told.refusal(), "request too large to express in a header");
        assert!(told.0.pushes.is_empty());
    }
    assert_eq!(rig.run((G1, 1), ohi(3, OhiAct::Init, &long)).answer(), &Answer::Done);
}
