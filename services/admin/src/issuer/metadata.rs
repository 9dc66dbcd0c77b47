//! What the issuer says of itself.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Issuer;
use super::page::Kind;
use super::site::OfSite;

/// `GET /{site}/.well-known/openid-configuration`
pub(super) async fn configuration(State(issuer): State<Issuer>, OfSite(site): OfSite) -> Response {
    let jwks_uri = format!("{}/jwks", issuer.shared.url);
    let issuer = issuer.issuer(site.id);
    let configuration = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": jwks_uri,
        "scopes_supported": ["openid"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "claims_supported": ["iss", "aud", "sub", "iat", "exp", "nonce", "invite", "alias"],
    });
    public(Json(configuration).into_response(), "max-age=3600")
}

/// `GET /jwks`: the same keys for all sites, so that a gateway fetches them once.
pub(super) async fn jwks(State(issuer): State<Issuer>) -> Response {
    match issuer.shared.keys.ring().await {
        // Not for long: whoever meets an unknown key asks again at once.
        Ok(ring) => public(Json(ring.jwks.clone()).into_response(), "max-age=30"),
        Err(refusal) => refusal.into_response(Kind::Json),
    }
}

/// For scripts of all origins: it is no secret.
fn public(response: Response, cache: &'static str) -> Response {
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, cache)], response).into_response()
}
