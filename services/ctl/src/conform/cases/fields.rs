//! Section 4: the checks that are made on every header, before the state of the link counts, and those that come with the
//! operation.

use serde_json::json;

use super::{Case, case};
use crate::conform::link::fresh;

pub(super) fn cases() -> Vec<Case> {
    let bad = [
        ("op 13", r#"{"op":13,"id":"1"}"#),
        ("a negative datalen", r#"{"op":9,"id":"i","from":"f","to":"t","datalen":-1}"#),
        ("datahead beyond datalen", r#"{"op":9,"id":"i","from":"f","to":"t","datalen":1,"datahead":2}"#),
        ("a negative datahead", r#"{"op":9,"id":"i","from":"f","to":"t","datalen":1,"datahead":-1}"#),
        ("datahead without datalen", r#"{"op":11,"datahead":1}"#),
        ("notehead beyond notelen", r#"{"op":8,"id":"i","for":[],"datalen":9,"notelen":1,"notehead":2}"#),
        ("a negative notelen", r#"{"op":8,"id":"i","for":[],"datalen":9,"notelen":-1}"#),
        ("datalen with TmtpRev", r#"{"op":0,"id":"1","datalen":1}"#),
        ("datalen with Register", r#"{"op":1,"newnode":"n","newalias":"_","datalen":1}"#),
        ("datalen with Login", r#"{"op":2,"uid":"U","node":"N","datalen":1}"#),
        ("datalen with UserEdit", r#"{"op":3,"id":"i","newnode":"n","datalen":1}"#),
        ("datalen with OhiEdit", r#"{"op":4,"id":"i","for":[{"id":"U"}],"type":"add","datalen":1}"#),
        ("datalen with GroupEdit", r#"{"op":6,"id":"i","act":"join","gid":"g","datalen":1}"#),
        ("datalen with Ack", r#"{"op":10,"id":"i","type":"ok","datalen":1}"#),
        ("datalen with Pulse", r#"{"op":11,"datalen":1}"#),
        ("datalen with Quit", r#"{"op":12,"datalen":1}"#),
        ("Post without data", r#"{"op":7,"id":"i","for":[],"datalen":0}"#),
        ("PostNotify without data", r#"{"op":8,"id":"i","for":[],"notelen":1}"#),
        ("PostNotify without a note", r#"{"op":8,"id":"i","for":[],"datalen":1}"#),
        ("notelen with Post", r#"{"op":7,"id":"i","for":[],"datalen":2,"notelen":1}"#),
        ("notelen with Ping", r#"{"op":9,"id":"i","from":"f","to":"t","notelen":1}"#),
        ("TmtpRev without id", r#"{"op":0}  "#),
        ("TmtpRev with an empty id", r#"{"op":0,"id":""}"#),
        ("Register without newnode", r#"{"op":1,"newalias":"_"}"#),
        ("Register without newalias", r#"{"op":1,"newnode":"n"}"#),
        ("Login without uid", r#"{"op":2,"node":"N"}"#),
        ("Login without node", r#"{"op":2,"uid":"U"}"#),
        ("UserEdit without id", r#"{"op":3,"newalias":"a"}"#),
        ("OhiEdit without id", r#"{"op":4,"for":[{"id":"V"}],"type":"add"}"#),
        ("GroupInvite without id", r#"{"op":5,"gid":"g","from":"f","to":"t"}"#),
        ("GroupInvite without gid", r#"{"op":5,"id":"i","from":"f","to":"t"}"#),
        ("GroupInvite without from", r#"{"op":5,"id":"i","gid":"g","to":"t"}"#),
        ("GroupInvite without to", r#"{"op":5,"id":"i","gid":"g","from":"f"}"#),
        ("GroupEdit without id", r#"{"op":6,"act":"join","gid":"g"}"#),
        ("GroupEdit without act", r#"{"op":6,"id":"i","gid":"g"}"#),
        ("GroupEdit without gid", r#"{"op":6,"id":"i","act":"join"}"#),
        ("Post without id", r#"{"op":7,"for":[],"datalen":1}"#),
        ("Post without for", r#"{"op":7,"id":"i","datalen":1}"#),
        ("Post with for null", r#"{"op":7,"id":"i","datalen":1,"for":null}"#),
        ("PostNotify without for", r#"{"op":8,"id":"i","datalen":2,"notelen":1}"#),
        ("Ping without id", r#"{"op":9,"from":"f","to":"t"}"#),
        ("Ping without from", r#"{"op":9,"id":"i","to":"t"}"#),
        ("Ping without to", r#"{"op":9,"id":"i","from":"f"}"#),
        ("Ack without id", r#"{"op":10,"type":"ok"}"#),
        ("Ack without type", r#"{"op":10,"id":"i"}"#),
        ("an element without id", r#"{"op":7,"id":"i","datalen":1,"for":[{"type":1}]}"#),
        ("an element that is null", r#"{"op":7,"id":"i","datalen":1,"for":[null]}"#),
        ("an element with an empty id", r#"{"op":4,"id":"i","type":"add","for":[{"id":"","type":1}]}"#),
        ("an element of Post without type", r#"{"op":7,"id":"i","datalen":1,"for":[{"id":"V"}]}"#),
        ("an element of Post with type 4", r#"{"op":7,"id":"i","datalen":1,"for":[{"id":"V","type":4}]}"#),
        (
            "an odd notefor of a Ping",
            r#"{"op":9,"id":"i","from":"f","to":"t","notefor":[{"id":"V","type":9}]}"#,
        ),
        ("an odd for of a Pulse", r#"{"op":11,"for":[{"id":"","type":1}]}"#),
    ];
    let mut cases: Vec<Case> = bad
        .into_iter()
        .map(|(name, header)| {
            case(4, format!("{name} is refused"), move |world| async move {
                let mut link = world.greeted().await?;
                link.send_text(header, b"").await;
                link.quits("invalid header").await
            })
            .anonymous()
        })
        .collect();
    cases.extend(accepted());
    cases.extend(with_the_operation());
    cases
}

fn accepted() -> Vec<Case> {
    let good = [
        ("GroupInvite without data", r#"{"op":5,"id":"i","gid":"g","from":"f","to":"t"}"#),
        ("Ping without data", r#"{"op":9,"id":"i","from":"f","to":"t"}"#),
        ("Post with an empty for", r#"{"op":7,"id":"i","for":[],"datalen":1}"#),
        ("PostNotify with the least", r#"{"op":8,"id":"i","for":[],"datalen":2,"notelen":1}"#),
        ("an element of OhiEdit without type", r#"{"op":4,"id":"i","for":[{"id":"V"}],"type":"add"}"#),
        (
            "an element of OhiEdit with any type",
            r#"{"op":4,"id":"i","for":[{"id":"V","type":-128}],"type":"x"}"#,
        ),
        ("a field without use", r#"{"op":11,"gid":"g","notefor":[{"id":"V","type":3}],"datasum":9}"#),
    ];
    good.into_iter()
        .map(|(name, header)| {
            case(4, format!("{name} is fine"), move |world| async move {
                let mut link = world.greeted().await?;
                link.send_text(header, b"").await;
                link.quits("disallowed op on unauthenticated link").await
            })
            .anonymous()
        })
        .collect()
}

/// Checks that are made only where the link's state allows the operation.
fn with_the_operation() -> Vec<Case> {
    let bad = [
        ("UserEdit with neither newnode nor newalias", json!({"op": 3})),
        (
            "UserEdit with both newnode and newalias",
            json!({"op": 3, "newnode": "n", "newalias": "long enough"}),
        ),
        ("OhiEdit without for", json!({"op": 4, "type": "add"})),
        ("OhiEdit with an empty for", json!({"op": 4, "for": [], "type": "add"})),
        ("OhiEdit without type", json!({"op": 4, "for": [{"id": "V"}]})),
        ("OhiEdit with another type", json!({"op": 4, "for": [{"id": "V"}], "type": "set"})),
        ("GroupEdit with another act", json!({"op": 6, "gid": "long enough", "act": "leave"})),
        ("GroupEdit alias without newalias", json!({"op": 6, "gid": "long enough", "act": "alias"})),
        ("GroupEdit drop without to", json!({"op": 6, "gid": "long enough", "act": "drop"})),
    ];
    bad.into_iter()
        .flat_map(|(name, header)| {
            let early = header.clone();
            let first = case(4, format!("{name} is refused"), move |world| {
                let mut header = header.clone();
                async move {
                    let mut user = world.user().await?;
                    header["id"] = fresh().into();
                    user.link.send(header, b"").await;
                    user.link.quits("invalid header").await
                }
            });
            let second = case(4, format!("{name}: the link's state comes first"), move |world| {
                let mut header = early.clone();
                async move {
                    let mut link = world.greeted().await?;
                    header["id"] = fresh().into();
                    link.send(header, b"").await;
                    link.quits("disallowed op on unauthenticated link").await
                }
            });
            [first, second.anonymous()]
        })
        .collect()
}
