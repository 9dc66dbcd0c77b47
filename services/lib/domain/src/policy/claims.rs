//! Whom the JSON object at the front of a message (its datahead) says that it is from. Clients believe it, so a site may
//! ask that it is true.
//!
//! Clients read field names without case, and some letters beyond ASCII as if they were ASCII; of fields that come
//! several times, some take the first and some the last. So every field that any client might read counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::is_field;

/// Octets of a datahead that is looked at; longer ones are refused where it matters.
pub const FRONT_MAX: u64 = 65_536;

/// Whom a datahead says that the message is from.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Values of `alias` and `cc[].by`: aliases of the sender.
    pub aliases: Vec<String>,
    /// Values of `cc[].byuid`: the sender's uid.
    pub uids: Vec<String>,
}

/// Reads a datahead. `None` when it is no JSON object of the form that clients read: nobody can tell what it claims.
pub fn claims(front: &[u8]) -> Option<Claims> {
    let mut claims = Claims::default();
    let mut json = serde_json::Deserializer::from_slice(front);
    Head(&mut claims).deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(claims)
}

/// The object itself.
struct Head<'c>(&'c mut Claims);

/// The list `cc`.
struct Copies<'c>(&'c mut Claims);

/// An element of it.
struct Entry<'c>(&'c mut Claims);

impl<'de> DeserializeSeed<'de> for Head<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Head<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<String>()? {
            if is_field(&field, "alias") {
                self.0.aliases.extend(fields.next_value::<Option<String>>()?);
            } else if is_field(&field, "cc") {
                fields.next_value_seed(Copies(self.0))?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Copies<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copies<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Entry(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<String>()? {
            if is_field(&field, "by") {
                self.0.aliases.extend(fields.next_value::<Option<String>>()?);
            } else if is_field(&field, "byuid") {
                self.0.uids.extend(fields.next_value::<Option<String>>()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<(Vec<String>, Vec<String>)> {
        claims(json.as_bytes()).map(|claims| (claims.aliases, claims.uids))
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Goal: every claim counts, however its field is written and however often it comes, and nothing else does; method:
    /// the form of the widely used client, other cases, repetitions, other fields.
    #[test]
    fn all_claims() {
        let usual = r#"{"Alias":"Ann","Cc":[{"Who":"Ben","WhoUid":"B","By":"Ann","ByUid":"A"},{"By":"Cy"}],"X":{"alias":"no"}}"#;
        assert_eq!(read(usual), Some((texts(&["Ann", "Ann", "Cy"]), texts(&["A"]))));
        let odd = "{\"alias\":\"1\",\"ALIA\u{17f}\":\"2\",\"aliaſ\":\"3\",\"\\u0061lias\":\"4\",\"aliases\":\"no\"}";
        assert_eq!(read(odd), Some((texts(&["1", "2", "3", "4"]), Vec::new())));
        let twice = r#"{"cc":[{"by":"1","BY":"2","byuid":"A","byUID":"B"}],"CC":[{"by":"3"}],"cc":null}"#;
        assert_eq!(read(twice), Some((texts(&["1", "2", "3"]), texts(&["A", "B"]))));
        assert_eq!(read(r#"{"alias":null,"cc":[null,{}]}"#), Some((Vec::new(), Vec::new())));
    }

    /// Goal: what cannot be read is not taken for a head without claims; method: broken and other JSON.
    #[test]
    fn unreadable() {
        for json in
            ["", "[]", "null", "{", "{} {}", r#"{"alias":5}"#, r#"{"cc":{}}"#, r#"{"cc":[5]}"#, "{\"a\":1}x"]
        {
            assert_eq!(read(json), None, "{json}");
        }
        assert!(claims(b"{\"alias\":\"\xff\"}").is_none(), "clients may read another name than we do");
    }
}
