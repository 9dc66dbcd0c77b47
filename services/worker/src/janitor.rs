//! Removes bodies: at once those whose message is delivered or was refused, soon those whose message was delivered when
//! another worker died, by and by those that nobody ever came to refer to (an upload whose gateway died).
//!
//! Must never remove a body that is not known to be delivered before it is condemned in Postgres: a commit may be about
//! to refer to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tmtp_bodies::Bodies;
use tmtp_chassis::Context;
use tmtp_contract::BodyRef;
use tmtp_domain::{BodyId, SiteId};
use tmtp_store::{Store, StoredBody};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::metrics::WorkerMetrics;

/// Removals that may wait. What does not fit is found in the rows later, or by the sweep.
const WAITING_MAX: usize = 1_024;
/// Bodies that one page of the sweep looks at.
const PAGE: u32 = 200;
/// How often bodies are looked for that were freed and not removed.
const FREED_EVERY: Duration = Duration::from_secs(10);
/// Whoever freed a body removes it by then.
const FREED_FOR: Duration = Duration::from_secs(10);
/// How often bodies that were condemned long ago are forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// Why a body may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The commit that freed it has happened.
    Delivered,
    /// Its request was refused, or had been sent before with another body: but rows may know better.
    Orphan,
}

/// Takes bodies to be removed.
#[derive(Debug, Clone)]
pub struct Janitor {
    to: Sender<(Why, Vec<(SiteId, BodyRef)>)>,
}

impl Janitor {
    /// Removes these soon: their messages are delivered.
    pub fn remove(&self, bodies: Vec<(SiteId, BodyRef)>) {
        self.send(Why::Delivered, bodies);
    }

    /// Removes those of these soon that no message refers to.
    pub fn remove_orphans(&self, bodies: Vec<(SiteId, BodyRef)>) {
        self.send(Why::Orphan, bodies);
    }

    fn send(&self, why: Why, bodies: Vec<(SiteId, BodyRef)>) {
        if !bodies.is_empty() && self.to.try_send((why, bodies)).is_err() {
            tracing::info!("many bodies wait for their removal; leaving some for later");
        }
    }
}

/// Starts the tasks; they end with the drain.
pub fn start(cx: &Context<Config>, store: Store, bodies: Bodies, metrics: Arc<WorkerMetrics>) -> Janitor {
    let (to, from) = mpsc::channel(WAITING_MAX);
    cx.life.spawn("janitor", remove_freed(from, store.clone(), bodies.clone(), Arc::clone(&metrics)));
    cx.life.spawn("freed", remove_left(cx.clone(), store.clone(), bodies.clone(), Arc::clone(&metrics)));
    cx.life.spawn("sweep", sweep(cx.clone(), store, bodies, metrics));
    Janitor { to }
}

/// Ends when the engine does.
async fn remove_freed(
    mut from: Receiver<(Why, Vec<(SiteId, BodyRef)>)>,
    store: Store,
    bodies: Bodies,
    metrics: Arc<WorkerMetrics>,
) -> anyhow::Result<()> {
    while let Some((why, mut batch)) = from.recv().await {
        if why == Why::Orphan {
            let names: Vec<(SiteId, BodyId)> = batch.iter().map(|(site, body)| (*site, body.id)).collect();
            match store.condemn_bodies(&names).await {
                Ok(condemned) => batch.retain(|(site, body)| condemned.contains(&(*site, body.id))),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "cannot look bodies up; leaving them to the sweep");
                    continue;
                }
            }
        }
        let label = if why == Why::Delivered { "delivered" } else { "unreferenced" };
        remove(batch, label, &store, &bodies, &metrics).await;
    }
    Ok(())
}

/// Removes bodies, and then what the rows say of those that were freed.
async fn remove(
    batch: Vec<(SiteId, BodyRef)>,
    label: &str,
    store: &Store,
    bodies: &Bodies,
    metrics: &WorkerMetrics,
) {
    let mut by_site: HashMap<SiteId, Vec<BodyRef>> = HashMap::new();
    for (site, body) in batch {
        by_site.entry(site).or_default().push(body);
    }
    let mut removed = Vec::new();
    for (site, freed) in by_site {
        match bodies.remove(site, &freed).await {
            Ok(()) => {
                let count = u64::try_from(freed.len()).unwrap_or(u64::MAX);
                metrics.bodies_removed_total.with_label_values(&[label]).inc_by(count);
                removed.extend(freed.iter().map(|body| (site, body.id)));
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(site.id = %site, error, "cannot remove bodies; leaving them for later");
            }
        }
    }
    // Only now: a worker that dies before leaves the rows, by which another one finds the bodies.
    if let Err(error) = store.forget_freed(&removed).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "cannot forget removed bodies; they will be removed again");
    }
}

/// Removes what was freed and is still there: whoever freed it has died, or could not remove it.
async fn remove_left(
    cx: Context<Config>,
    store: Store,
    bodies: Bodies,
    metrics: Arc<WorkerMetrics>,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(FREED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let drain = cx.life.drain();
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        match store.bodies_freed(FREED_FOR, PAGE).await {
            Ok(left) if left.is_empty() => {}
            Ok(left) => {
                let body = |body: StoredBody| BodyRef { id: body.id, len: body.len, chunk: body.chunk };
                let left = left.into_iter().map(|(site, freed)| (site, body(freed))).collect();
                remove(left, "delivered", &store, &bodies, &metrics).await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for freed bodies");
            }
        }
    }
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
    let mut forgotten_at = Instant::now();
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        // A whole pass, page by page: one page per tick would fall behind the uploads of a busy deployment.
        let mut after = None;
        while !drain.is_cancelled() {
            match sweep_page(&store, &bodies, cx.config.sweep.older_than, after, &metrics).await {
                Ok(Some(next)) => after = Some(next),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "cannot sweep the body store");
                    break;
                }
            }
        }
        if forgotten_at.elapsed() >= FORGET_EVERY {
            forgotten_at = Instant::now();
            if let Err(error) = store.forget_condemned().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot forget bodies that are long gone");
            }
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
    // An upload that is slower than we wait is condemned too: its message is refused when it comes.
    let condemned = store.condemn_bodies(&names).await?;
    for stale in page.bodies.iter().filter(|stale| condemned.contains(&(stale.site, stale.body))) {
        bodies.discard(stale.site, stale.body, stale.chunks).await?;
        metrics.bodies_removed_total.with_label_values(&["unreferenced"]).inc();
    }
    Ok(page.next)
}
