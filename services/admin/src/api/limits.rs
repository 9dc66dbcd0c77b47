//! How often one may ask: each key by itself, and each address with keys that are none.
//!
//! Counted by each admin server for itself, in memory: with n of them a key has up to n times as much.
//!
//! Whoever is beyond the limit of failures is refused before the database is asked. Behind one address there may be others
//! with good keys, so those that have been good lately are asked for all the same.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use uuid::Uuid;

use super::Problem;

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// Who has asked how often.
pub(crate) struct Limits {
    per_minute: NonZeroU32,
    keys: Limiter<Uuid>,
    failures: Limiter<IpAddr>,
    /// Beyond the limit of failures until then.
    blocked: Mutex<HashMap<IpAddr, Instant>>,
    /// SHA-256 of keys that were good, and when. No more than there are keys.
    good: Mutex<HashMap<[u8; 32], Instant>>,
}

/// For so long a key that was good is asked for also where many are not.
const GOOD_FOR: Duration = Duration::from_hours(1);

impl Limits {
    pub(crate) fn new(per_minute: NonZeroU32, failures_per_minute: NonZeroU32) -> Self {
        Self {
            per_minute,
            keys: RateLimiter::dashmap(Quota::per_minute(per_minute)).with_middleware(),
            failures: RateLimiter::dashmap(Quota::per_minute(failures_per_minute)).with_middleware(),
            blocked: Mutex::default(),
            good: Mutex::default(),
        }
    }

    /// Counts a request with this key.
    pub(crate) fn take(&self, key: Uuid) -> Allowance {
        let limit = self.per_minute.get();
        match self.keys.check_key(&key) {
            Ok(state) => Allowance { limit, remaining: state.remaining_burst_capacity(), wait_seconds: None },
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                Allowance { limit, remaining: 0, wait_seconds: Some(wait.as_secs() + 1) }
            }
        }
    }

    /// Whether the database is asked for this key. Not for one that may be made up, from where many are.
    pub(crate) fn may_try(&self, from: IpAddr, hash: &[u8; 32]) -> Result<(), Problem> {
        let until = self.blocked.lock().get(&network(from)).copied();
        let Some(wait) = until.and_then(|until| until.checked_duration_since(Instant::now())) else {
            return Ok(());
        };
        if self.good.lock().contains_key(hash) {
            return Ok(());
        }
        Err(Problem::too_many_requests(wait.as_secs() + 1))
    }

    /// What the database says about a key.
    pub(crate) fn tried(&self, hash: &[u8; 32], is_good: bool) {
        if is_good {
            self.good.lock().insert(*hash, Instant::now());
        } else {
            self.good.lock().remove(hash);
        }
    }

    /// Counts a request without a valid key, and says what to answer.
    pub(crate) fn failed(&self, from: IpAddr) -> Problem {
        let network = network(from);
        match self.failures.check_key(&network) {
            Ok(_) => Problem::unauthenticated(),
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                self.blocked.lock().insert(network, Instant::now() + wait);
                Problem::too_many_requests(wait.as_secs() + 1)
            }
        }
    }

    /// Forgets whoever has not asked for a while.
    pub(crate) fn forget(&self) {
        self.keys.retain_recent();
        self.failures.retain_recent();
        let now = Instant::now();
        self.blocked.lock().retain(|_, until| *until > now);
        self.good.lock().retain(|_, at| now.duration_since(*at) < GOOD_FOR);
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("per_minute", &self.per_minute).finish_non_exhaustive()
    }
}

/// What a key may still ask for.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    /// It has to wait that long.
    pub(crate) wait_seconds: Option<u64>,
}

impl Allowance {
    /// Tells it in the headers of an answer.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let used = u64::from(self.limit.saturating_sub(self.remaining));
        let reset = (used * 60).div_ceil(u64::from(self.limit.max(1)));
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(reset));
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}
