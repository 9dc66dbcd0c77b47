//! The spill, and the removal of bodies that nobody needs any more.

use std::time::Duration;

use tmtp_domain::BodyId;
use tmtp_store::{CommitError, Spilled};

use super::super::Fate;
use super::Cluster;

impl Cluster<'_> {
    pub(super) async fn spill(&mut self, fate: Fate, forgetful: u8) {
        let store = &self.database.store;
        let spill = self.home.spill(self.now).unwrap();
        let (shard, epoch, commits) = (self.home.shard(), self.home.epoch(), self.home.commits());
        if fate == Fate::StoppedBeforeSpill {
            let other = self.next_worker().await;
            let late = store.spill(shard, epoch, commits, &spill).await;
            assert!(matches!(late, Err(CommitError::Fenced)), "an owner that was: {late:?}");
            self.worker = other;
            return self.take_over(forgetful).await;
        }
        let Spilled { mut free, .. } = store.spill(shard, epoch, commits, &spill).await.unwrap();
        if fate == Fate::StoppedAfterSpill {
            return self.stop(forgetful).await;
        }
        if fate == Fate::SpilledTwice {
            // What the first one freed is not told again, but found.
            free = store.spill(shard, epoch, commits, &spill).await.unwrap().free;
        }
        self.home.spilled(self.now);
        for (_, body) in free {
            self.remove_body(body.id);
        }
        self.check_owed().await;
        self.feed().await;
        let outbox = self.home.take_outbox();
        self.gateway.hear(outbox, &mut self.reference);
    }

    /// Removes bodies as the janitor does: those that were freed at once, others when no row refers to them.
    pub(super) async fn remove_bodies(&mut self) {
        for (_, body) in self.home.take_free_bodies() {
            self.remove_body(body.id);
        }
        let orphans: Vec<_> =
            self.home.take_orphans().into_iter().map(|(site, body)| (site, body.id)).collect();
        for (_, body) in self.database.store.condemn_bodies(&orphans).await.unwrap() {
            self.remove_body(body);
        }
    }

    /// Removes bodies as any worker does that were freed by one which could not remove them any more.
    pub(super) async fn remove_what_was_left(&mut self) {
        let left = self.database.store.bodies_freed(Duration::ZERO, 1_000).await.unwrap();
        let names: Vec<_> = left.iter().map(|(site, body)| (*site, body.id)).collect();
        for (_, body) in &names {
            self.remove_body(*body);
        }
        self.database.store.forget_freed(&names).await.unwrap();
    }

    pub(super) fn remove_body(&mut self, body: BodyId) {
        assert!(!self.reference.needs(body), "a body that is still needed is removed");
        self.removed.insert(body);
    }
}
