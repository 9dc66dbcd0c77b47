//! Messages on their way to the client, and its acks on their way back.

use tmtp_contract::BodyRef;

use super::*;

fn ack(id: u64) -> String {
    format!(r#"{{"Id":"{id:016x}","Op":10,"Type":"ok"}}"#)
}

impl Rig {
    /// Delivers messages and has them written.
    fn written(&mut self, opened: u64, ids: &[u64]) {
        for id in ids {
            self.deliver(opened, message(*id));
        }
        assert_eq!(self.frames().len(), ids.len());
    }

    fn acks(&mut self) -> Vec<(u64, Vec<u64>)> {
        let acks = |(seq, command)| match command {
            Command::Acks { ids } => (seq, ids.into_iter().map(|id| id.0).collect()),
            other => panic!("{other:?}"),
        };
        self.commands().into_iter().map(acks).collect()
    }
}

/// Goal: each kind of message has its frame; method: one of each, checked to the octet but for the checksum.
#[test]
fn frames() {
    let from = Uid([2; 20]);
    let std = format!(r#""from":"{from}","headsum":N,"id":"0000000000000007""#);
    let end = r#""posted":"1970-01-01T00:00:00.000Z"}"#;
    for (content, expected) in [
        (Content::Delivery { notify: 0 }, format!(r#"{{"datalen":2,{std},"op":"delivery",{end}"#)),
        (Content::Delivery { notify: 3 }, format!(r#"{{"datalen":2,{std},"notify":3,"op":"delivery",{end}"#)),
        (Content::Login, format!(r#"{{"datalen":2,{std},"node":"tbd","op":"login",{end}"#)),
        (
            Content::NewAlias { alias: "somebody".into() },
            format!(r#"{{"datalen":2,{std},"newalias":"somebody","op":"user",{end}"#),
        ),
        (
            Content::NewNode { label: "lap".into(), node_id: "ZZ".into() },
            format!(r#"{{"datalen":2,{std},"newnode":"lap","nodeid":"ZZ","op":"user",{end}"#),
        ),
    ] {
        let mut rig = Rig::open();
        rig.deliver(1, Message { content, ..message(7) });
        let frame = rig.frames().remove(0);
        let start = frame.find(r#""headsum":"#).expect("a checksum") + 10;
        let length = frame[start..].find(',').expect("more fields");
        let sum: String = frame.chars().skip(start).take(length).collect();
        assert!(sum.parse::<u32>().is_ok(), "{frame}");
        assert_eq!(frame.replacen(&sum, "N", 1), expected);
    }
}

/// Goal: small frames are gathered, and acks overtake messages; method: many messages and an answer between them.
#[test]
fn gathered() {
    let mut rig = Rig::open();
    rig.send_data(POST, b"hello");
    for id in 1..=200 {
        rig.deliver(1, message(id));
    }
    rig.answer(2, posted(9));
    let mut buffer = Vec::new();
    assert_eq!(rig.turn(|session, turn| session.output(turn, None, &mut buffer)), Output::Frames);
    assert!((16 << 10..17 << 10).contains(&buffer.len()), "{}", buffer.len());
    assert_eq!(headers(&buffer)[0], acked("p", 9));
    assert!(headers(&buffer)[1].contains("0000000000000001"));
}

/// Goal: nothing is delivered twice, or for another opening; method: repeat one, deliver for an old number.
#[test]
fn once_per_opening() {
    let mut rig = Rig::open();
    rig.written(1, &[1, 2]);
    rig.deliver(1, message(1));
    assert_eq!(rig.frames(), Vec::<String>::new());
    rig.reattach();
    rig.deliver(1, message(3));
    assert_eq!(rig.frames(), Vec::<String>::new());
    rig.answer(2, Answer::Attached);
    rig.deliver(2, message(3));
    assert_eq!(rig.frames().len(), 1);
    assert_eq!(rig.host.reattached(), [Cause::Rehome]);
}

/// Goal: a home that mixes openings up is told; method: deliver for an old number when the new one is answered.
#[test]
fn stale_opening() {
    let mut rig = Rig::open();
    rig.reattach();
    rig.answer(2, Answer::Attached);
    rig.deliver(1, message(3));
    assert_eq!(rig.published(), [(2, "attach"), (3, "attach")]);
    rig.deliver(1, message(4));
    assert_eq!(rig.host.reattached(), [Cause::Rehome, Cause::Stale]);
}

/// Goal: a lone ack goes at once, others gather behind it; method: five acks, before and after the first is done.
#[test]
fn acks_gather() {
    let mut rig = Rig::open();
    rig.written(1, &[1, 2, 3, 4, 5]);
    for id in 1..=4 {
        rig.send(&ack(id));
    }
    assert_eq!(rig.acks(), [(2, vec![1])]);
    rig.woken = false;
    rig.done(2);
    assert_eq!(rig.acks(), [(3, vec![2, 3, 4])]);
    assert!(!rig.woken, "an idle link is left alone");
    rig.done(3);
    assert_eq!(rig.acks(), []);
    rig.send(&ack(5));
    assert_eq!(rig.acks(), [(4, vec![5])]);
}

/// Goal: acks for anything else cost nothing; method: a flood of unknown, repeated and misspelled ids.
#[test]
fn foreign_acks() {
    let mut rig = Rig::open();
    rig.written(1, &[0xAB]);
    for _ in 0..1_000 {
        rig.send(&ack(1));
    }
    rig.send(r#"{"op":10,"id":"00000000000000AB","type":"ok"}"#);
    rig.send(r#"{"op":10,"id":"ab","type":"ok"}"#);
    assert_eq!(rig.acks(), []);
    rig.send(&ack(0xAB));
    rig.send(&ack(0xAB));
    assert_eq!(rig.acks(), [(2, vec![0xAB])]);
    assert_eq!((rig.frames(), rig.exit()), (vec![], None));
}

/// Goal: unacked messages come again 30 seconds after the last ack, from the first unacked on; method: three
/// messages, one ack, time.
#[test]
fn redelivery() {
    let mut rig = Rig::open();
    rig.written(1, &[1, 2, 3]);
    rig.wait(20);
    rig.send(&ack(1));
    rig.done(2);
    rig.wait(29);
    assert_eq!(rig.acks(), [(2, vec![1])]);
    rig.wait(1);
    let commands = rig.commands();
    let [(3, Command::Attach(attach))] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((attach.in_flight.len(), attach.pending, attach.uid, attach.node), (0, 0, ann(), NodeNum(1)));
    rig.answer(3, Answer::Attached);
    rig.written(3, &[2, 3]);
    assert_eq!(rig.host.reattached(), [Cause::Redelivery]);
}

/// Goal: an ack that comes after messages were asked for again counts, and what it acks is not written again; method:
/// ack before the home sends again, while it does, and after. Opened once more meanwhile, the home is still asked.
#[test]
fn late_acks() {
    let mut rig = Rig::open();
    rig.written(1, &[1, 2, 3]);
    rig.wait(30);
    assert_eq!(rig.published(), [(2, "attach")]);
    rig.send(&ack(1));
    assert_eq!(rig.acks(), [(3, vec![1])]);
    rig.reattach();
    let commands = rig.commands();
    let [(4, Command::Attach(attach)), (5, Command::Acks { .. })] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(attach.in_flight.is_empty());
    rig.answer(4, Answer::Attached);
    rig.deliver(4, message(1));
    rig.deliver(4, message(2));
    rig.send(&ack(2));
    rig.deliver(4, message(2));
    rig.deliver(4, message(3));
    let frames = rig.frames();
    assert_eq!(frames.len(), 1);
    assert!(frames[0].contains("0000000000000003"));
    rig.send(&ack(3));
    rig.done(5);
    assert_eq!(rig.acks(), [(6, vec![2, 3])]);
    rig.done(6);
    rig.wait(100);
    assert_eq!(rig.commands(), []);
    assert_eq!(rig.host.reattached(), [Cause::Redelivery, Cause::Rehome]);
}

/// Goal: what the home was asked for and has sent again is in flight like the first time; method: redelivery, then
/// another opening, then silence of the client.
#[test]
fn in_flight_again() {
    let mut rig = Rig::open();
    rig.written(1, &[1, 2]);
    rig.wait(30);
    rig.answer(2, Answer::Attached);
    rig.wait(80);
    rig.send(r#"{"op":11}"#);
    assert_eq!(rig.host.reattached(), [Cause::Redelivery], "asked once");
    rig.written(2, &[1]);
    rig.deliver(2, message(1));
    assert_eq!(rig.frames(), Vec::<String>::new());
    rig.commands();
    rig.reattach();
    let commands = rig.commands();
    let [(3, Command::Attach(attach))] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(attach.in_flight, [MsgId(1)]);
    rig.answer(3, Answer::Attached);
    rig.wait(30);
    assert_eq!(rig.published(), [(4, "attach")]);
}

/// Goal: the timer does not run while something waits for the socket; method: leave a message unwritten, then write
/// it late.
#[test]
fn redelivery_waits_for_the_socket() {
    let mut rig = Rig::open();
    rig.written(1, &[1]);
    rig.wait(10);
    rig.deliver(1, message(2));
    let mut buffer = Vec::new();
    rig.turn(|session, turn| session.output(turn, None, &mut buffer));
    rig.wait(40);
    assert_eq!(rig.commands(), [], "taken, but not flushed");
    let now = rig.now;
    rig.session.flushed(now);
    rig.wait(19);
    assert_eq!(rig.commands(), []);
    rig.wait(1);
    assert_eq!(rig.published(), [(2, "attach")]);

    let mut rig = Rig::open();
    rig.written(1, &[1]);
    rig.deliver(1, message(2));
    rig.wait(40);
    assert_eq!(rig.commands(), [], "not taken");
}

/// Goal: a client that goes on asking, and is sent other things, gets what it does not ack all the same; method: answers
/// and another message within the time, then acks.
#[test]
fn redelivery_counts_from_the_first() {
    let mut rig = Rig::open();
    rig.written(1, &[1]);
    rig.wait(20);
    rig.send_data(POST, b"hello");
    rig.answer(2, posted(9));
    rig.done(2);
    rig.frames();
    rig.written(1, &[2]);
    rig.commands();
    rig.wait(9);
    assert_eq!(rig.commands(), []);
    rig.wait(1);
    assert_eq!(rig.published(), [(3, "attach")]);
    rig.answer(3, Answer::Attached);
    rig.written(3, &[1, 2]);
    rig.wait(20);
    rig.send(&ack(1));
    rig.done(4);
    rig.written(3, &[3]);
    rig.commands();
    rig.wait(29);
    assert_eq!(rig.commands(), [], "an ack begins the time anew");
    rig.wait(1);
    assert_eq!(rig.published()[0].1, "attach");
}

/// Goal: an ack that was not passed up is not forgotten when the session is opened again; method: attach with acks
/// gathered behind one under way.
#[test]
fn acks_survive_attaching() {
    let mut rig = Rig::open();
    rig.written(1, &[1, 2, 3]);
    rig.send(&ack(1));
    rig.send(&ack(2));
    rig.commands();
    rig.reattach();
    let commands = rig.commands();
    let (3, Command::Attach(attach)) = &commands[0] else { panic!("{commands:?}") };
    assert_eq!((attach.in_flight.clone(), attach.pending), (vec![MsgId(3)], 2));
    assert_eq!(commands[1], (4, Command::Acks { ids: vec![MsgId(1)] }));
    assert_eq!(commands[2], (5, Command::Acks { ids: vec![MsgId(2)] }));
}

/// Goal: a stored body is fetched before its header is written, and acks are not held up by that; method: a stored
/// message between two others, with an answer while it is fetched.
#[test]
fn stored_body() {
    let stored = BodyRef { id: BodyId(Uuid::from_u128(4)), len: 300, chunk: 100 };
    let mut rig = Rig::open();
    rig.send_data(POST, b"hello");
    rig.deliver(1, message(1));
    rig.deliver(1, Message { body: Body::Stored(stored), ..message(2) });
    rig.deliver(1, message(3));
    let output = |rig: &mut Rig, fetched| {
        let mut buffer = Vec::new();
        let output = rig.turn(|session, turn| session.output(turn, fetched, &mut buffer));
        (output, buffer)
    };
    let (first, buffer) = output(&mut rig, None);
    assert_eq!((first, headers(&buffer).len()), (Output::Frames, 1));
    assert_eq!(output(&mut rig, None), (Output::Fetch(stored), vec![]));
    rig.answer(2, posted(9));
    let (answer, buffer) = output(&mut rig, None);
    assert_eq!((answer, headers(&buffer)), (Output::Frames, vec![acked("p", 9)]));
    assert_eq!(output(&mut rig, None), (Output::Fetch(stored), vec![]));
    let (stream, buffer) = output(&mut rig, Some(stored.id));
    assert_eq!(stream, Output::Stream(stored));
    assert!(String::from_utf8(buffer).expect("a header").contains("0000000000000002"));
    assert!(matches!(output(&mut rig, None), (Output::Frames, _)));
    assert_eq!(output(&mut rig, None), (Output::Nothing, vec![]));
}

/// Goal: a message whose data is gone holds nothing up, and is not taken for acked; method: pass over it.
#[test]
fn stored_body_gone() {
    let stored = BodyRef { id: BodyId(Uuid::from_u128(4)), len: 300, chunk: 100 };
    let mut rig = Rig::open();
    rig.deliver(1, Message { body: Body::Stored(stored), ..message(1) });
    rig.deliver(1, message(2));
    rig.turn(|session, turn| session.pass_over(turn, stored.id));
    assert_eq!(rig.frames().len(), 1);
    assert_eq!(rig.acks(), []);
    rig.reattach();
    let commands = rig.commands();
    let (2, Command::Attach(attach)) = &commands[0] else { panic!("{commands:?}") };
    assert_eq!(attach.in_flight, [MsgId(1), MsgId(2)]);
}

/// Goal: a copy in line is not written after its message was acked; method: ack between delivery and writing.
#[test]
fn acked_while_in_line() {
    let mut rig = Rig::open();
    rig.deliver(1, message(1));
    rig.send(&ack(1));
    assert_eq!(rig.frames(), Vec::<String>::new());
}
