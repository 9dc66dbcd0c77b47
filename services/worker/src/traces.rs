//! Forgets steps of messages that are older than traces are kept. Every worker does it; they take turns at the rows.

use std::sync::Arc;

use tmtp_chassis::Context;
use tmtp_store::Store;
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::metrics::WorkerMetrics;

/// Rows that one statement removes at most: a pack of a busy site may have a megabyte.
const PORTION: u16 = 500;

/// Starts the task; it ends with the drain.
pub fn start(cx: &Context<Config>, store: Store, metrics: Arc<WorkerMetrics>) {
    cx.life.spawn("traces", sweep(cx.clone(), store, metrics));
}

async fn sweep(cx: Context<Config>, store: Store, metrics: Arc<WorkerMetrics>) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(cx.config.trace.sweep_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let drain = cx.life.drain();
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        // All that is past its time, portion by portion: one per tick would fall behind what is written.
        while !drain.is_cancelled() {
            match store.forget_traces(cx.config.trace.keep, PORTION.into()).await {
                Ok(rows) => {
                    metrics.trace_rows_forgotten_total.inc_by(rows);
                    if rows < PORTION.into() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot forget old traces");
                    break;
                }
            }
        }
    }
}
