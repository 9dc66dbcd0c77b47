//! The policy of a site: what is set, what holds with the defaults, how to change it, and what it was before.
//!
//! Workers hear of a change within seconds, and hold every request that comes after that against it.

mod change;
mod document;
mod show;

pub(crate) use change::set_registration;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;

/// The routes of policies.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show::show, change::change, change::replace))
        .routes(routes!(show::effective))
        .routes(routes!(show::history))
        .routes(routes!(change::roll_back))
}
