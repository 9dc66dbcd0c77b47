//! `GET /v1/sites`, one site, and what its clients are told.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tmtp_domain::SiteStatus;
use tmtp_store::{SiteFilter, SiteRecord};
use utoipa::{IntoParams, ToSchema};

use super::Site;
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::etag::tagged;
use crate::api::id::SiteRef;
use crate::api::openapi::Refusals;
use crate::api::page::{List, Listing, PageParams};
use crate::api::payload::Place;
use crate::api::words::{KindWord, RegistrationWord, StatusWord, Word};

/// Characters to search for.
const SEARCH_MAX: usize = 100;

/// Which sites are wanted.
#[derive(Debug, Serialize, Deserialize, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteQuery {
    /// In this state.
    #[param(inline)]
    status: Option<StatusWord>,
    /// Of this kind.
    #[param(inline)]
    kind: Option<KindWord>,
    /// With this in the name or in a host name, in any case.
    #[param(max_length = 100)]
    q: Option<String>,
}

/// What every client is told before it logs in (the frame `tmtprev`).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteInfo {
    /// What clients show.
    name: String,
    /// Whether clients are let in at all.
    served: bool,
    /// Whether everybody may register, without an invite, a sign-in, or approval.
    open: bool,
    /// Who may register.
    registration: RegistrationWord,
    /// The sign-ins that clients offer to who registers, by what they are called.
    sign_ins: Vec<String>,
    /// Host names under which clients reach it.
    domains: Vec<String>,
    /// What members may be told about a suspension.
    #[schema(required = true)]
    notice: Option<String>,
}

/// List sites
#[utoipa::path(get, path = "/v1/sites", operation_id = "list_sites", tag = "sites",
    security(("key" = ["sites:read"])), params(SiteQuery, PageParams),
    responses((status = 200, description = "The newest first", body = List<Site>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadSites>,
    listing: Listing<SiteQuery, SiteRef>,
) -> Shown<List<Site>> {
    let wanted = &listing.filter;
    if wanted.q.as_ref().is_some_and(|q| q.chars().count() > SEARCH_MAX) {
        return Err(Problem::invalid("q", format!("search for at most {SEARCH_MAX} characters")));
    }
    let filter = SiteFilter {
        only: caller.sites(),
        status: wanted.status.map(|word| word.0),
        kind: wanted.kind.map(|word| word.0),
        contains: wanted.q.as_deref(),
    };
    let after = listing.after.map(Into::into);
    let rows = caller.read().await?.site_records(filter, after, listing.fetch()).await?;
    Ok(Json(listing.page("/v1/sites", rows, |row| row.id.into(), |row| Site::of(&row))))
}

/// Show a site
#[utoipa::path(get, path = "/v1/sites/{site}", operation_id = "get_site", tag = "sites",
    security(("key" = ["sites:read"])), params(("site" = SiteRef, Path, description = "The site's id")),
    responses((status = 200, description = "The site", body = Site,
               headers(("ETag" = String, description = "For If-Match"))), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadSites>,
    Place(site): Place<SiteRef>,
) -> Result<Response, Problem> {
    let record = find(&caller, site).await?;
    Ok(tagged(Json(Site::of(&record)).into_response(), record.revision))
}

/// What clients are told
#[utoipa::path(get, path = "/v1/sites/{site}/info", operation_id = "get_site_info", tag = "sites",
    security(("key" = ["sites:read"])), params(("site" = SiteRef, Path, description = "The site's id")),
    responses((status = 200, description = "What every client is told before it logs in", body = SiteInfo), Refusals))]
pub(crate) async fn info(caller: Caller<may::ReadSites>, Place(site): Place<SiteRef>) -> Shown<SiteInfo> {
    let id = caller.site(site)?;
    let mut read = caller.read().await?;
    let record = read.site_record(id).await?.ok_or_else(Problem::not_found)?;
    let site = read.site(id).await?.ok_or_else(Problem::not_found)?;
    let providers = site.sign_in_providers(caller.api.config.public.url.as_deref());
    Ok(Json(SiteInfo {
        name: record.name,
        registration: Word(record.registration),
        sign_ins: providers.into_iter().map(|provider| provider.label).collect(),
        served: record.status == SiteStatus::Active,
        open: record.registration == tmtp_domain::Registration::Open,
        domains: record.domains,
        notice: record.suspended_notice,
    }))
}

pub(super) async fn find<P>(caller: &Caller<P>, site: SiteRef) -> Result<SiteRecord, Problem> {
    let id = caller.site(site)?;
    caller.read().await?.site_record(id).await?.ok_or_else(Problem::not_found)
}
