//! Certificates that are ordered for a domain, in the API: switched on and off, looked at, tried at once.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use tmtp_domain::SiteId;
use tmtp_store::{AcmeDomain, AcmeEnableError};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Change, Note, OnceParams, Shown};
use crate::api::id::SiteRef;
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::words::{AcmeWord, Word};
use crate::api::{Api, Problem};
use crate::sites::lock;

/// How long after an attempt another one can be asked for: authorities allow five failures an hour.
const RETRY_PAUSE_SECONDS: i64 = 5 * 60;

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show, enable, disable)).routes(routes!(retry))
}

/// How the ordering of certificates for a domain goes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AcmeStatus {
    #[schema(example = "chat.example.org")]
    domain: String,
    /// `waiting` for the first certificate, `issued` (and renewed in time), or `failed` (and tried again).
    state: AcmeWord,
    /// When it is tried next: after a pause, or when the certificate is due for renewal.
    next_try_at: Time,
    /// Failures since the last success.
    failures: u32,
    /// Why the last attempt failed, in the words of the certificate authority.
    #[schema(required = true)]
    last_error: Option<String>,
    changed_at: Time,
}

/// Nothing needs to be said.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl AcmeStatus {
    fn of(domain: &AcmeDomain) -> Self {
        Self {
            domain: domain.domain.clone(),
            state: Word(domain.state),
            next_try_at: Time(domain.next_at),
            failures: domain.attempts,
            last_error: domain.last_error.clone(),
            changed_at: Time(domain.changed_at),
        }
    }
}

/// Show how the ordering of certificates for a domain goes
#[utoipa::path(get, path = "/v1/sites/{site}/domains/{domain}/acme", operation_id = "get_acme", tag = "certificates",
    security(("key" = ["certificates:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("domain" = String, Path, description = "The host name")),
    responses((status = 200, description = "How it goes; 404 when it is off", body = AcmeStatus), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadCertificates>,
    Place((site, domain)): Place<(SiteRef, String)>,
) -> Shown<AcmeStatus> {
    let site = caller.site(site)?;
    let domain = domain.to_lowercase();
    let all = caller.read().await?.acme_domains(site).await?;
    let found = all.iter().find(|one| one.domain == domain).ok_or_else(Problem::not_found)?;
    Ok(Json(AcmeStatus::of(found)))
}

/// Have certificates ordered for a domain
///
/// The certificate authority proves the domain by connecting to it at port 443, so it must lead to the gateways. The
/// certificate is renewed after two thirds of its life. Harmless when it is on already.
#[utoipa::path(put, path = "/v1/sites/{site}/domains/{domain}/acme", operation_id = "enable_acme", tag = "certificates",
    security(("key" = ["certificates:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("domain" = String, Path, description = "The host name")),
    responses((status = 200, description = "It is on", body = AcmeStatus), ChangeRefusals))]
pub(crate) async fn enable(
    caller: Caller<may::WriteCertificates>,
    Place((site, domain)): Place<(SiteRef, String)>,
) -> Answer {
    let mut change = caller.begin().await?;
    let site = lock(&caller, &mut change, site).await?;
    let domain = domain.to_lowercase();
    if !site.domains.contains(&domain) {
        return Err(Problem::not_found().into());
    }
    if !caller.api.config.acme.enabled {
        let problem = Problem::conflict("acme_off", "This deployment orders no certificates.");
        return Err(problem.detail("Whoever runs it has to set acme.enabled at the admin servers.").into());
    }
    if domain.starts_with("*.") {
        let detail = "a wildcard cannot be proved over TLS: upload a certificate for it";
        return Err(Problem::invalid("domain", detail).into());
    }
    let before = change.tx.acme_domain(site.id, &domain).await?;
    let after = match change.tx.enable_acme(site.id, &domain).await {
        Ok(after) => AcmeStatus::of(&after),
        Err(AcmeEnableError::NoSuchDomain) => return Err(Problem::not_found().into()),
        Err(AcmeEnableError::Store(error)) => return Err(Problem::from(error).into()),
    };
    if before.is_none() {
        note(&mut change, "acme.enable", site.id, &domain, None, Some(&after)).await?;
    }
    change.answer(StatusCode::OK, &after).await
}

/// Have no more certificates ordered for a domain
///
/// Those that were issued serve on until they are removed or expire.
#[utoipa::path(delete, path = "/v1/sites/{site}/domains/{domain}/acme", operation_id = "disable_acme",
    tag = "certificates", security(("key" = ["certificates:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("domain" = String, Path, description = "The host name")),
    responses((status = 204, description = "It is off"), ChangeRefusals))]
pub(crate) async fn disable(
    caller: Caller<may::WriteCertificates>,
    Place((site, domain)): Place<(SiteRef, String)>,
) -> Answer {
    let mut change = caller.begin().await?;
    let site = lock(&caller, &mut change, site).await?;
    let domain = domain.to_lowercase();
    let before = change.tx.disable_acme(site.id, &domain).await?.ok_or_else(Problem::not_found)?;
    note(&mut change, "acme.disable", site.id, &domain, Some(&AcmeStatus::of(&before)), None).await?;
    change.done().await
}

/// Have a certificate ordered for a domain at once
///
/// For when what was in the way is mended; the pause after a failure is skipped. Five minutes after an attempt, at the
/// earliest: certificate authorities refuse whoever fails too often.
#[utoipa::path(post, path = "/v1/sites/{site}/domains/{domain}/acme/try", operation_id = "try_acme",
    tag = "certificates", security(("key" = ["certificates:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("domain" = String, Path, description = "The host name"), OnceParams),
    responses((status = 202, description = "It is tried", body = AcmeStatus), ChangeRefusals))]
pub(crate) async fn retry(
    caller: Caller<may::WriteCertificates>,
    Place((site, domain)): Place<(SiteRef, String)>,
    nothing: Payload<Nothing>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&nothing.sent).await?;
    let site = lock(&caller, &mut change, site).await?;
    let domain = domain.to_lowercase();
    let before = change.tx.acme_domain(site.id, &domain).await?.ok_or_else(Problem::not_found)?;
    let since = (Time::now().0 - before.changed_at) / 1_000;
    if since < RETRY_PAUSE_SECONDS {
        let wait = u64::try_from(RETRY_PAUSE_SECONDS - since).unwrap_or_default();
        return Err(Problem::too_many_requests(wait).into());
    }
    let after = change.tx.retry_acme(site.id, &domain).await?.ok_or_else(Problem::not_found)?;
    let (before, after) = (AcmeStatus::of(&before), AcmeStatus::of(&after));
    note(&mut change, "acme.try", site.id, &domain, Some(&before), Some(&after)).await?;
    change.answer(StatusCode::ACCEPTED, &after).await
}

async fn note(
    change: &mut Change,
    action: &'static str,
    site: SiteId,
    domain: &str,
    before: Option<&AcmeStatus>,
    after: Option<&AcmeStatus>,
) -> Result<(), Problem> {
    change.note(Note { site: Some(site), action, target: domain, before, after }).await
}
