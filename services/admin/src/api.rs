//! The routes of the API, and the one form its errors have.
//!
//! An error is `application/problem+json` with a stable `code`. It must never carry anything internal:
//! no library's message, no address, no key.

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tmtp_chassis::Health;

use crate::metrics::{AdminMetrics, class};

/// An error as the API answers it (RFC 9457).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// For programs; never changes once it has been shipped.
    code: &'static str,
    /// For people.
    title: &'static str,
}

impl Problem {
    const NOT_FOUND: Self =
        Self { status: StatusCode::NOT_FOUND, code: "not_found", title: "There is nothing here." };
    const METHOD_NOT_ALLOWED: Self = Self {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        title: "This cannot be done here.",
    };
    const NOT_READY: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "not_ready",
        title: "The server cannot work at the moment.",
    };
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "status": self.status.as_u16(),
            "code": self.code,
            "title": self.title,
        });
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

/// Every route. What is not here is not found.
pub(crate) fn router(health: Health, metrics: AdminMetrics) -> Router {
    Router::new()
        .route("/v1/health", get(show_health))
        .fallback(async || Problem::NOT_FOUND)
        .method_not_allowed_fallback(async || Problem::METHOD_NOT_ALLOWED)
        .with_state(health)
        .layer(from_fn_with_state(metrics, count))
}

/// Whether the API works, for those who have no way to the monitor port. Says not why: that is internal.
async fn show_health(State(health): State<Health>) -> Response {
    if health.is_ready() {
        Json(json!({ "status": "ok" })).into_response()
    } else {
        Problem::NOT_READY.into_response()
    }
}

async fn count(State(metrics): State<AdminMetrics>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    metrics.requests_total.with_label_values(&[class(response.status())]).inc();
    response
}
