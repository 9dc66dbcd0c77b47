//! How far a run has come, to be watched from outside, and the way to end it early.
//! It must never be what the verdict is made of: that is for the books.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

/// Counters that only grow. Read them at any time.
#[derive(Debug, Default)]
pub struct Progress {
    pub(crate) posts_acked: AtomicU64,
    pub(crate) deliveries: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) resent: AtomicU64,
    pub(crate) problems: AtomicU64,
    pub(crate) stop: CancellationToken,
}

impl Progress {
    /// Posts that the server has acknowledged, each counted once.
    pub fn posts_acked(&self) -> u64 {
        self.posts_acked.load(Ordering::Relaxed)
    }

    /// Messages that have arrived, each counted once.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Connections that were lost and made again.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Posts that were sent again because there was no ack.
    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }

    /// What is wrong so far. What is lost shows only at the end.
    pub fn problems(&self) -> u64 {
        self.problems.load(Ordering::Relaxed)
    }

    /// Ends the posting; what is under way still arrives, and the books are checked.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
