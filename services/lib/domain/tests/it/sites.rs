//! Properties of sites: the shard of each is in range, and states come back from their text.

use proptest::prelude::*;
use tmtp_domain::{Registration, ShardId, SiteId, SiteStatus, shard_of};
use uuid::Uuid;

proptest! {
    /// Goal: a site always has a shard that exists. Method: any site and any number of shards, 0 being taken as 1.
    #[test]
    fn shards_exist(site: u128, shards: u16) {
        let shard = shard_of(SiteId(Uuid::from_u128(site)), shards);
        prop_assert!(shard.0 < shards.max(1));
    }

    /// Goal: no text but the known ones is a state. Method: any text, and near misses.
    #[test]
    fn unknown_states_are_refused(text in prop_oneof![any::<String>(), "[Oo]pen ?|[Cc]losed|[Aa]ctive|SUSPENDED|"]) {
        match text.parse::<Registration>() {
            Ok(registration) => prop_assert_eq!(registration.as_str(), text.as_str()),
            Err(_) => prop_assert!(!["open", "closed"].contains(&text.as_str())),
        }
        match text.parse::<SiteStatus>() {
            Ok(status) => prop_assert_eq!(status.as_str(), text.as_str()),
            Err(_) => prop_assert!(!["active", "suspended", "deleted"].contains(&text.as_str())),
        }
    }
}

/// Goal: what Postgres keeps comes back. Method: every state there and back.
#[test]
fn states_come_back() {
    for registration in [Registration::Open, Registration::Closed] {
        assert_eq!(registration.as_str().parse(), Ok(registration));
    }
    for status in [SiteStatus::Active, SiteStatus::Suspended, SiteStatus::Deleted] {
        assert_eq!(status.as_str().parse(), Ok(status));
    }
}

/// Goal: no release moves a site to another shard, which would lose sight of its queues. Method: pinned values.
#[test]
fn shards_are_pinned() {
    let shard = |site, shards| shard_of(SiteId(Uuid::from_u128(site)), shards);
    assert_eq!(shard(0, 64), ShardId(21));
    assert_eq!(shard(1, 64), ShardId(59));
    assert_eq!(shard(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, 64), ShardId(10));
    assert_eq!(shard(u128::MAX, 1_000), ShardId(777));
    assert_eq!(shard(7, 65_535), ShardId(9_152));
}
