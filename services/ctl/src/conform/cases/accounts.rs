//! Section 8: TmtpRev, Register, Login, UserEdit.

use serde_json::{Value, json};

use super::{Case, case};
use crate::conform::link::{Link, Result, fault, fresh, matches, same};
use crate::conform::world::{User, World};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = registering();
    cases.extend(logging_in());
    cases.extend(editing());
    cases
}

/// Greets, registers, and gives `registered`.
async fn register(world: &World, alias: &str) -> Result<(Link, Value)> {
    let mut link = world.greeted().await?;
    link.send(json!({"op": 1, "newnode": "conform", "newalias": alias}), b"").await;
    let registered = link.answer("registered").await?;
    let info = link.answer("info").await?;
    same("info of a new user", Value::Object(info), json!({"op": "info", "info": "login ok"}))?;
    link.uid = registered.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((link, Value::Object(registered)))
}

/// A registration whose alias is refused with this text makes a user all the same.
async fn nameless(world: &World, alias: &str, text: &str) -> Result {
    let (mut link, registered) = register(world, alias).await?;
    let expected = json!({"op": "registered", "uid": "*", "nodeid": "*", "error": text});
    matches(&expected, &registered)?;
    link.nothing().await
}

fn registering() -> Vec<Case> {
    let mut cases: Vec<Case> = ["1", "0", "999", "one \u{0}"]
        .into_iter()
        .map(|revision| {
            case(8, format!("TmtpRev {revision:?} is answered with revision 1"), move |world| async move {
                let mut link = world.link().await?;
                link.send(json!({"op": 0, "id": revision}), b"").await;
                let answer = link.answer("tmtprev").await?;
                same("id", answer.get("id"), Some(&json!("1")))
            })
            .anonymous()
        })
        .collect();
    cases.extend([
        case(8, "Register makes a user, logs it in, and posts nothing", |world| async move {
            let (mut link, registered) = register(&world, &world.name("Person")).await?;
            matches(&json!({"op": "registered", "uid": "*", "nodeid": "*"}), &registered)?;
            link.nothing().await
        }),
        case(8, "Register with _ makes a user without alias", |world| async move {
            let (mut link, registered) = register(&world, "_").await?;
            matches(&json!({"op": "registered", "uid": "*", "nodeid": "*"}), &registered)?;
            link.nothing().await
        }),
        case(8, "Register with an alias that is too short tells so, and makes a user", |world| async move {
            nameless(&world, "seven77", "newalias must be 8+ characters").await
        }),
        case(8, "Register with an alias of odd characters tells so, and makes a user", |world| async move {
            nameless(&world, "odd\u{200b}name", "AddAlias: invalid string 'odd\u{200b}name'").await
        }),
        case(8, "Register with somebody's alias tells so, and makes a user", |world| async move {
            let user = world.user().await?;
            nameless(&world, &user.alias, &format!("AddAlias: alias {} already taken", user.alias)).await
        }),
        case(8, "of eight registrations with one alias one gets it", |world| async move {
            let alias = world.name("Wanted");
            let mut registering = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let (world, alias) = (world.clone(), alias.clone());
                registering
                    .spawn(async move { register(&world, &alias).await.map(|(_, registered)| registered) });
            }
            let mut winners = 0;
            for registered in registering.join_all().await {
                match registered?.get("error") {
                    None => winners += 1,
                    Some(text) => {
                        same("error", text, &json!(format!("AddAlias: alias {alias} already taken")))?;
                    }
                }
            }
            same("winners", winners, 1)
        }),
    ]);
    cases
}

fn logging_in() -> Vec<Case> {
    const NOBODY: &str = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
    const NOTHING: &str = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
    let refused = |name: &str, uid: &'static str, node: &'static str, text: &'static str| {
        case(8, format!("Login with {name} is refused"), move |world| async move {
            let user = world.user().await?;
            let (uid, node) = (uid.replace("UID", &user.uid), node.replace("NODE", &user.node));
            world.knock(&uid, &node, user.here()).await?.quits(text).await
        })
    };
    vec![
        refused("a node id that is not base32", "UID", "not a node id at all!", "corrupt base32 value"),
        refused("a node id of an impossible length", "UID", "ZZZZZZZZZ", "corrupt base32 value"),
        refused("a node id in lower case", "UID", "zzzzzzzz", "corrupt base32 value"),
        refused("a bad node id and an unknown uid", NOBODY, "!", "corrupt base32 value"),
        refused("an unknown node id", "UID", NOTHING, "login failed"),
        refused("a short but well-formed node id", "UID", "ZZZZZZZZ", "login failed"),
        refused("an unknown uid", NOBODY, "NODE", "login failed"),
        refused("a malformed uid", "../../etc/passwd", "NODE", "login failed"),
        refused("a uid and something behind it", "UID ", "NODE", "login failed"),
        case(8, "Login with another user's node is refused", |world| async move {
            let [ann, ben] = world.users().await?;
            world.knock(&ann.uid, &ben.node, false).await?.quits("login failed").await
        }),
        case(8, "line ends in a node id are skipped", |world| async move {
            let mut user = world.user().await?;
            user.link.send(json!({"op": 12}), b"").await;
            user.link.quits("logout ok").await?;
            let (left, right) = user.node.split_at(7);
            let mut link = world.login(&user.uid, &format!("{left}\r\n{right}\n"), user.here()).await?;
            link.message(json!({"op": "login", "from": user.uid, "node": "tbd"}), b"").await.map(|_| ())
        }),
        case(8, "a login is told to all nodes of the user", |world| async move {
            let mut user = world.user().await?;
            let node = user.new_node().await?;
            let mut device = world.login(&user.uid, &node, user.elsewhere()).await?;
            device.next_message().await?;
            let notice = json!({"op": "login", "from": user.uid, "node": "tbd"});
            let there = device.message(notice.clone(), b"").await?;
            let here = user.link.message(notice, b"").await?;
            same("id", here.id, there.id)
        }),
        case(8, "a login is told behind what waits already", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ben.link.send(json!({"op": 12}), b"").await;
            ben.link.quits("logout ok").await?;
            ann.post(&ben.uid, b"waits").await?;
            let mut link = world.login(&ben.uid, &ben.node, ben.elsewhere()).await?;
            link.message(ann.delivery(), b"waits").await?;
            link.message(json!({"op": "login", "from": ben.uid, "node": "tbd"}), b"").await?;
            link.nothing().await
        }),
    ]
}

