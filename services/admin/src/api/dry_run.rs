//! Changes that are only tried: the answer says what would come of them.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::payload::{pairs, read_query};
use super::{Api, Problem};

/// The parameter, for the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the name and comment are the documentation; DryRun reads the parameter")]
pub(crate) struct DryRunParams {
    /// Change nothing: only say what would come of it.
    #[param(default = false)]
    dry_run: Option<bool>,
}

/// Whether the request only asks what would come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DryRun(pub(crate) bool);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    #[serde(default)]
    dry_run: bool,
}

impl FromRequestParts<Api> for DryRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Ok(Self(read_query::<Query>(&pairs(parts)?)?.dry_run))
    }
}
