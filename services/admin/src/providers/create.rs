//! `POST /v1/sites/{site}/oidc-providers`: what is not given is asked of the provider itself.

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_domain::{PROVIDERS_MAX, Provider};
use utoipa::ToSchema;

use super::shape::{OidcClaims, OidcEndpoint, OidcProvider, OidcSettings};
use super::{check, fetcher, note};
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place};
use crate::api::{Api, Problem};
use crate::sites::lock;

/// What clients ask for unless said otherwise.
const SCOPE: &str = "openid email profile";

/// A provider to be. Addresses that are not given are those of the issuer's OpenID configuration.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOidcProvider {
    /// Unique in its site: up to 40 lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9-]{1,40}$", example = "acme")]
    id: String,
    /// What people see, such as `Sign in with Acme`.
    #[schema(min_length = 1, max_length = 2048)]
    label: String,
    /// The `iss` of its tokens, to the letter.
    #[schema(max_length = 2048, example = "https://id.example")]
    issuer: String,
    /// The client id that the provider has given you.
    #[schema(min_length = 1, max_length = 2048)]
    client_id: String,
    /// What clients ask for: `openid email profile` when absent. Not with `authorize`.
    #[schema(max_length = 2048)]
    scope: Option<String>,
    /// Where clients send their users. Every client is told it: it must hold no secret.
    authorize: Option<OidcEndpoint>,
    /// Where clients get the token. Every client is told it: it must hold no secret.
    token: Option<OidcEndpoint>,
    /// Where its keys are.
    #[schema(max_length = 2048)]
    jwks_uri: Option<String>,
    /// Whom its tokens must be for: only the client id when absent.
    #[schema(min_items = 1, max_items = 20)]
    audiences: Option<Vec<String>>,
    /// What its claims are taken for.
    #[serde(default)]
    claims: OidcClaims,
    /// The `nonce` that a token must repeat: letters and digits.
    #[schema(max_length = 2048)]
    nonce: Option<String>,
}

/// Make an OIDC provider
///
/// Issuer, client id and label are enough if the issuer has an OpenID configuration. Clients use PKCE (S256) and no client
/// secret, so it must be a public client there, with `http://localhost` and any port as its redirect address.
#[utoipa::path(post, path = "/v1/sites/{site}/oidc-providers", operation_id = "create_oidc_provider",
    tag = "oidc providers", security(("key" = ["providers:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams), request_body = NewOidcProvider,
    responses((status = 201, description = "The provider", body = OidcProvider), ChangeRefusals))]
pub(crate) async fn create(
    caller: Caller<may::WriteProviders>,
    Place(site): Place<SiteRef>,
    new: Payload<NewOidcProvider>,
) -> Answer {
    caller.living_site(site).await?;
    // A request that was carried out is answered without asking the provider, and nothing is locked while it is asked.
    caller.stop_if_done(&new.sent).await?;
    let provider = complete(&caller.api, new.value).await?;
    let mut change = caller.begin_post(&new.sent).await?;
    let site = lock(&caller, &mut change, site).await?;
    let mut all: Vec<Provider> =
        change.tx.lock_providers(site.id).await?.into_iter().map(|record| record.provider).collect();
    if all.iter().any(|known| known.id == provider.id) {
        let problem = Problem::conflict("provider_exists", "The site has a provider of this id.");
        return Err(problem.param("id").into());
    }
    if all.len() >= PROVIDERS_MAX {
        let problem = Problem::conflict("too_many_providers", "The site has too many providers.");
        return Err(problem.detail(format!("A site has at most {PROVIDERS_MAX}: remove some first.")).into());
    }
    all.push(provider.clone());
    check(&all)?;
    let made = change.tx.create_provider(site.id, &provider).await?.ok_or_else(Problem::internal)?;
    let shown = OidcProvider::of(&made);
    note(&mut change, "provider.create", site.id, None, Some(&shown)).await?;
    let answer = change.answer(StatusCode::CREATED, &shown).await?;
    caller.site_changed(site.id).await;
    Ok(answer)
}

/// The whole provider, with what the issuer says of itself where nothing was given.
async fn complete(api: &Api, new: NewOidcProvider) -> Result<Provider, Problem> {
    if new.authorize.is_some() && new.scope.is_some() {
        return Err(Problem::invalid("scope", "put it among the parameters of authorize"));
    }
    let (authorize, token) = (authorize_params(&new), token_params(&new));
    let given = (new.authorize, new.token, new.jwks_uri);
    let (authorize, token, jwks_uri) = if let (Some(authorize), Some(token), Some(jwks_uri)) = given {
        (authorize, token, jwks_uri)
    } else {
        // What cannot be an address is told as such, and not fetched.
        let placeholder = |url: &str| OidcEndpoint::new(url.to_owned(), Vec::new());
        let outline = OidcSettings {
            label: new.label.clone(),
            issuer: new.issuer.clone(),
            authorize: placeholder(&new.issuer),
            token: placeholder(&new.issuer),
            jwks_uri: new.issuer.clone(),
            audiences: vec![new.client_id.clone()],
            claims: OidcClaims::default(),
            nonce: None,
        };
        outline.provider(new.id.clone(), 0).validate()?;
        let found = fetcher(api)?.discover(&new.issuer).await.map_err(|error| {
            let detail = format!(
                "Its OpenID configuration is not to be had: {error}. Check the issuer, or give authorize, token and \
                 jwks_uri."
            );
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "discovery_failed",
                "The provider does not say what is missing.",
            )
            .param("issuer")
            .detail(detail)
        })?;
        (
            given.0.unwrap_or_else(|| OidcEndpoint::new(found.authorization_endpoint, authorize)),
            given.1.unwrap_or_else(|| OidcEndpoint::new(found.token_endpoint, token)),
            given.2.unwrap_or(found.jwks_uri),
        )
    };
    let settings = OidcSettings {
        label: new.label,
        issuer: new.issuer,
        authorize,
        token,
        jwks_uri,
        audiences: new.audiences.unwrap_or_else(|| vec![new.client_id]),
        claims: new.claims,
        nonce: new.nonce,
    };
    Ok(settings.provider(new.id, 0))
}

fn authorize_params(new: &NewOidcProvider) -> Vec<String> {
    let mut params = vec![
        param("response_type", "code"),
        param("scope", new.scope.as_deref().unwrap_or(SCOPE)),
        param("code_challenge_method", "S256"),
        param("client_id", &new.client_id),
    ];
    params.extend(new.nonce.as_deref().map(|nonce| param("nonce", nonce)));
    params
}

fn token_params(new: &NewOidcProvider) -> Vec<String> {
    vec![param("grant_type", "authorization_code"), param("client_id", &new.client_id)]
}

/// A parameter of a query. A blank is `%20`: not every provider takes a plus for one.
fn param(name: &str, value: &str) -> String {
    let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    format!("{name}={}", value.replace('+', "%20"))
}
