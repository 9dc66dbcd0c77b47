//! Providers listed and shown.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::find;
use super::shape::OidcProvider;
use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::id::SiteRef;
use crate::api::openapi::Refusals;
use crate::api::payload::Place;

/// The providers of a site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OidcProviders {
    data: Vec<OidcProvider>,
}

/// List the OIDC providers of a site
#[utoipa::path(get, path = "/v1/sites/{site}/oidc-providers", operation_id = "list_oidc_providers",
    tag = "oidc providers", security(("key" = ["providers:read"])),
    params(("site" = SiteRef, Path, description = "The site's id")),
    responses((status = 200, description = "All of them, the oldest first", body = OidcProviders), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadProviders>,
    Place(site): Place<SiteRef>,
) -> Shown<OidcProviders> {
    let (mut read, site) = caller.read_site(site).await?;
    let records = read.providers(site.id).await?;
    Ok(Json(OidcProviders { data: records.iter().map(OidcProvider::of).collect() }))
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
