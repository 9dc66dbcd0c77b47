//! Certificates of a site in the API: uploaded, listed, shown and removed. A private key goes in and never comes out.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tmtp_domain::{CertificateId, SiteId, covers};
use tmtp_store::{CertificateRecord, CertificateSource, SiteRecord};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check::{DAY_MS, warnings};
use super::{Refusal, Warning, check, prepare};
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Change, Note, OnceParams, Shown};
use crate::api::id::{CertificateRef, SiteRef};
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::words::{SourceWord, Word};
use crate::api::{Api, Problem};
use crate::sites::lock;

/// Certificates of one site. More than domains, because old ones may stay while new ones are brought.
const CERTIFICATES_MAX: i64 = 100;

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, upload)).routes(routes!(show, remove))
}

/// A certificate of a site, without its private key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Certificate {
    id: CertificateRef,
    /// Where it came from.
    source: SourceWord,
    /// The host names that it is for; a leading `*.` stands for one label.
    names: Vec<String>,
    /// The site's domains that it covers.
    covers: Vec<String>,
    /// Who issued it.
    #[schema(example = "C=US, O=Let's Encrypt, CN=E7")]
    issuer: String,
    not_before: Time,
    not_after: Time,
    /// Whole days until `not_after`; negative after it.
    days_left: i64,
    created_at: Time,
    /// What is good to know about it.
    warnings: Vec<CertificateWarning>,
}

/// What is good to know about a certificate.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CertificateWarning {
    /// For programs.
    #[schema(example = "expires_soon")]
    code: &'static str,
    /// For people.
    message: String,
}

/// A certificate to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCertificate {
    /// PEM: the certificate, and those of its issuers behind it, each issued by the next.
    #[schema(max_length = 65536, example = "-----BEGIN CERTIFICATE-----\n…")]
    certificate: String,
    /// PEM: the private key of the first certificate, without a password. It is kept sealed and never told.
    #[schema(max_length = 65536, write_only, example = "-----BEGIN PRIVATE KEY-----\n…")]
    private_key: String,
}

impl std::fmt::Debug for NewCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewCertificate")
    }
}

impl Certificate {
    fn of(record: &CertificateRecord, domains: &[String], now: Time) -> Self {
        let found = warnings(&record.names, domains, record.not_after, now.0);
        let is_covered = |domain: &&String| record.names.iter().any(|name| covers(name, domain));
        Self {
            id: record.id.into(),
            source: Word(record.source),
            names: record.names.clone(),
            covers: domains.iter().filter(is_covered).cloned().collect(),
            issuer: record.issuer.clone(),
            not_before: Time(record.not_before),
            not_after: Time(record.not_after),
            days_left: (record.not_after - now.0).div_euclid(DAY_MS),
            created_at: Time(record.created_at),
            warnings: found.iter().map(CertificateWarning::of).collect(),
        }
    }
}

impl CertificateWarning {
    fn of(warning: &Warning) -> Self {
        Self { code: warning.code(), message: warning.to_string() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.code(), refusal.title())
            .param(refusal.param())
            .detail(refusal.to_string())
    }
}

