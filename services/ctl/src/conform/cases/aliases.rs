//! Section 13: aliases.

use serde_json::json;

use super::{Case, case};
use crate::conform::link::{fault, fresh};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = characters();
    cases.extend(owners());
    cases
}

fn characters() -> Vec<Case> {
    let odd = [
        ("a control character", "\u{1}"),
        ("DEL", "\u{7f}"),
        ("a line end", "\n"),
        ("a tab", "\t"),
        ("a no-break space", "\u{a0}"),
        ("an ideographic space", "\u{3000}"),
        ("a line separator", "\u{2028}"),
        ("a soft hyphen", "\u{ad}"),
        ("a zero-width space", "\u{200b}"),
        ("a zero-width joiner", "\u{200d}"),
        ("a right-to-left override", "\u{202e}"),
        ("a byte order mark", "\u{feff}"),
        ("a tag character", "\u{e0041}"),
        ("private use", "\u{e000}"),
        ("an unassigned code point", "\u{378}"),
        ("U+FFFD", "\u{fffd}"),
    ];
    let fine = [
        ("letters of any script", "Ünïcödé 你好 Ωμέγα"),
        ("combining marks", "e\u{301}"),
        ("numbers of any kind", "٣ ⅷ ²"),
        ("punctuation and symbols", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €±→"),
        ("pictures", "🚀🎉"),
        ("blanks at both ends", "  "),
    ];
    let mut cases: Vec<Case> = odd
        .into_iter()
        .map(|(what, char)| {
            case(13, format!("an alias cannot have {what}"), move |world| async move {
                let mut user = world.user().await?;
                let alias = format!("odd{char}alias");
                let text = format!("AddAlias: invalid string '{alias}'");
                user.link.refused(json!({"op": 3, "id": fresh(), "newalias": alias}), b"", &text).await?;
                user.link.nothing().await
            })
        })
        .collect();
    cases.extend(fine.into_iter().map(|(what, text)| {
        case(13, format!("an alias can have {what}"), move |world| async move {
            let mut user = world.user().await?;
            let alias = format!(" {text}{}{text} ", world.name("x"));
            user.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
            user.link
                .message(json!({"op": "user", "from": user.uid, "newalias": alias}), b"")
                .await
                .map(|_| ())
        })
    }));
    for (what, alias) in
        [("seven octets", "seven77"), ("seven octets, one of them odd,", "seven7\u{1}"), ("one", "a")]
    {
        cases.push(case(13, format!("an alias of {what} is too short"), move |world| async move {
            let mut user = world.user().await?;
            let edit = json!({"op": 3, "id": fresh(), "newalias": alias});
            user.link.refused(edit, b"", "newalias must be 8+ characters").await
        }));
    }
    cases
}

fn owners() -> Vec<Case> {
    vec![
        case(13, "an alias has one owner", |world| async move {
            let [ann, mut ben] = world.users().await?;
            let text = format!("AddAlias: alias {} already taken", ann.alias);
            ben.link.refused(json!({"op": 3, "id": fresh(), "newalias": ann.alias}), b"", &text).await
        }),
        case(13, "an alias must not be a group's name", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let gid = world.name("Group");
            ann.found(&gid, &mut [&mut ben]).await?;
            let text = format!("AddAlias: alias {gid} not available");
            ben.link.refused(json!({"op": 3, "id": fresh(), "newalias": gid}), b"", &text).await
        }),
        case(13, "aliases are compared exactly", |world| async move {
            let [ann, mut ben] = world.users().await?;
            for alias in [ann.alias.to_uppercase(), format!("{} ", ann.alias), format!(" {}", ann.alias)] {
                ben.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
                let told = json!({"op": "user", "from": ben.uid, "newalias": alias});
                ben.link.message(told, b"").await?;
            }
            Ok(())
        }),
        case(13, "aliases are not normalised", |world| async move {
            let mut user = world.user().await?;
            let name = world.name("Caf");
            for alias in [format!("{name}\u{e9}"), format!("{name}e\u{301}")] {
                user.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
                let told = json!({"op": "user", "from": user.uid, "newalias": alias});
                user.link.message(told, b"").await?;
            }
            Ok(())
        }),
        case(13, "of two claims at the same moment one succeeds", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            for _ in 0..10 {
                let alias = world.name("Wanted");
                ann.link.send(json!({"op": 3, "id": fresh(), "newalias": alias}), b"").await;
                ben.link.send(json!({"op": 3, "id": fresh(), "newalias": alias}), b"").await;
                let acks = [ann.link.next_ack().await?, ben.link.next_ack().await?];
                let refused: Vec<_> = acks.iter().filter_map(|ack| ack["error"].as_str()).collect();
                if refused != [format!("AddAlias: alias {alias} already taken")] {
                    return fault(format!("expected one refusal, got {refused:?}"));
                }
            }
            Ok(())
        }),
    ]
}
