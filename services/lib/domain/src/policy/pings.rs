//! Pings of a member in a row that nobody has answered.

use super::Recent;
use crate::Uid;

/// Those within a period, with whom they were to, if they were to anybody.
pub type FailedPings = Recent<Option<Uid>>;

impl FailedPings {
    /// Somebody has written to the member: if it was one of those that were pinged, the row has ended.
    pub fn answered(&mut self, by: Uid) {
        if self.any(|to| *to == Some(by)) {
            self.clear();
        }
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
