//! `PATCH /v1/sites/{site}`.

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_store::{SiteChange, SiteKind};
use utoipa::ToSchema;

use super::{Site, check_name, lock, note};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::Answer;
use crate::api::etag::{IfMatch, IfMatchParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::patch::Patch;
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::words::RegistrationWord;
use crate::policy::set_registration;

/// What is to be different (a JSON merge patch, RFC 7386): what is absent stays, what is null goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SitePatch {
    /// What clients show.
    #[serde(default)]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 255)]
    name: Patch<String>,
    /// Who may register: the field of the same name in the site's policy, of whose history this is a part.
    #[serde(default)]
    #[schema(value_type = Option<RegistrationWord>, nullable = false)]
    registration: Patch<RegistrationWord>,
    /// When a sandbox is deleted by itself; null for never.
    #[serde(default)]
    #[schema(value_type = Option<Time>)]
    expires_at: Patch<Time>,
}

/// Change a site
#[utoipa::path(patch, path = "/v1/sites/{site}", operation_id = "update_site", tag = "sites",
    security(("key" = ["sites:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), IfMatchParams),
    request_body(content(
        (SitePatch = "application/merge-patch+json"), (SitePatch = "application/json"))),
    responses((status = 200, description = "The site as it is now", body = Site,
               headers(("ETag" = String, description = "For If-Match"))), ChangeRefusals))]
pub(crate) async fn change(
    caller: Caller<may::WriteSites>,
    Place(site): Place<SiteRef>,
    if_match: IfMatch,
    patch: Payload<SitePatch>,
) -> Answer {
    let patch = patch.value;
    let mut change = caller.begin().await?;
    let before = lock(&caller, &mut change, site).await?;
    if_match.check(before.revision)?;
    let expires_at = patch.expires_at.nullable();
    if before.kind == SiteKind::Live && expires_at.flatten().is_some() {
        return Err(Problem::invalid("expires_at", "only sandboxes end by themselves").into());
    }
    let wanted = SiteChange {
        name: patch.name.value("name")?.map(|name| check_name(&name)).transpose()?,
        expires_at: expires_at.map(|at| at.map(check_expiry).transpose()).transpose()?,
    };
    if let Some(word) = patch.registration.value("registration")? {
        set_registration(&caller, &mut change, before.id, word.0).await?;
    }
    let after = change.tx.change_site(before.id, &wanted).await?.ok_or_else(Problem::internal)?;
    let shown = note(&mut change, "site.update", before.id, Some(&before), &after).await?;
    let answer = change.answer_tagged(StatusCode::OK, &shown, after.revision).await?;
    caller.site_changed(before.id).await;
    Ok(answer)
}

/// An end of a site (ms since 1970), which must be ahead.
pub(super) fn check_expiry(at: Time) -> Result<i64, Problem> {
    if at <= Time::now() {
        return Err(Problem::invalid("expires_at", "give a time in the future"));
    }
    Ok(at.0)
}
