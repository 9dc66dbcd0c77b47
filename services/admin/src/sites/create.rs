//! `POST /v1/sites`.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_domain::{Registration, SiteId};
use tmtp_store::{CreateSite, SiteChange, SiteKind};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Site, check_domains, check_name, note};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams};
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::Payload;
use crate::api::time::Time;
use crate::api::words::{KindWord, RegistrationWord};

/// How long a sandbox lives, unless said otherwise.
const SANDBOX_LIFE: Duration = Duration::from_hours(30 * 24);

/// A site to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSite {
    /// What clients show.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// Host names under which clients reach it. A leading `*.` stands for one label.
    #[schema(min_items = 1, max_items = 50, example = json!(["chat.example.org"]))]
    domains: Vec<String>,
    /// What it is for; `live` when absent.
    kind: Option<KindWord>,
    /// Who may register, `closed` when absent: where the site's policy begins.
    registration: Option<RegistrationWord>,
    /// When a sandbox is deleted by itself; after 30 days when absent. Live sites have no end.
    expires_at: Option<Time>,
}

/// Make a site
///
/// It costs some rows, and is served within seconds.
#[utoipa::path(post, path = "/v1/sites", operation_id = "create_site", tag = "sites",
    security(("key" = ["sites:create"])), params(OnceParams), request_body = NewSite,
    responses((status = 201, description = "The site", body = Site), ChangeRefusals))]
pub(crate) async fn create(caller: Caller<may::CreateSites>, new: Payload<NewSite>) -> Answer {
    if caller.sites().is_some() {
        return Err(Problem::forbidden()
            .detail("This key is for some sites only, so it cannot make others.")
            .into());
    }
    let (new, sent) = (new.value, new.sent);
    let mut change = caller.begin_post(&sent).await?;
    let kind = new.kind.map_or(SiteKind::Live, |kind| kind.0);
    let expires_at = expiry(kind, new.expires_at)?;
    let site = CreateSite {
        id: SiteId(Uuid::new_v4()),
        name: check_name(&new.name)?,
        domains: check_domains(&new.domains)?,
        registration: new.registration.map_or(Registration::Closed, |registration| registration.0),
    };
    let shards = change.tx.shards().await?;
    let mut made = change.tx.create_site(&site, kind, shards).await?;
    if expires_at.is_some() {
        let ends = SiteChange { expires_at: Some(expires_at), ..SiteChange::default() };
        made = change.tx.change_site(site.id, &ends).await?.ok_or_else(Problem::internal)?;
    }
    let shown = note(&mut change, "site.create", site.id, None, &made).await?;
    change.answer(StatusCode::CREATED, &shown).await
}

/// When a site ends (ms since 1970).
fn expiry(kind: SiteKind, wanted: Option<Time>) -> Result<Option<i64>, Problem> {
    match (kind, wanted) {
        (SiteKind::Live, None) => Ok(None),
        (SiteKind::Live, Some(_)) => Err(Problem::invalid("expires_at", "only sandboxes end by themselves")),
        (SiteKind::Sandbox, wanted) => {
            let at = wanted.unwrap_or_else(|| Time::now().plus(SANDBOX_LIFE));
            super::change::check_expiry(at).map(Some)
        }
    }
}
