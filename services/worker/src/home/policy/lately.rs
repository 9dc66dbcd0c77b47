//! What members did lately, as far as a policy limits it. In memory only: a new owner of the shard counts from nothing.

use std::collections::HashMap;

use tmtp_domain::policy::Recent;
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
    pub(super) posts: Counts,
    pub(super) pings: Counts,
    /// With whom each ping was to.
    pub(super) failed_pings: Counts<Option<Uid>>,
    /// Who was told that somebody is away.
    pub(super) away: Counts<(), (SiteId, Uid, Uid)>,
}

/// When each member did something.
#[derive(Debug)]
pub(super) struct Counts<T = (), K = (SiteId, Uid)> {
    members: HashMap<K, Recent<T>>,
    /// At how many members those are forgotten who did nothing.
    forget_at: usize,
}

impl<T, K> Default for Counts<T, K> {
    fn default() -> Self {
        Self { members: HashMap::new(), forget_at: FORGET_FROM }
    }
}

impl<T, K: Eq + std::hash::Hash> Counts<T, K> {
    /// What is counted of this one, at a time in nanoseconds.
    pub(super) fn of(&mut self, who: K, now: u64, period: u64) -> &mut Recent<T> {
        if self.members.len() >= self.forget_at {
            self.members.retain(|_, recent| !recent.forget(now, period));
            self.forget_at = FORGET_FROM.max(self.members.len() * 2);
        }
        self.members.entry(who).or_default()
    }

    /// The same, if there is something.
    pub(super) fn get_mut(&mut self, who: &K) -> Option<&mut Recent<T>> {
        self.members.get_mut(who)
    }
}

impl Counts {
    /// Notes that it happens now, unless it has happened `most` times within the period.
    pub(super) fn take(&mut self, who: NodeKey, now: u64, most: u32, period: u64) -> bool {
        self.of((who.site, who.uid), now, period).take((), now, most, period)
    }
}
