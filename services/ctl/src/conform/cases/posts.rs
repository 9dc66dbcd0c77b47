//! Section 8: Post, PostNotify, Ack, Pulse, Quit, and what holds for all requests and their acks.
#![expect(clippy::too_many_lines, reason = "a list of cases, each of them short")]

use serde_json::{Value, json};

use super::{Case, case};
use crate::conform::link::{fault, fresh, matches, receipt, same};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = posting();
    cases.extend(forwarding());
    cases.extend(acks());
    cases
}

fn to(uids: &[&str]) -> Value {
    uids.iter().map(|uid| json!({"id": uid, "type": 1})).collect()
}

/// No user has this uid.
const NOBODY: &str = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";

fn posting() -> Vec<Case> {
    vec![
        case(8, "the ack of a Post tells id and time of the delivery", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let sent = ann.post(&ben.uid, b"hello").await?;
            let got = ben.link.message(ann.delivery(), b"hello").await?;
            same("id and posted", (got.id, got.posted), (sent.id, sent.posted))?;
            ann.link.nothing().await
        }),
        case(8, "datahead and datasum of a Post are passed on", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid]), "datahead": 2,
                "datasum": 18_446_744_073_709_551_615_u64});
            ann.link.store(post, b"{}hello").await?;
            let expected = json!({"op": "delivery", "from": ann.uid, "datahead": 2,
                "datasum": 18_446_744_073_709_551_615_u64});
            ben.link.message(expected, b"{}hello").await.map(|_| ())
        }),
        case(8, "datahead and datasum of 0 are left out", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid]), "datahead": 0, "datasum": 0});
            ann.link.store(post, b"hello").await?;
            ben.link.message(ann.delivery(), b"hello").await.map(|_| ())
        }),
        case(
            8,
            "a Post with an unknown recipient is read, refused, and reaches nobody",
            |world| async move {
                let [mut ann, mut ben] = world.users().await?;
                let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid, NOBODY])});
                ann.link.refused(post, b"hello", &format!("OpenNodes: iUid {NOBODY} not found")).await?;
                ann.link.nothing().await?;
                ben.link.nothing().await
            },
        ),
        case(8, "a request that is cut short leaves no trace", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid]), "datalen": 10});
            ann.link.send_text(&post.to_string(), b"half").await;
            ann.link.close().await;
            let (mut again, _) = world.login_again(&ann.uid, &ann.node, false).await?;
            again.message(json!({"op": "login", "from": ann.uid, "node": "tbd"}), b"").await?;
            ben.link.nothing().await
        }),
        case(8, "a request that came in full counts, also when its sender is gone", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid])});
            ann.link.send(post, b"hello").await;
            ann.link.close().await;
            ben.link.message(json!({"op": "delivery", "from": ann.uid}), b"hello").await.map(|_| ())
        }),
    ]
}

