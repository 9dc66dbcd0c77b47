//! Words that the API knows: states, kinds, roles, scopes. Each is one of a list, which the document shows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tmtp_domain::{GroupMode, InviteState, MemberStatus, Registration, Role, Scope, SiteStatus};
use tmtp_store::{AcmeState, CertificateSource, JobState, SiteKind};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A type whose values are words.
pub(crate) trait Vocabulary: FromStr<Err = String> + Copy + 'static {
    /// The name of its schema.
    const SCHEMA: &'static str;
    /// Every value.
    const WORDS: &'static [Self];
    /// The word.
    fn word(self) -> &'static str;
}

/// A word in a body or a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Word<T>(pub(crate) T);

macro_rules! vocabularies {
    ($($alias:ident = $type:ident [$($value:ident),*];)*) => {$(
        /// A word of the API.
        pub(crate) type $alias = Word<$type>;

        impl Vocabulary for $type {
            const SCHEMA: &'static str = stringify!($type);
            const WORDS: &'static [Self] = &[$(Self::$value),*];

            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    )*};
}

vocabularies! {
    StatusWord = SiteStatus [Active, Suspended, Deleted];
    MemberStatusWord = MemberStatus [Active, Suspended, Deactivated, Pending];
    GroupModeWord = GroupMode [Free, Closed, Moderated, Announce, Open];
    KindWord = SiteKind [Live, Sandbox];
    JobStateWord = JobState [Queued, Running, Done, Failed, Cancelled];
    InviteStateWord = InviteState [Pending, Active, Used, Expired, Revoked];
    RegistrationWord = Registration [Open, Closed, Invite, Oidc, Approval];
    SourceWord = CertificateSource [Upload, Acme];
    AcmeWord = AcmeState [Waiting, Issued, Failed];
}

/// A word of the API.
pub(crate) type RoleWord = Word<Role>;
/// A word of the API.
pub(crate) type ScopeWord = Word<Scope>;

impl Vocabulary for Role {
    const SCHEMA: &'static str = "Role";
    const WORDS: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Vocabulary for Scope {
    const SCHEMA: &'static str = "Scope";
    const WORDS: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl<T: Vocabulary> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.word())
    }
}

impl<T: Vocabulary> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.word())
    }
}

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let words = || T::WORDS.iter().map(|value| value.word()).collect::<Vec<_>>().join(", ");
        text.parse().map(Self).map_err(|_| de::Error::custom(format_args!("use one of {}", words())))
    }
}

impl<T: Vocabulary> PartialSchema for Word<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .enum_values(Some(T::WORDS.iter().map(|value| value.word())))
            .into()
    }
}

impl<T: Vocabulary> ToSchema for Word<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        T::SCHEMA.into()
    }
}
