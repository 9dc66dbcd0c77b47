//! Providers listed and shown.

use axum::Json;
use tmtp_store::ProviderRecord;

use super::find;
use super::shape::OidcProvider;
use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::id::SiteRef;
use crate::api::openapi::Refusals;
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::Place;

/// List the OIDC providers of a site
#[utoipa::path(get, path = "/v1/sites/{site}/oidc-providers", operation_id = "list_oidc_providers",
    tag = "oidc providers", security(("key" = ["providers:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), PageParams),
    responses((status = 200, description = "The oldest first", body = List<OidcProvider>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadProviders>,
    Place(site): Place<SiteRef>,
    listing: Listing<NoFilter, String>,
) -> Shown<List<OidcProvider>> {
    let path = format!("/v1/sites/{site}/oidc-providers");
    let (mut read, site) = caller.read_site(site).await?;
    let records = read.providers(site.id).await?;
    let place = |record: &ProviderRecord| record.provider.id.clone();
    Ok(Json(listing.page_of(&path, records, place, |record| OidcProvider::of(&record))?))
}

/// Show an OIDC provider
#[utoipa::path(get, path = "/v1/sites/{site}/oidc-providers/{provider}", operation_id = "get_oidc_provider",
    tag = "oidc providers", security(("key" = ["providers:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("provider" = String, Path, description = "The provider's id")),
    responses((status = 200, description = "The provider", body = OidcProvider), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadProviders>,
    Place((site, provider)): Place<(SiteRef, String)>,
) -> Shown<OidcProvider> {
    let (_, record) = find(&caller, site, &provider).await?;
    Ok(Json(OidcProvider::of(&record)))
}