fn forwarding() -> Vec<Case> {
    let ended = |name: &str, header: Value, text: &'static str| {
        case(8, format!("PostNotify {name} ends the link"), move |world| {
            let mut header = header.clone();
            async move {
                let mut user = world.user().await?;
                header["op"] = json!(8);
                header["id"] = json!(fresh());
                user.link.send(header, b"12345").await;
                user.link.quits(text).await
            }
        })
    };
    vec![
        case(8, "PostNotify sends the body to some and the note to all", |world| async move {
            let [mut ann, mut ben, mut cleo] = world.users().await?;
            let mut device = ann.device(&world).await?;
            let forward = json!({"op": 8, "id": fresh(), "for": to(&[&ben.uid]), "notefor": to(&[&cleo.uid]),
                "datalen": 9, "notelen": 4, "datahead": 3, "datasum": 7, "notehead": 2, "notesum": 8});
            let sent = ann.link.store(forward, b"notebody!").await?;
            let body = json!({"op": "delivery", "from": ann.uid, "notify": 3, "datahead": 3, "datasum": 7});
            let note =
                json!({"op": "notify", "from": ann.uid, "postid": sent.id, "datahead": 2, "datasum": 8});
            for link in [&mut ben.link, &mut device] {
                let delivery = link.message(body.clone(), b"body!").await?;
                same("id", &delivery.id, &sent.id)?;
                let notify = link.message(note.clone(), b"note").await?;
                if notify.id <= delivery.id {
                    return fault(format!("the note has the id {}, the body {}", notify.id, delivery.id));
                }
            }
            cleo.link.message(note, b"note").await?;
            for link in [&mut ann.link, &mut ben.link, &mut device, &mut cleo.link] {
                link.nothing().await?;
            }
            Ok(())
        }),
        case(
            8,
            "fornotself keeps the body from the sender's other nodes, but not the note",
            |world| async move {
                let [mut ann, mut ben] = world.users().await?;
                let mut device = ann.device(&world).await?;
                let forward = json!({"op": 8, "id": fresh(), "for": to(&[&ben.uid]), "fornotself": true,
                "datalen": 9, "notelen": 4});
                let sent = ann.link.store(forward, b"notebody!").await?;
                let note = json!({"op": "notify", "from": ann.uid, "postid": sent.id});
                device.message(note.clone(), b"note").await?;
                ben.link.message(json!({"op": "delivery", "from": ann.uid, "notify": 1}), b"body!").await?;
                ben.link.message(note, b"note").await?;
                device.nothing().await
            },
        ),
        case(8, "fornotself does not exclude a sender who is named", |world| async move {
            let [mut ann] = world.users().await?;
            let forward = json!({"op": 8, "id": fresh(), "for": to(&[&ann.uid]), "fornotself": true,
                "datalen": 9, "notelen": 4});
            let sent = ann.link.store(forward, b"notebody!").await?;
            ann.link.message(json!({"op": "delivery", "from": ann.uid, "notify": 1}), b"body!").await?;
            ann.link.message(json!({"op": "notify", "from": ann.uid, "postid": sent.id}), b"note").await?;
            ann.link.nothing().await
        }),
        case(8, "notify counts elements, not people", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let forward = json!({"op": 8, "id": fresh(), "for": to(&[&ben.uid, &ben.uid, &ben.uid]),
                "notefor": to(&[&ben.uid, &ann.uid]), "datalen": 9, "notelen": 4});
            let sent = ann.link.store(forward, b"notebody!").await?;
            ben.link.message(json!({"op": "delivery", "from": ann.uid, "notify": 6}), b"body!").await?;
            ben.link.message(json!({"op": "notify", "from": ann.uid, "postid": sent.id}), b"note").await?;
            ben.link.nothing().await
        }),
        case(8, "an empty for sends the body to the sender's other nodes", |world| async move {
            let mut ann = world.user().await?;
            let mut device = ann.device(&world).await?;
            let forward = json!({"op": 8, "id": fresh(), "for": [], "datalen": 9, "notelen": 4});
            let sent = ann.link.store(forward, b"notebody!").await?;
            device.message(json!({"op": "delivery", "from": ann.uid, "notify": 1}), b"body!").await?;
            device.message(json!({"op": "notify", "from": ann.uid, "postid": sent.id}), b"note").await?;
            ann.link.nothing().await
        }),
        case(8, "an unknown recipient of the body: nobody gets anything", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let forward = json!({"op": 8, "id": fresh(), "for": to(&[NOBODY]), "notefor": to(&[&ben.uid]),
                "datalen": 9, "notelen": 4});
            ann.link.refused(forward, b"notebody!", &format!("OpenNodes: iUid {NOBODY} not found")).await?;
            ben.link.nothing().await
        }),
        case(8, "an unknown recipient of the note: nobody gets anything", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let forward = json!({"op": 8, "id": fresh(), "for": to(&[&ben.uid]), "notefor": to(&[NOBODY]),
                "datalen": 9, "notelen": 4});
            ann.link.refused(forward, b"notebody!", &format!("OpenNodes: iUid {NOBODY} not found")).await?;
            ben.link.nothing().await
        })
        .differs(),
        ended("without a body", json!({"for": [], "notelen": 5}), "data too short for request type"),
        ended("with less than the note", json!({"for": [], "notelen": 6}), "data too short for request type"),
        ended(
            "to nobody, without copies,",
            json!({"for": [], "notelen": 1, "fornotself": true}),
            "recipient list empty",
        ),
        ended(
            "to nobody and without a body",
            json!({"for": [], "notelen": 5, "fornotself": true}),
            "data too short for request type",
        ),
        ended(
            "whose datahead exceeds the body",
            json!({"for": [], "notelen": 2, "datahead": 4}),
            "invalid header",
        )
        .differs(),
    ]
}

