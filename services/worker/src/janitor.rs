//! Removes bodies: at once those whose message is delivered, by and by those that nobody ever came to refer to (an
//! upload whose gateway died, a removal that failed).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tmtp_bodies::Bodies;
use tmtp_chassis::Context;
use tmtp_contract::BodyRef;
use tmtp_domain::{BodyId, SiteId};
use tmtp_store::Store;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::metrics::WorkerMetrics;

/// Removals that may wait. What does not fit is left to the sweep.
const WAITING_MAX: usize = 1_024;
/// Bodies that one page of the sweep looks at.
const PAGE: u32 = 200;

/// Takes bodies to be removed.
#[derive(Debug, Clone)]
pub struct Janitor {
    to: Sender<Vec<(SiteId, BodyRef)>>,
}

impl Janitor {
    /// Removes these soon.
    pub fn remove(&self, bodies: Vec<(SiteId, BodyRef)>) {
        if !bodies.is_empty() && self.to.try_send(bodies).is_err() {
            tracing::info!("many bodies wait for their removal; leaving some to the sweep");
        }
    }
}

/// Starts the tasks; they end with the drain.
pub fn start(cx: &Context<Config>, store: Store, bodies: Bodies, metrics: Arc<WorkerMetrics>) -> Janitor {
    let (to, from) = mpsc::channel(WAITING_MAX);
    cx.life.spawn("janitor", remove_freed(from, bodies.clone(), Arc::clone(&metrics)));
    cx.life.spawn("sweep", sweep(cx.clone(), store, bodies, metrics));
    Janitor { to }
}

/// Ends when the engine does.
async fn remove_freed(
    mut from: Receiver<Vec<(SiteId, BodyRef)>>,
    bodies: Bodies,
    metrics: Arc<WorkerMetrics>,
) -> anyhow::Result<()> {
    while let Some(batch) = from.recv().await {
        let mut by_site: HashMap<SiteId, Vec<BodyRef>> = HashMap::new();
        for (site, body) in batch {
            by_site.entry(site).or_default().push(body);
        }
        for (site, freed) in by_site {
            match bodies.remove(site, &freed).await {
                Ok(()) => {
                    let count = u64::try_from(freed.len()).unwrap_or(u64::MAX);
                    metrics.bodies_removed_total.with_label_values(&["delivered"]).inc_by(count);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(site.id = %site, error, "cannot remove bodies; leaving them to the sweep");
                }
            }
        }
    }
    Ok(())
}

async fn sweep(
    cx: Context<Config>,
    store: Store,
    bodies: Bodies,
    metrics: Arc<WorkerMetrics>,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(cx.config.sweep.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let drain = cx.life.drain();
    let mut after = None;
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        match sweep_page(&store, &bodies, cx.config.sweep.older_than, after, &metrics).await {
            Ok(next) => after = next,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot sweep the body store"),
        }
    }
}

/// Sweeps one page, and says where the next begins.
async fn sweep_page(
    store: &Store,
    bodies: &Bodies,
    older_than: Duration,
    after: Option<(SiteId, BodyId)>,
    metrics: &WorkerMetrics,
) -> anyhow::Result<Option<(SiteId, BodyId)>> {
    let page = bodies.stale(older_than, after, PAGE).await?;
    let names: Vec<(SiteId, BodyId)> = page.bodies.iter().map(|stale| (stale.site, stale.body)).collect();
    if names.is_empty() {
        return Ok(page.next);
    }
    let held = store.bodies_held(&names).await?;
    for stale in page.bodies.iter().filter(|stale| !held.contains(&(stale.site, stale.body))) {
        bodies.discard(stale.site, stale.body, stale.chunks).await?;
        metrics.bodies_removed_total.with_label_values(&["unreferenced"]).inc();
    }
    Ok(page.next)
}
