//! Ids of messages, in the form that TMTP has for them.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tmtp_domain::MsgId;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A message id in a path or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MsgIdText(pub(crate) MsgId);

impl fmt::Display for MsgIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for MsgIdText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MsgIdText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        // One text for each id: what is written otherwise is none.
        let id = u64::from_str_radix(&text, 16).map(MsgId).ok().filter(|id| id.to_string() == text);
        id.map(Self).ok_or_else(|| de::Error::custom("give a message id, which has 16 digits of 0-9 and a-f"))
    }
}

impl PartialSchema for MsgIdText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).pattern(Some("^[0-9a-f]{16}$")).into()
    }
}

impl ToSchema for MsgIdText {
    fn name() -> Cow<'static, str> {
        "MsgId".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: one text for each id; method: there and back, and near misses.
    #[test]
    fn forms() {
        let read = |text: &str| serde_json::from_value::<MsgIdText>(text.into()).ok();
        assert_eq!(read("18d75b8423f30000"), Some(MsgIdText(MsgId(0x18d7_5b84_23f3_0000))));
        assert_eq!(MsgIdText(MsgId(10)).to_string(), "000000000000000a");
        for bad in ["", "a", "18D75B8423F30000", "+8d75b8423f30000", "18d75b8423f300000", "18d75b8423f3000g"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
