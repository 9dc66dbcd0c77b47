//! A site as the processes know it, and which shard it belongs to.

use std::str::FromStr;

use aws_lc_rs::digest;

use crate::{Policy, ShardId, SiteId};

/// Who may register at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Everybody who can connect.
    Open,
    /// Nobody.
    Closed,
}

impl Registration {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl FromStr for Registration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            other => Err(format!("unknown registration mode {other:?}: use open or closed")),
        }
    }
}

/// Whether a site is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteStatus {
    /// Served.
    Active,
    /// Known, but not served.
    Suspended,
    /// Not served, and erased after a while unless somebody restores it.
    Deleted,
}

impl SiteStatus {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

impl FromStr for SiteStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            "deleted" => Ok(Self::Deleted),
            other => Err(format!("unknown site status {other:?}")),
        }
    }
}

/// A site.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Site {
    /// Which one.
    pub id: SiteId,
    /// Counts changes of all sites together, so that "what is new since" has an answer.
    pub revision: i64,
    /// The shard it belongs to, for good.
    pub shard: ShardId,
    /// What clients show.
    pub name: String,
    /// Host names (SNI) under which it is reached; lower case. A leading `*.` stands for one label.
    pub domains: Vec<String>,
    /// Who may register.
    pub registration: Registration,
    /// Whether it is served.
    pub status: SiteStatus,
    /// What it allows its members. Most sites set nothing, and should cost nothing.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
}

/// The shard of a site: a hash of its id over the number of shards of the deployment, which never changes.
///
/// The hash is SHA-256 rather than the id's own octets, because time-ordered ids share their leading ones.
pub fn shard_of(site: SiteId, shards: u16) -> ShardId {
    let hash = digest::digest(&digest::SHA256, site.0.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&hash.as_ref()[..8]);
    let index = u64::from_be_bytes(head) % u64::from(shards.max(1));
    ShardId(u16::try_from(index).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a site never moves and all shards are used; method: a pinned value, and a thousand ids over 64 shards.
    #[test]
    fn shards_are_stable_and_even() {
        let pinned = SiteId(uuid::Uuid::from_u128(1));
        assert_eq!(shard_of(pinned, 64), shard_of(pinned, 64));
        let mut used = [0_u32; 64];
        for n in 0..1_000 {
            used[usize::from(shard_of(SiteId(uuid::Uuid::from_u128(n)), 64).0)] += 1;
        }
        assert!(used.iter().all(|&sites| sites > 0 && sites < 40), "{used:?}");
    }
}
