//! The JSON object at the front of a message (its datahead) with the truth about its sender in it.

use serde_json::value::RawValue;

use super::FRONT_MAX;
use super::fields::{elements, fields, is_field};

/// What is true of a sender.
#[derive(Debug, Clone, Copy)]
pub struct Own<'s> {
    /// The alias that it gets where it has given another one.
    pub alias: &'s str,
    /// Its uid.
    pub uid: &'s str,
}

/// Replaces whatever is false of the sender in `alias`, `cc[].by` and `cc[].byuid`; `is_own` tells whether an alias is the
/// sender's. Everything else stays as it is, but for blanks between fields. `None` when the object cannot be read, or would
/// be longer than [`FRONT_MAX`].
pub fn corrected(front: &[u8], own: Own<'_>, is_own: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let alias = |value: &RawValue| replaced(value, own.alias, &is_own);
    let uid = |value: &RawValue| replaced(value, own.uid, &|uid| uid == own.uid);
    let entry = |json: &RawValue| {
        if json.get() == "null" {
            return Some("null".to_owned());
        }
        object(json.get().as_bytes(), |field, value| match field {
            _ if is_field(field, "by") => alias(value),
            _ if is_field(field, "byuid") => uid(value),
            _ => Some(value.get().to_owned()),
        })
    };
    let head = object(front, |field, value| match field {
        _ if is_field(field, "alias") => alias(value),
        _ if is_field(field, "cc") && value.get() != "null" => {
            let list: Option<Vec<String>> = elements(value)?.into_iter().map(entry).collect();
            Some(format!("[{}]", list?.join(",")))
        }
        _ => Some(value.get().to_owned()),
    })?;
    u64::try_from(head.len()).is_ok_and(|len| len <= FRONT_MAX).then(|| head.into_bytes())
}

/// An object, each of its fields with another value.
fn object(json: &[u8], value: impl Fn(&str, &RawValue) -> Option<String>) -> Option<String> {
    let fields = fields(json)?.0;
    let fields = fields.iter().map(|(field, raw)| Some(format!("{}:{}", text(field)?, value(field, raw)?)));
    Some(format!("{{{}}}", fields.collect::<Option<Vec<_>>>()?.join(",")))
}

/// A text, or what is true instead. An empty one is nobody's, and stays.
fn replaced(value: &RawValue, truth: &str, is_true: &dyn Fn(&str) -> bool) -> Option<String> {
    let said: Option<String> = serde_json::from_str(value.get()).ok()?;
    match said {
        Some(said) if !said.is_empty() && !is_true(&said) => text(truth),
        _ => Some(value.get().to_owned()),
    }
}

fn text(text: &str) -> Option<String> {
    serde_json::to_string(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claims;
    use super::*;

    const OWN: Own<'_> = Own { alias: "Ann \"B\" Bell", uid: "A1" };

    fn correct(json: &str) -> Option<String> {
        let corrected = corrected(json.as_bytes(), OWN, |alias| alias == "Ann" || alias == OWN.alias);
        corrected.map(|json| String::from_utf8(json).unwrap())
    }

    /// Goal: only what is false is replaced, and all of it, however it is written; method: examples.
    #[test]
    fn examples() {
        let own = r#""Ann \"B\" Bell""#;
        assert_eq!(
            correct(
                r#"{"x" : [1, {"alias":"Ben"}], "Alias":"Ben","ALIAS":"Ann","alia\u017f":"","alias":null}"#
            ),
            Some(format!(
                "{{\"x\":[1, {{\"alias\":\"Ben\"}}],\"Alias\":{own},\"ALIAS\":\"Ann\",\"aliaſ\":\"\",\"alias\":null}}"
            ))
        );
        assert_eq!(
            correct(
                r#"{"Cc":[{"Who":"Cy","By":"Ben","ByUid":"B2","Date":1e5},null,{"by":"Ann","byuid":"A1"}],"cc":null}"#
            ),
            Some(format!(
                r#"{{"Cc":[{{"Who":"Cy","By":{own},"ByUid":"A1","Date":1e5}},null,{{"by":"Ann","byuid":"A1"}}],"cc":null}}"#
            ))
        );
        for json in ["", "[]", "{", r#"{"alias":5}"#, r#"{"cc":{}}"#, r#"{"cc":[5]}"#, "{} {}"] {
            assert_eq!(correct(json), None, "{json}");
        }
    }

    /// Goal: a correction cannot make a small datahead a huge one; method: a list of very many short names.
    #[test]
    fn bounded() {
        let entries = vec![r#"{"by":"x"}"#; 5_000].join(",");
        assert_eq!(correct(&format!(r#"{{"cc":[{entries}]}}"#)), None);
    }

    /// Names of fields and values that mean something, and others.
    fn json() -> impl Strategy<Value = String> {
        let field = |names: &'static [&'static str]| prop::sample::select(names);
        let value =
            || prop::sample::select(&["null", "\"\"", "\"Ann\"", "\"Ben\"", "\"A1\"", "\"\\u0042en\""]);
        let entry = prop::collection::vec((field(&["by", "BY", "byuid", "ByUid", "who"]), value()), 0..4)
            .prop_map(|fields| of(&fields));
        let list = prop::collection::vec(prop_oneof![entry, Just("null".to_owned())], 0..4)
            .prop_map(|list| format!("[{}]", list.join(", ")));
        let text = value().prop_map(str::to_owned);
        let alias = (field(&["alias", "Alias", "ALIA\u{17f}", "other"]), text);
        let copies = (field(&["cc", "Cc"]), list);
        prop::collection::vec(prop_oneof![alias, copies], 0..5).prop_map(|fields| of(&fields))
    }

    fn of(fields: &[(&str, impl AsRef<str>)]) -> String {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("\"{name}\": {}", value.as_ref())).collect();
        format!("{{ {} }}", fields.join(" , "))
    }

    proptest! {
        /// Goal: what is corrected claims nothing that is false, claims as much as before, and is not corrected again;
        /// method: random objects, read by the other reader of dataheads.
        #[test]
        fn only_truth(json in json()) {
            let before = claims(json.as_bytes()).unwrap();
            let corrected = correct(&json).unwrap();
            let after = claims(corrected.as_bytes()).unwrap();
            prop_assert_eq!(before.aliases.len(), after.aliases.len());
            for (before, after) in before.aliases.iter().zip(&after.aliases) {
                let is_true = before.is_empty() || before == "Ann";
                prop_assert_eq!(after, if is_true { before } else { OWN.alias });
            }
            prop_assert_eq!(before.uids.len(), after.uids.len());
            prop_assert!(after.uids.iter().all(|uid| uid.is_empty() || uid == OWN.uid));
            prop_assert_eq!(correct(&corrected), Some(corrected));
        }
    }
}
