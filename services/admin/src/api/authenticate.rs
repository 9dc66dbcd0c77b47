//! From the header `Authorization` to a key, and what the key may still ask for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tmtp_domain::KeySecret;
use tmtp_store::{ApiKey, Sights};

use super::request::RequestInfo;
use super::{Api, Problem};

/// A key that was found to be valid.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: ApiKey,
    /// What may be read with it, as the database enforces it.
    pub(super) sights: Sights,
    /// Known to whoever has the key, and not kept: stored answers are sealed with it.
    pub(crate) seal: [u8; 32],
}

/// The layer of everything that needs a key. It must be inside the layer of requests.
pub(crate) async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let Some(info) = request.extensions().get::<RequestInfo>().cloned() else {
        return Problem::internal().into_response();
    };
    let identity = match identify(&api, &info, request.headers()).await {
        Ok(Some(identity)) => identity,
        Ok(None) => return api.limits.failed(info.from).into_response(),
        Err(problem) => return problem.into_response(),
    };
    let allowance = api.limits.take(identity.key.id);
    let mut answer = if let Some(seconds) = allowance.wait_seconds {
        Problem::too_many_requests(seconds).into_response()
    } else {
        request.extensions_mut().insert(Arc::new(identity));
        next.run(request).await
    };
    allowance.write(answer.headers_mut());
    answer
}

async fn identify(api: &Api, info: &RequestInfo, headers: &HeaderMap) -> Result<Option<Identity>, Problem> {
    let Some(secret) = bearer(headers).and_then(KeySecret::parse) else { return Ok(None) };
    let hash = secret.hash();
    api.limits.may_try(info.from, &hash)?;
    let key = api.database.use_key(&hash).await?;
    api.limits.tried(&hash, key.is_some());
    Ok(key.map(|key| Identity { sights: key.sights(), key, seal: secret.derive("sealed answers") }))
}

/// The token of `Authorization: Bearer TOKEN`, if there is exactly one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}
