//! Fields of a JSON object as they come: in their order, each as often as it is there, and with the text of its value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object.
pub(super) struct Fields<'j>(pub Vec<(String, &'j RawValue)>);

/// Reads an object. `None` when the text is none.
pub(super) fn fields(json: &[u8]) -> Option<Fields<'_>> {
    serde_json::from_slice(json).ok()
}

/// Whether a client may take a field for the one of this name, as Go's JSON does: letters are equal that fold to the
/// same one, which for ASCII are the other case, U+017F (s) and U+212A (k).
pub(super) fn is_field(field: &str, name: &str) -> bool {
    let folded = field.chars().map(|char| match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(name.chars())
}

/// The elements of a list; none for null. `None` when the text is neither.
pub(super) fn elements(json: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str::<Option<Vec<&RawValue>>>(json.get()).ok().map(Option::unwrap_or_default)
}

impl<'de: 'j, 'j> Deserialize<'de> for Fields<'j> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
