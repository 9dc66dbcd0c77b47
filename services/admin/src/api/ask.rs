//! Changes that the site's home makes: a request becomes a command, and the home's answer an HTTP answer.
//!
//! The home commits the change, its audit entry and what it came to together. Handlers show what is so afterwards by
//! reading it from Postgres, where it is when the home has answered.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tmtp_contract::{AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, AdminRequest, AuditNote, Once};
use tmtp_domain::{KeyId, RequestId, Site, SiteId, SiteStatus};
use tmtp_store::Reader;

use super::caller::Caller;
use super::change::Stop;
use super::id::SiteRef;
use super::payload::Sent;
use super::{Api, Problem};
use crate::changes::AskError;
use crate::homes::HomeError;

/// What the home is to do.
pub(crate) struct Todo<'a> {
    /// For the audit log, such as `member.suspend`.
    pub(crate) action: &'static str,
    /// For the audit log: to what, as the API shows its id.
    pub(crate) target: &'a str,
    pub(crate) change: AdminChange,
}

/// What the home has done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: AdminOutcome,
    /// It was done when the same request came before.
    is_replay: bool,
}

impl Done {
    /// Answers with what is so now.
    pub(crate) fn answer(&self, status: StatusCode, body: &impl Serialize) -> Result<Response, Stop> {
        let body = serde_json::to_string(body).map_err(|_| Problem::internal())?;
        Ok(self.mark((status, [(header::CONTENT_TYPE, "application/json")], body).into_response()))
    }

    /// Answers with nothing.
    pub(crate) fn no_content(&self) -> Response {
        self.mark(StatusCode::NO_CONTENT.into_response())
    }

    fn mark(&self, mut answer: Response) -> Response {
        if self.is_replay {
            answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        answer
    }
}

impl<P> Caller<P> {
    /// The site, if the caller's key is for it and it is there.
    pub(crate) async fn known_site(&self, site: SiteRef) -> Result<Site, Problem> {
        Ok(self.read_site(site).await?.1)
    }

    /// The same, with the read, for who reads more of it.
    pub(crate) async fn read_site(&self, site: SiteRef) -> Result<(Reader, Site), Problem> {
        let id = self.site(site)?;
        let mut read = self.read().await?;
        let site = read.site(id).await?.ok_or_else(Problem::not_found)?;
        Ok((read, site))
    }

    /// The same, if it takes changes: a deleted one does not.
    pub(crate) async fn living_site(&self, site: SiteRef) -> Result<Site, Problem> {
        let site = self.known_site(site).await?;
        if site.status == SiteStatus::Deleted { Err(Problem::site_deleted()) } else { Ok(site) }
    }

    /// Has the site's home make a change for a POST; `sent` recognises it when it comes again.
    pub(crate) async fn ask(&self, site: &Site, sent: &Sent, todo: Todo<'_>) -> Result<Done, Stop> {
        if let Some(done) = self.replayed(sent).await? {
            return Ok(done);
        }
        self.ask_new(site, sent, todo).await
    }

    /// The same for one that has not come before, by what [`Self::replayed`] says.
    pub(crate) async fn ask_new(&self, site: &Site, sent: &Sent, todo: Todo<'_>) -> Result<Done, Stop> {
        self.publish(site, self.once(sent), todo).await
    }

    /// What the home has done for the same POST when it came before.
    pub(crate) async fn replayed(&self, sent: &Sent) -> Result<Option<Done>, Problem> {
        if sent.idempotency_key.is_none() {
            return Ok(None);
        }
        let outcome = self.settled(&self.once(sent)).await?;
        Ok(outcome.map(|outcome| Done { outcome, is_replay: true }))
    }

    fn once(&self, sent: &Sent) -> Once {
        let own = || self.request.id.to_string();
        Once {
            key: KeyId(self.key().id),
            text: sent.idempotency_key.clone().unwrap_or_else(own),
            digest: sent.digest,
        }
    }

    /// The same for a PATCH, PUT or DELETE, which can be repeated by their nature.
    pub(crate) async fn ask_anew(&self, site: &Site, todo: Todo<'_>) -> Result<Done, Stop> {
        let sent = Sent { digest: [0; 32], idempotency_key: None };
        self.ask(site, &sent, todo).await
    }

    async fn settled(&self, once: &Once) -> Result<Option<AdminOutcome>, Problem> {
        let wanted = (once.key, once.text.clone());
        let Some(settled) = self.api.database.settled(std::slice::from_ref(&wanted)).await?.remove(&wanted)
        else {
            return Ok(None);
        };
        let outcome = serde_json::from_str(&settled.answer).ok().filter(|_| settled.digest == once.digest);
        outcome.map(Some).ok_or_else(Problem::key_reused)
    }

    async fn publish(&self, site: &Site, once: Once, todo: Todo<'_>) -> Result<Done, Stop> {
        if site.status == SiteStatus::Deleted {
            return Err(Problem::site_deleted().into());
        }
        let request = AdminRequest {
            id: RequestId(self.request.id.0),
            once,
            note: AuditNote {
                action: todo.action.to_owned(),
                target: todo.target.to_owned(),
                from: self.request.from.to_string(),
            },
            change: todo.change,
        };
        match self.api.homes.ask(site.id, site.shard, request).await {
            Ok(AdminAnswer::Done { outcome }) => Ok(Done { outcome, is_replay: false }),
            Ok(AdminAnswer::Refused { reason, text }) => Err(refused(reason, text).into()),
            Err(error) => Err(failed(&error).into()),
        }
    }

    /// Lets the site's home know that the site's rows have changed, so that it takes effect at once. Without that it does
    /// within seconds.
    pub(crate) async fn site_changed(&self, site: SiteId) {
        let Ok(mut read) = self.read().await else { return };
        let Ok(Some(site)) = read.site(site).await else { return };
        drop(read);
        tell_site_changed(&self.api, &site, self.key().id, RequestId(self.request.id.0)).await;
    }
}

/// The home neither notes nor remembers it: whoever has changed the site has noted that.
async fn tell_site_changed(api: &Api, site: &Site, key: uuid::Uuid, id: RequestId) {
    let once = Once { key: KeyId(key), text: format!("site {}", id.0), digest: [0; 32] };
    let note =
        AuditNote { action: "site.changed".to_owned(), target: site.id.to_string(), from: String::new() };
    let request = AdminRequest { id, once, note, change: AdminChange::SiteChanged };
    api.homes.tell(site.id, site.shard, request).await;
}

fn refused(reason: AdminRefusal, text: String) -> Problem {
    match reason {
        AdminRefusal::NotFound => Problem::not_found().detail(text),
        AdminRefusal::Conflict => Problem::conflict("conflict", "It contradicts what is there.").detail(text),
        AdminRefusal::Invalid => Problem::invalid("body", text),
        AdminRefusal::Reused => Problem::key_reused(),
        AdminRefusal::Internal => {
            tracing::error!(text, "a home refused a change");
            Problem::internal()
        }
    }
}

fn failed(error: &HomeError) -> Problem {
    match error {
        HomeError::Unconnected | HomeError::Ask(AskError::Busy) => Problem::unavailable(),
        HomeError::Ask(AskError::Encode(error)) => {
            tracing::error!(error = error as &dyn std::error::Error, "a change cannot be encoded");
            Problem::internal()
        }
        HomeError::Ask(AskError::Unanswered) => Problem::unconfirmed(),
    }
}
