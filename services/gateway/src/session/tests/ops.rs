//! Forwarding, pings, groups and presence as a client asks for them: what becomes a command, and what ends the link.

use tmtp_domain::{GroupAct, GroupEdit, OhiAct, OhiItem, Recipient, RecipientKind};

use super::super::Upload;
use super::*;

/// The commands that a request becomes, in a session of its own.
fn sent(json: &str, data: &[u8]) -> Vec<Command> {
    let mut rig = Rig::open();
    rig.send_data(json, data);
    assert_eq!(rig.exit(), None, "{json}");
    rig.commands().into_iter().map(|(_, command)| command).collect()
}

fn ping(data: &[u8]) -> String {
    format!(r#"{{"op":9,"id":"x","from":"f","to":"t","datalen":{}}}"#, data.len())
}

fn invite(data: &[u8]) -> String {
    format!(r#"{{"op":5,"id":"x","gid":"g","from":"f","to":"t","datalen":{}}}"#, data.len())
}

/// Goal: what is allowed becomes a command with everything in it; method: one of each kind.
#[test]
fn requests_become_commands() {
    let json = r#"{"op":8,"id":"x","for":[{"id":"u","type":1}],"notefor":[{"id":"g","type":3}],"fornotself":true,"datalen":9,"notelen":4,"datahead":5,"datasum":6,"notehead":3,"notesum":7}"#;
    let commands = sent(json, b"note12345");
    let [
        Command::PostNotify {
            recipients,
            note_recipients,
            for_not_self: true,
            data,
            body,
            note,
            note_body,
            ..
        },
    ] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    let recipient = |id: &str, kind| vec![Recipient { id: id.into(), kind }];
    assert_eq!(*recipients, recipient("u", RecipientKind::User));
    assert_eq!(*note_recipients, recipient("g", RecipientKind::GroupOthers));
    assert_eq!((*data, *note), (DataInfo { len: 5, head: 5, sum: 6 }, DataInfo { len: 4, head: 3, sum: 7 }));
    let inline = |octets: &'static [u8]| Body::Inline(Bytes::from_static(octets));
    assert_eq!((body, note_body), (&inline(b"12345"), &inline(b"note")));

    let text = "\u{1}\u{FFFD}é".as_bytes();
    let commands = sent(&ping(text), text);
    let [Command::Ping { from, to, data, body, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((from.as_str(), to.as_str(), data.len), ("f", "t", 6));
    assert_eq!(*body, Body::Inline(text.into()));
    let commands = sent(&invite(b""), b"");
    let [Command::GroupInvite { gid, from, to, body: Body::Empty, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!((gid.as_str(), from.as_str(), to.as_str()), ("g", "f", "t"));

    for (fields, expected) in [
        (r#""act":"join""#, GroupEdit::Join { new_alias: None }),
        (r#""act":"join","newalias":"n","to":"t""#, GroupEdit::Join { new_alias: Some("n".into()) }),
        (r#""act":"alias","newalias":"n""#, GroupEdit::Alias { new_alias: "n".into() }),
        (r#""act":"drop","to":"t""#, GroupEdit::Drop { to: "t".into() }),
    ] {
        let commands = sent(&format!(r#"{{"op":6,"id":"x","gid":"g",{fields}}}"#), b"");
        assert!(
            matches!(&commands[..], [Command::GroupEdit { gid, edit, .. }] if gid == "g" && *edit == expected),
            "{commands:?}"
        );
    }
    for (word, expected) in [("init", OhiAct::Init), ("add", OhiAct::Add), ("drop", OhiAct::Drop)] {
        let json =
            format!(r#"{{"op":4,"id":"x","for":[{{"id":"u"}},{{"id":"v","type":-7}}],"type":"{word}"}}"#);
        let commands = sent(&json, b"");
        let [Command::OhiEdit { act, list, .. }] = &commands[..] else { panic!("{commands:?}") };
        let item = |id: &str, kind| OhiItem { id: id.into(), kind };
        assert_eq!((*act, &list[..]), (expected, &[item("u", 0), item("v", -7)][..]));
    }
}

/// Goal: what is not allowed ends the link with its text, after the node is free; method: every such request.
#[test]
fn what_is_not_allowed_ends_the_link() {
    let long = "e".repeat(141);
    let two_units = "\u{1F600}".repeat(71);
    let header = "invalid header";
    let (long_text, short, utf8) =
        ("data too long for request type", "data too short for request type", "data not valid UTF8");
    let forward = |rest: &str| format!(r#"{{"op":8,"id":"x",{rest}}}"#);
    let group = |rest: &str| format!(r#"{{"op":6,"id":"x","gid":"g",{rest}}}"#);
    let ohi = |rest: &str| format!(r#"{{"op":4,"id":"x",{rest}}}"#);
    let someone = r#""for":[{"id":"u","type":1}]"#;
    for (json, data, text) in [
        (forward(r#""for":[],"datalen":4,"notelen":4"#), &b"note"[..], short),
        (forward(r#""for":[],"datalen":3,"notelen":4"#), b"not", short),
        (forward(r#""for":[],"datalen":9223372036854775807,"notelen":9223372036854775807"#), b"x", short),
        (forward(r#""for":[],"fornotself":true,"datalen":5,"notelen":4"#), b"note1", "recipient list empty"),
        (forward(&format!(r#"{someone},"datalen":9,"notelen":4,"datahead":6"#)), b"note12345", header),
        (ping(&[b'x'; 421]), &[], long_text),
        (ping(long.as_bytes()), long.as_bytes(), long_text),
        (ping(two_units.as_bytes()), two_units.as_bytes(), long_text),
        (ping(&[0xFF; 141]), &[0xFF; 141], utf8),
        (ping(b"\xED\xA0\x80"), b"\xED\xA0\x80", utf8),
        (invite(&[b'x'; 421]), &[], long_text),
        (invite(long.as_bytes()), long.as_bytes(), long_text),
        (invite(b"\xC0\x80"), b"\xC0\x80", utf8),
        (group(r#""act":"alias""#), &[], header),
        (group(r#""act":"drop""#), &[], header),
        (group(r#""act":"invite","from":"f","to":"t""#), &[], header),
        (group(r#""act":"Join""#), &[], header),
        (ohi(r#""for":[{"id":"u"}]"#), &[], header),
        (ohi(r#""for":[{"id":"u"}],"type":"Init""#), &[], header),
        (ohi(r#""for":[],"type":"init""#), &[], header),
    ] {
        let mut rig = Rig::open();
        rig.octets(&[&frame(&json), data].concat());
        assert_eq!(rig.end(), (quit(text), Some(Exit::Clean)), "{json}");
        assert_eq!(rig.host.used.get(), 0);
    }
}

/// Goal: the longest texts pass; method: 140 units of one and of three octets.
#[test]
fn the_longest_texts_pass() {
    for text in ["x".repeat(140), "\u{FFFD}".repeat(140), "\u{1F600}".repeat(70)] {
        let commands = sent(&ping(text.as_bytes()), text.as_bytes());
        assert_eq!(commands.len(), 1);
    }
}

/// Goal: the longest list that can be passed on is known to the octet; method: write lists around it, with the longest
/// headsum in place of their own.
#[test]
fn the_longest_list_fits() {
    for (act, kind) in [(OhiAct::Add, 0), (OhiAct::Drop, -128), (OhiAct::Add, 15)] {
        let item = OhiItem { id: Uid([9; 20]).to_string(), kind };
        let most = (1..1_500).rfind(|len| tmtp_domain::list_fits(act, &vec![item.clone(); *len])).unwrap();
        for len in [most, most + 1] {
            let list = vec![item.clone(); len];
            let mut rig = Rig::open();
            rig.deliver(1, Message { content: Content::OhiEdit { act, list }, ..message(7) });
            let frames = rig.frames();
            let longest = |frame: &String| {
                let (_, rest) = frame.split_once("\"headsum\":").unwrap();
                frame.len() - rest.find(',').unwrap() + 10
            };
            let fits = frames.first().is_some_and(|frame| longest(frame) <= 65_535);
            assert_eq!(fits, len == most, "{act:?} {kind} {len}");
        }
    }
}

/// Goal: note and message both go to the store when they are large, one chunk at a time, and both are removed when the
/// request breaks off or the store fails; method: three chunks of each, an end within the second, a failure there.
#[test]
fn large_notes_and_messages_are_stored() {
    let json = r#"{"op":8,"id":"x","for":[],"datalen":500,"notelen":250}"#;
    let data: Vec<u8> = (0..500_u32).map(|n| (n % 251) as u8).collect();
    let begun = |taken: usize| {
        let mut rig = Rig::open();
        let octets = [&frame(json), &data[..taken]].concat();
        let (mut rest, mut chunks) = (&octets[..], Vec::new());
        loop {
            let mut left = rest;
            rig.turn(|session, turn| session.input(turn, &mut left));
            let moved = left.len() < rest.len();
            rest = left;
            let Some(Upload::Put { body, seq, octets }) = rig.session.take_upload() else {
                if moved {
                    continue;
                }
                break;
            };
            assert!(!rig.wants_input(), "one chunk at a time");
            chunks.push((body, seq, octets));
            rig.turn(|session, turn| session.uploaded(turn, true));
        }
        (rig, chunks)
    };
    let (mut rig, chunks) = begun(500);
    let commands = rig.commands();
    let [(_, Command::PostNotify { body: Body::Stored(body), note_body: Body::Stored(note), .. })] =
        &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!((body.len, note.len, body.chunk), (250, 250, 100));
    let of = |id| {
        let own = chunks.iter().filter(|(body, ..)| *body == id);
        own.flat_map(|(.., octets)| octets.to_vec()).collect::<Vec<u8>>()
    };
    assert_eq!((of(note.id), of(body.id)), (data[..250].to_vec(), data[250..].to_vec()));
    assert!(chunks.iter().map(|(_, seq, _)| *seq).eq([0, 1, 2, 0, 1, 2]));

    let (mut rig, chunks) = begun(400);
    rig.socket_closed();
    let discarded: Vec<_> = std::iter::from_fn(|| rig.session.take_upload()).collect();
    let (note, body) = (chunks[0].0, chunks[3].0);
    assert_eq!(discarded, [Upload::Discard { body: note, chunks: 3 }, Upload::Discard { body, chunks: 1 }]);
}

/// Goal: each message is written with exactly its fields; method: one of each kind.
#[test]
fn messages_are_written() {
    let std =
        r#""datalen":2,"from":"FROM","id":"0000000000000005","op":"OP","posted":"1970-01-01T00:00:00.000Z""#;
    let alias = || "Ann Bell".to_owned();
    let gid = || "The Group".to_owned();
    let member = |act, new_alias: Option<&str>| Content::Member {
        act,
        gid: gid(),
        alias: alias(),
        new_alias: new_alias.map(str::to_owned),
    };
    let list = vec![OhiItem { id: "u".into(), kind: 0 }, OhiItem { id: "v".into(), kind: 3 }];
    for (content, op, extra) in [
        (Content::Notify { post_id: MsgId(4) }, "notify", r#""postid":"0000000000000004""#),
        (Content::Ping { alias: alias(), to: "Ben".into() }, "ping", r#""alias":"Ann Bell","to":"Ben""#),
        (
            Content::Invite { gid: gid(), alias: alias(), to: "Ben".into() },
            "invite",
            r#""alias":"Ann Bell","gid":"The Group","to":"Ben""#,
        ),
        (member(GroupAct::Join, None), "member", r#""act":"join","alias":"Ann Bell","gid":"The Group""#),
        (
            member(GroupAct::Alias, Some("new")),
            "member",
            r#""act":"alias","alias":"Ann Bell","gid":"The Group","newalias":"new""#,
        ),
        (
            Content::OhiEdit { act: OhiAct::Drop, list },
            "ohiedit",
            r#""for":[{"Id":"u","Type":0},{"Id":"v","Type":3}],"type":"drop""#,
        ),
        (Content::Delivery { notify: 3 }, "delivery", r#""notify":3"#),
    ] {
        let mut rig = Rig::open();
        rig.deliver(1, Message { content, ..message(5) });
        let frames = rig.frames();
        let [header] = &frames[..] else { panic!("{frames:?}") };
        let fields = |text: &str| -> Vec<String> {
            // Good enough for these: no text in them holds a comma before a quote.
            let mut fields: Vec<String> =
                text.split(",\"").map(|field| field.trim_start_matches('"').to_owned()).collect();
            fields.sort();
            fields
        };
        let sum = header.split("\"headsum\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        let expected = format!(
            "{},{extra},\"headsum\":{sum}",
            std.replace("OP", op).replace("FROM", &Uid([2; 20]).to_string())
        );
        assert_eq!(fields(&header[1..header.len() - 1]), fields(&expected));
    }
}
