//! From the first octet to the login, and what is refused on the way.

use tmtp_contract::LoginRefusal;

use super::*;

pub(super) const GREETING: &str = r#"{"id":"1","name":"Example","op":"tmtprev"}"#;
const INFO: &str = r#"{"info":"login ok","op":"info"}"#;

/// One valid header of each operation, at the index that is its number.
const EACH: [&str; 13] = [
    r#"{"op":0,"id":"1"}"#,
    r#"{"op":1,"newnode":"x","newalias":"_"}"#,
    r#"{"op":2,"uid":"x","node":"ZZZZZZZZ"}"#,
    r#"{"op":3,"id":"e","newalias":"somebody"}"#,
    r#"{"op":4,"id":"e","for":[{"id":"u"}],"type":"init"}"#,
    r#"{"op":5,"id":"e","gid":"g","from":"f","to":"t"}"#,
    r#"{"op":6,"id":"e","act":"join","gid":"g"}"#,
    r#"{"op":7,"id":"e","for":[],"datalen":1}"#,
    r#"{"op":8,"id":"e","for":[],"datalen":2,"notelen":1}"#,
    r#"{"op":9,"id":"e","from":"f","to":"t"}"#,
    r#"{"op":10,"id":"0000000000000001","type":"ok"}"#,
    r#"{"op":11}"#,
    r#"{"op":12}"#,
];

/// Goal: the first request decides the link; method: each operation on a new link. Only 0 is answered, everything
/// else closes without a word.
#[test]
fn new_link() {
    for (op, header) in EACH.into_iter().enumerate() {
        let mut rig = Rig::new();
        rig.send(header);
        let expected = if op == 0 { (vec![GREETING.to_owned()], None) } else { (vec![], Some(Exit::Clean)) };
        assert_eq!((rig.frames(), rig.exit()), expected, "op {op}");
        assert_eq!(rig.published(), [], "op {op}");
    }
}

/// Goal: without a login only a login is allowed; method: each operation on a greeted link.
#[test]
fn greeted_link() {
    for (op, header) in EACH.into_iter().enumerate() {
        let mut rig = Rig::greeted();
        rig.send(header);
        match op {
            1 => assert_eq!(rig.published(), [(1, "register")]),
            2 => assert_eq!(rig.end(), (quit("login failed"), Some(Exit::Clean))),
            0 => assert_eq!(rig.end(), (quit("disallowed op repetition"), Some(Exit::Clean))),
            _ => {
                let expected = (quit("disallowed op on unauthenticated link"), Some(Exit::Clean));
                assert_eq!(rig.end(), expected, "op {op}");
            }
        }
    }
}

/// Goal: a member cannot log in again; method: operations 0 to 2 on a link that is logged in. The node is freed
/// before the client is told.
#[test]
fn open_link() {
    for (op, text) in [
        (0, "disallowed op repetition"),
        (1, "disallowed op on connected link"),
        (2, "disallowed op on connected link"),
    ] {
        let mut rig = Rig::open();
        rig.send(EACH[op]);
        assert_eq!((rig.frames(), rig.exit()), (vec![], None));
        assert_eq!(rig.published(), [(2, "detach")]);
        rig.done(2);
        assert_eq!((rig.frames(), rig.exit()), (quit(text), Some(Exit::Clean)));
    }
}

/// Goal: what is no TMTP ends the link, with a word once the client was greeted; method: bad lengths and headers in
/// each state. What follows is thrown away.
#[test]
fn no_tmtp() {
    let cases: [(&[u8], &str); 4] = [
        (b"zzzz{\"op\":11}", "invalid header length"),
        (b"0007{\"op\":1}", "invalid header length"),
        (b"0008notjson!", "invalid header"),
        (b"0009{\"op\":13}0009{\"op\":11}", "invalid header"),
    ];
    for (octets, text) in cases {
        let mut rig = Rig::new();
        assert!(rig.octets(octets).is_empty());
        assert_eq!(rig.end(), (vec![], Some(Exit::Clean)));
        for mut rig in [Rig::greeted(), Rig::open()] {
            assert!(rig.octets(octets).is_empty());
            assert_eq!(rig.end(), (quit(text), Some(Exit::Clean)), "{octets:?}");
        }
    }
}

