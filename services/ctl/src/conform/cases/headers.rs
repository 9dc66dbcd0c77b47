//! Section 3: how a header is read. A greeted link tells by its quit whether a header was understood: an operation out of
//! place is refused only then.

use super::{Case, case};

const UNDERSTOOD: &str = "disallowed op on unauthenticated link";

/// A header that is understood, or is not.
fn header(name: &str, json: impl Into<Vec<u8>>, understood: bool) -> Case {
    let json = json.into();
    let verdict = if understood { "is understood" } else { "is refused" };
    case(3, format!("{name} {verdict}"), move |world| {
        let json = json.clone();
        async move {
            let mut link = world.greeted().await?;
            link.send_raw(&super::super::frame::request(&json, b"")).await;
            link.quits(if understood { UNDERSTOOD } else { "invalid header" }).await
        }
    })
    .anonymous()
}

pub(super) fn cases() -> Vec<Case> {
    let deep = |depth: usize| format!(r#"{{"op":11,"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let good: Vec<(&str, Vec<u8>)> = vec![
        ("a header of small letters", r#"{"op":12}"#.into()),
        ("a header of capitals", r#"{"OP":10,"ID":"m","TYPE":"ok"}"#.into()),
        ("a header with one capital for each name", r#"{"Id":"m","Op":10,"Type":"ok"}"#.into()),
        ("an escaped name", r#"{"\u006fp":10,"i\u0064":"m","type":"ok"}"#.into()),
        (
            "a name with a long s (U+017F)",
            "{\"op\":10,\"id\":\"m\",\"type\":\"ok\",\"data\u{17f}um\":0}".into(),
        ),
        (
            "a name in lists, in capitals,",
            r#"{"op":7,"id":"i","datalen":1,"FOR":[{"ID":"V","TYPE":1}]}"#.into(),
        ),
        ("the last of two fields", r#"{"op":13,"Op":11}"#.into()),
        (
            "an unknown field of any kind",
            r#"{"op":11,"x":{"op":[1,{"id":-1.5e+3}]},"":null,"y":true}"#.into(),
        ),
        ("an unknown field that nests deeply", deep(200).into()),
        (
            "null for fields without use",
            r#"{"op":11,"id":null,"datalen":null,"for":null,"oidc":null}"#.into(),
        ),
        ("null behind a value, which stays,", r#"{"op":11,"op":null}"#.into()),
        (
            "a text of octets that are no UTF-8",
            [&br#"{"op":11,"id":"a"#[..], &[0x80, 0xe2, 0x82], b"\"}"].concat(),
        ),
        ("a surrogate without partner", r#"{"op":11,"id":"\ud83d"}"#.into()),
        ("the largest sum", r#"{"op":9,"id":"i","from":"f","to":"t","datasum":18446744073709551615}"#.into()),
        ("the largest length", r#"{"op":7,"id":"i","for":[],"datalen":9223372036854775807}"#.into()),
        ("a well-typed oidc", r#"{"op":11,"oidc":{"Id_Token":"x","expires_in":0,"scope":null}}"#.into()),
    ];
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("op as a text", r#"{"op":"11"}"#.into()),
        ("op as a fraction", r#"{"op":11.0}"#.into()),
        ("op with an exponent", r#"{"op":11e0}"#.into()),
        ("op with a zero in front", r#"{"op":011}"#.into()),
        ("op with a plus", r#"{"op":+11}"#.into()),
        ("op 256", r#"{"op":256}"#.into()),
        ("op -1", r#"{"op":-1}"#.into()),
        ("a header without op", r#"{"id":"1"}"#.into()),
        ("op null", r#"{"op":null,"id":"1"}"#.into()),
        ("null alone", "null    ".into()),
        ("an array", r#"[{"op":11}]"#.into()),
        ("a scalar", "       11".into()),
        ("text behind the object", r#"{"op":11}x"#.into()),
        ("a second object", r#"{"op":11}{}"#.into()),
        ("a comma too many", r#"{"op":11,}"#.into()),
        ("a comment", r#"{"op":11/**/}"#.into()),
        ("an object that is not closed", r#"{"op":11 "#.into()),
        ("a byte order mark", "\u{feff}{\"op\":11}".into()),
        ("a raw control character in a text", "{\"op\":11,\"id\":\"a\nb\"}".into()),
        ("an unknown field that is no JSON", r#"{"op":11,"x":01}"#.into()),
        ("a text field that is a number, without use,", r#"{"op":11,"uid":1}"#.into()),
        ("a length that is a text", r#"{"op":9,"id":"i","from":"f","to":"t","datalen":"1"}"#.into()),
        ("a length out of range", r#"{"op":7,"id":"i","for":[],"datalen":9223372036854775808}"#.into()),
        (
            "a sum out of range",
            r#"{"op":9,"id":"i","from":"f","to":"t","datasum":18446744073709551616}"#.into(),
        ),
        ("a negative sum", r#"{"op":9,"id":"i","from":"f","to":"t","datasum":-1}"#.into()),
        ("a list that is an object", r#"{"op":11,"for":{}}"#.into()),
        ("a list of numbers, without use,", r#"{"op":11,"for":[1]}"#.into()),
        ("a type of 128", r#"{"op":4,"id":"i","type":"add","for":[{"id":"V","type":128}]}"#.into()),
        ("a flag that is a number", r#"{"op":11,"fornotself":1}"#.into()),
        ("an oidc that is a text", r#"{"op":11,"oidc":"x"}"#.into()),
        ("an oidc with a wrong field", r#"{"op":11,"oidc":{"expires_in":-1}}"#.into()),
    ];
    let mut cases: Vec<Case> = good.into_iter().map(|(name, json)| header(name, json, true)).collect();
    cases.extend(bad.into_iter().map(|(name, json)| header(name, json, false)));
    cases
}
