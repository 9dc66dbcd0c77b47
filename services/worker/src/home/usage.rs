//! How much sites are used, counted between two spills. What the journal holds is counted again by the shard's next owner,
//! and what a spill has written is in no journal any more: so nothing is counted twice, and nothing is lost.

use std::collections::HashMap;

use tmtp_contract::{Body, Content, Message};
use tmtp_domain::SiteId;
use tmtp_store::DayUse;

/// Nanoseconds of a day.
const DAY_NANOS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Counts by site and day (days since 1970).
#[derive(Debug, Default)]
pub(super) struct Usage(HashMap<(SiteId, i32), (i64, i64)>);

impl Usage {
    /// Counts a message that is queued for somebody, if it is a post.
    pub(super) fn count(&mut self, site: SiteId, message: &Message) {
        if !matches!(message.content, Content::Delivery { .. } | Content::Notify { .. }) {
            return;
        }
        let octets = match &message.body {
            Body::Stored(body) => body.len,
            Body::Empty | Body::Inline(_) => u64::try_from(message.body.inline_len()).unwrap_or(u64::MAX),
        };
        // The id is the time.
        let day = i32::try_from(message.id.0 / DAY_NANOS).unwrap_or(i32::MAX);
        let (messages, sum) = self.0.entry((site, day)).or_default();
        *messages += 1;
        *sum = sum.saturating_add(i64::try_from(octets).unwrap_or(i64::MAX));
    }

    /// What was counted.
    pub(super) fn days(&self) -> Vec<DayUse> {
        let day = |(&(site, day), &(messages, octets)): (&(SiteId, i32), &(i64, i64))| DayUse {
            site,
            day,
            messages,
            octets,
        };
        self.0.iter().map(day).collect()
    }

    /// It is in rows.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
