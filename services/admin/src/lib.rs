//! The admin server: the HTTP API over sites and members.
//!
//! It holds nothing: it reads from Postgres and changes through the command streams, so any number of them
//! runs side by side. It must never write to Postgres what a worker owns.

mod api;
mod config;
mod issuer;
mod metrics;
mod readiness;

use std::net::SocketAddr;

use anyhow::Context as _;
pub use config::{Config, Listen, Public};
use tmtp_chassis::Context;
use tmtp_store::Store;
use tokio::net::TcpListener;

use issuer::Issuer;
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
    let drain = cx.life.drain().cancelled_owned();
    let router = api::router(cx.health.clone(), metrics.clone());
    serve_public(&cx, &metrics).await?;
    cx.life.spawn("api", async move {
        axum::serve(listener, router).with_graceful_shutdown(drain).await.context("serve the API")
    });
    cx.health.ready();
    cx.life.drain().cancelled().await;
    Ok(())
}

/// Serves the pages for invited people until the drain, if they are wanted.
async fn serve_public(cx: &Context<Config>, metrics: &AdminMetrics) -> anyhow::Result<()> {
    let (Some(address), Some(url)) = (cx.config.public.address, &cx.config.public.url) else { return Ok(()) };
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("open the public port {address}"))?;
    let address = listener.local_addr().context("ask for the public address")?;
    tracing::info!(%address, "public pages listen");

    let postgres = &cx.config.postgres;
    let store =
        Store::connect_lazily(postgres.url.expose(), postgres.connections_max, postgres.acquire_timeout)
            .context("read the address of Postgres")?;
    let issuer = Issuer::new(store, &cx.config.public, url, metrics.clone());
    let service = issuer.router().into_make_service_with_connect_info::<SocketAddr>();
    let drain = cx.life.drain().cancelled_owned();
    cx.life.spawn("public", async move {
        axum::serve(listener, service).with_graceful_shutdown(drain).await.context("serve the public pages")
    });
    Ok(())
}
