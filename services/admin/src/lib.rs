//! The admin server: the HTTP API over sites and members.
//!
//! It holds nothing: it reads from Postgres and changes through the command streams, so any number of them
//! runs side by side. It must never write to Postgres what a worker owns.

mod acme;
mod aliases;
mod api;
mod audit;
mod certificates;
mod changes;
mod cluster;
mod config;
mod forwarded;
mod groups;
mod health;
mod homes;
mod invites;
mod issuer;
mod jobs;
mod keys;
mod members;
mod metrics;
mod policy;
mod providers;
mod readiness;
mod sites;
mod trace;
mod upkeep;
mod usage;
mod whoami;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use api::Api;
use axum::Router;
use tmtp_chassis::{Context, Health, Serving};
use tmtp_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use api::document;
pub use changes::{AskError, Changes, Patience};
pub use config::{Acme, Config, Limits, Listen, Oidc, OidcReach, Public, Sites};
pub use metrics::AdminMetrics;

/// Serves the API until the drain. Returns once the port is closed to new requests; those under way are
/// finished by the task `api`.
///
/// Fails only if it cannot start. Postgres and Redis need not be there yet: without them it is not ready.
pub fn serve(cx: Context<Config>) -> Serving {
    Box::pin(work(cx))
}

async fn work(cx: Context<Config>) -> anyhow::Result<()> {
    let metrics = AdminMetrics::register(&cx.registry).context("register metrics")?;
    let address = cx.config.listen.address;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("open the API port {address}"))?;
    let address = listener.local_addr().context("ask for the API's address")?;
    tracing::info!(%address, "api listens");

    let postgres = &cx.config.postgres;
    let store =
        Store::connect_lazily(postgres.url.expose(), postgres.connections_max, postgres.acquire_timeout)
            .context("read postgres.url")?;
    readiness::watch(&cx, store.clone());
    certificates::watch(&cx, store.clone(), metrics.clone());
    acme::start(&cx, store.clone(), metrics.clone()).context("set the ordering of certificates up")?;
    let drain = cx.life.drain().cancelled_owned();
    issuer::start(&cx, store.clone(), metrics.clone()).await?;
    let api = Api::new(Arc::clone(&cx.config), store.clone(), cx.health.clone(), metrics);
    upkeep::start(&cx.life, &api, store.clone());
    jobs::start(&cx.life, &api, &store);
    // Requests that are under way at the drain still have to hear their answers.
    let served = CancellationToken::new();
    homes::start(&cx.life, api.homes.clone(), cx.config.redis.url.expose().to_owned(), served.clone());
    let service = api::router(api).into_make_service_with_connect_info::<SocketAddr>();
    cx.life.spawn("api", async move {
        let _end = served.drop_guard();
        axum::serve(listener, service).with_graceful_shutdown(drain).await.context("serve the API")
    });
    cx.health.ready();
    cx.life.drain().cancelled().await;
    Ok(())
}

/// Does the jobs that are due until none is, for tests: [`serve`] does them as they come.
///
/// Without a way to the homes of sites, jobs that need one wait.
pub async fn work_off(
    config: Arc<Config>,
    store: Store,
    changes: Option<Changes>,
) -> Result<(), tmtp_store::Error> {
    let homes = homes::Homes::default();
    if let Some(changes) = changes {
        homes.connect(changes);
    }
    upkeep::schedule(&store, &config).await?;
    while jobs::run_next(&config, &store, &homes).await? {}
    Ok(())
}

/// The API by itself, for whoever serves it: tests.
pub fn router(config: Arc<Config>, store: Store, health: Health, metrics: AdminMetrics) -> Router {
    api::router(Api::new(config, store, health, metrics))
}

/// The same, with a way to the homes of sites, whose answers somebody [listens](Changes::listen) to.
pub fn router_with(
    config: Arc<Config>,
    store: Store,
    health: Health,
    metrics: AdminMetrics,
    changes: Changes,
) -> Router {
    let api = Api::new(config, store, health, metrics);
    api.homes.connect(changes);
    api::router(api)
}
