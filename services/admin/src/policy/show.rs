//! `GET /v1/sites/{site}/policy`, what holds, and what it was before.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tmtp_domain::SiteId;
use tmtp_store::{PolicyEntry, PolicyRecord, Reader};
use utoipa::ToSchema;

use super::document::{Document, SitePolicy, effective as holding, stored};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::etag::tagged;
use crate::api::id::{KeyRef, SiteRef};
use crate::api::openapi::Refusals;
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::Place;
use crate::api::time::Time;

/// A policy that a site has or had.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyVersion {
    /// Counts the changes; 0: as the site was made, where that was not the default.
    version: i64,
    /// What was set.
    #[schema(value_type = SitePolicy)]
    policy: Document,
    changed_at: Time,
    /// With which key; null for none.
    #[schema(required = true)]
    changed_by: Option<KeyRef>,
}

impl PolicyVersion {
    fn of(entry: &PolicyEntry) -> Result<Self, Problem> {
        Ok(Self {
            version: entry.policy.version,
            policy: stored(&entry.policy.document)?,
            changed_at: Time(entry.changed_at),
            changed_by: entry.key.map(KeyRef::of),
        })
    }
}

/// Show the policy of a site
///
/// Only what is set. What holds with the defaults is `effective`.
#[utoipa::path(get, path = "/v1/sites/{site}/policy", operation_id = "get_policy", tag = "policy",
    security(("key" = ["policy:read"])), params(("site" = SiteRef, Path, description = "The site's id")),
    responses((status = 200, description = "What is set", body = SitePolicy,
               headers(("ETag" = String, description = "For If-Match"))), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadPolicy>,
    Place(site): Place<SiteRef>,
) -> Result<Response, Problem> {
    let record = find(&mut caller.read().await?, caller.site(site)?).await?;
    Ok(tagged(Json(stored(&record.document)?).into_response(), record.version))
}

/// Show what holds at a site
///
/// Every field, with its default where nothing is set.
#[utoipa::path(get, path = "/v1/sites/{site}/policy/effective", operation_id = "get_effective_policy",
    tag = "policy", security(("key" = ["policy:read"])),
    params(("site" = SiteRef, Path, description = "The site's id")),
    responses((status = 200, description = "What holds", body = SitePolicy,
               headers(("ETag" = String, description = "For If-Match"))), Refusals))]
pub(crate) async fn effective(
    caller: Caller<may::ReadPolicy>,
    Place(site): Place<SiteRef>,
) -> Result<Response, Problem> {
    let record = find(&mut caller.read().await?, caller.site(site)?).await?;
    Ok(tagged(Json(holding(&stored(&record.document)?)?).into_response(), record.version))
}

/// List what the policy of a site was
#[utoipa::path(get, path = "/v1/sites/{site}/policy/history", operation_id = "list_policy_history",
    tag = "policy", security(("key" = ["policy:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), PageParams),
    responses((status = 200, description = "The newest first; the first is what is set now",
               body = List<PolicyVersion>), Refusals))]
pub(crate) async fn history(
    caller: Caller<may::ReadPolicy>,
    Place(site): Place<SiteRef>,
    listing: Listing<NoFilter, i64>,
) -> Shown<List<PolicyVersion>> {
    let id = caller.site(site)?;
    let mut read = caller.read().await?;
    find(&mut read, id).await?;
    let entries = read.site_policies(id, listing.after, listing.fetch()).await?;
    let versions: Vec<PolicyVersion> = entries.iter().map(PolicyVersion::of).collect::<Result<_, _>>()?;
    let path = format!("/v1/sites/{site}/policy/history");
    Ok(Json(listing.page(&path, versions, |version| version.version, |version| version)))
}

async fn find(read: &mut Reader, site: SiteId) -> Result<PolicyRecord, Problem> {
    read.site_policy(site).await?.ok_or_else(Problem::not_found)
}
