//! Host names of a site.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tmtp_domain::parse_host;
use utoipa::ToSchema;

use super::show::find;
use super::{DOMAINS_MAX, lock, note};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams, Shown};
use crate::api::id::SiteRef;
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::{Payload, Place};

/// A host name of a site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Domain {
    /// In lower case; a leading `*.` stands for one label.
    #[schema(example = "chat.example.org")]
    domain: String,
}

/// A host name to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDomain {
    /// Any case; a leading `*.` stands for one label.
    #[schema(max_length = 253, example = "chat.example.org")]
    domain: String,
}

/// List the host names of a site
#[utoipa::path(get, path = "/v1/sites/{site}/domains", operation_id = "list_domains", tag = "domains",
    security(("key" = ["sites:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), PageParams),
    responses((status = 200, description = "Sorted", body = List<Domain>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadSites>,
    Place(site): Place<SiteRef>,
    listing: Listing<NoFilter, String>,
) -> Shown<List<Domain>> {
    let path = format!("/v1/sites/{site}/domains");
    let domains = find(&caller, site).await?.domains;
    Ok(Json(listing.page_of(&path, domains, String::clone, |domain| Domain { domain })?))
}

/// Add a host name to a site
#[utoipa::path(post, path = "/v1/sites/{site}/domains", operation_id = "add_domain", tag = "domains",
    security(("key" = ["sites:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams), request_body = NewDomain,
    responses((status = 201, description = "The site has it", body = Domain), ChangeRefusals))]
pub(crate) async fn add(
    caller: Caller<may::WriteSites>,
    Place(site): Place<SiteRef>,
    new: Payload<NewDomain>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&new.sent).await?;
    let domain = parse_host(&new.value.domain).map_err(|error| Problem::invalid("domain", error))?;
    let before = lock(&caller, &mut change, site).await?;
    if before.domains.len() >= DOMAINS_MAX {
        let problem = Problem::conflict("too_many_domains", "The site has too many host names.");
        return Err(problem.detail(format!("A site has at most {DOMAINS_MAX}.")).into());
    }
    change.tx.add_domain(before.id, &domain).await.map_err(|error| Problem::from(error).param("domain"))?;
    let after = change.tx.lock_site(before.id).await?.ok_or_else(Problem::internal)?;
    note(&mut change, "domain.add", before.id, Some(&before), &after).await?;
    change.answer(StatusCode::CREATED, &Domain { domain }).await
}

/// Remove a host name from a site
///
/// Clients that use it find nobody there any longer. The last one stays: without any, nobody could reach the site.
#[utoipa::path(delete, path = "/v1/sites/{site}/domains/{domain}", operation_id = "remove_domain", tag = "domains",
    security(("key" = ["sites:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("domain" = String, Path, description = "The host name")),
    responses((status = 204, description = "The site does not have it any longer"), ChangeRefusals))]
pub(crate) async fn remove(
    caller: Caller<may::WriteSites>,
    Place((site, domain)): Place<(SiteRef, String)>,
) -> Answer {
    let mut change = caller.begin().await?;
    let before = lock(&caller, &mut change, site).await?;
    let domain = domain.to_lowercase();
    if !before.domains.contains(&domain) {
        return Err(Problem::not_found().into());
    }
    if before.domains.len() == 1 {
        return Err(Problem::conflict("last_domain", "A site needs a host name.").into());
    }
    change.tx.remove_domain(before.id, &domain).await?;
    let after = change.tx.lock_site(before.id).await?.ok_or_else(Problem::internal)?;
    note(&mut change, "domain.remove", before.id, Some(&before), &after).await?;
    change.done().await
}
