//! Frames from a server, as octets and as JSON, with a reader of its own: what the server writes is to be judged, not to
//! be understood. It must never forgive anything that a client might trip over; what it finds goes to the audit.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use tmtp_wire::id::crc32c;

/// A frame that has come in full.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The four length digits as they came.
    pub(super) digits: [u8; 4],
    /// The header as it came.
    pub(super) raw: Vec<u8>,
    /// What it says.
    pub(super) header: Map<String, Value>,
    /// The data behind it.
    pub(super) data: Vec<u8>,
}

/// Most octets of data that are taken from a server in one frame: more than any case sends.
const DATA_MAX: u64 = 64 << 20;

impl Frame {
    /// Cuts a frame off the front of `input`, if one has come in full.
    pub(super) fn cut(input: &mut Vec<u8>) -> Result<Option<Self>, String> {
        let Some(digits) = input.first_chunk::<4>().copied() else { return Ok(None) };
        let len = str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|d| d.is_ascii_hexdigit()));
        let len = len.and_then(|text| usize::from_str_radix(text, 16).ok()).filter(|len| *len >= 8);
        let len =
            len.ok_or_else(|| format!("a frame begins with {:?}", digits.escape_ascii().to_string()))?;
        let Some(raw) = input.get(4..4 + len) else { return Ok(None) };
        let header: Map<String, Value> = serde_json::from_slice(raw)
            .map_err(|error| format!("a header is no JSON object ({error}): {}", raw.escape_ascii()))?;
        let data_len = match header.get("datalen") {
            None => 0,
            Some(value) => value.as_u64().filter(|len| *len <= DATA_MAX).ok_or("datalen is no length")?,
        };
        let end = 4 + len + usize::try_from(data_len).map_err(|_| "datalen is too large")?;
        if input.len() < end {
            return Ok(None);
        }
        let raw = raw.to_vec();
        let rest = input.split_off(end);
        let data = std::mem::replace(input, rest).split_off(4 + len);
        Ok(Some(Self { digits, raw, header, data }))
    }

    /// A field that is a text; empty if it is absent or something else.
    pub(super) fn text(&self, field: &str) -> &str {
        self.header.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn op(&self) -> &str {
        self.text("op")
    }

    /// It is one of those that clients ack.
    pub(super) fn is_message(&self) -> bool {
        self.header.contains_key("from") && self.header.contains_key("id")
    }
}

/// A request's frame: length digits, header, data.
pub(super) fn request(header: &[u8], data: &[u8]) -> Vec<u8> {
    let mut octets = format!("{:04x}", header.len()).into_bytes();
    octets.extend_from_slice(header);
    octets.extend_from_slice(data);
    octets
}

/// The one spelling of a header. Servers spell U+0008 and U+000C in one of two ways.
pub(super) fn spelled(header: &Map<String, Value>, short_escapes: bool) -> String {
    let mut out = String::new();
    spell_object(header, short_escapes, &mut out);
    out
}

fn spell_object(object: &Map<String, Value>, short_escapes: bool, out: &mut String) {
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_by_key(|(name, _)| name.as_bytes());
    out.push('{');
    for (place, (name, value)) in fields.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        spell_text(name, short_escapes, out);
        out.push(':');
        spell(value, short_escapes, out);
    }
    out.push('}');
}

fn spell(value: &Value, short_escapes: bool, out: &mut String) {
    match value {
        Value::String(text) => spell_text(text, short_escapes, out),
        Value::Object(object) => spell_object(object, short_escapes, out),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                spell(item, short_escapes, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn spell_text(text: &str, short_escapes: bool, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' if short_escapes => out.push_str("\\b"),
            '\u{c}' if short_escapes => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// The sum that belongs to a header without its headsum.
pub(super) fn headsum(shorter: &str) -> u64 {
    u64::from(crc32c(format!("{:04x}{shorter}", shorter.len()).as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("an object") };
        object
    }

    /// Goal: the spelling is that of the specification; method: a header with every kind of escape, its names in
    /// disorder.
    #[test]
    fn the_one_spelling() {
        let header = object(
            json!({"b": "<>&\"\\\n\r\t\u{1}\u{7f}\u{8}\u{c}é😀\u{2028}", "a": [1, {"Id": "x"}], "B": 0}),
        );
        let expected = "{\"B\":0,\"a\":[1,{\"Id\":\"x\"}],\"b\":\"\\u003c\\u003e\\u0026\\\"\\\\\\n\\r\\t\\u0001\u{7f}\\u0008\\u000cé😀\\u2028\"}";
        assert_eq!(spelled(&header, false), expected);
        assert_eq!(spelled(&header, true), expected.replace("\\u0008\\u000c", "\\b\\f"));
    }

    /// Goal: frames are cut where they end, and what is none is said; method: one and a half frames, then three that
    /// are wrong.
    #[test]
    fn cutting() {
        let mut input = br#"001d{"datalen":2,"op":"delivery"}hi0009{"#.to_vec();
        let frame = Frame::cut(&mut input).unwrap().unwrap();
        assert_eq!(input, b"0009{");
        assert_eq!((frame.op(), &frame.data[..]), ("delivery", &b"hi"[..]));
        assert!(Frame::cut(&mut b"0009{".to_vec()).unwrap().is_none());
        for wrong in ["0007{\"a\":1}", " 009{\"op\":11}", "0009[\"op\",11]", "000e{\"datalen\":-1}"] {
            assert!(Frame::cut(&mut wrong.as_bytes().to_vec()).is_err(), "{wrong}");
        }
    }

    /// Goal: the sum is that of the specification; method: its worked example.
    #[test]
    fn the_worked_example() {
        let shorter = r#"{"datalen":5,"from":"Z7BCDFGHJKLMNPQRSTVWXYZ123456789","id":"18bcf2a09d3e4f51","op":"delivery","posted":"2026-01-02T03:04:05.678Z"}"#;
        assert_eq!(headsum(shorter), 2_621_465_853);
    }
}
