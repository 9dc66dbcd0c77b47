//! JSON merge patches (RFC 7386): fields that are not there, null, or a value, and whole documents.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::Problem;

/// A field that may be changed. Give it `#[serde(default)]`, and for the document `#[schema(value_type = Option<…>)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Patch<T> {
    /// Stays as it is.
    #[default]
    Absent,
    /// Goes.
    Null,
    /// Is this from now on.
    Value(T),
}

impl<T> Patch<T> {
    /// For what cannot go: the new value, if it is to have one.
    pub(crate) fn value(self, name: &str) -> Result<Option<T>, Problem> {
        match self {
            Self::Absent => Ok(None),
            Self::Null => Err(Problem::invalid(name, "this cannot be null")),
            Self::Value(value) => Ok(Some(value)),
        }
    }

    /// For what can go: `None` stays, `Some(None)` goes.
    #[expect(clippy::option_option, reason = "a merge patch has three cases, and stores take them so")]
    pub(crate) fn nullable(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Null, Self::Value))
    }
}

/// Changes a document by a merge patch (RFC 7386): what is absent stays, what is null goes.
pub(crate) fn merge(document: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (field, value) in patch {
        match value {
            Value::Null => {
                document.remove(&field);
            }
            Value::Object(inner) => {
                let place = document.entry(field).or_insert_with(|| Value::Object(Map::new()));
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                if let Value::Object(place) = place {
                    merge(place, inner);
                }
            }
            value => {
                document.insert(field, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap_or_default()
    }

    /// Goal: a merge patch does what RFC 7386 says; method: its cases, on fields of a policy.
    #[test]
    fn merged() {
        let mut policy = object(json!({ "posts": { "per_minute": 5, "octets_max": 9 }, "names": {} }));
        merge(&mut policy, object(json!({ "posts": { "per_minute": null, "forwarding": false } })));
        assert_eq!(policy["posts"], json!({ "octets_max": 9, "forwarding": false }));
        merge(&mut policy, object(json!({ "posts": null, "names": [{}], "pings": { "a": null } })));
        assert_eq!(Value::Object(policy), json!({ "names": [{}], "pings": {} }));
    }
}
