//! Keeps this worker's lease, takes its share of the shards, and gives surplus back when workers join.

use std::sync::Arc;
use std::time::Duration;

use tmtp_chassis::{Context, Health};
use tmtp_domain::WorkerId;
use tmtp_store::{Error, Store};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::engine::Control;
use crate::metrics::WorkerMetrics;

/// Beats at which the engine may lag behind the rows.
const MISMATCHES_MAX: u32 = 5;

/// The task's state.
pub struct Ownership {
    store: Store,
    worker: WorkerId,
    lease: Duration,
    every: Duration,
    control: UnboundedSender<Control>,
    health: Health,
    drain: CancellationToken,
    /// Whether the engine may see its shards differently from the rows: a beat has failed, or the lease had ended.
    doubtful: bool,
    /// Beats in a row at which the engine had not as many shards as the rows say.
    mismatches: u32,
    metrics: Arc<WorkerMetrics>,
    /// A lease that never was cannot lapse.
    begun: bool,
}

impl Ownership {
    /// A worker that owns nothing yet.
    pub fn new(
        cx: &Context<Config>,
        store: Store,
        worker: WorkerId,
        control: UnboundedSender<Control>,
        metrics: Arc<WorkerMetrics>,
    ) -> Self {
        Self {
            store,
            worker,
            lease: cx.config.shards.lease,
            every: cx.config.shards.heartbeat,
            control,
            health: cx.health.clone(),
            drain: cx.life.drain(),
            doubtful: false,
            mismatches: 0,
            metrics,
            begun: false,
        }
    }

    /// Beats until the drain.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain = self.drain.clone();
        loop {
            tokio::select! {
                () = drain.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let result = self.beat().await;
            if let Err(error) = &result {
                self.doubtful = true;
                tracing::warn!(error = error as &dyn std::error::Error, "cannot renew the lease");
            }
            self.health.set("postgres", result.map_err(|error| error.to_string()));
        }
    }

    async fn beat(&mut self) -> Result<(), Error> {
        let found = self.store.heartbeat(self.worker, self.lease).await?;
        if found.lapsed && self.begun {
            tracing::warn!("the lease had ended; looking which shards are still ours");
            self.doubtful = true;
        }
        self.begun = true;
        // Taking up and giving back take a beat or two; a lasting difference is a shard without a home.
        let matching = self.metrics.shards_owned.get() == i64::from(found.owned);
        self.mismatches = if matching { 0 } else { self.mismatches + 1 };
        self.doubtful |= self.mismatches > MISMATCHES_MAX;
        if self.doubtful {
            let _ = self.control.send(Control::Owned(self.store.owned(self.worker).await?));
            self.doubtful = false;
            self.mismatches = 0;
        }
        let share = found.shards.div_ceil(found.workers.max(1));
        if found.owned < share && found.free > 0 {
            let claimed = self.store.claim(self.worker, (share - found.owned).min(found.free)).await?;
            if !claimed.is_empty() {
                tracing::info!(shards = claimed.len(), workers = found.workers, "took shards");
                let _ = self.control.send(Control::Claimed(claimed));
            }
            self.store.forget_workers().await?;
        } else if found.owned > share {
            let _ = self.control.send(Control::Release(found.owned - share));
        }
        Ok(())
    }
}