/// What all nodes are told of a new alias.
fn alias_message(user: &User, alias: &str) -> Value {
    json!({"op": "user", "from": user.uid, "newalias": alias})
}

fn editing() -> Vec<Case> {
    vec![
        case(8, "a new alias is told to all nodes", |world| async move {
            let mut user = world.user().await?;
            let mut device = user.device(&world).await?;
            let alias = world.name("Second");
            user.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
            user.link.message(alias_message(&user, &alias), b"").await?;
            device.message(alias_message(&user, &alias), b"").await.map(|_| ())
        }),
        case(8, "to ask for an alias that one has is a success", |world| async move {
            let mut user = world.user().await?;
            let alias = user.alias.clone();
            user.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await
        }),
        case(8, "a refused alias is told to nobody", |world| async move {
            let [ann, mut ben] = world.users().await?;
            let text = format!("AddAlias: alias {} already taken", ann.alias);
            ben.link.refused(json!({"op": 3, "id": fresh(), "newalias": ann.alias}), b"", &text).await?;
            ben.link.nothing().await
        }),
        case(8, "_ is no alias for UserEdit", |world| async move {
            let mut user = world.user().await?;
            let edit = json!({"op": 3, "id": fresh(), "newalias": "_"});
            user.link.refused(edit, b"", "newalias must be 8+ characters").await
        }),
        case(8, "a new node is told to all nodes, the new one included", |world| async move {
            let mut user = world.user().await?;
            let node = user.new_node().await?;
            let mut device = world.login(&user.uid, &node, user.elsewhere()).await?;
            let told = json!({"op": "user", "from": user.uid, "newnode": "another", "nodeid": node});
            device.message(told, b"").await?;
            device.message(json!({"op": "login", "from": user.uid, "node": "tbd"}), b"").await?;
            device.nothing().await
        }),
        case(8, "a node's label may be any text", |world| async move {
            let mut user = world.user().await?;
            let label = "\u{0}<b>&amp;</b> \"\\\u{7f}\u{8}\u{2028}😀";
            user.link.edit(json!({"op": 3, "id": fresh(), "newnode": label})).await?;
            let told = json!({"op": "user", "from": user.uid, "newnode": label, "nodeid": "*"});
            user.link.message(told, b"").await.map(|_| ())
        }),
        case(8, "a new node gets what the asking node is still owed", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            ann.post(&ben.uid, b"read").await?;
            ben.link.message(ann.delivery(), b"read").await?;
            ben.link.nothing().await?;
            ben.link.acking = false;
            ann.post(&ben.uid, b"unread").await?;
            let unread = ben.link.message(ann.delivery(), b"unread").await?;
            let node = ben.new_node().await?;
            let mut device = world.login(&ben.uid, &node, ben.elsewhere()).await?;
            same("op of the first message", &device.next_message().await?.core["op"], &json!("user"))?;
            let copied = device.message(ann.delivery(), b"unread").await?;
            same("id", copied.id, unread.id)?;
            device.message(json!({"op": "login", "from": ben.uid, "node": "tbd"}), b"").await?;
            device.nothing().await
        }),
        case(8, "a user has 100 nodes at most", |world| async move {
            let mut user = world.user().await?;
            for number in 1..100 {
                user.link.edit(json!({"op": 3, "id": fresh(), "newnode": format!("node {number}")})).await?;
            }
            let edit = json!({"op": 3, "id": fresh(), "newnode": "one too many"});
            user.link.refused(edit, b"", "AddNode: Exceeds 100 nodes").await
        }),
        case(8, "a node that is forgotten is not made twice by a repeated request", |world| async move {
            let mut user = world.user().await?;
            let edit = json!({"op": 3, "id": fresh(), "newnode": "another"});
            let told = json!({"op": "user", "from": user.uid, "newnode": "another", "nodeid": "*"});
            user.link.edit(edit.clone()).await?;
            user.link.message(told, b"").await?;
            user.link.edit(edit).await?;
            match user.link.nothing().await {
                Ok(()) => Ok(()),
                Err(why) => fault(format!("a second node was made: {why}")),
            }
        })
        .differs(),
    ]
}
