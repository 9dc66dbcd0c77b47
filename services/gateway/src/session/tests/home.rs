//! The conversation with the home when things go wrong: new owners, lost commands, silence.

use super::*;

impl Rig {
    /// One with two posts (2, 3) unanswered, and looked at.
    fn posting() -> Self {
        let mut rig = Self::open();
        rig.send_data(POST, b"hello");
        rig.send_data(POST, b"again");
        assert_eq!(rig.published(), [(2, "post"), (3, "post")]);
        rig
    }
}

/// Goal: a new owner gets everything that is unanswered, in order and numbered anew; method: two posts and an edit,
/// one answered before. Answers to old numbers do not count.
#[test]
fn renumbered() {
    let mut rig = Rig::posting();
    rig.send(r#"{"op":3,"id":"e","newalias":"somebody"}"#);
    rig.answer(2, posted(1));
    assert_eq!(rig.frames(), [acked("p", 1)]);
    rig.commands();
    rig.reattach();
    let commands = rig.commands();
    let (5, Command::Attach(attach)) = &commands[0] else { panic!("{commands:?}") };
    assert_eq!(attach.pending, 2);
    assert_eq!((kind(&commands[1].1), kind(&commands[2].1)), ("post", "alias"));
    assert_eq!((commands[1].0, commands[2].0), (6, 7));
    rig.answer(3, posted(2));
    assert_eq!(rig.frames(), Vec::<String>::new());
    rig.answer(5, Answer::Attached);
    rig.answer(6, posted(3));
    rig.answer(7, Answer::Done);
    assert_eq!(rig.frames(), [acked("p", 3), r#"{"id":"e","op":"ack"}"#.to_owned()]);
    rig.send_data(POST, b"hello");
    assert_eq!(rig.published(), [(8, "post")]);
}

/// Goal: input goes on while the answer to an attach is outstanding; method: post meanwhile.
#[test]
fn input_while_attaching() {
    let mut rig = Rig::open();
    rig.reattach();
    rig.send_data(POST, b"hello");
    assert_eq!(rig.published(), [(2, "attach"), (3, "post")]);
    rig.answer(2, Answer::Attached);
    rig.answer(3, posted(1));
    assert_eq!(rig.frames(), [acked("p", 1)]);
}

/// Goal: a command that the home could not apply opens the session again, once; method: three of them lost, one of
/// them again when that is known.
#[test]
fn lost() {
    let mut rig = Rig::posting();
    rig.lost(2);
    assert_eq!(rig.published(), [(4, "attach"), (5, "post"), (6, "post")]);
    rig.lost(3);
    rig.lost(4);
    assert_eq!(rig.published(), []);
    rig.lost(5);
    assert_eq!(rig.published(), [(7, "attach"), (8, "post"), (9, "post")]);
    assert_eq!(rig.host.reattached(), [Cause::Lost, Cause::Lost]);
}

/// Goal: a login that is not answered is sent again as it is, and opens by itself; method: a new owner meanwhile,
/// with and without the lease lapsed.
#[test]
fn login_again() {
    for lapsed in [false, true] {
        let mut rig = Rig::opening();
        if lapsed {
            rig.session.suspend();
        }
        rig.reattach();
        assert_eq!(rig.published(), [(2, "login")]);
        rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
        assert_eq!(rig.frames(), Vec::<String>::new());
        rig.answer(2, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
        assert_eq!(rig.frames().len(), 1);
        rig.deliver(2, message(1));
        assert_eq!(rig.frames().len(), 1);
    }
}

/// Goal: silence of the home is noticed, and met with patience that grows; method: leave a post unanswered, count
/// the seconds between attempts; an answer resets the pause.
#[test]
fn silence() {
    let mut rig = Rig::posting();
    let mut attempts = Vec::new();
    for second in 1..=115 {
        rig.send(r#"{"op":11}"#);
        rig.wait(1);
        if !rig.commands().is_empty() {
            attempts.push(second);
        }
    }
    assert_eq!(attempts, [5, 15, 35, 75]);
    rig.answer(13, Answer::Attached);
    rig.send(r#"{"op":11}"#);
    rig.wait(5);
    assert_eq!(rig.published(), [(16, "attach"), (17, "post"), (18, "post")]);
    assert!(rig.host.reattached().iter().all(|cause| *cause == Cause::Silence));
}

/// Goal: what the stream still holds is not published once more, however long it takes; method: a home that takes
/// nothing for ten minutes, and then everything, but does not answer.
#[test]
fn silence_of_a_home_that_is_behind() {
    let mut rig = Rig::posting();
    rig.host.taken.set(false);
    for _ in 0..600 {
        rig.send(r#"{"op":11}"#);
        rig.wait(1);
    }
    assert_eq!(rig.commands(), []);
    rig.host.taken.set(true);
    rig.wait(5);
    assert_eq!(rig.published(), [(4, "attach"), (5, "post"), (6, "post")]);
    assert_eq!(rig.host.reattached(), [Cause::Silence]);
}

/// Goal: a bus that comes and goes does not fill a stream that nobody empties, and a new owner is not kept waiting;
/// method: open again for both reasons while the stream is full, then let it have room.
#[test]
fn nothing_again_into_a_full_stream() {
    let bus = |rig: &mut Rig| rig.turn(|session, turn| session.reattach(turn, Cause::Bus));
    let mut rig = Rig::posting();
    rig.host.intake.set(Intake::Nothing);
    rig.host.taken.set(false);
    bus(&mut rig);
    rig.wait(60);
    assert_eq!(rig.published(), []);
    rig.deliver(1, message(1));
    assert_eq!(rig.frames(), Vec::<String>::new(), "the home may take the session for dead");
    rig.answer(2, posted(1));
    assert_eq!(rig.frames(), [acked("p", 1)], "but what it committed is committed");
    rig.host.intake.set(Intake::All);
    rig.turn(Session::resume);
    assert_eq!(rig.published(), [(4, "attach"), (5, "post")]);
    rig.turn(Session::resume);
    assert_eq!(rig.published(), []);
    rig.host.intake.set(Intake::Nothing);
    rig.reattach();
    assert_eq!(rig.published(), [(6, "attach"), (7, "post")]);
}

/// Goal: an idle session is left alone; method: hours of pulses.
#[test]
fn idle() {
    let mut rig = Rig::open();
    for _ in 0..100 {
        rig.wait(115);
        rig.send(r#"{"op":11}"#);
    }
    assert_eq!((rig.commands(), rig.frames(), rig.exit()), (vec![], vec![], None));
}

/// Goal: when the node belongs to another session meanwhile, the client is told and nothing is left; method: an
/// attach refused, with posts unanswered.
#[test]
fn attach_refused() {
    let mut rig = Rig::posting();
    rig.reattach();
    rig.commands();
    rig.answer(4, Answer::NotLoggedIn(tmtp_contract::LoginRefusal::AlreadyConnected));
    assert_eq!((rig.frames(), rig.exit()), (quit("node already connected"), Some(Exit::Clean)));
    rig.socket_closed();
    assert_eq!(rig.published(), []);
    assert!(rig.session.is_over());
    assert_eq!(rig.host.used.get(), 0);
}

/// Goal: a closed session ends with the home's text, but only for the current opening; method: close an old one,
/// then the current.
#[test]
fn closed_by_home() {
    let mut rig = Rig::open();
    rig.reattach();
    rig.turn(|session, turn| session.close(turn, 1, "bye".into()));
    assert_eq!((rig.frames(), rig.exit()), (vec![], None));
    rig.turn(|session, turn| session.close(turn, 2, "bye".into()));
    assert_eq!((rig.frames(), rig.exit()), (quit("bye"), Some(Exit::Clean)));
}

/// Goal: after the lease has lapsed nothing counts until the session is open again; method: suspend, deliver, lose,
/// close; then attach.
#[test]
fn suspended() {
    let mut rig = Rig::open();
    rig.session.suspend();
    rig.deliver(1, message(1));
    rig.lost(2);
    rig.turn(|session, turn| session.close(turn, 1, "bye".into()));
    assert_eq!((rig.frames(), rig.exit(), rig.published()), (vec![], None, vec![]));
    rig.reattach();
    rig.answer(2, Answer::Attached);
    rig.deliver(2, message(1));
    assert_eq!(rig.frames().len(), 1);
}

/// Goal: nothing is attached that was never there, or is gone; method: a new link, a refused login, a finished
/// session.
#[test]
fn nothing_to_attach() {
    for mut rig in [Rig::new(), Rig::greeted()] {
        rig.reattach();
        assert_eq!(rig.published(), []);
    }
    let mut rig = Rig::open();
    rig.send(r#"{"op":12}"#);
    rig.done(2);
    rig.commands();
    rig.reattach();
    assert_eq!(rig.published(), []);
}
