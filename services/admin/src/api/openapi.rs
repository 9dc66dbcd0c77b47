//! The OpenAPI document, and what all its operations have in common.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::response::{Response as Documented, ResponseBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::Api;
use super::problem::ProblemBody;

/// What stands at the top of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Postern admin API",
        description = "Sites, keys and what belongs to them. Every operation needs an API key \
                       (`Authorization: Bearer tmk_live_…`) with the scope that its `security` names, except those \
                       without `security`. Errors are `application/problem+json` (RFC 9457) with a stable `code`. \
                       Every answer has an `X-Request-Id`; answers to requests with a key have `RateLimit-Limit`, \
                       `RateLimit-Remaining` and `RateLimit-Reset`."
    ),
    components(schemas(ProblemBody)),
    modifiers(&Bearer)
)]
pub(crate) struct Head;

/// The security scheme.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tmk_live_…").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// The problems that every operation with a key may answer.
pub(crate) struct Refusals;

/// The same, and those of operations that change something.
pub(crate) struct ChangeRefusals;

const REFUSALS: &[(&str, &str)] = &[
    ("401", "The key is missing, unknown, revoked or over."),
    ("403", "The key does not have the scope."),
    ("404", "There is no such thing, or the key is not for its site."),
    ("422", "A part of the request is not valid; `param` says which."),
    ("429", "Too many requests; wait as long as `Retry-After` says."),
    ("503", "The server cannot do it at the moment; try again."),
];

const CHANGE_REFUSALS: &[(&str, &str)] = &[
    ("409", "It contradicts what is there."),
    ("412", "It is not the version that `If-Match` says."),
    ("413", "The body is too large."),
    ("415", "The body is not JSON."),
];

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        REFUSALS.iter().map(problem).collect()
    }
}

impl IntoResponses for ChangeRefusals {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        REFUSALS.iter().chain(CHANGE_REFUSALS).map(problem).collect()
    }
}

fn problem(&(status, description): &(&str, &str)) -> (String, RefOr<Documented>) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response =
        ResponseBuilder::new().description(description).content("application/problem+json", content).build();
    (status.to_owned(), response.into())
}

/// This document
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "get_openapi", tag = "about",
    responses((status = 200, description = "The OpenAPI 3.1 document", body = Object, content_type = "application/json")))]
pub(crate) async fn show(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.document.as_ref().clone()).into_response()
}
