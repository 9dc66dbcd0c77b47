//! Places for links: as many as may be open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tmtp_chassis::metrics::IntGauge;

/// All places. Clones share them.
#[derive(Clone)]
pub struct Slots {
    taken: Arc<AtomicUsize>,
    max: usize,
    gauge: IntGauge,
}

impl Slots {
    /// So many places, all free. The gauge shows how many are taken.
    pub fn new(max: usize, gauge: IntGauge) -> Self {
        Self { taken: Arc::default(), max, gauge }
    }

    /// Takes a place, if one is free.
    pub fn take(&self) -> Option<Slot> {
        let more = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.gauge.inc();
        Some(Slot { taken: Arc::clone(&self.taken), gauge: self.gauge.clone() })
    }
}

/// A place, which is free again when this is dropped.
pub struct Slot {
    taken: Arc<AtomicUsize>,
    gauge: IntGauge,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}
