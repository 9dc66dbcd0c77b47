//! What members did lately, as far as a policy limits it. In memory only: a new owner of the shard counts from nothing.

use std::collections::HashMap;

use tmtp_domain::policy::{FailedPings, Recent};
use tmtp_domain::{SiteId, Uid};

use super::super::NodeKey;

/// Nanoseconds of what is counted by the minute, and by the day.
pub(super) const MINUTE: u64 = 60_000_000_000;
pub(super) const DAY: u64 = 24 * 60 * MINUTE;

/// Of how many members it is known what they did lately, before those who did nothing are looked for.
const FORGET_FROM: usize = 10_000;

/// All of it.
#[derive(Debug, Default)]
pub(in super::super) struct Lately {
    pub(super) posts: Counts<Recent>,
    pub(super) pings: Counts<Recent>,
    pub(super) failed_pings: Counts<FailedPings>,
    /// Who was told that somebody is away.
    pub(super) away: Counts<Recent, (SiteId, Uid, Uid)>,
}

/// What can be forgotten when it is long ago.
pub(super) trait Forget {
    /// Forgets what is longer ago than the period. True when nothing is left.
    fn forget(&mut self, now: u64, period: u64) -> bool;
}

impl Forget for Recent {
    fn forget(&mut self, now: u64, period: u64) -> bool {
        Self::forget(self, now, period)
    }
}

impl Forget for FailedPings {
    fn forget(&mut self, now: u64, period: u64) -> bool {
        Self::forget(self, now, period)
    }
}

/// When each member did something.
#[derive(Debug)]
pub(super) struct Counts<C, K = (SiteId, Uid)> {
    members: HashMap<K, C>,
    /// At how many members those are forgotten who did nothing.
    forget_at: usize,
}

impl<C, K> Default for Counts<C, K> {
    fn default() -> Self {
        Self { members: HashMap::new(), forget_at: FORGET_FROM }
    }
}

impl<C: Forget + Default, K: Eq + std::hash::Hash> Counts<C, K> {
    /// What is counted of this one, at a time in nanoseconds.
    pub(super) fn of(&mut self, who: K, now: u64, period: u64) -> &mut C {
        if self.members.len() >= self.forget_at {
            self.members.retain(|_, recent| !recent.forget(now, period));
            self.forget_at = FORGET_FROM.max(self.members.len() * 2);
        }
        self.members.entry(who).or_default()
    }

    /// The same, if there is something.
    pub(super) fn get_mut(&mut self, who: &K) -> Option<&mut C> {
        self.members.get_mut(who)
    }
}

impl Counts<Recent> {
    /// Notes that it happens now, unless it has happened `most` times within the period.
    pub(super) fn take(&mut self, who: NodeKey, now: u64, most: u32, period: u64) -> bool {
        self.of((who.site, who.uid), now, period).take(now, most, period)
    }
}
