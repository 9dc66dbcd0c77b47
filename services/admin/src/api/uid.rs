//! Uids of members, in the form that TMTP has for them. In a path their `%` is written `%25`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tmtp_domain::Uid;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A uid in a path, a body or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UidText(pub(crate) Uid);

impl fmt::Display for UidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for UidText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UidText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Uid::parse(&text).map(Self).map_err(|_| de::Error::custom("give a uid, which has 32 characters"))
    }
}

impl PartialSchema for UidText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .min_length(Some(32))
            .max_length(Some(32))
            .into()
    }
}

impl ToSchema for UidText {
    fn name() -> Cow<'static, str> {
        "Uid".into()
    }
}