/// Goal: a login is checked in the protocol's order; method: node and uid that are malformed in each way.
#[test]
fn login_refused_here() {
    let good = Uid([1; 20]).to_string();
    let node = NodeSecret([1; 25]).reveal();
    for (uid, node, text) in [
        ("x", "lower", "corrupt base32 value"),
        (good.as_str(), "ZZZ", "corrupt base32 value"),
        (good.as_str(), "ZZZZZZZZ", "login failed"),
        // As the reference's decoder has it: what is behind the padding does not count.
        (good.as_str(), "%%======Z", "login failed"),
        (good.as_str(), "%%======ZZZZZZZZ", "corrupt base32 value"),
        ("x", node.as_str(), "login failed"),
        (&good[1..], node.as_str(), "login failed"),
        (&"Z".repeat(4_000), node.as_str(), "login failed"),
    ] {
        let mut rig = Rig::greeted();
        rig.send(&format!(r#"{{"op":2,"uid":"{uid}","node":"{node}"}}"#));
        assert_eq!(rig.published(), []);
        assert_eq!((rig.frames(), rig.exit()), (quit(text), Some(Exit::Clean)), "{uid} {node}");
        rig.socket_closed();
        assert!(rig.session.is_over());
    }
}

/// Goal: `info` is the first frame after a login, with who is online; method: log in with and without.
#[test]
fn login_succeeds() {
    let mut rig = Rig::greeted();
    let secret = NodeSecret([5; 25]);
    rig.send(&login(ann(), &secret));
    let command = Command::Login { uid: ann(), secret: secret.hash() };
    assert_eq!(rig.commands(), [(1, command.clone())]);
    // Clients may wrap what is long.
    let mut wrapped = Rig::greeted();
    wrapped.send(&login(ann(), &secret).replace("\",\"Op\"", "\\r\\n\",\"Op\""));
    assert_eq!(wrapped.commands(), [(1, command)]);
    assert_eq!(rig.frames(), Vec::<String>::new());
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    rig.deliver(1, message(1));
    let frames = rig.frames();
    assert_eq!(frames[0], INFO);
    assert!(frames[1].contains("delivery"));

    let mut rig = Rig::opening();
    let ben = Uid([2; 20]);
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: vec![ben] });
    assert_eq!(rig.frames(), [format!(r#"{{"info":"login ok","ohi":["{ben}"],"op":"info"}}"#)]);
}

/// Goal: however many show presence, `info` fits its header and nobody is left out; method: 4000 of them.
#[test]
fn info_of_a_crowd() {
    let mut rig = Rig::opening();
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: vec![ann(); 4_000] });
    let frames = rig.frames();
    assert!(frames[0].starts_with(r#"{"info":"#));
    let named: usize = frames.iter().map(|frame| frame.matches(&ann().to_string()).count()).sum();
    assert_eq!(named, 4_000);
}

/// Goal: a login that the home refuses ends the link with the protocol's text, and nothing is left behind; method:
/// each refusal.
#[test]
fn login_refused_by_home() {
    for (refusal, text) in [
        (LoginRefusal::Failed, "login failed"),
        (LoginRefusal::AlreadyConnected, "node already connected"),
        (LoginRefusal::RegistrationClosed, "authentication required"),
        (LoginRefusal::RegistrationFailed, "register failure"),
    ] {
        let mut rig = Rig::opening();
        rig.answer(1, Answer::NotLoggedIn(refusal));
        assert_eq!((rig.frames(), rig.exit()), (quit(text), Some(Exit::Clean)));
        assert_eq!(rig.published(), []);
        rig.socket_closed();
        assert!(rig.session.is_over());
    }
}

/// Goal: a registration makes uid and password here, and tells them before `info`; method: with an alias, without
/// one, with one that is refused, and with one whose refusal does not fit.
#[test]
fn register() {
    for (alias, wanted, error, shown) in [
        ("somebody", Some("somebody"), None, ""),
        ("_", None, None, ""),
        ("short", Some("short"), Some("no".to_owned()), r#""error":"no","#),
        (
            "short",
            Some("short"),
            Some("\0".repeat(20_000)),
            r#""error":"request too large to express in a header","#,
        ),
    ] {
        let mut rig = Rig::greeted();
        rig.send(&format!(r#"{{"NewAlias":"{alias}","NewNode":"x","Op":1}}"#));
        let secret = NodeSecret([2; 25]);
        let expected = Command::Register {
            credentials: None,
            uid: Uid([1; 20]),
            secret: secret.hash(),
            label: "x".into(),
            alias: wanted.map(str::to_owned),
        };
        assert_eq!(rig.commands(), [(1, expected)]);
        rig.answer(1, Answer::Registered { node: NodeNum(1), alias_error: error });
        let registered = format!(
            r#"{{{shown}"nodeid":"{}","op":"registered","uid":"{}"}}"#,
            secret.reveal(),
            Uid([1; 20])
        );
        assert_eq!(rig.frames(), [registered, INFO.to_owned()]);
    }
}

/// Goal: a client may send everything at once; method: greeting, login, post and quit in one piece. What is behind
/// the login waits for its answer, and the end waits for the ack.
#[test]
fn everything_at_once() {
    let mut rig = Rig::new();
    let secret = NodeSecret([5; 25]);
    let octets =
        [frame(EACH[0]), frame(&login(ann(), &secret)), frame(POST), b"hello".to_vec(), frame(EACH[12])]
            .concat();
    let left = rig.octets(&octets);
    assert_eq!(left.len(), frame(POST).len() + 5 + frame(EACH[12]).len());
    assert_eq!(rig.published(), [(1, "login")]);
    assert_eq!(rig.frames(), [GREETING]);
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    assert!(rig.octets(left).is_empty());
    assert_eq!(rig.published(), [(2, "post"), (3, "detach")]);
    rig.answer(2, posted(7));
    rig.done(3);
    assert_eq!(rig.frames(), [INFO.to_owned(), acked("p", 7), quit("logout ok").remove(0)]);
    assert_eq!(rig.exit(), Some(Exit::Clean));
}

/// Goal: the packaging of octets does not matter; method: a whole conversation octet by octet.
#[test]
fn octet_by_octet() {
    let mut rig = Rig::new();
    for octet in frame(EACH[0]).iter().chain(&frame(&login(ann(), &NodeSecret([5; 25])))) {
        assert!(rig.octets(&[*octet]).is_empty());
    }
    rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    for octet in frame(POST).iter().chain(b"hello") {
        assert!(rig.octets(&[*octet]).is_empty());
    }
    assert_eq!(rig.published(), [(1, "login"), (2, "post")]);
}

/// Goal: the login has its time and no more, whatever arrives meanwhile; method: each state before the login, just
/// before and at the deadline. A login that is under way is undone.
#[test]
fn login_deadline() {
    for make in [Rig::new, Rig::greeted, Rig::opening] {
        let mut rig = make();
        rig.wait(4);
        assert_eq!(rig.exit(), None);
        rig.wait(1);
        assert_eq!((rig.frames(), rig.exit()), (vec![], Some(Exit::Clean)));
    }
    let mut rig = Rig::opening();
    rig.wait(5);
    rig.socket_closed();
    assert!(rig.published().ends_with(&[(2, "detach")]) || !rig.session.is_over());
    assert!(!rig.session.is_over());
}
