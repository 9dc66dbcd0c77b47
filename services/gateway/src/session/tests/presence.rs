//! Presence at the session: what a client is told, and what a new home is told.

use tmtp_contract::{Attach, Showing};

use super::*;

const BEN: Uid = Uid([2; 20]);
const CID: Uid = Uid([3; 20]);

impl Rig {
    fn ohi(&mut self, opened: u64, online: &[Uid], offline: &[Uid]) {
        self.turn(|session, turn| session.ohi(turn, opened, online, offline));
    }

    fn attached(&mut self) -> Attach {
        self.reattach();
        let commands = self.commands();
        let [(_, Command::Attach(attach)), ..] = &commands[..] else { panic!("{commands:?}") };
        attach.clone()
    }
}

fn notice(uid: Uid, status: u8) -> String {
    format!(r#"{{"from":"{uid}","op":"ohi","status":{status}}}"#)
}

/// Goal: a client hears of what is new to it, and of the latest only; method: states that it knows, that change and change
/// back before it looks, and of another opening.
#[test]
fn only_news_is_told() {
    let mut rig = Rig::opening();
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: vec![BEN] });
    assert_eq!(rig.frames(), [format!(r#"{{"info":"login ok","ohi":["{BEN}"],"op":"info"}}"#)]);
    rig.ohi(1, &[BEN, CID], &[]);
    assert_eq!(rig.frames(), [notice(CID, 1)]);
    rig.ohi(1, &[], &[CID]);
    rig.ohi(1, &[CID], &[]);
    assert_eq!(rig.frames(), Vec::<String>::new());
    rig.ohi(1, &[], &[CID, BEN]);
    rig.ohi(7, &[CID], &[]);
    assert_eq!(rig.frames(), [notice(BEN, 2), notice(CID, 2)]);
}

/// Goal: nothing comes before `info`; method: a notice while the login is not answered.
#[test]
fn info_comes_first() {
    let mut rig = Rig::opening();
    rig.ohi(1, &[BEN], &[]);
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    assert_eq!(rig.frames(), [r#"{"info":"login ok","op":"info"}"#]);
}

/// Goal: what waits for a client that does not look is bounded; method: more senders than the bound.
#[test]
fn notices_are_bounded() {
    let mut rig = Rig::open();
    let uid = |n: u32| {
        let mut octets = [0; 20];
        octets[..4].copy_from_slice(&n.to_be_bytes());
        Uid(octets)
    };
    let many: Vec<Uid> = (0..10_005).map(uid).collect();
    rig.ohi(1, &many, &[]);
    rig.ohi(1, &many[..5], &[]);
    let dropped = rig.host.counts.borrow().iter().filter(|count| **count == Count::NoticeDropped).count();
    assert_eq!((dropped, rig.frames().len()), (5, 10_000));
}

/// Goal: a new home learns what the client believes, and whom its user shows presence; method: states written and not
/// written, a set that changes, and sets of another opening.
#[test]
fn a_new_home_is_told() {
    let mut rig = Rig::open();
    let attach = rig.attached();
    assert_eq!((attach.showing, attach.seen), (None, Vec::new()));
    rig.answer(2, Answer::Attached);
    rig.ohi(2, &[BEN], &[]);
    rig.frames();
    rig.ohi(2, &[CID], &[BEN]);
    rig.session.shows(2, 8, true, &[BEN, CID], &[]);
    rig.session.shows(2, 9, false, &[ann()], &[BEN]);
    rig.session.shows(1, 10, false, &[BEN], &[]);
    let attach = rig.attached();
    assert_eq!(attach.seen, [BEN], "what was not written is not believed");
    assert_eq!(attach.showing, Some(Showing { version: 9, uids: vec![ann(), CID] }));
    assert_eq!(rig.frames(), Vec::<String>::new(), "the new home says what is different");
    rig.answer(3, Answer::Attached);
    rig.ohi(3, &[CID], &[BEN]);
    assert_eq!(rig.frames(), [notice(BEN, 2), notice(CID, 1)]);
    rig.session.shows(3, 11, true, &[BEN], &[]);
    assert_eq!(rig.attached().showing, Some(Showing { version: 11, uids: vec![BEN] }));
}
