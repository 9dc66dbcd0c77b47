//! Section 11: presence.

use serde_json::{Value, json};

use super::{Case, case};
use crate::conform::link::{Link, Result, fault, fresh, same};
use crate::conform::world::World;

const ON: u64 = 1;
const OFF: u64 = 2;

fn edit(kind: &str, uids: &[&str]) -> Value {
    let list: Value = uids.iter().map(|uid| json!({"id": uid, "type": 1})).collect();
    json!({"op": 4, "id": fresh(), "for": list, "type": kind})
}

/// The `ohiedit` message of an edit.
fn told(link: &Link, kind: &str, uids: &[&str]) -> Value {
    let list: Value = uids.iter().map(|uid| json!({"Id": uid, "Type": 1})).collect();
    json!({"op": "ohiedit", "from": link.uid, "for": list, "type": kind})
}

/// Logs out, logs in at the other address, and gives who is online then.
async fn online(world: &World, user: &mut crate::conform::world::User) -> Result<Vec<String>> {
    user.link.send(json!({"op": 12}), b"").await;
    user.link.quits("logout ok").await?;
    user.link = world.knock(&user.uid, &user.node, user.elsewhere()).await?;
    let info = user.link.answer("info").await?;
    user.link.message(json!({"op": "login", "from": user.uid, "node": "tbd"}), b"").await?;
    let list = info.get("ohi").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut list: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    list.sort_unstable();
    Ok(list)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = editing();
    cases.extend(ending());
    cases
}

fn editing() -> Vec<Case> {
    vec![
        case(11, "init shows presence, and posts nothing", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            ann.link.nothing().await?;
            ben.link.nothing().await
        }),
        case(11, "add and drop show and hide presence, and tell one's own nodes", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let mut device = ann.device(&world).await?;
            for (kind, status) in [("add", ON), ("drop", OFF), ("add", ON)] {
                ann.link.edit(edit(kind, &[&ben.uid])).await?;
                ben.link.notice(&ann.uid, status).await?;
                let told = told(&ann.link, kind, &[&ben.uid]);
                ann.link.message(told.clone(), b"").await?;
                device.message(told, b"").await?;
            }
            ben.link.nothing().await
        }),
        case(11, "a notice goes to all nodes of the other", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let mut device = ben.device(&world).await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            device.notice(&ann.uid, ON).await
        }),
        case(11, "what changes nothing tells nobody", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.link.edit(edit("drop", &[&ben.uid])).await?;
            ben.link.nothing().await?;
            ann.link.edit(edit("add", &[&ben.uid, &ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ann.link.edit(edit("add", &[&ben.uid])).await?;
            ben.link.nothing().await
        }),
        case(11, "init adds to what is there", |world| async move {
            let [mut ann, mut ben, mut cleo] = world.users().await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ann.link.edit(edit("init", &[&cleo.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            cleo.link.notice(&ann.uid, ON).await?;
            ben.link.nothing().await
        }),
        case(11, "presence goes one way", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            same("ohi of the one who shows", online(&world, &mut ann).await?, vec![])?;
            ben.link.notice(&ann.uid, OFF).await
        }),
        case(11, "one may name oneself", |world| async move {
            let mut ann = world.user().await?;
            let uid = ann.uid.clone();
            ann.link.edit(edit("init", &[&uid])).await?;
            ann.link.notice(&uid, ON).await
        }),
        case(11, "an unknown user in the list: nothing happens", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let nobody = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
            for kind in ["init", "add", "drop"] {
                let text = format!("OpenNodes: iUid {nobody} not found");
                ann.link.refused(edit(kind, &[&ben.uid, nobody]), b"", &text).await?;
                let text = "fetchUser: invalid string 'no/body'";
                ann.link.refused(edit(kind, &[&ben.uid, "no/body"]), b"", text).await?;
            }
            ann.link.nothing().await?;
            ben.link.nothing().await
        }),
        case(11, "types of an OhiEdit are passed on and mean nothing", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let list = json!([{"id": ben.uid}, {"id": ben.uid, "type": -128}, {"id": ben.uid, "type": 3}]);
            ann.link.edit(json!({"op": 4, "id": fresh(), "for": list, "type": "add"})).await?;
            let uid = &ben.uid;
            let list = json!([{"Id": uid, "Type": 0}, {"Id": uid, "Type": -128}, {"Id": uid, "Type": 3}]);
            let told = json!({"op": "ohiedit", "from": ann.uid, "for": list, "type": "add"});
            ann.link.message(told, b"").await?;
            ben.link.notice(&ann.uid, ON).await
        }),
        case(11, "an ohiedit waits for nodes that are offline", |world| async move {
            let [mut ann, ben] = world.users().await?;
            let node = ann.new_node().await?;
            ann.link.edit(edit("add", &[&ben.uid])).await?;
            let mut device = world.login(&ann.uid, &node, ann.elsewhere()).await?;
            device.next_message().await?;
            let told = told(&ann.link, "add", &[&ben.uid]);
            device.message(told, b"").await.map(|_| ())
        }),
    ]
}

