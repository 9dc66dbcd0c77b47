//! When a domain is tried again, and when its certificate is renewed. Pure.

use std::time::Duration;

/// How long a domain waits at least when the authority has said that it is too much: its limits are by the hour.
pub const TOO_MUCH: Duration = Duration::from_hours(1);
/// How long this server orders nothing then: the limit may be that of the account.
pub const QUIET: Duration = Duration::from_mins(5);
/// A pause is up to this share longer, so that what failed together does not come together again.
const SPREAD: f64 = 0.2;

/// The pause after a failure that came after `before` others, with `chance` from 0 to 1.
pub fn after(before: u32, min: Duration, max: Duration, chance: f64) -> Duration {
    let doubled = min.saturating_mul(2_u32.saturating_pow(before)).min(max);
    doubled.mul_f64(1.0 + SPREAD * chance)
}

/// When a certificate is renewed: after two thirds of its life, which leaves a month of three to get it done.
pub fn renewal(not_before: i64, not_after: i64) -> i64 {
    not_before + (not_after - not_before) / 3 * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: pauses double up to the longest, and are spread; method: some failures in a row.
    #[test]
    fn longer_and_longer() {
        let minutes = |before, chance| {
            after(before, Duration::from_mins(15), Duration::from_hours(12), chance).as_secs() / 60
        };
        assert_eq!([0, 1, 2, 5, 6, 1_000].map(|before| minutes(before, 0.0)), [15, 30, 60, 480, 720, 720]);
        assert_eq!(minutes(0, 1.0), 18);
    }

    /// Goal: a certificate of 90 days is renewed a month before its end; method: one.
    #[test]
    fn renewed_in_time() {
        let day = 24 * 60 * 60 * 1_000;
        assert_eq!(renewal(10 * day, 100 * day), 70 * day);
    }
}
