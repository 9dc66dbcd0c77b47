//! The admin server: the HTTP API over sites and members.
//!
//! It holds nothing: it reads from Postgres and changes through the command streams, so any number of them
//! runs side by side. It must never write to Postgres what a worker owns.

mod acme;
mod api;
pub mod certificates;
mod config;
mod metrics;
mod readiness;

use anyhow::Context as _;
pub use config::{Acme, Config, Listen};
use tmtp_chassis::Context;
use tokio::net::TcpListener;

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

    readiness::watch(&cx);
    certificates::watch(&cx, metrics.clone());
    acme::start(&cx, metrics.clone()).context("set the ordering of certificates up")?;
    let drain = cx.life.drain().cancelled_owned();
    let router = api::router(cx.health.clone(), metrics);
    cx.life.spawn("api", async move {
        axum::serve(listener, router).with_graceful_shutdown(drain).await.context("serve the API")
    });
    cx.health.ready();
    cx.life.drain().cancelled().await;
    Ok(())
}
