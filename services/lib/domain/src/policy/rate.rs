//! How often something has happened lately.

use std::collections::VecDeque;

/// The times of what has happened within a period, oldest first, each with what it was. At most as many as are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent<T = ()>(VecDeque<(u64, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    /// Notes that this happens at `now`, unless as many as `most` are noted within the `period` before. Times are of one
    /// unit, and do not go back.
    pub fn take(&mut self, what: T, now: u64, most: u32, period: u64) -> bool {
        self.forget(now, period);
        let is_free = u32::try_from(self.0.len()).is_ok_and(|count| count < most);
        if is_free {
            self.0.push_back((now, what));
        }
        is_free
    }

    /// Forgets what is longer ago than that. True when nothing is left.
    pub fn forget(&mut self, now: u64, period: u64) -> bool {
        while self.0.front().is_some_and(|(at, _)| at.saturating_add(period) <= now) {
            self.0.pop_front();
        }
        self.0.is_empty()
    }

    /// Whether something is noted of which this holds.
    pub(super) fn any(&self, holds: impl Fn(&T) -> bool) -> bool {
        self.0.iter().any(|(_, what)| holds(what))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Goal: never more than allowed within any period, and never refused below that; method: random times, each
        /// decision compared with a count over all that were granted.
        #[test]
        fn counts(steps in prop::collection::vec(0_u64..40, 1..200), most in 1_u32..6, period in 1_u64..100) {
            let mut recent = Recent::default();
            let mut granted: Vec<u64> = Vec::new();
            let mut now = 0;
            for step in steps {
                now += step;
                let within = granted.iter().filter(|&&at| at + period > now).count();
                let expected = within < most as usize;
                prop_assert_eq!(recent.take((), now, most, period), expected);
                if expected {
                    granted.push(now);
                }
            }
        }
    }
}
