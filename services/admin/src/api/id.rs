//! Ids as the API shows them: a prefix that says of what, and the id itself.
//!
//! One text for each id, so that they can be compared as text.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tmtp_domain::{CertificateId, SiteId};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// What an id is of.
pub(crate) trait Kind {
    /// What stands before it, such as `site`.
    const PREFIX: &'static str;
    /// The name of its schema.
    const SCHEMA: &'static str;
}

/// An id of one kind.
pub(crate) struct Id<K>(pub(crate) Uuid, PhantomData<fn() -> K>);

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $prefix:literal, $alias:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $kind;

        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
            const SCHEMA: &'static str = stringify!($alias);
        }

        $(#[$doc])*
        pub(crate) type $alias = Id<$kind>;
    )*};
}

kinds! {
    /// A site.
    OfSite = "site", SiteRef;
    /// An API key.
    OfKey = "key", KeyRef;
    /// A job.
    OfJob = "job", JobRef;
    /// An invite.
    OfInvite = "inv", InviteRef;
    /// A certificate of a site.
    OfCertificate = "cert", CertificateRef;
    /// A gateway, as long as its process lives.
    OfGateway = "gw", GatewayRef;
    /// A worker, as long as its process lives.
    OfWorker = "wrk", WorkerRef;
    /// A request to the API.
    OfRequest = "req", RequestId;
}

impl<K> Id<K> {
    pub(crate) fn of(id: Uuid) -> Self {
        Self(id, PhantomData)
    }

    /// One that nobody else has.
    pub(crate) fn random() -> Self {
        Self::of(Uuid::new_v4())
    }
}

impl From<SiteId> for SiteRef {
    fn from(id: SiteId) -> Self {
        Self::of(id.0)
    }
}

impl From<SiteRef> for SiteId {
    fn from(id: SiteRef) -> Self {
        Self(id.0)
    }
}

impl From<CertificateId> for CertificateRef {
    fn from(id: CertificateId) -> Self {
        Self::of(id.0)
    }
}

impl From<CertificateRef> for CertificateId {
    fn from(id: CertificateRef) -> Self {
        Self(id.0)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K> Eq for Id<K> {}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", K::PREFIX, self.0.simple())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_'));
        let is_canonical = |digits: &&str| {
            digits.len() == 32 && digits.bytes().all(|o| matches!(o, b'0'..=b'9' | b'a'..=b'f'))
        };
        let id = digits.filter(is_canonical).and_then(|digits| Uuid::try_parse(digits).ok());
        id.map(Self::of)
            .ok_or_else(|| format!("give an id such as {}_0123456789abcdef0123456789abcdef", K::PREFIX))
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl<K: Kind> PartialSchema for Id<K> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .pattern(Some(format!("^{}_[0-9a-f]{{32}}$", K::PREFIX)))
            .into()
    }
}

impl<K: Kind> ToSchema for Id<K> {
    fn name() -> std::borrow::Cow<'static, str> {
        K::SCHEMA.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: one text for each id, and none of another kind is taken; method: there and back, and near misses.
    #[test]
    fn forms() {
        let id = SiteRef::of(Uuid::from_u128(0xAB));
        assert_eq!(id.to_string(), "site_000000000000000000000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "site_",
            "000000000000000000000000000000ab",
            "key_000000000000000000000000000000ab",
            "site_000000000000000000000000000000AB",
            "site_00000000-0000-0000-0000-0000000000ab",
            "site_000000000000000000000000000000abc",
        ] {
            assert!(bad.parse::<SiteRef>().is_err(), "{bad}");
        }
    }
}
