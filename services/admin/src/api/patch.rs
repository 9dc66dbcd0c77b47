//! Fields of a JSON merge patch (RFC 7386): not there, null, or a value.

use serde::{Deserialize, Deserializer};

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
    #[expect(clippy::option_option, reason = "the two absences are different, and callers take them apart")]
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
