//! Keeps this worker's lease, takes its share of the shards, and gives surplus back when workers join. Must never renew
//! the lease of a worker that cannot serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tmtp_chassis::{Context, Health};
use tmtp_domain::WorkerId;
use tmtp_store::{Error, Store};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::engine::Control;
use crate::metrics::WorkerMetrics;
use crate::vitals::Vitals;

/// The check that passes when the worker has taken up its shards for the first time.
pub const SHARDS: &str = "shards";

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
    vitals: Arc<Vitals>,
    /// Redis has been out of reach for so long that the lease was ended.
    cut_off: bool,
    /// When Redis was last out of reach for as much as half a lease.
    missed: Option<Instant>,
    /// A lease that never was cannot lapse.
    begun: bool,
    /// The worker has taken up shards, or there are none to be had: those that others have over come by and by.
    settled: bool,
}

impl Ownership {
    /// A worker that owns nothing yet.
    pub fn new(
        cx: &Context<Config>,
        store: Store,
        worker: WorkerId,
        control: UnboundedSender<Control>,
        metrics: Arc<WorkerMetrics>,
        vitals: Arc<Vitals>,
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
            vitals,
            cut_off: false,
            missed: None,
            begun: false,
            settled: false,
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
        let silence = self.vitals.silence();
        if silence >= self.lease / 2 {
            self.missed = Some(Instant::now());
        }
        if silence > self.lease {
            return self.stand_by(silence).await;
        }
        if std::mem::take(&mut self.cut_off) {
            tracing::info!("Redis answers again");
        }
        let found = self.store.heartbeat(self.worker, self.lease).await?;
        if found.lapsed && self.begun {
            tracing::warn!("the lease had ended; looking which shards are still ours");
            self.doubtful = true;
        }
        self.begun = true;
        // Taking up and giving back take a beat or two; a lasting difference is a shard without a home.
        let matching = self.metrics.shards_owned.get() == i64::from(found.owned);
        self.mismatches = if matching { 0 } else { self.mismatches + 1 };
        if !self.settled && matching && (found.owned > 0 || found.free == 0) {
            self.settled = true;
            self.health.set(SHARDS, Ok(()));
        }
        self.doubtful |= self.mismatches > MISMATCHES_MAX;
        if self.doubtful {
            let _ = self.control.send(Control::Owned(self.store.owned(self.worker).await?));
            self.doubtful = false;
            self.mismatches = 0;
        }
        let share = found.shards.div_ceil(found.workers.max(1));
        // Others may have let go for the same reason, and need a moment to notice that it is over.
        let reachable = self.missed.is_none_or(|at| at.elapsed() > self.lease);
        if found.owned < share && found.free > 0 && reachable {
            let claimed = self.store.claim(self.worker, (share - found.owned).min(found.free)).await?;
            if !claimed.is_empty() {
                tracing::info!(shards = claimed.len(), workers = found.workers, "took shards");
                let _ = self.control.send(Control::Claimed(claimed));
            }
            self.store.forget_workers().await?;
        } else if found.owned > share {
            let _ = self.control.send(Control::Share(share));
        }
        Ok(())
    }

    /// Without Redis nobody is served, so others may have the shards. Nobody takes them who is cut off as well, and then
    /// they are still ours when Redis comes back: an outage for all moves nothing.
    async fn stand_by(&mut self, silence: Duration) -> Result<(), Error> {
        if !self.cut_off {
            tracing::warn!(?silence, "Redis cannot be reached; others may take the shards");
        }
        self.cut_off = true;
        self.store.end_lease(self.worker).await
    }
}
