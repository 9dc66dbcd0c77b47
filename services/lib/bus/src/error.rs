//! What can go wrong with Redis, sorted by what the caller can do about it.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

/// Why a call failed. Unless it says otherwise, a failed write may have been done in part or as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not one, or names files that are none; start-up only.
    #[error("not a usable Redis URL")]
    Url(#[source] RedisError),
    /// No connection, or it broke, or Redis says that it cannot serve now (loading, full, no master). Try again.
    #[error("Redis is not available")]
    Unavailable(#[source] RedisError),
    /// No answer in time. Try again.
    #[error("Redis did not answer within {0:?}")]
    Timeout(Duration),
    /// Redis understood and refused: wrong password, no permission, another type of key. A human must act.
    #[error("Redis refused the command")]
    Refused(#[source] RedisError),
    /// Redis is set up to throw keys away, which would lose commands without anybody noticing. A human must act.
    #[error(
        "Redis throws keys away when its memory is full (maxmemory-policy is {0}): set maxmemory-policy to noeviction, \
         with CONFIG SET, in redis.conf, or in the parameters of the managed service"
    )]
    Evicts(String),
    /// Redis answered something that this release does not understand.
    #[error("unexpected answer from Redis: {0}")]
    Answer(&'static str),
    /// A bug: values of ours always encode.
    #[error("cannot encode an entry of a directory")]
    Encode(#[source] rmp_serde::encode::Error),
}

impl Error {
    /// True when the same call may succeed later without anybody doing anything to Postern.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Timeout(_))
    }
}

/// Codes of answers that mean "not now".
const NOT_NOW: &[&str] = &[
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "UNBLOCKED",
];

/// Codes after which another connection may reach a better server (a host name moves in a failover).
const WRONG_SERVER: &[&str] = &["LOADING", "READONLY", "MASTERDOWN", "UNBLOCKED"];

/// Sorts an error of the driver, and says whether the connection must be replaced.
pub(crate) fn sort(error: RedisError) -> (Error, bool) {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => return (Error::Unavailable(error), true),
        ErrorKind::AuthenticationFailed => return (Error::Refused(error), true),
        _ => {}
    }
    let answers = error.clone().into_server_errors().unwrap_or_default();
    let any = |codes: &[&str]| answers.iter().any(|(_, answer)| codes.contains(&answer.code()));
    let crowded = answers
        .iter()
        .any(|(_, answer)| answer.details().is_some_and(|text| text.contains("max number of clients")));
    let replace = crowded || any(WRONG_SERVER);
    if crowded || any(NOT_NOW) {
        (Error::Unavailable(error), replace)
    } else {
        (Error::Refused(error), replace)
    }
}
