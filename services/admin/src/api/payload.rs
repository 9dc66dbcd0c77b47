//! Bodies, paths and queries of requests, whose errors say which part is wrong.

use std::fmt;

use aws_lc_rs::digest;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::{Api, Problem};

/// A JSON body. An empty one counts as `{}`.
#[derive(Debug)]
pub(crate) struct Payload<T> {
    pub(crate) value: T,
    /// For [`super::caller::Caller::begin_post`].
    pub(crate) sent: Sent,
}

/// By what a request is recognised when it comes again.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// SHA-256 of what it says: method, path and body.
    pub(crate) digest: [u8; 32],
    /// The header `Idempotency-Key`.
    pub(crate) idempotency_key: Option<String>,
}

/// A body in one of several forms, still to be read.
#[derive(Debug)]
pub(crate) struct RawPayload {
    pub(crate) body: Bytes,
    /// Its `Content-Type`, without parameters, in lower case.
    pub(crate) kind: String,
    /// For [`super::caller::Caller::begin_post`].
    pub(crate) sent: Sent,
}

impl FromRequest<Api> for RawPayload {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(request.method().as_str().as_bytes());
        context.update(b" ");
        context.update(request.uri().path_and_query().map_or("", |path| path.as_str()).as_bytes());
        context.update(b"\n");
        let kind = content_type(request.headers());
        let idempotency_key = idempotency_key(request.headers())?;
        let body = Bytes::from_request(request, api).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let max = api.config.limits.body_bytes;
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large.")
                    .detail(format!("A body has at most {max} octets."))
            } else {
                Problem::invalid("body", "the body did not arrive as a whole")
            }
        })?;
        context.update(&body);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Ok(Self { body, kind, sent: Sent { digest, idempotency_key } })
    }
}

impl RawPayload {
    /// Whether it says that it is JSON.
    pub(crate) fn is_json(&self) -> bool {
        ["application/json", "application/merge-patch+json"].contains(&&*self.kind)
    }
}

impl<T: DeserializeOwned> FromRequest<Api> for Payload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let raw = RawPayload::from_request(request, api).await?;
        if !raw.body.is_empty() && !raw.is_json() {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "The body must be JSON.",
            )
            .detail("Send it with `Content-Type: application/json`.")
            .param("Content-Type"));
        }
        let text: &[u8] = if raw.body.is_empty() { b"{}" } else { &raw.body };
        Ok(Self { value: parse(text)?, sent: raw.sent })
    }
}

/// Reads JSON; problems name the field.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    if has_nul(text) {
        return Err(Problem::invalid("body", "leave out the character U+0000: no text can hold it"));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = read("body", &mut json)?;
    json.end().map_err(|error| Problem::invalid("body", error.to_string()))?;
    Ok(value)
}

/// A NUL in JSON can only be written as an escape; Postgres' texts cannot hold one.
pub(super) fn has_nul(json: &[u8]) -> bool {
    let escapes = json.windows(6).enumerate().filter(|(_, six)| six == b"\\u0000");
    // Behind an odd number of backslashes it is a text that only looks so.
    let mut slashes =
        escapes.map(|(at, _)| json[..at].iter().rev().take_while(|&&octet| octet == b'\\').count());
    slashes.any(|count| count % 2 == 0)
}

/// The header, if it is there: 1 to 255 printable characters of ASCII.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_key =
        |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|octet| octet.is_ascii_graphic());
    match (value.to_str().ok().filter(is_key), values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(Problem::invalid("Idempotency-Key", "give one key of 1 to 255 printable ASCII characters")),
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The variables of a path. What is no id is nobody's: 404.
#[derive(Debug)]
pub(crate) struct Place<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Place<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        // A NUL is in no name, and Postgres' texts cannot hold one. Only this is decoded to it.
        if parts.uri.path().contains("%00") {
            return Err(Problem::not_found());
        }
        let path = axum::extract::Path::from_request_parts(parts, api).await;
        path.map(|path| Self(path.0)).map_err(|_| Problem::not_found())
    }
}

/// The parameters as they came. None may come twice.
pub(crate) fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(parts.uri.query().unwrap_or_default())
        .map_err(|error| Problem::invalid("query", error.to_string()))?;
    for (index, (name, value)) in pairs.iter().enumerate() {
        if value.contains('\0') {
            return Err(Problem::invalid(name, "leave out the character U+0000: no text can hold it"));
        }
        if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(Problem::invalid(name, "this parameter is there twice"));
        }
    }
    Ok(pairs)
}

/// Reads parameters; problems name the one that is wrong.
pub(crate) fn read_query<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T, Problem> {
    let text =
        serde_urlencoded::to_string(pairs).map_err(|error| Problem::invalid("query", error.to_string()))?;
    let parser = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    read("query", parser)
}

/// Reads a value from what holds it; problems name the field, or `whole` when no field is to blame.
pub(crate) fn read<'de, T: Deserialize<'de>>(
    whole: &str,
    from: impl Deserializer<'de, Error: fmt::Display>,
) -> Result<T, Problem> {
    serde_path_to_error::deserialize(from).map_err(|error| {
        let path = error.path().to_string();
        let param = if path == "." { whole.to_owned() } else { path };
        Problem::invalid(param, error.into_inner().to_string())
    })
}
