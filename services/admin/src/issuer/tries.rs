//! How often codes may be tried. A code has 60 random bits, so this only has to see to it that nobody tries millions;
//! it must not get into the way of a class of thirty people behind one address.
//!
//! Kept in memory, by each server for itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tmtp_domain::SiteId;

/// Tries of any kind from one address: a burst of these, and then one per second.
const TRIES: u32 = 120;
/// Guesses from one address: a burst of these, and then one per minute.
const GUESSES: u32 = 10;
/// Guesses at one site, from wherever: a burst of these, and then one per second.
const SITE_GUESSES: u32 = 600;
/// After this many tries what is no longer needed is forgotten.
const FORGET_EVERY: u32 = 1_024;

/// Whom a guess is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whom {
    Address(IpAddr),
    Site(SiteId),
}

pub(super) struct Tries {
    all: DefaultKeyedRateLimiter<IpAddr>,
    guesses: DefaultKeyedRateLimiter<IpAddr>,
    site_guesses: DefaultKeyedRateLimiter<SiteId>,
    /// Who has guessed too often, and until when they may not try.
    blocked: Mutex<HashMap<Whom, Instant>>,
    count: AtomicU32,
    clock: DefaultClock,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self {
            all: RateLimiter::keyed(Quota::per_second(NonZeroU32::MIN).allow_burst(at_least_one(TRIES))),
            guesses: RateLimiter::keyed(
                Quota::per_minute(NonZeroU32::MIN).allow_burst(at_least_one(GUESSES)),
            ),
            site_guesses: RateLimiter::keyed(
                Quota::per_second(NonZeroU32::MIN).allow_burst(at_least_one(SITE_GUESSES)),
            ),
            blocked: Mutex::default(),
            count: AtomicU32::new(0),
            clock: DefaultClock::default(),
        }
    }

    /// Before a code is looked at. `Err`: not now, but after this time.
    pub(super) fn begin(&self, site: SiteId, from: IpAddr) -> Result<(), Duration> {
        if self.count.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.forget();
        }
        let from = network(from);
        let now = Instant::now();
        let blocked = self.blocked.lock();
        let until = [Whom::Address(from), Whom::Site(site)].map(|whom| blocked.get(&whom).copied());
        drop(blocked);
        if let Some(wait) =
            until.into_iter().flatten().map(|until| until - now).max().filter(|w| !w.is_zero())
        {
            return Err(wait);
        }
        self.all.check_key(&from).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    /// A code did not exist.
    pub(super) fn failed(&self, site: SiteId, from: IpAddr) {
        let from = network(from);
        let (by_address, by_site) = (self.guesses.check_key(&from), self.site_guesses.check_key(&site));
        let outcomes = [(Whom::Address(from), by_address), (Whom::Site(site), by_site)];
        for (whom, outcome) in outcomes {
            if let Err(not_until) = outcome {
                let until = Instant::now() + not_until.wait_time_from(self.clock.now());
                self.blocked.lock().insert(whom, until);
            }
        }
    }

    fn forget(&self) {
        self.all.retain_recent();
        self.guesses.retain_recent();
        self.site_guesses.retain_recent();
        let now = Instant::now();
        self.blocked.lock().retain(|_, until| *until > now);
    }
}

/// What one person has: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: guessing ends soon, for the guesser only; method: guess more often than is allowed.
    #[test]
    fn guessing_ends() {
        let tries = Tries::new();
        let (here, there) = (SiteId(uuid::Uuid::from_u128(1)), SiteId(uuid::Uuid::from_u128(2)));
        let [guesser, neighbour, other] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|text| text.parse::<IpAddr>().unwrap());
        for _ in 0..GUESSES {
            assert_eq!(tries.begin(here, guesser), Ok(()));
            tries.failed(here, guesser);
        }
        assert_eq!(tries.begin(here, guesser), Ok(()));
        tries.failed(here, guesser);
        let wait = tries.begin(here, neighbour).unwrap_err();
        assert!(wait > Duration::from_secs(1) && wait <= Duration::from_mins(1), "{wait:?}");
        assert!(tries.begin(there, guesser).is_err());
        assert_eq!(tries.begin(here, other), Ok(()));
    }

    /// Goal: a site is safe from many guessers together; method: more of them than it bears.
    #[test]
    fn many_guessers() {
        let tries = Tries::new();
        let site = SiteId(uuid::Uuid::from_u128(1));
        let from = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
        // One a second is forgiven, and the test may take its time.
        (0..SITE_GUESSES + 60).for_each(|number| tries.failed(site, from(number)));
        assert!(tries.blocked.lock().contains_key(&Whom::Site(site)));
        assert_eq!(tries.begin(SiteId(uuid::Uuid::from_u128(2)), from(u32::MAX)), Ok(()));
    }

    /// Goal: ordinary people are not in the way of one another; method: thirty at one address, two tries each.
    #[test]
    fn a_class() {
        let tries = Tries::new();
        let site = SiteId(uuid::Uuid::from_u128(1));
        let school = "192.0.2.1".parse().unwrap();
        assert!((0..60).all(|_| tries.begin(site, school).is_ok()));
        tries.forget();
    }
}
