//! The delivery worker: owns shards, decides the commands of their sites one after the other, commits them in batches,
//! and tells the gateways. See `services/ARCHITECTURE.md`.
//!
//! | module | does |
//! |---|---|
//! | [`home`] | the rules and the live state of one shard; pure |
//! | [`engine`] | the loop: read, load, decide, commit, tell |
//! | `ownership` | lease and shares, in Postgres |
//! | `vitals` | what these know of each other |
//! | `watch` | which gateways are alive, and whether Redis lost data |
//! | `directory` | tells gateways which sites there are |
//! | `janitor` | removes bodies that nobody refers to |
//! | `traces` | forgets old steps of messages |

pub mod config;
mod directory;
pub mod engine;
pub mod home;
mod janitor;
mod looks;
mod metrics;
mod ownership;
mod traces;
mod vitals;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tmtp_bodies::Bodies;
use tmtp_bus::Bus;
use tmtp_chassis::{Context, Serving};
use tmtp_domain::WorkerId;
use tmtp_store::Store;
use tokio::sync::mpsc;
use uuid::Uuid;

pub use config::Config;
use engine::Engine;
pub use metrics::WorkerMetrics;
use vitals::Vitals;

/// Runs a worker until it is asked to stop; then it commits what it holds, gives its shards back and returns.
pub fn serve(cx: Context<Config>) -> Serving {
    Box::pin(work(cx))
}

async fn work(cx: Context<Config>) -> anyhow::Result<()> {
    let config = &cx.config;
    let metrics = Arc::new(WorkerMetrics::register(&cx.registry).context("register metrics")?);
    let store = Store::connect(
        config.postgres.url.expose(),
        config.postgres.connections_max,
        config.postgres.acquire_timeout,
    )
    .await
    .context("connect to Postgres")?;
    store.check_schema().await.context("check the schema")?;
    let bus = Bus::connect(config.redis.url.expose()).await.context("connect to Redis")?;
    let checked = bus.wait_for_policy(|found| cx.health.set("redis policy", found));
    match cx.life.drain().run_until_cancelled(checked).await {
        Some(checked) => checked.context("check the set-up of Redis")?,
        None => return Ok(()),
    }
    let bodies = Bodies::open(&config.bodies()).context("open the body store")?;
    // Ready is who has looked at each of them once, and serves what is its own.
    for check in ["postgres", "redis", ownership::SHARDS] {
        cx.health.expect(check);
    }
    let worker = WorkerId(Uuid::new_v4());
    tracing::info!(%worker, "worker starts");

    let (control, controls) = mpsc::unbounded_channel();
    let (reader, handle) = bus.command_reader(worker);
    let (reads, incoming) = mpsc::channel(READS_AHEAD);
    let vitals = Arc::new(Vitals::new());
    looks::start(&cx, store.clone());
    traces::start(&cx, store.clone(), Arc::clone(&metrics));
    let janitor = janitor::start(&cx, store.clone(), bodies, Arc::clone(&metrics));
    cx.life.spawn("read", engine::read(reader, reads, cx.life.drain()));
    let watch = watch::Watch::new(&cx, store.clone(), Arc::clone(&metrics), Arc::clone(&vitals));
    cx.life.spawn("watch", watch.run(cx.clone(), bus.clone(), worker, control.clone()));
    let ownership = ownership::Ownership::new(
        &cx,
        store.clone(),
        worker,
        control,
        Arc::clone(&metrics),
        Arc::clone(&vitals),
    );
    cx.life.spawn("ownership", ownership.run());

    cx.health.ready();
    let engine = Engine::new(
        Arc::clone(&cx.config),
        worker,
        store.clone(),
        bus.clone(),
        handle,
        janitor,
        metrics,
        vitals,
    );
    engine.run(controls, incoming, cx.life.drain(), cx.life.abort()).await;

    cx.health.not_ready("draining");
    let goodbye = async {
        store.leave(worker).await.context("give the shards back")?;
        bus.worker_leave(worker).await.context("leave the bus")
    };
    match tokio::time::timeout(GOODBYE_WAIT, goodbye).await {
        Ok(left) => left,
        Err(_) => anyhow::bail!(
            "could not give the shards back within {GOODBYE_WAIT:?}; others take them when the lease ends"
        ),
    }
}

/// Reads that may wait for the engine: one batch gathers while another is under way.
const READS_AHEAD: usize = 4;

/// A database that does not answer must not hold up the stop for longer; the lease ends by itself.
const GOODBYE_WAIT: Duration = Duration::from_secs(5);
