//! Section 5: which operations a link allows when, and that a node has one link.

use serde_json::json;

use super::{Case, case};
use crate::conform::link::{End, describe, fault};

/// One well-formed request of each operation.
const REQUESTS: [(&str, &str, &[u8]); 13] = [
    ("TmtpRev", r#"{"op":0,"id":"1"}"#, b""),
    ("Register", r#"{"op":1,"newnode":"n","newalias":"_"}"#, b""),
    ("Login", r#"{"op":2,"uid":"U","node":"N"}"#, b""),
    ("UserEdit", r#"{"op":3,"id":"i","newnode":"n"}"#, b""),
    ("OhiEdit", r#"{"op":4,"id":"i","for":[{"id":"V"}],"type":"init"}"#, b""),
    ("GroupInvite", r#"{"op":5,"id":"i","gid":"g","from":"f","to":"t","datalen":1}"#, b"x"),
    ("GroupEdit", r#"{"op":6,"id":"i","gid":"g","act":"join"}"#, b""),
    ("Post", r#"{"op":7,"id":"i","for":[],"datalen":1}"#, b"x"),
    ("PostNotify", r#"{"op":8,"id":"i","for":[],"datalen":2,"notelen":1}"#, b"xy"),
    ("Ping", r#"{"op":9,"id":"i","from":"f","to":"t","datalen":1}"#, b"x"),
    ("Ack", r#"{"op":10,"id":"i","type":"ok"}"#, b""),
    ("Pulse", r#"{"op":11}"#, b""),
    ("Quit", r#"{"op":12}"#, b""),
];

pub(super) fn cases() -> Vec<Case> {
    let new = REQUESTS.iter().skip(1).map(|&(name, header, data)| {
        case(5, format!("{name} on a new link ends it silently"), move |world| async move {
            let mut link = world.link().await?;
            link.send_text(header, data).await;
            link.ends_silently().await
        })
        .anonymous()
    });
    let greeted = REQUESTS.iter().filter(|(name, ..)| !matches!(*name, "Register" | "Login"));
    let greeted = greeted.map(|&(name, header, data)| {
        case(5, format!("{name} on a greeted link is refused"), move |world| async move {
            let mut link = world.greeted().await?;
            link.send_text(header, data).await;
            link.quits(match name {
                "TmtpRev" => "disallowed op repetition",
                _ => "disallowed op on unauthenticated link",
            })
            .await
        })
        .anonymous()
    });
    let logged_in = REQUESTS.iter().take(3).map(|&(name, header, data)| {
        case(5, format!("{name} on a link that is logged in is refused"), move |world| async move {
            let mut user = world.user().await?;
            user.link.send_text(header, data).await;
            user.link
                .quits(if name == "TmtpRev" {
                    "disallowed op repetition"
                } else {
                    "disallowed op on connected link"
                })
                .await
        })
    });
    new.chain(greeted).chain(logged_in).chain(nodes()).collect()
}

fn nodes() -> Vec<Case> {
    vec![
        case(5, "a second login at a node is refused, and the first link goes on", |world| async move {
            let mut user = world.user().await?;
            let mut other = world.knock(&user.uid, &user.node, user.elsewhere()).await?;
            let seen = other.quits("node already connected").await?;
            user.link.nothing().await.map(|()| seen)
        }),
        case(5, "two nodes of a user are online together", |world| async move {
            let mut user = world.user().await?;
            let mut device = user.device(&world).await?;
            device.nothing().await?;
            user.link.nothing().await
        }),
        case(5, "of eight logins at once one wins", |world| async move {
            let mut user = world.user().await?;
            user.link.send(json!({"op": 12}), b"").await;
            user.link.quits("logout ok").await?;
            let mut knocking = tokio::task::JoinSet::new();
            for number in 0..8 {
                let (world, uid, node) = (world.clone(), user.uid.clone(), user.node.clone());
                knocking.spawn(async move {
                    let mut link = world.knock(&uid, &node, number % 2 == 1).await?;
                    Ok(match link.answer("info").await {
                        Ok(_) => Ok(link),
                        Err(_) => Err(link.end_within(world.patience).await?),
                    })
                });
            }
            let mut winners = Vec::new();
            for result in knocking.join_all().await {
                match result? {
                    Ok(link) => winners.push(link),
                    Err(End::Quit(text)) if text == "node already connected" => {}
                    Err(end) => {
                        return fault(format!(
                            "expected quit: node already connected, got {}",
                            describe(&end)
                        ));
                    }
                }
            }
            match winners.len() {
                1 => Ok(()),
                winners => fault(format!("expected one login, got {winners}")),
            }
        }),
    ]
}
