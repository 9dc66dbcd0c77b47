//! Changes: their effect, their audit entry and the answer to their repetition are one transaction.
//!
//! A handler that changes something begins with [`Caller::begin`] or [`Caller::begin_post`], notes each change with
//! [`Change::note`], and ends with [`Change::answer`], which commits. Whatever ends early has changed nothing.
//!
//! A change holds a connection of the database. Until it ends, its handler must not ask the store for another one: some such
//! requests at once would have all connections and wait for one another. It reads before it begins, or through
//! [`Change::tx`]. The tests of the API run on one connection, so whatever waits for a second one fails there.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tmtp_domain::SiteId;
use tmtp_store::{AdminTx, Claim, NewAudit, SettledAnswer};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Problem;
use super::caller::Caller;
use super::etag::etag;
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
            Claim::Done { status, answer, etag } => {
                return Err(Stop::Replay(Box::new(once.replay(status, &answer, etag.as_deref())?)));
            }
            Claim::Other => return Err(Problem::key_reused().into()),
        }
        Ok(change)
    }

    /// Ends with the answer when a POST was carried out before, and keeps nothing: what follows may take its time, and then
    /// begins the change.
    pub(crate) async fn stop_if_done(&self, sent: &Sent) -> Result<(), Stop> {
        if sent.idempotency_key.is_some() {
            self.begin_post(sent).await?;
        }
        Ok(())
    }

    /// Answers a POST that changes nothing, and gives the same answer when it comes again.
    pub(crate) async fn answer_once(&self, sent: &Sent, body: &impl Serialize) -> Answer {
        if sent.idempotency_key.is_some() {
            return self.begin_post(sent).await?.answer(StatusCode::OK, body).await;
        }
        Ok(json(StatusCode::OK, serde_json::to_string(body).map_err(|_| Problem::internal())?))
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
    pub(crate) async fn answer(self, status: StatusCode, body: &impl Serialize) -> Answer {
        self.finish(status, body, None).await
    }

    /// The same, with the version that this is, for `If-Match`.
    pub(crate) async fn answer_tagged(
        self,
        status: StatusCode,
        body: &impl Serialize,
        version: i64,
    ) -> Answer {
        self.finish(status, body, Some(&etag(version))).await
    }

    async fn finish(mut self, status: StatusCode, body: &impl Serialize, etag: Option<&str>) -> Answer {
        let body = serde_json::to_string(body).map_err(|_| Problem::internal())?;
        if let Some(once) = &self.once {
            let answer = once.seal(&body)?;
            let settled = SettledAnswer { status: status.as_u16(), answer: &answer, etag };
            self.tx.settle(self.key, &once.idempotency_key, &once.digest, settled).await?;
        }
        self.tx.commit().await?;
        Ok(with_etag(json(status, body), etag))
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

    fn replay(&self, status: u16, sealed: &str, etag: Option<&str>) -> Result<Response, Problem> {
        let body = open(&self.seal, &self.digest, sealed).ok_or_else(|| {
            tracing::error!("a stored answer cannot be opened");
            Problem::internal()
        })?;
        let mut answer = json(StatusCode::from_u16(status).map_err(|_| Problem::internal())?, body);
        answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        Ok(with_etag(answer, etag))
    }
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn with_etag(mut answer: Response, etag: Option<&str>) -> Response {
    if let Some(value) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        answer.headers_mut().insert(header::ETAG, value);
    }
    answer
}

/// 200 with a body.
pub(crate) type Shown<T> = Result<Json<T>, Problem>;
