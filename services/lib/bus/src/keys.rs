//! The names of all keys. Pure.
//!
//! The part in braces is what Redis Cluster hashes, so that streams spread over its nodes.

use tmtp_domain::{GatewayId, ShardId};

pub(crate) const GATEWAYS: &str = "tmtp:gateways";
pub(crate) const WORKERS: &str = "tmtp:workers";
/// How gateways stand, by id.
pub(crate) const GATEWAY_STATES: &str = "tmtp:gateways:state";
/// Gateways that are to let their links go, by id.
pub(crate) const DRAINED: &str = "tmtp:gateways:drained";
pub(crate) const SITES: &str = "tmtp:sites";
pub(crate) const SITES_INDEX: &str = "tmtp:sites:index";
pub(crate) const SITES_META: &str = "tmtp:sites:meta";
/// When somebody first found this Redis without memory, in microseconds of its own clock.
pub(crate) const SINCE: &str = "tmtp:since";
pub(crate) const CERTIFICATES: &str = "tmtp:certificates";
pub(crate) const CERTIFICATE_CONTENTS: &str = "tmtp:certificates:contents";
pub(crate) const CERTIFICATES_INDEX: &str = "tmtp:certificates:index";
pub(crate) const CERTIFICATES_META: &str = "tmtp:certificates:meta";
pub(crate) const PARKED: &str = "tmtp:parked";

/// The field of an entry that holds its octets.
pub(crate) const BODY: &str = "b";
/// The field of an entry that only raises a stream's floor; readers skip it.
pub(crate) const FLOOR: &str = "f";

pub(crate) fn commands(shard: ShardId) -> String {
    format!("tmtp:{{s{shard}}}:cmd")
}

pub(crate) fn events(gateway: GatewayId) -> String {
    format!("tmtp:{{g:{gateway}}}:evt")
}

pub(crate) fn challenge(domain: &str) -> String {
    format!("tmtp:challenge:{domain}")
}
