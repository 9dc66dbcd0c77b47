//! Whether the API works, for those who have no way to the monitor port. It says not why: that is internal.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::change::Shown;
use crate::api::problem::ProblemBody;
use crate::api::{Api, Problem};

/// That the API works.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the API works
#[utoipa::path(get, path = "/v1/health", operation_id = "get_health", tag = "about", responses(
    (status = 200, description = "It works", body = Health),
    (status = 503, description = "It does not", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn show(State(api): State<Api>) -> Shown<Health> {
    if api.health.is_ready() { Ok(Json(Health { status: "ok" })) } else { Err(Problem::not_ready()) }
}
