//! Section 10: order, redelivery, causality.
#![expect(clippy::too_many_lines, reason = "a list of cases, each of them short")]

use std::time::Duration;

use serde_json::json;

use super::{Case, case};
use crate::conform::link::{fault, fresh, same};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = waiting();
    cases.extend(order());
    cases
}

fn waiting() -> Vec<Case> {
    vec![
        case(10, "messages wait for a node that is offline, in their order", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ben.link.send(json!({"op": 12}), b"").await;
            ben.link.quits("logout ok").await?;
            for number in 0..50 {
                ann.post(&ben.uid, format!("message {number}").as_bytes()).await?;
            }
            let mut link = world.login(&ben.uid, &ben.node, ben.elsewhere()).await?;
            for number in 0..50 {
                link.message(ann.delivery(), format!("message {number}").as_bytes()).await?;
            }
            link.message(json!({"op": "login", "from": ben.uid, "node": "tbd"}), b"").await?;
            link.nothing().await
        }),
        case(10, "what was not acked is sent again at the next login, unchanged", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ben.link.acking = false;
            ann.post(&ben.uid, b"hello").await?;
            let first = ben.link.message(ann.delivery(), b"hello").await?;
            for _ in 0..3 {
                ben.link.send(json!({"op": 12}), b"").await;
                ben.link.quits("logout ok").await?;
                ben.link = world.knock(&ben.uid, &ben.node, ben.elsewhere()).await?;
                ben.link.acking = false;
                ben.link.answer("info").await?;
                let again = ben.link.message(ann.delivery(), b"hello").await?;
                same("header", again.raw, first.raw.clone())?;
            }
            Ok(())
        }),
        case(10, "what was acked is never sent again", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            for round in 0..5 {
                ann.post(&ben.uid, b"hello").await?;
                ben.link.message(ann.delivery(), b"hello").await?;
                ben.link.send(json!({"op": 12}), b"").await;
                ben.link.quits("logout ok").await?;
                ben.link = world.login(&ben.uid, &ben.node, round % 2 == 0).await?;
                ben.link.message(json!({"op": "login", "from": ben.uid, "node": "tbd"}), b"").await?;
            }
            ben.link.nothing().await
        }),
        case(10, "an ack at one node changes nothing at another", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let mut device = ben.device(&world).await?;
            device.acking = false;
            ann.post(&ben.uid, b"hello").await?;
            let message = ben.link.message(ann.delivery(), b"hello").await?;
            device.message(ann.delivery(), b"hello").await?;
            ben.link.nothing().await?;
            // It acks the other's copy once more, which changes nothing, either.
            ben.link.ack(&message.id).await;
            ben.link.nothing().await?;
            device.ack(&message.id).await;
            device.nothing().await
        }),
        case(10, "a user message goes before what waits", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let node = ben.new_node().await?;
            for text in [b"one", b"two"] {
                ann.post(&ben.uid, text).await?;
                ben.link.message(ann.delivery(), text).await?;
            }
            let alias = world.name("Second");
            ben.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
            let mut device = world.login(&ben.uid, &node, ben.elsewhere()).await?;
            device
                .message(json!({"op": "user", "from": ben.uid, "newnode": "another", "nodeid": node}), b"")
                .await?;
            device.message(json!({"op": "user", "from": ben.uid, "newalias": alias}), b"").await?;
            device.message(ann.delivery(), b"one").await?;
            device.message(ann.delivery(), b"two").await?;
            device.message(json!({"op": "login", "from": ben.uid, "node": "tbd"}), b"").await.map(|_| ())
        }),
        case(10, "a message of 300 KiB waits, too", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ben.link.send(json!({"op": 12}), b"").await;
            ben.link.quits("logout ok").await?;
            let data = b"0123456789abcdef".repeat(19_200);
            ann.post(&ben.uid, &data).await?;
            let mut link = world.login(&ben.uid, &ben.node, ben.elsewhere()).await?;
            link.message(ann.delivery(), &data).await.map(|_| ())
        }),
        case(
            10,
            "what is not acked for 30 seconds is sent again on the same link, unchanged",
            |world| async move {
                let [mut ann, mut ben] = world.users().await?;
                ben.link.acking = false;
                ann.post(&ben.uid, b"hello").await?;
                let first = ben.link.message(ann.delivery(), b"hello").await?;
                let began = tokio::time::Instant::now();
                // That other things go on does not put it off.
                for _ in 0..2 {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    ben.post(&ann.uid, b"meanwhile").await?;
                }
                ben.link.patience = Duration::from_secs(40);
                let again = ben.link.message(ann.delivery(), b"hello").await?;
                same("header", again.raw, first.raw)?;
                let waited = began.elapsed().as_secs_f32();
                if waited < 25.0 {
                    return fault(format!("it came again after {waited:.1} s"));
                }
                ben.link.ack(&first.id).await;
                ben.link.nothing().await.map(|()| format!("again after {waited:.1} s"))
            },
        )
        .slow(),
    ]
}

fn order() -> Vec<Case> {
    vec![
        case(10, "pipelined messages of one sender arrive in the order sent", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            for number in 0..60 {
                let recipients = json!([{"id": ben.uid, "type": 1}]);
                let data = format!("message {number}");
                ann.link.send(json!({"op": 7, "id": fresh(), "for": recipients}), data.as_bytes()).await;
            }
            for number in 0..60 {
                ben.link.message(ann.delivery(), format!("message {number}").as_bytes()).await?;
            }
            Ok(())
        }),
        case(10, "the ack of a post comes before the answers to it", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let recipients = json!([{"id": ben.uid, "type": 1}]);
            for round in 0..30 {
                ann.link.send(json!({"op": 7, "id": fresh(), "for": recipients}), b"question").await;
                ben.link.message(ann.delivery(), b"question").await?;
                ben.post(&ann.uid, b"answer").await?;
                let answer = ann.link.message(ben.delivery(), b"answer").await?;
                ann.link.next_ack().await?;
                if ann.link.ack_place > answer.place {
                    return fault(format!("in round {round} the answer came before the ack"));
                }
            }
            Ok(())
        }),
        case(10, "an answer does not overtake what it answers at a third user", |world| async move {
            let [mut ann, mut ben, mut cleo] = world.users().await?;
            let list = json!([{"id": cleo.uid, "type": 1}, {"id": ben.uid, "type": 1}]);
            for _ in 0..30 {
                ann.link.send(json!({"op": 7, "id": fresh(), "for": list}), b"question").await;
                ben.link.message(ann.delivery(), b"question").await?;
                ben.post(&cleo.uid, b"answer").await?;
                cleo.link.message(ann.delivery(), b"question").await?;
                cleo.link.message(ben.delivery(), b"answer").await?;
                ann.link.next_ack().await?;
            }
            Ok(())
        }),
        case(10, "ids of different senders ascend as requests are taken up", |world| async move {
            let mut users = world.users::<3>().await?;
            let mut last = String::new();
            for round in 0..30 {
                let user = &mut users[round % 3];
                let uid = user.uid.clone();
                let sent = user.post(&uid, b"x").await?;
                if sent.id <= last {
                    return fault(format!("id {} behind {last}", sent.id));
                }
                last = sent.id;
            }
            Ok(())
        }),
    ]
}
