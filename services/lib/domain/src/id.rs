//! Typed identifiers: two kinds never mix, and each has one text form. Nothing here makes an id; random octets
//! and the clock are passed in.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The alphabet of uids and node ids: no vowels, no zero (PROTOCOL.md, "Formats").
const ALPHABET: &str = "%+123456789BCDFGHJKLMNPQRSTVWXYZ";

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str(ALPHABET);
    spec.encoding().expect("the alphabet is a valid base32 specification")
});

/// A text is not the identifier it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct IdError;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// One customer's network. Every row, Redis entry and span carries exactly one.
    SiteId
);
uuid_id!(
    /// One life of a gateway process: a restart makes a new one, so its sessions are never mistaken for older ones.
    GatewayId
);
uuid_id!(
    /// One life of a worker process.
    WorkerId
);
uuid_id!(
    /// A body in the body store.
    BodyId
);
uuid_id!(
    /// A key of the admin API.
    KeyId
);
uuid_id!(
    /// A request to the admin API.
    RequestId
);
uuid_id!(
    /// An invite of a site.
    InviteId
);
uuid_id!(
    /// A certificate of a site.
    CertificateId
);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A shard: the unit of ownership and of ordering.
    ShardId(u16)
);
number_id!(
    /// Counts the owners of a shard. A commit under an older epoch than the shard's row is refused.
    Epoch(i64)
);
number_id!(
    /// A node of a user, counted from 1 within the user.
    NodeNum(i16)
);
number_id!(
    /// A session of one gateway life, counted from 1; 0 speaks for the gateway itself.
    SessionId(u64)
);

/// A message id: nanoseconds since 1970 at least, strictly increasing within a shard. On the wire 16 lower-case hex
/// digits, so that clients can compare them as strings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MsgId(pub u64);

impl MsgId {
    /// The next id after `last` at `now_nanos` (nanoseconds since 1970): never lower than the clock, never repeated.
    pub fn next(last: Self, now_nanos: u64) -> Self {
        Self(now_nanos.max(last.0.saturating_add(1)))
    }

    /// As Postgres keeps it.
    pub fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// From what Postgres keeps.
    pub fn from_i64(value: i64) -> Self {
        Self(value.cast_unsigned())
    }
}

impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A user of a site: 20 random octets, 32 characters of the protocol's base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Uid(#[serde(with = "serde_bytes")] pub [u8; 20]);

impl Uid {
    /// Parses the text form. Unlike node ids, uids are compared as text by clients, so only the canonical form counts.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let octets = BASE32.decode(text.as_bytes()).map_err(|_| IdError)?;
        octets.try_into().map(Self).map_err(|_| IdError)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", BASE32.encode_display(&self.0))
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The password of a node (its "node id"): 25 random octets, 40 characters. Only its hash is kept for good.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeSecret(pub [u8; 25]);

impl NodeSecret {
    /// What a text form says, once it is decoded. `None` for another length: that is nobody's node.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    /// What the server keeps. 200 random bits need no stretching, so this is one SHA-256.
    pub fn hash(&self) -> SecretHash {
        let hash = digest::digest(&digest::SHA256, &self.0);
        let mut octets = [0; 32];
        octets.copy_from_slice(hash.as_ref());
        SecretHash(octets)
    }

    /// The text form, as it is told to the node's owner once.
    pub fn reveal(&self) -> String {
        BASE32.encode(&self.0)
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret(…)")
    }
}

/// SHA-256 of a [`NodeSecret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecretHash(#[serde(with = "serde_bytes")] pub [u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: ids keep their published form; method: encode known octets and decode them again.
    #[test]
    fn forms() {
        let uid = Uid([0; 20]);
        assert_eq!(uid.to_string(), "%".repeat(32));
        assert_eq!(Uid::parse(&"%".repeat(32)), Ok(uid));
        assert_eq!(Uid::parse("lower"), Err(IdError));
        assert_eq!(Uid::parse(&"%".repeat(40)), Err(IdError));
        let secret = NodeSecret([255; 25]);
        assert_eq!(secret.reveal(), "Z".repeat(40));
        assert_eq!(NodeSecret::from_octets(&[255; 25]), Some(secret));
        assert_eq!(NodeSecret::from_octets(&[255; 24]), None);
        assert_eq!(MsgId(0xAB).to_string(), "00000000000000ab");
    }

    /// Goal: a clock that stands still or runs backwards never repeats an id; method: ask at equal and earlier times.
    #[test]
    fn message_ids_increase() {
        let first = MsgId::next(MsgId(0), 1_000);
        let second = MsgId::next(first, 1_000);
        let third = MsgId::next(second, 5);
        assert_eq!((first, second, third), (MsgId(1_000), MsgId(1_001), MsgId(1_002)));
    }

    /// Goal: secrets do not reach logs; method: format one for debugging.
    #[test]
    fn secrets_stay_secret() {
        assert!(!format!("{:?}", NodeSecret([7; 25])).contains('7'));
    }
}
