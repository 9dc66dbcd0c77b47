//! The OpenAPI document, and what all its operations have in common.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::response::{Response as Documented, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr};
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

/// The headers that no endpoint writes itself.
const ID: (&str, &str) = ("X-Request-Id", "Which request it was; name it when you ask for help.");
const LIMITS: [(&str, &str); 3] = [
    ("RateLimit-Limit", "Requests that the key may make within a minute."),
    ("RateLimit-Remaining", "Requests that it may make at once now."),
    ("RateLimit-Reset", "Seconds until it may make as many as `RateLimit-Limit` at once."),
];
const RETRY: (&str, &str) = ("Retry-After", "Seconds to wait before the request is sent again.");

/// Documents the headers that the layers around the endpoints write.
pub(crate) fn add_headers(document: &mut utoipa::openapi::OpenApi) {
    let components = document.components.get_or_insert_default();
    let kinds = LIMITS.into_iter().chain([RETRY]).map(|header| (header, Type::Integer));
    for ((name, description), kind) in kinds.chain([(ID, Type::String)]) {
        let schema = ObjectBuilder::new().schema_type(SchemaType::new(kind)).build();
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let has_key = operation.security.is_some();
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                add(response, ID);
                // Without a valid key there is nothing that they could count.
                if has_key && status != "401" {
                    for header in LIMITS {
                        add(response, header);
                    }
                }
                if ["429", "503"].contains(&status.as_str()) {
                    add(response, RETRY);
                }
            }
        }
    }
}

fn add(response: &mut Documented, (name, _): (&str, &str)) {
    let header = RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
    response.headers.insert(name.to_owned(), header);
}

/// This document
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "get_openapi", tag = "about",
    responses((status = 200, description = "The OpenAPI 3.1 document", body = Object, content_type = "application/json")))]
pub(crate) async fn show(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.document.as_ref().clone()).into_response()
}
