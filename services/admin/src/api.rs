//! The API: its routes, all in one place, and the conventions that they share.
//!
//! To add a resource, copy `keys.rs`: it has a POST, a list, a GET and a DELETE. Then add its `routes()` to
//! [`with_key`], its permissions to [`caller::may`], its ids to [`id`], and renew the document (see `openapi.rs` of the
//! tests).

pub(crate) mod ask;
pub(crate) mod authenticate;
pub(crate) mod caller;
pub(crate) mod change;
mod database;
pub(crate) mod dry_run;
pub(crate) mod etag;
pub(crate) mod id;
mod limits;
pub(crate) mod msgid;
pub(crate) mod openapi;
pub(crate) mod page;
pub(crate) mod patch;
pub(crate) mod payload;
pub(crate) mod problem;
pub(crate) mod request;
pub(crate) mod sealed;
#[cfg(test)]
mod tests;
pub(crate) mod time;
pub(crate) mod uid;
pub(crate) mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use tmtp_chassis::Health;
use tmtp_store::Store;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use self::database::Database;
pub(crate) use self::limits::Limits;
pub(crate) use self::problem::Problem;
use crate::homes::Homes;
use crate::{
    AdminMetrics, Config, acme, aliases, audit, certificates, cluster, groups, health, invites, jobs, keys,
    members, policy, providers, sites, trace, usage, whoami,
};

/// What every endpoint may need. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) config: Arc<Config>,
    pub(crate) database: Database,
    pub(crate) health: Health,
    pub(crate) metrics: AdminMetrics,
    pub(crate) limits: Arc<Limits>,
    pub(crate) document: Arc<String>,
    /// The way to those who own what a change is about.
    pub(crate) homes: Homes,
}

impl Api {
    pub(crate) fn new(config: Arc<Config>, store: Store, health: Health, metrics: AdminMetrics) -> Self {
        let limits = Limits::new(config.limits.requests_per_minute, config.limits.failures_per_minute);
        Self {
            config,
            database: Database::new(store),
            health,
            metrics,
            limits: Arc::new(limits),
            document: Arc::new(document()),
            homes: Homes::default(),
        }
    }
}

/// What needs no key.
fn without_key() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(health::show)).routes(routes!(openapi::show))
}

/// What needs a key.
fn with_key() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(whoami::show))
        .merge(sites::routes())
        .merge(keys::routes())
        .merge(audit::routes())
        .merge(jobs::routes())
        .merge(invites::routes())
        .merge(providers::routes())
        .merge(certificates::endpoints::routes())
        .merge(acme::endpoints::routes())
        .merge(members::routes())
        .merge(aliases::routes())
        .merge(groups::routes())
        .merge(policy::routes())
        .merge(cluster::routes())
        .merge(usage::routes())
        .merge(trace::routes())
}

/// The OpenAPI document, as it is served and checked in.
pub fn document() -> String {
    let router = OpenApiRouter::with_openapi(openapi::Head::openapi()).merge(without_key()).merge(with_key());
    let mut document = router.into_openapi();
    openapi::add_headers(&mut document);
    let mut json = document.to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

/// Every route. What is not here is not found.
pub(crate) fn router(api: Api) -> Router {
    let (open, _) = without_key().split_for_parts();
    let (keyed, _) = with_key().split_for_parts();
    let docs = SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::new(["/v1/openapi.json"]));
    open.merge(keyed.route_layer(from_fn_with_state(api.clone(), authenticate::authenticate)))
        .merge(docs)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(api.config.limits.body_bytes))
        .layer(from_fn_with_state(api.clone(), request::surround))
        .with_state(api)
}