fn acks() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("U+0000", "pName\u{0}gid_0123456789ab"),
        ("quotes and backslashes", "\"\\\"/'"),
        ("what HTML escapes", "<script>&amp;</script>"),
        ("control characters", "\u{1}\u{8}\t\n\u{c}\r\u{1f}\u{7f}"),
        ("line and paragraph separators", "\u{2028}\u{2029}"),
        ("characters from everywhere", "äßµ 你好 👩‍👩‍👧 \u{10ffff}\u{fffd}"),
        ("a single blank", " "),
    ]
    .into_iter()
    .map(|(what, id)| {
        case(8, format!("an ack repeats the id of its request: {what}"), move |world| async move {
            let mut user = world.user().await?;
            user.link.store(json!({"op": 7, "id": id, "for": []}), b"x").await?;
            // The refused and the edits as well.
            user.link
                .refused(
                    json!({"op": 9, "id": id, "from": "f", "to": "t"}),
                    b"x",
                    "from must identify sender",
                )
                .await?;
            user.link.edit(json!({"op": 3, "id": id, "newalias": user.alias})).await
        })
    })
    .collect();
    cases.extend([
        case(8, "an ack repeats an id of 10,000 octets", |world| async move {
            let mut user = world.user().await?;
            user.link.store(json!({"op": 7, "id": "long ".repeat(2000), "for": []}), b"x").await.map(|_| ())
        }),
        case(
            8,
            "a request that is repeated gets the same ack, and is not carried out again",
            |world| async move {
                let [mut ann, mut ben] = world.users().await?;
                let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid])});
                let first = ann.link.store(post.clone(), b"hello").await?;
                let second = ann.link.store(post, b"hello").await?;
                same("the second ack", second, first)?;
                ben.link.message(ann.delivery(), b"hello").await?;
                ben.link.nothing().await
            },
        )
        .differs(),
        case(8, "a request that is repeated on another link gets the same ack", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid])});
            let first = ann.link.store(post.clone(), b"hello").await?;
            let expected = ann.delivery();
            ann.link.close().await;
            let (mut again, _) = world.login_again(&ann.uid, &ann.node, true).await?;
            let second = again.store(post, b"hello").await?;
            same("the second ack", second, first)?;
            ben.link.message(expected, b"hello").await?;
            ben.link.nothing().await
        })
        .differs(),
        case(8, "other data under the same id is another request", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let post = json!({"op": 7, "id": fresh(), "for": to(&[&ben.uid])});
            let first = ann.link.store(post.clone(), b"hello").await?;
            let second = ann.link.store(post, b"HELLO").await?;
            if first.id == second.id {
                return fault("both got one message id");
            }
            ben.link.message(ann.delivery(), b"hello").await?;
            ben.link.message(ann.delivery(), b"HELLO").await.map(|_| ())
        }),
        case(8, "a request that was refused is tried anew", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let alias = world.name("Late");
            let ping = json!({"op": 9, "id": fresh(), "from": ann.alias, "to": alias});
            ann.link.refused(ping.clone(), b"hello", &format!("Lookup: iAlias {alias} not found")).await?;
            ben.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
            ben.link.next_message().await?;
            ann.link.store(ping, b"hello").await?;
            let expected = json!({"op": "ping", "from": ann.uid, "alias": ann.alias, "to": alias});
            ben.link.message(expected, b"hello").await.map(|_| ())
        }),
        case(8, "requests of all kinds are acked in their order", |world| async move {
            let mut user = world.user().await?;
            for round in 0..10 {
                user.link.send(json!({"op": 7, "id": format!("a{round}"), "for": []}), b"x").await;
                user.link.send(json!({"op": 3, "id": format!("b{round}"), "newalias": "short"}), b"").await;
                user.link.send(json!({"op": 11}), b"").await;
                user.link
                    .send(json!({"op": 9, "id": format!("c{round}"), "from": "f", "to": "t"}), b"")
                    .await;
                user.link.send(json!({"op": 10, "id": "no message", "type": "ok"}), b"").await;
                user.link
                    .send(json!({"op": 6, "id": format!("d{round}"), "act": "join", "gid": "no group"}), b"")
                    .await;
            }
            for round in 0..10 {
                for kind in ["a", "b", "c", "d"] {
                    let ack = user.link.next_ack().await?;
                    same("id", &ack["id"], &json!(format!("{kind}{round}")))?;
                    if kind == "a" {
                        receipt(&ack)?;
                    } else {
                        matches(&json!({"op": "ack", "id": "*", "error": "*"}), &ack)?;
                    }
                }
            }
            Ok(())
        }),
        case(8, "an Ack is not answered, whatever it says", |world| async move {
            let mut user = world.user().await?;
            for id in ["", "0", "0000000000000000", "no id at all", "ffffffffffffffff"] {
                let id = if id.is_empty() { "x".repeat(60_000) } else { id.to_owned() };
                user.link.send(json!({"op": 10, "id": id, "type": "anything"}), b"").await;
            }
            user.link.nothing().await
        }),
        case(8, "an Ack may be of any type", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ben.link.acking = false;
            ann.post(&ben.uid, b"hello").await?;
            let message = ben.link.message(ann.delivery(), b"hello").await?;
            ben.link.send(json!({"op": 10, "id": message.id, "type": "stored"}), b"").await;
            ben.link.send(json!({"op": 12}), b"").await;
            ben.link.quits("logout ok").await?;
            let mut link = world.login(&ben.uid, &ben.node, ben.here()).await?;
            link.message(json!({"op": "login", "from": ben.uid, "node": "tbd"}), b"").await.map(|_| ())
        }),
        case(8, "an Ack in upper case is of nothing", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ben.link.acking = false;
            // An id without letters looks the same in both.
            let message = loop {
                ann.post(&ben.uid, b"hello").await?;
                let message = ben.link.message(ann.delivery(), b"hello").await?;
                if message.id.bytes().any(|digit| digit.is_ascii_lowercase()) {
                    break message;
                }
                ben.link.ack(&message.id).await;
            };
            ben.link.send(json!({"op": 10, "id": message.id.to_uppercase(), "type": "ok"}), b"").await;
            ben.link.send(json!({"op": 12}), b"").await;
            ben.link.quits("logout ok").await?;
            let mut link = world.login(&ben.uid, &ben.node, ben.here()).await?;
            let again = link.message(ann.delivery(), b"hello").await?;
            same("id", again.id, message.id)
        }),
        case(8, "a Pulse does nothing", |world| async move {
            let mut user = world.user().await?;
            for _ in 0..20 {
                user.link.send(json!({"op": 11}), b"").await;
            }
            user.link.nothing().await
        }),
    ]);
    cases
}
