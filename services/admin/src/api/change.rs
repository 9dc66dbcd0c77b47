//! Changes: their effect, their audit entry and the answer to their repetition are one transaction.
//!
//! A handler that changes something begins with [`Caller::begin`] or [`Caller::begin_post`], notes each change with
//! [`Change::note`], and ends with [`Change::answer`], which commits. Whatever ends early has changed nothing.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tmtp_domain::SiteId;
use tmtp_store::{AdminTx, Claim, NewAudit};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Problem;
use super::caller::Caller;
use super::payload::Sent;
use super::request::RequestInfo;
use super::sealed::{open, seal};

/// The header that every POST may have, for the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the name and comment are the documentation; begin_post reads the header")]
pub(crate) struct OnceParams {
    /// Send a request again with the same key and it has no second effect: the first answer is given again, with
    /// `Idempotent-Replayed: true`. Keys are remembered for a day.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

/// No fields: send `{}`, or nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

/// Why a handler goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It cannot.
    Problem(Problem),
    /// It has before: the answer that was given then.
    Replay(Box<Response>),
}

/// What a handler that changes something answers.
pub(crate) type Answer = Result<Response, Stop>;

impl<E: Into<Problem>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Replay(answer) => *answer,
        }
    }
}

/// A change under way.
pub(crate) struct Change {
    /// For the statements of the change.
    pub(crate) tx: AdminTx,
    key: Uuid,
    request: RequestInfo,
    once: Option<Once>,
}

/// A request that can be recognised when it comes again.
struct Once {
    idempotency_key: String,
    digest: [u8; 32],
    seal: [u8; 32],
}

/// What is noted of a change.
#[derive(Debug)]
pub(crate) struct Note<'a, T> {
    /// The site; `None` for what concerns the deployment.
    pub(crate) site: Option<SiteId>,
    /// What, such as `site.suspend`.
    pub(crate) action: &'static str,
    /// To what: its id as the API shows it.
    pub(crate) target: &'a str,
    /// What it was, as the API shows it.
    pub(crate) before: Option<&'a T>,
    /// What it is.
    pub(crate) after: Option<&'a T>,
}

impl<P> Caller<P> {
    /// Begins a change by PATCH, PUT or DELETE, which can be repeated by their nature.
    pub(crate) async fn begin(&self) -> Result<Change, Problem> {
        let tx = self.api.database.begin().await?;
        Ok(Change { tx, key: self.key().id, request: self.request.clone(), once: None })
    }

    /// Begins a change by POST; ends with the answer when it was carried out before.
    pub(crate) async fn begin_post(&self, sent: &Sent) -> Result<Change, Stop> {
        let mut change = self.begin().await?;
        let Some(idempotency_key) = sent.idempotency_key.clone() else { return Ok(change) };
        let once = Once { idempotency_key, digest: sent.digest, seal: self.identity.seal };
        match change.tx.claim(change.key, &once.idempotency_key, &sent.digest).await? {
            Claim::New => change.once = Some(once),
            Claim::Done { status, answer } => {
                return Err(Stop::Replay(Box::new(once.replay(status, &answer)?)));
            }
            Claim::Other => return Err(Problem::key_reused().into()),
        }
        Ok(change)
    }
}

impl Change {
    /// Adds to the audit log.
    pub(crate) async fn note<T: Serialize>(&mut self, note: Note<'_, T>) -> Result<(), Problem> {
        let json = |value: &T| serde_json::to_string(value).map_err(|_| Problem::internal());
        let from = self.request.from.to_string();
        let audit = NewAudit {
            site: note.site,
            key: Some(self.key),
            action: note.action,
            target: note.target,
            from: &from,
            request: self.request.id.0,
            before: note.before.map(json).transpose()?,
            after: note.after.map(json).transpose()?,
        };
        Ok(self.tx.note(&audit).await?)
    }

    /// Makes it happen, and answers with this.
    pub(crate) async fn answer(mut self, status: StatusCode, body: &impl Serialize) -> Answer {
        let body = serde_json::to_string(body).map_err(|_| Problem::internal())?;
        if let Some(once) = &self.once {
            let sealed = once.seal(&body)?;
            let request = &once.digest;
            self.tx.settle(self.key, &once.idempotency_key, request, status.as_u16(), &sealed).await?;
        }
        self.tx.commit().await?;
        Ok(json(status, body))
    }

    /// Which request it is, and from where, for what happens later in its name.
    pub(crate) fn origin(&self) -> (Uuid, String) {
        (self.request.id.0, self.request.from.to_string())
    }

    /// Makes it happen, and answers with nothing.
    pub(crate) async fn done(self) -> Answer {
        self.tx.commit().await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

/// Answers may hold secrets that are told once, such as keys. So they are kept in a form that only the same API key
/// can open.
impl Once {
    fn seal(&self, body: &str) -> Result<String, Problem> {
        seal(&self.seal, &self.digest, body)
    }

    fn replay(&self, status: u16, sealed: &str) -> Result<Response, Problem> {
        let body = open(&self.seal, &self.digest, sealed).ok_or_else(|| {
            tracing::error!("a stored answer cannot be opened");
            Problem::internal()
        })?;
        let mut answer = json(StatusCode::from_u16(status).map_err(|_| Problem::internal())?, body);
        answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        Ok(answer)
    }
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// 200 with a body.
pub(crate) type Shown<T> = Result<Json<T>, Problem>;
