//! Providers changed and removed.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use tmtp_domain::Provider;
use utoipa::ToSchema;

use super::shape::{OidcClaims, OidcEndpoint, OidcProvider, OidcSettings};
use super::{check, note};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::Answer;
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::patch::merge;
use crate::api::payload::{Payload, Place, read};
use crate::sites::lock;

/// What is to be different about a provider (a JSON merge patch, RFC 7386): what is absent stays, what is null goes.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "the fields are the documentation; the patch is merged as JSON")]
pub(crate) struct OidcPatch {
    /// What people see.
    #[schema(nullable = false, min_length = 1, max_length = 2048)]
    label: Option<String>,
    /// The `iss` of its tokens.
    #[schema(nullable = false, max_length = 2048)]
    issuer: Option<String>,
    /// Where clients send their users.
    #[schema(nullable = false)]
    authorize: Option<OidcEndpoint>,
    /// Where clients get the token.
    #[schema(nullable = false)]
    token: Option<OidcEndpoint>,
    /// Where its keys are.
    #[schema(nullable = false, max_length = 2048)]
    jwks_uri: Option<String>,
    /// Whom its tokens must be for.
    #[schema(nullable = false, min_items = 1, max_items = 20)]
    audiences: Option<Vec<String>>,
    /// What its claims are taken for.
    claims: Option<OidcClaims>,
    /// The `nonce` that a token must repeat.
    nonce: Option<String>,
}

/// Change an OIDC provider
///
/// Its id stays. Members who came through it stay, too; they are known by issuer and subject.
#[utoipa::path(patch, path = "/v1/sites/{site}/oidc-providers/{provider}", operation_id = "update_oidc_provider",
    tag = "oidc providers", security(("key" = ["providers:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("provider" = String, Path, description = "The provider's id")),
    request_body(content((OidcPatch = "application/merge-patch+json"), (OidcPatch = "application/json"))),
    responses((status = 200, description = "The provider as it is now", body = OidcProvider), ChangeRefusals))]
pub(crate) async fn change(
    caller: Caller<may::WriteProviders>,
    Place((site, id)): Place<(SiteRef, String)>,
    patch: Payload<Map<String, Value>>,
) -> Answer {
    let mut change = caller.begin().await?;
    let site = lock(&caller, &mut change, site).await?;
    let records = change.tx.lock_providers(site.id).await?;
    let place = records.iter().position(|record| record.provider.id == id).ok_or_else(Problem::not_found)?;
    let before = OidcProvider::of(&records[place]);
    let mut all: Vec<Provider> = records.into_iter().map(|record| record.provider).collect();
    let settings = patched(&before.settings, patch.value)?;
    if settings == before.settings {
        return change.answer(StatusCode::OK, &before).await;
    }
    let provider = settings.provider(id, all[place].keys_since);
    all[place] = provider.clone();
    check(&all)?;
    let changed = change.tx.change_provider(site.id, &provider).await?.ok_or_else(Problem::internal)?;
    let after = OidcProvider::of(&changed);
    note(&mut change, "provider.update", site.id, Some(&before), Some(&after)).await?;
    let answer = change.answer(StatusCode::OK, &after).await?;
    caller.site_changed(site.id).await;
    Ok(answer)
}

fn patched(settings: &OidcSettings, patch: Map<String, Value>) -> Result<OidcSettings, Problem> {
    let Ok(Value::Object(mut document)) = serde_json::to_value(settings) else {
        return Err(Problem::internal());
    };
    merge(&mut document, patch);
    read("body", Value::Object(document))
}

/// Remove an OIDC provider
///
/// Nobody signs in through it any longer. Members who did stay, and their devices keep their passwords.
#[utoipa::path(delete, path = "/v1/sites/{site}/oidc-providers/{provider}", operation_id = "remove_oidc_provider",
    tag = "oidc providers", security(("key" = ["providers:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("provider" = String, Path, description = "The provider's id")),
    responses((status = 204, description = "It is gone"), ChangeRefusals))]
pub(crate) async fn remove(
    caller: Caller<may::WriteProviders>,
    Place((site, id)): Place<(SiteRef, String)>,
) -> Answer {
    let mut change = caller.begin().await?;
    let site = lock(&caller, &mut change, site).await?;
    let removed = change.tx.delete_provider(site.id, &id).await?.ok_or_else(Problem::not_found)?;
    note(&mut change, "provider.remove", site.id, Some(&OidcProvider::of(&removed)), None).await?;
    let answer = change.done().await?;
    caller.site_changed(site.id).await;
    Ok(answer)
}
