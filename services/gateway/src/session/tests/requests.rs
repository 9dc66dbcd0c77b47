//! Requests of a client that is logged in, and the order of their answers.

use tmtp_contract::Digest;
use tmtp_domain::{Recipient, RecipientKind};

use super::super::Reason;
use super::*;

/// Goal: a post becomes a command with everything in it; method: one with all three kinds of recipients.
#[test]
fn post() {
    let mut rig = Rig::open();
    let json = r#"{"Op":7,"Id":"p","For":[{"Id":"u","Type":1},{"Id":"g","Type":2},{"Id":"h","Type":3}],"DataLen":5,"DataHead":2,"DataSum":9}"#;
    rig.send_data(json, b"hello");
    let commands = rig.commands();
    let [(2, Command::Post { recipients, data, body, .. })] = &commands[..] else { panic!("{commands:?}") };
    let recipient = |id: &str, kind| Recipient { id: id.into(), kind };
    assert_eq!(
        *recipients,
        [
            recipient("u", RecipientKind::User),
            recipient("g", RecipientKind::Group),
            recipient("h", RecipientKind::GroupOthers)
        ]
    );
    assert_eq!(*data, DataInfo { len: 5, head: 2, sum: 9 });
    assert_eq!(*body, Body::Inline(Bytes::from_static(b"hello")));
    rig.answer(2, posted(0xAB));
    assert_eq!(rig.frames(), [acked("p", 0xAB)]);
    assert_eq!(rig.host.used.get(), 0);
}

