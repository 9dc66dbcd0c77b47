//! Section 8: Ping, and the checks of its text, which are those of GroupInvite, too.

use serde_json::json;

use super::{Case, case};
use crate::conform::link::fresh;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = texts();
    cases.extend(addresses());
    cases
}

fn texts() -> Vec<Case> {
    const LONG: &str = "data too long for request type";
    const NO_UTF8: &str = "data not valid UTF8";
    let bad: Vec<(&str, Vec<u8>, &str)> = vec![
        ("421 octets", "a".repeat(421).into(), LONG),
        ("141 UTF-16 units of one octet", "a".repeat(141).into(), LONG),
        ("71 characters of two units", "😀".repeat(71).into(), LONG),
        ("an octet of no character", vec![b'a', 0xff], NO_UTF8),
        ("a surrogate", vec![0xed, 0xa0, 0x80], NO_UTF8),
        ("an overlong form", vec![0xc0, 0x80], NO_UTF8),
        ("more than U+10FFFF", vec![0xf4, 0x90, 0x80, 0x80], NO_UTF8),
        ("a character cut in two", vec![0xe2, 0x82], NO_UTF8),
        ("400 octets that are too long and no UTF-8", vec![0x80; 400], NO_UTF8),
    ];
    let good: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("140 units of one octet", "a".repeat(140)),
        ("140 units in 420 octets", "€".repeat(140)),
        ("70 characters of two units", "😀".repeat(70)),
        ("control characters", "\u{0}\u{1}\n\u{7f}\u{85}".into()),
        ("U+FFFD", "\u{fffd}".into()),
    ];
    let mut cases = Vec::new();
    for (name, text, refusal) in bad {
        for (op, request) in
            [("Ping", json!({"op": 9})), ("GroupInvite", json!({"op": 5, "gid": "nobody minds"}))]
        {
            let text = text.clone();
            cases.push(case(8, format!("the text of a {op} is refused first: {name}"), move |world| {
                let (text, mut request) = (text.clone(), request.clone());
                async move {
                    let mut user = world.user().await?;
                    // Names that would be refused, too.
                    request["id"] = json!(fresh());
                    request["from"] = json!("f");
                    request["to"] = json!("t");
                    user.link.send(request, &text).await;
                    user.link.quits(refusal).await
                }
            }));
        }
    }
    for (name, text) in good {
        let differs = name == "U+FFFD";
        let good = case(8, format!("the text of a Ping may be {name}"), move |world| {
            let text = text.clone();
            async move {
                let [mut ann, mut ben] = world.users().await?;
                let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": ben.alias});
                ann.link.store(ping, text.as_bytes()).await?;
                let expected = json!({"op": "ping", "from": ann.uid, "alias": ann.alias, "to": ben.alias});
                ben.link.message(expected, text.as_bytes()).await?;
                ann.link.nothing().await
            }
        });
        cases.push(if differs { good.differs() } else { good });
    }
    cases.push(case(
        8,
        "too many octets of a Ping are refused when they are announced",
        |world| async move {
            let mut user = world.user().await?;
            let ping = json!({"op": 9, "id": fresh(), "from": "f", "to": "t", "datalen": 421});
            user.link.send_text(&ping.to_string(), b"").await;
            user.link.quits(LONG).await
        },
    ));
    cases
}

fn addresses() -> Vec<Case> {
    vec![
        case(8, "a Ping passes datahead and datasum on", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": ben.alias, "datahead": 2, "datasum": 9});
            ann.link.store(ping, b"{}hello").await?;
            let expected = json!({"op": "ping", "from": ann.uid, "alias": ann.alias, "to": ben.alias,
                "datahead": 2, "datasum": 9});
            ben.link.message(expected, b"{}hello").await.map(|_| ())
        }),
        case(
            8,
            "a Ping comes to all nodes of the other, and to the sender's other nodes",
            |world| async move {
                let [mut ann, mut ben] = world.users().await?;
                let mut own = ann.device(&world).await?;
                let mut other = ben.device(&world).await?;
                let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": ben.alias});
                ann.link.store(ping, b"hello").await?;
                let expected = json!({"op": "ping", "from": ann.uid, "alias": ann.alias, "to": ben.alias});
                for link in [&mut ben.link, &mut other, &mut own] {
                    link.message(expected.clone(), b"hello").await?;
                }
                ann.link.nothing().await
            },
        ),
        case(8, "a Ping to oneself comes to the sending node, too", |world| async move {
            let mut ann = world.user().await?;
            let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": ann.alias});
            ann.link.store(ping, b"hello").await?;
            let expected = json!({"op": "ping", "from": ann.uid, "alias": ann.alias, "to": ann.alias});
            ann.link.message(expected, b"hello").await?;
            ann.link.nothing().await
        }),
        case(8, "any alias of a user will do in a Ping", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let alias = world.name("Second");
            ben.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
            ben.link.next_message().await?;
            for to in [alias, ben.alias.clone()] {
                let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": to});
                ann.link.store(ping, b"").await?;
                ben.link
                    .message(json!({"op": "ping", "from": ann.uid, "alias": ann.alias, "to": to}), b"")
                    .await?;
            }
            Ok(())
        }),
        case(8, "a Ping from another's alias is refused", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let ping = json!({"op": 9, "id": fresh(), "from": ben.alias, "to": "nobody at all"});
            ann.link.refused(ping, b"hello", "from must identify sender").await?;
            ben.link.nothing().await
        }),
        case(8, "a Ping to nobody is refused", |world| async move {
            let [mut ann, ben] = world.users().await?;
            for to in
                [world.name("Nobody"), ben.uid.clone(), ben.alias.to_uppercase(), format!("{} ", ben.alias)]
            {
                let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": to});
                ann.link.refused(ping, b"hello", &format!("Lookup: iAlias {to} not found")).await?;
            }
            Ok(())
        }),
        case(8, "a Ping to a group is refused", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let gid = world.name("Group");
            ann.found(&gid, &mut [&mut ben]).await?;
            let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": gid});
            ann.link.refused(ping, b"hello", &format!("Lookup: iAlias {gid} not found")).await
        }),
    ]
}
