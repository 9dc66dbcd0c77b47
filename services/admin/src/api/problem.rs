//! The one form that errors of the API have (RFC 9457).
//!
//! A problem has a stable `code`. It must never carry anything internal: no library's message about our own parts, no
//! address, no key. What went wrong inside is logged where it becomes a problem.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tmtp_store::CreateSiteError;
use utoipa::ToSchema;

use super::id::RequestId;

/// An error as the API answers it. The layer of requests adds the request's id and writes it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Option<Cow<'static, str>>,
    param: Option<String>,
    retry_after: Option<u64>,
}

/// How a problem looks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: the code says what it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// For programs; never changes once it has been shipped.
    #[schema(example = "not_found")]
    code: &'static str,
    /// For people; the same for every problem with this code.
    title: &'static str,
    /// For people: what it is in this case, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<Cow<'static, str>>,
    /// Which part of the request it is about: a field of the body such as `domains[0]`, a parameter, or a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    param: Option<String>,
    /// Which request it was; name it when you ask for help.
    request_id: RequestId,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        // Whatever cannot be done now may be in a moment.
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self(Box::new(Parts { status, code, title, detail: None, param: None, retry_after }))
    }

    /// There is no such thing, or the key may not know of it.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.")
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This cannot be done here.")
    }

    pub(crate) fn not_ready() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "The server cannot work at the moment.")
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The server cannot do this at the moment.")
    }

    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "The server could not do this in time.").detail(
            "It may have happened all the same: with an Idempotency-Key you can safely send it again.",
        )
    }

    /// A bug.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed.")
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "This needs an API key.")
            .detail("Send a valid key: `Authorization: Bearer tmk_live_…`.")
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This key does not have the permission for this.")
    }

    pub(crate) fn too_many_requests(wait_seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests.")
            .detail("Wait as long as Retry-After says.")
            .retry_after(wait_seconds)
    }

    /// The idempotency key is another request's.
    pub(crate) fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "Another request had this idempotency key.",
        )
        .param("Idempotency-Key")
        .detail("Take a new key for each new request, and the same only to send the same again.")
    }

    /// A change was handed on, and what came of it is not known.
    pub(crate) fn unconfirmed() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unconfirmed", "Nobody has confirmed the change in time.")
            .detail("It may have happened, or may yet: send it again with the same Idempotency-Key to hear which.")
    }

    /// A part of the request is not what it must be.
    pub(crate) fn invalid(param: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A part of the request is not valid.")
            .param(param)
            .detail(detail)
    }

    /// It contradicts what is there.
    pub(crate) fn conflict(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// The site is deleted, and takes no change until it is restored.
    pub(crate) fn site_deleted() -> Self {
        Self::conflict("site_deleted", "The site is deleted.")
            .detail("It takes no changes. Restore it first, as long as there is time for that.")
    }

    /// Which part it is about, and what to do about that; for problems that are told within an answer.
    pub(crate) fn told(&self) -> (Option<String>, String) {
        let detail = self.0.detail.as_deref().unwrap_or(self.0.title);
        (self.0.param.clone(), detail.to_owned())
    }

    pub(crate) fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The answer, for this request.
    pub(crate) fn answer(&self, request_id: RequestId) -> Response {
        let parts = &*self.0;
        let body = ProblemBody {
            kind: "about:blank",
            status: parts.status.as_u16(),
            code: parts.code,
            title: parts.title,
            detail: parts.detail.clone(),
            param: parts.param.clone(),
            request_id,
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let mut answer =
            (parts.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = parts.retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if parts.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut answer = self.0.status.into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

impl From<tmtp_store::Error> for Problem {
    fn from(error: tmtp_store::Error) -> Self {
        if error.is_transient() {
            tracing::warn!(error = chain(&error), "the database is not available to a request");
            Self::unavailable()
        } else {
            tracing::error!(error = chain(&error), "the database refused a request");
            Self::internal()
        }
    }
}

impl From<CreateSiteError> for Problem {
    fn from(error: CreateSiteError) -> Self {
        match error {
            CreateSiteError::DomainTaken => {
                Self::conflict("domain_taken", "A domain belongs to another site.").param("domains")
            }
            CreateSiteError::Store(error) => error.into(),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