/// Goal: a resent request is told from a new one by header and data; method: digests of equal and different ones.
#[test]
fn digests() {
    let digest = |json: &str, data: &[u8]| -> Digest {
        let mut rig = Rig::open();
        rig.send_data(json, data);
        match rig.commands().remove(0).1 {
            Command::Post { digest, .. } | Command::NewAlias { digest, .. } => digest,
            other => panic!("{other:?}"),
        }
    };
    let edit = r#"{"op":3,"id":"a","newalias":"somebody"}"#;
    assert_eq!(digest(POST, b"hello"), digest(POST, b"hello"));
    assert_ne!(digest(POST, b"hello"), digest(POST, b"hullo"));
    assert_ne!(digest(POST, b"hello"), digest(r#"{"op":7,"id":"q","for":[],"datalen":5}"#, b"hello"));
    assert_eq!(digest(edit, b""), digest(edit, b""));
    assert_ne!(digest(edit, b""), digest(r#"{"op":3,"id":"b","newalias":"somebody"}"#, b""));
}

/// Goal: an edit needs exactly one of its two; method: neither, both, and each alone. A new node's password is made
/// here, and the home gets its hash and its text.
#[test]
fn edit_user() {
    for json in [r#"{"op":3,"id":"e"}"#, r#"{"op":3,"id":"e","newnode":"n","newalias":"somebody"}"#] {
        let mut rig = Rig::open();
        rig.send(json);
        assert_eq!(rig.end(), (quit("invalid header"), Some(Exit::Clean)));
    }
    let mut rig = Rig::open();
    rig.send(r#"{"op":3,"id":"e","newalias":"somebody"}"#);
    rig.send(r#"{"op":3,"id":"f","newnode":"lap"}"#);
    let commands = rig.commands();
    assert!(matches!(&commands[0], (2, Command::NewAlias { alias, .. }) if alias == "somebody"));
    let secret = NodeSecret([1; 25]);
    let (3, Command::NewNode { label, node_id, secret: hash, .. }) = &commands[1] else {
        panic!("{commands:?}")
    };
    assert_eq!((label.as_str(), node_id, *hash), ("lap", &secret.reveal(), secret.hash()));
    rig.answer(2, Answer::Refused("no".into()));
    rig.answer(3, Answer::Done);
    assert_eq!(rig.frames(), [refused("e", "no"), r#"{"id":"f","op":"ack"}"#.to_owned()]);
}

/// Goal: what cannot be expressed in a header is refused before it has an effect; method: a label and request ids
/// that grow by escaping, and a refusal that quotes too much.
#[test]
fn too_long_for_a_header() {
    let nul = r"\u0000";
    let mut rig = Rig::open();
    rig.send(&format!(r#"{{"op":3,"id":"e","newnode":"{}"}}"#, "<".repeat(11_000)));
    assert_eq!(rig.frames(), [refused("e", "request too large to express in a header")]);
    rig.send(&format!(r#"{{"op":3,"id":"e","newnode":"{}"}}"#, "<".repeat(10_000)));
    assert_eq!(rig.published(), [(2, "node")]);

    rig.answer(2, Answer::Refused("\0".repeat(20_000)));
    assert_eq!(rig.frames(), [refused("e", "request too large to express in a header")]);

    for op in ["3,\"newalias\":\"somebody\"", "7,\"for\":[],\"datalen\":1", "9,\"from\":\"f\",\"to\":\"t\""] {
        let mut rig = Rig::open();
        rig.send(&format!(r#"{{"op":{op},"id":"{}"}}"#, "<".repeat(10_950)));
        assert_eq!(rig.published(), [(2, "detach")], "{op}");
        rig.done(2);
        assert_eq!(rig.frames(), quit("invalid header"));
    }
    let mut rig = Rig::open();
    rig.send_data(&format!(r#"{{"op":7,"for":[],"datalen":1,"id":"{}"}}"#, nul.repeat(10_800)), b"x");
    assert_eq!(rig.published(), [(2, "post")]);
    rig.answer(2, posted(1));
    assert!(rig.frames()[0].contains(&nul.repeat(10_800)), "the id comes back as it came");
}

/// Goal: what is too large is refused in the ack, after its data; method: such a post, and one such part of a forward,
/// with a request behind it.
#[test]
fn too_large_is_refused() {
    let forward = |note: usize| format!(r#"{{"op":8,"id":"x","for":[],"datalen":1002,"notelen":{note}}}"#);
    for (json, data) in [too_large("x"), (forward(1), vec![b'x'; 1_002]), (forward(1_001), vec![b'x'; 1_002])]
    {
        let mut rig = Rig::open();
        rig.send_data(&json, &data);
        rig.send(r#"{"op":11}"#);
        assert_eq!((rig.frames(), rig.exit()), (vec![refused_as_too_large("x")], None), "{json}");
        assert!(rig.host.counts.borrow().contains(&Count::Refused(Reason::TooLarge)));
    }
}

/// Goal: what is larger than the site allows is refused from its header with the policy's text, and nothing of it goes to
/// the body store or to the home; what the site says now counts, not what it said when the link began. Method: posts above
/// and at the limit, one with a note that makes the difference, and the limit raised.
#[test]
fn the_sites_limit_comes_first() {
    let limited = |most| {
        let mut site = (*site()).clone();
        site.policy.posts.octets_max = Some(most);
        Arc::new(site)
    };
    let mut rig = Rig::open();
    *rig.host.site.borrow_mut() = limited(500);
    let plain = r#"{"op":7,"id":"x","for":[],"datalen":501}"#;
    let forward = r#"{"op":8,"id":"x","for":[],"datalen":501,"notelen":100}"#;
    for json in [plain, forward] {
        rig.send_data(json, &[b'x'; 501]);
        let text = "site policy: a post has at most 500 octets";
        let ack = format!(r#"{{"error":"{text}","id":"x","op":"ack"}}"#);
        assert_eq!((rig.frames(), rig.published()), (vec![ack], Vec::new()), "{json}");
        assert_eq!(rig.session.take_upload(), None, "{json}");
        assert!(rig.host.counts.borrow().contains(&Count::Refused(Reason::TooLarge)));
    }
    rig.send_data(r#"{"op":7,"id":"y","for":[],"datalen":50}"#, &[b'x'; 50]);
    *rig.host.site.borrow_mut() = limited(5_000);
    let larger = frame(r#"{"op":7,"id":"z","for":[],"datalen":501}"#);
    rig.octets(&[&larger, &[b'x'; 501][..]].concat());
    assert_eq!(rig.published(), [(2, "post")]);
    assert!(rig.session.take_upload().is_some(), "the larger one is on its way to the store");
}

/// Goal: answers keep the order of the requests, wherever they are decided; method: requests for the home and
/// requests refused here in turn, answered late and out of order.
#[test]
fn answers_in_order() {
    let mut rig = Rig::open();
    let big = |rig: &mut Rig, id: &str| {
        let (json, data) = too_large(id);
        rig.send_data(&json, &data);
    };
    let post = |id: &str| format!(r#"{{"op":7,"id":"{id}","for":[],"datalen":1}}"#);
    big(&mut rig, "1");
    assert_eq!(rig.frames(), [refused_as_too_large("1")]);
    rig.send_data(&post("2"), b"x");
    big(&mut rig, "3");
    rig.send_data(&post("4"), b"x");
    big(&mut rig, "5");
    assert_eq!(rig.published(), [(2, "post"), (3, "post")]);
    rig.answer(3, posted(4));
    assert_eq!(rig.frames(), Vec::<String>::new());
    rig.answer(2, posted(2));
    assert_eq!(
        rig.frames(),
        [acked("2", 2), refused_as_too_large("3"), acked("4", 4), refused_as_too_large("5")]
    );
    rig.answer(3, posted(4));
    assert_eq!(rig.frames(), Vec::<String>::new(), "an answer counts once");
}

/// Goal: an ack that waits for its commit does not hold up answers; method: an ack, then a refused request.
#[test]
fn acks_hold_nothing_up() {
    let mut rig = Rig::open();
    rig.deliver(1, message(5));
    rig.frames();
    rig.send(r#"{"op":10,"id":"0000000000000005","type":"ok"}"#);
    let (json, data) = too_large("1");
    rig.send_data(&json, &data);
    assert_eq!(rig.frames(), [refused_as_too_large("1")]);
}

/// Goal: a client cannot make this process hold more than its bounds; method: posts until the session stops reading,
/// by number and by octets, and answers that nobody takes.
#[test]
fn bounds() {
    let mut rig = Rig::open();
    for _ in 0..32 {
        rig.send_data(POST, b"hello");
    }
    let more = [frame(POST), b"hello".to_vec()].concat();
    assert_eq!(rig.octets(&more).len(), more.len());
    rig.woken = false;
    rig.answer(2, posted(1));
    assert!(rig.woken);
    assert!(rig.octets(&more).is_empty());

    let mut rig = Rig::open();
    rig.limits.unanswered_octets_max = 1_000;
    let mut taken = 0;
    while rig.octets(&more).is_empty() {
        taken += 1;
    }
    assert!((2..5).contains(&taken), "{taken}");

    let mut rig = Rig::open();
    // Refused here, for want of a budget.
    rig.host.budget.set(0);
    let post = [&frame(POST), &b"hello"[..]].concat();
    let mut taken = 0;
    while rig.octets(&post).is_empty() {
        taken += 1;
    }
    assert!((500..1_500).contains(&taken), "{taken}");
    assert_eq!(rig.frames().len(), taken);
    assert!(rig.octets(&post).is_empty());
}

/// Goal: when the gateway holds too much, requests are refused and the link stays; method: a budget of nothing.
#[test]
fn overloaded() {
    let mut rig = Rig::open();
    rig.host.budget.set(0);
    rig.send_data(POST, b"hello");
    assert_eq!((rig.frames(), rig.exit()), (vec![refused("p", "overloaded, please send again")], None));
    rig.host.budget.set(1 << 20);
    rig.send_data(POST, b"hello");
    assert_eq!(rig.published(), [(2, "post")]);
}

/// Goal: while the command stream is full nothing is taken from clients, and that is not their silence; method: a post
/// of which half has come, another, much time, and room.
#[test]
fn a_full_stream() {
    let mut rig = Rig::open();
    let post = [frame(POST), b"hello".to_vec()].concat();
    rig.octets(&post[..10]);
    rig.host.intake.set(Intake::Nothing);
    assert!(rig.octets(&post[10..]).is_empty(), "what has begun has an end");
    assert_eq!(rig.published(), [(2, "post")]);
    rig.answer(2, posted(1));
    assert!(!rig.wants_input());
    assert_eq!(rig.octets(&post).len(), post.len());
    for _ in 0..60 {
        rig.wait(5);
    }
    assert_eq!(rig.exit(), None);
    rig.host.intake.set(Intake::All);
    rig.woken = false;
    rig.turn(Session::resume);
    assert!(rig.woken && rig.octets(&post).is_empty());
    assert_eq!(rig.published(), [(3, "post")]);
}

/// Goal: a login that could not be answered leaves nothing behind; method: try while the stream is full and while the
/// bus is down, until its time is over; and once with the bus back in time.
#[test]
fn no_logins() {
    let octets = frame(&login(ann(), &NodeSecret([5; 25])));
    for intake in [Intake::Nothing, Intake::NoLogins] {
        let mut rig = Rig::greeted();
        rig.host.intake.set(intake);
        assert_eq!(rig.octets(&octets).len(), octets.len());
        rig.wait(5);
        assert_eq!((rig.frames(), rig.exit()), (vec![], Some(Exit::Clean)));
        rig.socket_closed();
        assert!(rig.session.is_over());
        assert_eq!(rig.published(), []);
    }
    let mut rig = Rig::greeted();
    rig.host.intake.set(Intake::NoLogins);
    assert!(!rig.wants_input());
    rig.host.intake.set(Intake::All);
    rig.woken = false;
    rig.turn(|session, turn| session.reattach(turn, Cause::Bus));
    assert!(rig.woken && rig.octets(&octets).is_empty());
    assert_eq!(rig.published(), [(1, "login")]);
    let mut rig = Rig::open();
    rig.host.intake.set(Intake::NoLogins);
    rig.send_data(POST, b"hello");
    assert_eq!(rig.published(), [(2, "post")]);
}

/// Goal: a request that was cut short leaves no trace; method: half a header, half the data, then the end.
#[test]
fn cut_short() {
    for length in [3, 20, frame(POST).len(), frame(POST).len() + 4] {
        let mut rig = Rig::open();
        let octets = [frame(POST), b"hello".to_vec()].concat();
        assert!(rig.octets(&octets[..length]).is_empty());
        rig.turn(Session::input_ended);
        rig.socket_closed();
        assert_eq!(rig.published(), [(2, "detach")]);
    }
}
