//! How sessions end: by the client, by time, by the gateway. The home always hears of it.

use tmtp_contract::LoginRefusal;

use super::super::Reason;
use super::*;

/// Goal: the node is free before the client sees `quit`; method: quit, and look before and after the detach is done.
#[test]
fn quit_frees_the_node_first() {
    let mut rig = Rig::open();
    rig.send(r#"{"op":12}"#);
    assert_eq!(rig.published(), [(2, "detach")]);
    assert_eq!((rig.frames(), rig.exit()), (vec![], None));
    rig.woken = false;
    rig.done(2);
    assert!(rig.woken);
    assert_eq!((rig.frames(), rig.exit()), (quit("logout ok"), Some(Exit::Clean)));
    rig.socket_closed();
    assert!(rig.session.is_over());
    assert_eq!(rig.published(), []);
}

/// Goal: a client does not wait for ever for that; method: no news of the detach, with and without an answer owed.
/// The detach is still seen through.
#[test]
fn farewell_is_bounded() {
    let mut rig = Rig::open();
    rig.send(r#"{"op":12}"#);
    rig.wait(1);
    assert_eq!(rig.exit(), None);
    rig.wait(1);
    assert_eq!((rig.frames(), rig.exit()), (quit("logout ok"), Some(Exit::Clean)));
    rig.socket_closed();
    assert!(!rig.session.is_over());
    rig.wait(5);
    assert_eq!(rig.published(), [(2, "detach"), (3, "attach"), (4, "detach")]);
    rig.answer(3, Answer::Attached);
    rig.done(4);
    assert!(rig.session.is_over());

    let mut rig = Rig::open();
    rig.send_data(POST, b"hello");
    rig.send(r#"{"op":12}"#);
    rig.wait(14);
    assert_eq!(rig.exit(), None);
    rig.wait(1);
    assert_eq!((rig.frames(), rig.exit()), (quit("logout ok"), Some(Exit::Clean)));
}

/// Goal: what a client has sent completely counts though it is gone; method: post and close. The session goes on
/// until all is committed, also at a new owner.
#[test]
fn ghost() {
    let mut rig = Rig::open();
    rig.send_data(POST, b"hello");
    rig.turn(Session::input_ended);
    assert_eq!(rig.exit(), Some(Exit::Clean));
    rig.socket_closed();
    assert_eq!(rig.published(), [(2, "post"), (3, "detach")]);
    rig.reattach();
    assert_eq!(rig.published(), [(4, "attach"), (5, "post"), (6, "detach")]);
    rig.answer(4, Answer::Attached);
    rig.answer(5, posted(1));
    assert!(!rig.session.is_over());
    rig.done(6);
    assert!(rig.session.is_over());
    assert_eq!(rig.host.used.get(), 0);
}

/// Goal: a client that goes while it logs in leaves its node free; method: close before the answer, which then comes
/// each way.
#[test]
fn ghost_of_a_login() {
    let mut rig = Rig::opening();
    rig.socket_closed();
    assert_eq!(rig.published(), [(2, "detach")]);
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    assert!(!rig.session.is_over());
    rig.done(2);
    assert!(rig.session.is_over());

    let mut rig = Rig::opening();
    rig.socket_closed();
    rig.answer(1, Answer::NotLoggedIn(tmtp_contract::LoginRefusal::Failed));
    assert!(rig.session.is_over());
}

/// Goal: a ghost gives up what its client has asked for, but never its goodbye, as its node would stay taken; method:
/// no bus for an hour, then one. What the client has acked goes with it.
#[test]
fn ghost_says_goodbye() {
    let mut rig = Rig::open();
    rig.host.taken.set(false);
    rig.deliver(1, message(5));
    rig.frames();
    rig.send(r#"{"op":10,"id":"0000000000000005","type":"ok"}"#);
    rig.send_data(POST, b"hello");
    rig.socket_closed();
    assert_eq!(rig.published(), [(2, "acks"), (3, "post"), (4, "detach")]);
    for _ in 0..59 {
        rig.wait(1);
        assert_ne!(rig.host.used.get(), 0);
    }
    rig.wait(1);
    assert_eq!(rig.host.used.get(), 0);
    for _ in 0..3_600 {
        rig.wait(1);
    }
    assert_eq!(rig.published(), []);
    assert!(!rig.session.is_over());
    rig.reattach();
    assert_eq!(rig.published(), [(5, "attach"), (6, "acks"), (7, "detach")]);
    rig.answer(5, Answer::Attached);
    rig.done(7);
    assert!(rig.session.is_over());
}

/// Goal: the same for a client that has gone while it logged in: its home may have let it in; method: a login that is
/// never answered. A registration that nobody knows of holds up nobody.
#[test]
fn ghost_of_an_unanswered_login() {
    let mut rig = Rig::opening();
    rig.host.taken.set(false);
    rig.socket_closed();
    rig.commands();
    rig.wait(61);
    rig.reattach();
    assert_eq!(rig.published(), [(3, "login"), (4, "detach")]);
    rig.answer(3, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    rig.done(4);
    assert!(rig.session.is_over());

    let mut rig = Rig::greeted();
    rig.send(r#"{"op":1,"newnode":"n","newalias":"_"}"#);
    rig.socket_closed();
    assert!(!rig.session.is_over());
    rig.wait(61);
    assert!(rig.session.is_over());
}

/// Goal: a ghost that nobody wants to hear does not stay for ever; method: a home that takes everything and answers
/// nothing.
#[test]
fn ghost_is_bounded() {
    let mut rig = Rig::open();
    rig.send_data(POST, b"hello");
    rig.socket_closed();
    let mut seconds = 0;
    while !rig.session.is_over() && seconds < 1_000 {
        rig.wait(1);
        seconds += 1;
    }
    assert!((60..300).contains(&seconds), "{seconds}");
    assert!(rig.host.reattached().len() > 3);
    assert_eq!(rig.host.used.get(), 0);
}

/// Goal: gathered acks go with the goodbye; method: two acks, one under way, then the end.
#[test]
fn last_acks() {
    let mut rig = Rig::open();
    rig.deliver(1, message(1));
    rig.deliver(1, message(2));
    rig.frames();
    rig.send(r#"{"op":10,"id":"0000000000000001","type":"ok"}"#);
    rig.send(r#"{"op":10,"id":"0000000000000002","type":"ok"}"#);
    rig.socket_closed();
    assert_eq!(rig.published(), [(2, "acks"), (3, "acks"), (4, "detach")]);
}

/// Goal: a silent client is let go without a word after two minutes, and any octet counts as life; method: one
/// octet of a header late, then nothing.
#[test]
fn silence() {
    let mut rig = Rig::open();
    rig.wait(119);
    rig.octets(b"0");
    rig.wait(119);
    assert_eq!(rig.exit(), None);
    rig.wait(1);
    assert_eq!((rig.frames(), rig.exit()), (vec![], Some(Exit::Clean)));
    assert_eq!(rig.published(), [(2, "detach")]);
}

/// Goal: time in which the session does not read is not the client's silence; method: hold a chunk up for long.
#[test]
fn held_up_is_not_silent() {
    let mut rig = Rig::open();
    rig.octets(&[frame(r#"{"op":7,"id":"p","for":[],"datalen":300}"#), vec![0; 100]].concat());
    assert!(rig.session.take_upload().is_some());
    for _ in 0..60 {
        rig.wait(5);
    }
    assert_eq!(rig.exit(), None);
    rig.turn(|session, turn| session.uploaded(turn, true));
    rig.wait(119);
    assert_eq!(rig.exit(), None);
    rig.wait(1);
    assert_eq!(rig.exit(), Some(Exit::Clean));
}

/// Goal: a client that takes nothing is cut off, also while it is being let go; method: stall in both states, and
/// take something again in between.
#[test]
fn stalled() {
    let mut rig = Rig::open();
    rig.deliver(1, message(1));
    let now = rig.now;
    rig.session.set_stalled(Some(now));
    rig.wait(59);
    rig.session.set_stalled(None);
    let now = rig.now;
    rig.session.set_stalled(Some(now));
    rig.wait(59);
    assert_eq!(rig.exit(), None);
    rig.wait(1);
    assert_eq!(rig.exit(), Some(Exit::Cut));
    assert_eq!(rig.published(), [(2, "detach")]);

    let mut rig = Rig::open();
    let now = rig.now;
    rig.session.set_stalled(Some(now));
    rig.send(r#"{"op":12}"#);
    rig.done(2);
    assert_eq!(rig.exit(), Some(Exit::Clean));
    rig.wait(60);
    assert_eq!(rig.exit(), Some(Exit::Cut));
}

/// Goal: a gateway that stops lets clients go without a word, with their answers and with their nodes free; method:
/// dismiss in each state.
#[test]
fn dismissed() {
    let mut rig = Rig::open();
    rig.send_data(POST, b"hello");
    rig.turn(Session::dismiss);
    assert_eq!(rig.published(), [(2, "post"), (3, "detach")]);
    assert_eq!(rig.exit(), None);
    rig.answer(2, posted(1));
    rig.done(3);
    assert_eq!((rig.frames(), rig.exit()), (vec![acked("p", 1)], Some(Exit::Clean)));
    for make in [Rig::new, Rig::greeted, Rig::opening] {
        let mut rig = make();
        rig.turn(Session::dismiss);
        assert_eq!((rig.frames(), rig.exit()), (vec![], Some(Exit::Clean)));
    }
}

/// Goal: the members of a suspended site are told why, and who has not logged in is not; method: evict a session that is
/// open, without and with a notice, one that is not, and one whose login is not answered: that hears what the home says.
#[test]
fn evicted() {
    let mut rig = Rig::open();
    rig.turn(|session, turn| session.evict(turn, None));
    assert_eq!(rig.end(), (quit("login failed"), Some(Exit::Clean)));
    let notice = Some("back on Monday");
    let mut rig = Rig::open();
    rig.turn(|session, turn| session.evict(turn, notice));
    assert_eq!(rig.end(), (quit("back on Monday"), Some(Exit::Clean)));
    let mut rig = Rig::greeted();
    rig.turn(|session, turn| session.evict(turn, notice));
    assert_eq!((rig.frames(), rig.exit()), (quit("login failed"), Some(Exit::Clean)));

    let mut rig = Rig::greeted();
    rig.send(&login(ann(), &NodeSecret([1; 25])));
    rig.turn(|session, turn| session.evict(turn, notice));
    assert_eq!((rig.frames(), rig.exit()), (Vec::new(), None));
    rig.turn(|session, turn| session.close(turn, 1, "back on Tuesday".into()));
    rig.answer(1, Answer::NotLoggedIn(LoginRefusal::Failed));
    assert_eq!((rig.frames(), rig.exit()), (quit("back on Tuesday"), Some(Exit::Clean)));
    assert!(rig.host.counts.borrow().contains(&Count::Refused(Reason::Login)));
}

/// Goal: nobody gets in behind a suspension, whatever the home knows of it; method: a login that is answered after it.
#[test]
fn late_for_a_suspension() {
    let mut rig = Rig::greeted();
    rig.send(&login(ann(), &NodeSecret([1; 25])));
    let suspended =
        Site { status: SiteStatus::Suspended, notice: Some("back on Monday".into()), ..(*site()).clone() };
    *rig.host.site.borrow_mut() = Arc::new(suspended);
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    assert_eq!(rig.end(), (quit("back on Monday"), Some(Exit::Clean)));
}

/// Goal: who has become a member before that gets its account all the same, which nobody could tell it later; method: a
/// registration that is answered after a suspension.
#[test]
fn registered_late_for_a_suspension() {
    let mut rig = Rig::greeted();
    rig.send(r#"{"NewAlias":"_","NewNode":"x","Op":1}"#);
    let suspended =
        Site { status: SiteStatus::Suspended, notice: Some("back on Monday".into()), ..(*site()).clone() };
    *rig.host.site.borrow_mut() = Arc::new(suspended);
    rig.answer(1, Answer::Registered { node: NodeNum(1), alias_error: None });
    let (mut frames, exit) = rig.end();
    assert!(frames.remove(0).contains(r#""op":"registered""#));
    assert_eq!((frames, exit), (quit("back on Monday"), Some(Exit::Clean)));
}

/// Goal: a session that ends takes no more messages, and writes none that were in line; method: deliver before and
/// after the quit.
#[test]
fn nothing_after_the_end() {
    let mut rig = Rig::open();
    rig.deliver(1, message(1));
    rig.send(r#"{"op":12}"#);
    rig.deliver(1, message(2));
    assert_eq!(rig.end().0, quit("logout ok"));
}

/// Goal: the client's machine is asked for a while when somebody wants its node; method: probe, and wait.
#[test]
fn probed() {
    let mut rig = Rig::open();
    assert!(!rig.session.is_probed());
    rig.turn(Session::probe);
    assert!(rig.woken && rig.session.is_probed());
    rig.woken = false;
    rig.wait(6);
    assert!(rig.woken && !rig.session.is_probed());
}

/// Goal: the clock is asked when there is something to do, and not before; method: compare deadline and state.
#[test]
fn deadlines() {
    let deadline =
        |rig: &Rig| rig.session.deadline(&rig.limits).map(|at| at.saturating_sub(rig.now).as_secs());
    assert_eq!(deadline(&Rig::new()), Some(5));
    let mut rig = Rig::open();
    assert_eq!(deadline(&rig), Some(120));
    rig.deliver(1, message(1));
    rig.frames();
    assert_eq!(deadline(&rig), Some(30));
    rig.send_data(POST, b"hello");
    assert_eq!(deadline(&rig), Some(5));
    rig.answer(2, posted(1));
    rig.frames();
    rig.send(r#"{"op":10,"id":"0000000000000001","type":"ok"}"#);
    rig.done(3);
    assert_eq!(deadline(&rig), Some(120));
    rig.send(r#"{"op":12}"#);
    assert_eq!(deadline(&rig), Some(2));
}
