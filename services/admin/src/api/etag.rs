//! Versions of what can be changed, so that nobody overwrites what it has not seen.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use utoipa::IntoParams;

use super::{Api, Problem};

/// The header that changes of versioned things may have, for the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the name and comment are the documentation; IfMatch reads the header")]
pub(crate) struct IfMatchParams {
    /// Change only this version: the `ETag` of an earlier answer.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// Which versions may be changed; everything when the header is not there.
#[derive(Debug)]
pub(crate) struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// Goes on only if this is the version that was meant.
    pub(crate) fn check(&self, revision: i64) -> Result<(), Problem> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        if wanted.iter().any(|tag| tag == "*" || *tag == etag(revision)) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "It has been changed in the meantime.",
        )
        .param("If-Match")
        .detail("Read it again, look whether your change still makes sense, and send it with the new ETag."))
    }
}

impl FromRequestParts<Api> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(header::IF_MATCH) {
            let text =
                value.to_str().map_err(|_| Problem::invalid("If-Match", "give the ETag of an answer"))?;
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()));
        }
        Ok(Self(parts.headers.contains_key(header::IF_MATCH).then_some(tags)))
    }
}

/// Names the version of an answer.
pub(crate) fn tagged(mut answer: Response, revision: i64) -> Response {
    if let Ok(value) = HeaderValue::from_str(&etag(revision)) {
        answer.headers_mut().insert(header::ETAG, value);
    }
    answer
}

/// A version as the header has it.
pub(crate) fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}
