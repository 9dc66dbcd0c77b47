//! The monitor port: `/livez`, `/readyz`, `/metrics`, `/log-filter`.
//!
//! Plain HTTP for probes, scrapers and operators inside the cluster. It must keep answering until the very
//! end of the process, so it is not one of the tasks that drain.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::net::TcpListener;

use crate::{
    config::Monitor,
    health::Health,
    logs::{FilterError, LogFilter},
};

/// Longest log filter that is read, in bytes.
const FILTER_BYTES_MAX: usize = 4096;

/// What the monitor port shows.
#[derive(Debug, Clone)]
pub struct Shown {
    /// For `/metrics`.
    pub registry: Registry,
    /// For `/readyz`.
    pub health: Health,
    /// For `/log-filter`, which is not found when the process has no logs of its own (as in a test).
    pub log_filter: Option<LogFilter>,
}

/// Opens the port and answers until the runtime ends. Returns where it listens.
pub async fn start(config: &Monitor, shown: Shown) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(config.address)
        .await
        .with_context(|| format!("open the monitor port {}", config.address))?;
    let address = listener.local_addr().context("ask for the monitor's address")?;
    tracing::info!(%address, "monitor listens");
    // `serve` never returns: it backs off and goes on after an accept error.
    tokio::spawn(async move { axum::serve(listener, router(shown)).await });
    Ok(address)
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/log-filter", get(log_filter).put(set_log_filter))
        .layer(DefaultBodyLimit::max(FILTER_BYTES_MAX))
        .with_state(shown)
}

async fn readyz(State(shown): State<Shown>) -> Response {
    let report = shown.health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    match TextEncoder::new().encode_to_string(&shown.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn log_filter(State(shown): State<Shown>) -> Response {
    let Some(filter) = shown.log_filter else { return StatusCode::NOT_FOUND.into_response() };
    answer(filter.get())
}

async fn set_log_filter(State(shown): State<Shown>, text: String) -> Response {
    let Some(filter) = shown.log_filter else { return StatusCode::NOT_FOUND.into_response() };
    answer(filter.set(text.trim()).and_then(|()| filter.get()))
}

fn answer(filter: Result<String, FilterError>) -> Response {
    match filter {
        Ok(text) => text.into_response(),
        Err(error @ FilterError::Parse(_)) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Err(error @ FilterError::Gone) => {
            (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
        }
    }
}
