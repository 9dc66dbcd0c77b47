//! Pings of a member in a row that nobody has answered.

use std::collections::VecDeque;

use crate::Uid;

/// Those within a period, oldest first, with whom they were to, if they were to anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedPings(VecDeque<(u64, Option<Uid>)>);

impl FailedPings {
    /// Notes a ping at `now`, unless `most` have failed within the `period` before. Times are of one unit, and do not go
    /// back.
    pub fn take(&mut self, to: Option<Uid>, now: u64, most: u32, period: u64) -> bool {
        self.forget(now, period);
        let is_free = u32::try_from(self.0.len()).is_ok_and(|count| count < most);
        if is_free {
            self.0.push_back((now, to));
        }
        is_free
    }

    /// Somebody has written to the member: if it was one of those that were pinged, the row has ended.
    pub fn answered(&mut self, by: Uid) {
        if self.0.iter().any(|(_, to)| *to == Some(by)) {
            self.0.clear();
        }
    }

    /// Forgets what is longer ago than that. True when nothing is left.
    pub fn forget(&mut self, now: u64, period: u64) -> bool {
        while self.0.front().is_some_and(|(at, _)| at.saturating_add(period) <= now) {
            self.0.pop_front();
        }
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Goal: never more in a row than allowed, and never refused below that; method: random pings and answers, each
        /// decision compared with a count over all that has happened.
        #[test]
        fn counts(
            steps in prop::collection::vec((0_u64..30, 0_u8..6, any::<bool>()), 1..200),
            most in 1_u32..5,
            period in 1_u64..100,
        ) {
            let mut pings = FailedPings::default();
            // Pings that were granted, with whom they were to, and where the last row has ended.
            let mut granted: Vec<(u64, Option<Uid>)> = Vec::new();
            let mut row_from = 0;
            let mut now = 0;
            for (time, whom, is_ping) in steps {
                now += time;
                // One of the names is nobody's.
                let whom = (whom > 0).then_some(Uid([whom; 20]));
                let row: Vec<_> = granted[row_from..].iter().filter(|(at, _)| at + period > now).collect();
                if is_ping {
                    let expected = row.len() < most as usize;
                    prop_assert_eq!(pings.take(whom, now, most, period), expected);
                    if expected {
                        granted.push((now, whom));
                    }
                } else if let Some(by) = whom {
                    pings.forget(now, period);
                    pings.answered(by);
                    if row.iter().any(|(_, to)| *to == Some(by)) {
                        row_from = granted.len();
                    }
                }
            }
        }
    }
}