/// List the certificates of a site
#[utoipa::path(get, path = "/v1/sites/{site}/certificates", operation_id = "list_certificates", tag = "certificates",
    security(("key" = ["certificates:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), PageParams),
    responses((status = 200, description = "The newest first", body = List<Certificate>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadCertificates>,
    Place(site): Place<SiteRef>,
    listing: Listing<NoFilter, CertificateRef>,
) -> Shown<List<Certificate>> {
    let path = format!("/v1/sites/{site}/certificates");
    let (site, records) = find(&caller, site).await?;
    let now = Time::now();
    let show = |record: CertificateRecord| Certificate::of(&record, &site.domains, now);
    Ok(Json(listing.page_of(&path, records, |record| record.id.into(), show)?))
}

/// Show a certificate
#[utoipa::path(get, path = "/v1/sites/{site}/certificates/{certificate}", operation_id = "get_certificate",
    tag = "certificates", security(("key" = ["certificates:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("certificate" = CertificateRef, Path, description = "The certificate's id")),
    responses((status = 200, description = "The certificate", body = Certificate), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadCertificates>,
    Place((site, id)): Place<(SiteRef, CertificateRef)>,
) -> Shown<Certificate> {
    let (site, records) = find(&caller, site).await?;
    let id = CertificateId::from(id);
    let record = records.iter().find(|record| record.id == id).ok_or_else(Problem::not_found)?;
    Ok(Json(Certificate::of(record, &site.domains, Time::now())))
}

/// Upload a certificate
///
/// It is checked first: the chain, the key, the dates, and that it covers at least one of the site's domains. All
/// gateways serve it within seconds. Of several for one domain the one that lives longest serves.
#[utoipa::path(post, path = "/v1/sites/{site}/certificates", operation_id = "upload_certificate",
    tag = "certificates", security(("key" = ["certificates:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams), request_body = NewCertificate,
    responses((status = 201, description = "It serves", body = Certificate), ChangeRefusals))]
pub(crate) async fn upload(
    caller: Caller<may::WriteCertificates>,
    Place(site): Place<SiteRef>,
    new: Payload<NewCertificate>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&new.sent).await?;
    let sealer = sealer(&caller.api)?;
    let site = lock(&caller, &mut change, site).await?;
    let now = Time::now();
    let (checked, key) = check(&new.value.certificate, &new.value.private_key, &site.domains, now.0)?;
    if change.tx.count_certificates(site.id).await? >= CERTIFICATES_MAX {
        let problem = Problem::conflict("too_many_certificates", "The site has too many certificates.");
        return Err(problem
            .detail(format!("A site has at most {CERTIFICATES_MAX}: remove some first."))
            .into());
    }
    let found = checked.warnings.clone();
    let prepared = prepare(&sealer, site.id, CertificateSource::Upload, checked, &key).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot seal a private key");
        Problem::internal()
    })?;
    let record = change.tx.add_certificate(&prepared).await?;
    let mut shown = Certificate::of(&record, &site.domains, now);
    shown.warnings = found.iter().map(CertificateWarning::of).collect();
    note(&mut change, "certificate.upload", site.id, None, Some(&shown)).await?;
    change.answer(StatusCode::CREATED, &shown).await
}

/// Remove a certificate
///
/// Its private key is erased at once, and gateways stop to serve it within seconds.
#[utoipa::path(delete, path = "/v1/sites/{site}/certificates/{certificate}", operation_id = "remove_certificate",
    tag = "certificates", security(("key" = ["certificates:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("certificate" = CertificateRef, Path, description = "The certificate's id")),
    responses((status = 204, description = "It is gone"), ChangeRefusals))]
pub(crate) async fn remove(
    caller: Caller<may::WriteCertificates>,
    Place((site, id)): Place<(SiteRef, CertificateRef)>,
) -> Answer {
    let mut change = caller.begin().await?;
    let site = lock(&caller, &mut change, site).await?;
    let removed = change.tx.remove_certificate(site.id, id.into()).await?.ok_or_else(Problem::not_found)?;
    let before = Certificate::of(&removed, &site.domains, Time::now());
    note(&mut change, "certificate.remove", site.id, Some(&before), None).await?;
    change.done().await
}

/// The site, if the caller may know of it, and its certificates.
async fn find<P>(caller: &Caller<P>, site: SiteRef) -> Result<(SiteRecord, Vec<CertificateRecord>), Problem> {
    let site = caller.site(site)?;
    let mut read = caller.read().await?;
    let record = read.site_record(site).await?.ok_or_else(Problem::not_found)?;
    Ok((record, read.certificates(site).await?))
}

/// What seals private keys, if this deployment has a key for that.
fn sealer(api: &Api) -> Result<tmtp_seal::Sealer, Problem> {
    api.config.sealer().ok().flatten().ok_or_else(|| {
        Problem::conflict("certificates_off", "This deployment keeps no certificates of sites.")
            .detail("Whoever runs it has to set secrets.key at the admin servers and the gateways.")
    })
}

async fn note(
    change: &mut Change,
    action: &'static str,
    site: SiteId,
    before: Option<&Certificate>,
    after: Option<&Certificate>,
) -> Result<(), Problem> {
    let target = before.or(after).map(|certificate| certificate.id.to_string()).unwrap_or_default();
    change.note(Note { site: Some(site), action, target: &target, before, after }).await
}
