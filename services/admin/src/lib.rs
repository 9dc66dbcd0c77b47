//! The admin server: the HTTP API over sites and members.
//!
//! It holds nothing: it reads from Postgres and changes through the command streams, so any number of them
//! runs side by side. It must never write to Postgres what a worker owns.

mod api;
mod changes;
mod config;
mod health;
mod keys;
mod metrics;
mod policy;
mod readiness;
mod sites;
mod upkeep;
mod whoami;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use api::Api;
use axum::Router;
use tmtp_chassis::{Context, Health};
use tmtp_store::Store;
use tokio::net::TcpListener;

pub use api::document;
pub use changes::{AskError, Changes, Patience};
pub use config::{Config, Limits, Listen};
pub use metrics::AdminMetrics;

/// Serves the API until the drain. Returns once the port is closed to new requests; those under way are
/// finished by the task `api`.
///
/// Fails only if it cannot start. Postgres and Redis need not be there yet: without them it is not ready.
pub async fn serve(cx: Context<Config>) -> anyhow::Result<()> {
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
    let drain = cx.life.drain().cancelled_owned();
    let api = Api::new(Arc::clone(&cx.config), store, cx.health.clone(), metrics);
    upkeep::start(&cx.life, &api);
    let service = api::router(api).into_make_service_with_connect_info::<SocketAddr>();
    cx.life.spawn("api", async move {
        axum::serve(listener, service).with_graceful_shutdown(drain).await.context("serve the API")
    });
    cx.health.ready();
    cx.life.drain().cancelled().await;
    Ok(())
}

/// The API by itself, for whoever serves it: tests.
pub fn router(config: Arc<Config>, store: Store, health: Health, metrics: AdminMetrics) -> Router {
    api::router(Api::new(config, store, health, metrics))
}
