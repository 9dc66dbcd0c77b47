//! Providers tried out: is what they are set up with what they say themselves, and are there keys?

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Serialize;
use tmtp_domain::Provider;
use tmtp_oidc::{Discovery, FetchError, KeyStatus};
use utoipa::ToSchema;

use super::shape::OidcProvider;
use super::{fetcher, find, note};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Empty, OnceParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::sites::lock;

/// What was looked at.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OidcPart {
    /// The issuer's OpenID configuration can be read and names the same issuer.
    Configuration,
    /// It names the same address for `authorize`.
    Authorize,
    /// It names the same address for `token`.
    Token,
    /// It names the same address for the keys.
    JwksUri,
    /// Keys with which tokens can be checked are there.
    Keys,
}

/// How one part of a provider stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OidcCheck {
    part: OidcPart,
    ok: bool,
    /// What was found, or what is wrong.
    message: String,
}

/// How a provider stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OidcTest {
    /// All parts are as they should be. One that has no OpenID configuration can work all the same.
    ok: bool,
    checks: Vec<OidcCheck>,
}

/// What fetching keys has come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OidcKeys {
    /// They were fetched, and gateways fetch them before they check the next token.
    ok: bool,
    /// How many can be used.
    keys: usize,
    /// What is wrong; null when nothing is. Gateways go on with the keys that they have then.
    #[schema(required = true)]
    error: Option<String>,
}

/// Test an OIDC provider
///
/// Fetches its OpenID configuration and its keys, and says what is wrong. Changes nothing.
#[utoipa::path(post, path = "/v1/sites/{site}/oidc-providers/{provider}/test", operation_id = "test_oidc_provider",
    tag = "oidc providers", security(("key" = ["providers:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("provider" = String, Path, description = "The provider's id"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "How it stands", body = OidcTest), ChangeRefusals))]
pub(crate) async fn test(
    caller: Caller<may::WriteProviders>,
    Place((site, id)): Place<(SiteRef, String)>,
    nothing: Payload<Empty>,
) -> Answer {
    let (_, record) = find(&caller, site, &id).await?;
    caller.stop_if_done(&nothing.sent).await?;
    let provider = &record.provider;
    let fetcher = fetcher(&caller.api)?;
    let (found, keys) = tokio::join!(fetcher.discover(&provider.issuer), fetcher.refresh(&provider.jwks_uri));
    let mut checks = configuration(provider, found);
    checks.push(match &keys.error {
        None => OidcCheck { part: OidcPart::Keys, ok: true, message: format!("{} can be used", keys.keys) },
        Some(error) => OidcCheck { part: OidcPart::Keys, ok: false, message: error.to_string() },
    });
    let test = OidcTest { ok: checks.iter().all(|check| check.ok), checks };
    caller.answer_once(&nothing.sent, &test).await
}

fn configuration(provider: &Provider, found: Result<Discovery, FetchError>) -> Vec<OidcCheck> {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let message = error.to_string();
            return vec![OidcCheck { part: OidcPart::Configuration, ok: false, message }];
        }
    };
    let compare = |part, set: &str, said: String| {
        let ok = set == said;
        let message = if ok { said } else { format!("the provider says {said}, here is set {set}") };
        OidcCheck { part, ok, message }
    };
    vec![
        OidcCheck { part: OidcPart::Configuration, ok: true, message: "it names the same issuer".to_owned() },
        compare(OidcPart::Authorize, &provider.authorize.url, found.authorization_endpoint),
        compare(OidcPart::Token, &provider.token.url, found.token_endpoint),
        compare(OidcPart::JwksUri, &provider.jwks_uri, found.jwks_uri),
    ]
}

/// Refresh the keys of an OIDC provider
///
/// For keys that a provider has withdrawn: gateways look for unknown keys by themselves, and for others once an hour. If
/// they can be fetched here, gateways fetch them again before they check the next token.
#[utoipa::path(post, path = "/v1/sites/{site}/oidc-providers/{provider}/refresh",
    operation_id = "refresh_oidc_provider", tag = "oidc providers", security(("key" = ["providers:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("provider" = String, Path, description = "The provider's id"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "What it has come to", body = OidcKeys), ChangeRefusals))]
pub(crate) async fn refresh(
    caller: Caller<may::WriteProviders>,
    Place((site, id)): Place<(SiteRef, String)>,
    nothing: Payload<Empty>,
) -> Answer {
    let (_, record) = find(&caller, site, &id).await?;
    caller.stop_if_done(&nothing.sent).await?;
    let KeyStatus { keys, error, .. } = fetcher(&caller.api)?.refresh(&record.provider.jwks_uri).await;
    let fetched = OidcKeys { ok: error.is_none(), keys, error: error.map(|error| error.to_string()) };
    if !fetched.ok {
        // Nothing has happened, so nothing is remembered: the same request may come to something later.
        return Ok(Json(fetched).into_response());
    }
    let mut change = caller.begin_post(&nothing.sent).await?;
    let site = lock(&caller, &mut change, site).await?;
    let records = change.tx.lock_providers(site.id).await?;
    let before =
        records.into_iter().find(|record| record.provider.id == id).ok_or_else(Problem::not_found)?;
    let provider = Provider { keys_since: Time::now().0 / 1_000, ..before.provider.clone() };
    let changed = change.tx.change_provider(site.id, &provider).await?.ok_or_else(Problem::internal)?;
    let (before, after) = (OidcProvider::of(&before), OidcProvider::of(&changed));
    note(&mut change, "provider.refresh", site.id, Some(&before), Some(&after)).await?;
    let answer = change.answer(StatusCode::OK, &fetched).await?;
    caller.site_changed(site.id).await;
    Ok(answer)
}