fn ending() -> Vec<Case> {
    vec![
        case(11, "info names who shows presence", |world| async move {
            let [mut ann, mut ben, mut cleo] = world.users().await?;
            same("ohi at first", online(&world, &mut cleo).await?, vec![])?;
            ann.link.edit(edit("init", &[&cleo.uid])).await?;
            ben.link.edit(edit("init", &[&cleo.uid])).await?;
            let mut both = vec![ann.uid.clone(), ben.uid.clone()];
            both.sort_unstable();
            same("ohi of both", online(&world, &mut cleo).await?, both)?;
            ann.link.edit(edit("drop", &[&cleo.uid])).await?;
            cleo.link.notice(&ann.uid, OFF).await?;
            same("ohi of one", online(&world, &mut cleo).await?, vec![ben.uid.clone()])
        }),
        case(11, "a quit hides presence", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            ann.link.send(json!({"op": 12}), b"").await;
            ben.link.notice(&ann.uid, OFF).await?;
            same("ohi", online(&world, &mut ben).await?, vec![])
        }),
        case(11, "a link that is lost hides presence", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            let uid = ann.uid.clone();
            drop(ann);
            ben.link.notice(&uid, OFF).await
        }),
        case(11, "a protocol error hides presence", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            ann.link.send_text(r#"{"op":13}"#, b"").await;
            ben.link.notice(&ann.uid, OFF).await
        }),
        case(11, "who logs in again shows presence to nobody at first", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            online(&world, &mut ann).await?;
            ben.link.notice(&ann.uid, OFF).await?;
            same("ohi", online(&world, &mut ben).await?, vec![])?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await
        }),
        case(
            11,
            "the set is one for all nodes, and lives as long as one that has edited it",
            |world| async move {
                let [mut ann, mut ben, mut cleo] = world.users().await?;
                let mut device = ann.device(&world).await?;
                ann.link.edit(edit("init", &[&ben.uid])).await?;
                ben.link.notice(&ann.uid, ON).await?;
                // Takes out what the other node has put in, and adds another.
                device.edit(edit("init", &[&cleo.uid])).await?;
                cleo.link.notice(&ann.uid, ON).await?;
                ann.link.send(json!({"op": 12}), b"").await;
                ann.link.quits("logout ok").await?;
                if ben.link.spare_notices() > 0 {
                    return fault("the first node's end hid what another still holds up");
                }
                ben.link.nothing().await?;
                device.send(json!({"op": 12}), b"").await;
                ben.link.notice(&ann.uid, OFF).await?;
                cleo.link.notice(&ann.uid, OFF).await
            },
        ),
        case(11, "a link that never sent an OhiEdit holds nothing up", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let _device = ann.device(&world).await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ben.link.notice(&ann.uid, ON).await?;
            ann.link.send(json!({"op": 12}), b"").await;
            ben.link.notice(&ann.uid, OFF).await
        }),
        case(11, "who is offline is told nothing later", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ben.link.send(json!({"op": 12}), b"").await;
            ben.link.quits("logout ok").await?;
            ann.link.edit(edit("init", &[&ben.uid])).await?;
            ann.link.edit(edit("drop", &[&ben.uid])).await?;
            ben.link = world.knock(&ben.uid, &ben.node, ben.elsewhere()).await?;
            let info = ben.link.answer("info").await?;
            same("info", Value::Object(info), json!({"op": "info", "info": "login ok"}))?;
            ben.link.message(json!({"op": "login", "from": ben.uid, "node": "tbd"}), b"").await?;
            ben.link.nothing().await
        }),
    ]
}
