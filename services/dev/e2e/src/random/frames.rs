//! Feeds headers that are JSON and have fields of TMTP, of right and wrong types, once and twice, in any case, and
//! compares what the decoder says with a model of PROTOCOL.md, sections 3 and 4. It must never differ.

use arbitrary::Arbitrary;
use serde_json::{Value, json};
use tmtp_wire::{Decoder, Item, Request};

/// A value of some field.
#[derive(Debug, Clone, Arbitrary)]
enum Thing {
    Null,
    Bool(bool),
    Int(i8),
    Long(i64),
    Unsigned(u64),
    Fraction,
    Text(String),
    Word(u8),
    List(Vec<Element>),
    Empty,
}

/// An element of a list of recipients.
#[derive(Debug, Clone, Arbitrary)]
struct Element {
    id: Option<u8>,
    kind: Option<i16>,
    odd: bool,
}

#[derive(Debug, Arbitrary)]
struct Header {
    op: u8,
    fields: Vec<(u8, bool, Thing)>,
}

const NAMES: [&str; 21] = [
    "op",
    "datalen",
    "datahead",
    "datasum",
    "notelen",
    "notehead",
    "notesum",
    "fornotself",
    "for",
    "notefor",
    "uid",
    "gid",
    "id",
    "node",
    "newnode",
    "newalias",
    "from",
    "to",
    "type",
    "act",
    "unknown",
];

impl Thing {
    fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Int(value) => json!(value),
            Self::Long(value) => json!(value),
            Self::Unsigned(value) => json!(value),
            Self::Fraction => json!(1.5),
            Self::Text(text) => json!(text),
            Self::Word(word) => json!(["", "a", "join", "alias"][usize::from(*word) % 4]),
            Self::List(elements) => elements.iter().map(Element::json).collect(),
            Self::Empty => json!({}),
        }
    }
}

impl Element {
    fn json(&self) -> Value {
        let mut element = serde_json::Map::new();
        if let Some(id) = self.id {
            element.insert("Id".into(), json!("u".repeat(usize::from(id % 3))));
        }
        if let Some(kind) = self.kind {
            element.insert("Type".into(), json!(kind));
        }
        if self.odd {
            element.insert("x".into(), json!([{"id": 1}]));
        }
        Value::Object(element)
    }
}

/// Decodes the header that these octets stand for.
///
/// # Panics
/// When the model says something else.
pub fn run(octets: &[u8]) {
    let Some(header) = super::read::<Header>(octets) else { return };
    let op = header.op % 14;
    let mut text = format!("{{\"op\":{op}");
    let mut fields = vec![("op", json!(op))];
    for (name, capital, thing) in &header.fields {
        let name = NAMES[usize::from(*name) % NAMES.len()];
        let value = thing.json();
        let spelled = if *capital { name.to_uppercase() } else { name.to_owned() };
        text.extend([",\"", &spelled, "\":", &value.to_string()]);
        fields.push((name, value));
    }
    text.push('}');
    if text.len() > 65_535 {
        return;
    }
    let frame = format!("{:04x}{text}", text.len());
    let mut decoder = Decoder::<Request>::new();
    let mut input = frame.as_bytes();
    let decoded = match decoder.next(&mut input) {
        Ok(Some(Item::Header { .. })) => true,
        Err(_) => false,
        other => panic!("neither a header nor a refusal: {other:?}"),
    };
    assert_eq!(decoded, allowed(&fields).is_some(), "{text}");
}

/// Whether a header is allowed; the model.
fn allowed(fields: &[(&str, Value)]) -> Option<()> {
    let check = |holds: bool| holds.then_some(());
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        check(match *name {
            "unknown" => true,
            "op" => value.as_u64().is_some_and(|op| op <= 255),
            "datalen" | "datahead" | "notelen" | "notehead" => value.as_i64().is_some(),
            "datasum" | "notesum" => value.as_u64().is_some(),
            "fornotself" => value.is_boolean(),
            "for" | "notefor" => value.as_array().is_some_and(|list| list.iter().all(is_element)),
            _ => value.is_string(),
        })?;
    }
    // The last of a name counts. Null takes a list away, and is nothing behind anything else.
    let last = |name: &str| {
        let is_list = matches!(name, "for" | "notefor");
        let mut all =
            fields.iter().rev().filter(|(other, value)| *other == name && (is_list || !value.is_null()));
        all.next().map(|(_, value)| value).filter(|value| !value.is_null())
    };
    let int = |name: &str| last(name).and_then(Value::as_i64).unwrap_or(0);
    let text = |name: &str| last(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let (op, data, note) = (int("op"), int("datalen"), int("notelen"));
    check((0..=12).contains(&op))?;
    check(int("datahead") >= 0 && int("datahead") <= data)?;
    check(int("notehead") >= 0 && int("notehead") <= note)?;
    check(match op {
        7 | 8 => data > 0,
        5 | 9 => true,
        _ => data == 0,
    })?;
    check(if op == 8 { note > 0 } else { note == 0 })?;
    let mandatory: &[&str] = match op {
        0 | 3 | 4 | 7 | 8 => &["id"],
        1 => &["newnode", "newalias"],
        2 => &["uid", "node"],
        5 => &["id", "gid", "from", "to"],
        6 => &["id", "gid", "act"],
        9 => &["id", "from", "to"],
        10 => &["id", "type"],
        _ => &[],
    };
    check(mandatory.iter().all(|name| text(name)))?;
    check(!matches!(op, 7 | 8) || last("for").is_some())?;
    for list in ["for", "notefor"] {
        for element in last(list).and_then(Value::as_array).into_iter().flatten() {
            check(element["Id"].as_str().is_some_and(|id| !id.is_empty()))?;
            check(op == 4 || element["Type"].as_i64().is_some_and(|kind| (1..=3).contains(&kind)))?;
        }
    }
    Some(())
}

fn is_element(element: &Value) -> bool {
    let kind = &element["Type"];
    kind.is_null() || kind.as_i64().is_some_and(|kind| i8::try_from(kind).is_ok())
}
