//! Suspension and deletion of sites, and the ways back.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use tmtp_domain::SiteStatus;
use tmtp_store::{SiteHoldings, SiteRecord, SiteTurn};
use utoipa::ToSchema;

use super::{Site, check_text, lock, lock_any, note};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Change, Empty, OnceParams};
use crate::api::dry_run::{DryRun, DryRunParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;

/// Characters of a reason, and of a notice.
const TEXT_MAX: usize = 1_000;

/// Why a site is suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSuspension {
    /// For the site's admins.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// For the site's members.
    #[schema(min_length = 1, max_length = 1000)]
    notice: Option<String>,
}

/// Suspend a site
///
/// Its sessions end within seconds, and nobody logs in until it is resumed. Nothing is lost.
#[utoipa::path(post, path = "/v1/sites/{site}/suspend", operation_id = "suspend_site", tag = "sites",
    security(("key" = ["sites:suspend"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams), request_body = NewSuspension,
    responses((status = 200, description = "The site, suspended", body = Site), ChangeRefusals))]
pub(crate) async fn suspend(
    caller: Caller<may::SuspendSites>,
    Place(site): Place<SiteRef>,
    new: Payload<NewSuspension>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&new.sent).await?;
    let reason = check_text("reason", &new.value.reason, TEXT_MAX)?;
    let notice = new.value.notice.map(|text| check_text("notice", &text, TEXT_MAX)).transpose()?;
    let before = lock(&caller, &mut change, site).await?;
    turn(&caller, change, "site.suspend", &before, &SiteTurn::Suspend { reason, notice }).await
}

/// Resume a site
#[utoipa::path(post, path = "/v1/sites/{site}/resume", operation_id = "resume_site", tag = "sites",
    security(("key" = ["sites:suspend"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The site, active", body = Site), ChangeRefusals))]
pub(crate) async fn resume(
    caller: Caller<may::SuspendSites>,
    Place(site): Place<SiteRef>,
    nothing: Payload<Empty>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&nothing.sent).await?;
    let before = lock_any(&caller, &mut change, site).await?;
    if before.status != SiteStatus::Suspended {
        return Err(Problem::conflict("site_not_suspended", "The site is not suspended.").into());
    }
    turn(&caller, change, "site.resume", &before, &SiteTurn::Resume).await
}

/// What goes with a site when the time to restore it is over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteErasure {
    /// Members, whatever their state.
    members: i64,
    /// Their devices, revoked ones included.
    devices: i64,
    /// Their aliases.
    aliases: i64,
    groups: i64,
    /// Messages that wait for members. Those of the last seconds may not be counted.
    messages: i64,
    /// Invites, whatever their state.
    invites: i64,
    certificates: i64,
    /// Host names, which others may have then.
    domains: i64,
    /// API keys that are for no other site: they end.
    keys: i64,
}

/// What deleting a site has come to, or would come to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SiteDeletion {
    /// The site, deleted.
    Done(Box<Site>),
    /// With `dry_run`.
    Tried(SiteErasure),
}

impl From<SiteHoldings> for SiteErasure {
    fn from(found: SiteHoldings) -> Self {
        let SiteHoldings {
            members,
            devices,
            aliases,
            groups,
            messages,
            invites,
            certificates,
            domains,
            keys,
        } = found;
        Self { members, devices, aliases, groups, messages, invites, certificates, domains, keys }
    }
}

/// Delete a site
///
/// It is not served any longer. For 30 days, unless set otherwise, it keeps its rows and host names and can be restored; then it is erased.
#[utoipa::path(delete, path = "/v1/sites/{site}", operation_id = "delete_site", tag = "sites",
    security(("key" = ["sites:delete"])),
    params(("site" = SiteRef, Path, description = "The site's id"), DryRunParams),
    responses((status = 200, description = "The site, deleted; with `dry_run`: what would go with it in the end",
               body = SiteDeletion), ChangeRefusals))]
pub(crate) async fn delete(
    caller: Caller<may::DeleteSites>,
    Place(site): Place<SiteRef>,
    dry_run: DryRun,
) -> Answer {
    if dry_run.0 {
        let site = caller.known_site(site).await?.id;
        // Not a read: those of one site do not see all keys.
        let mut change = caller.begin().await?;
        let found = SiteErasure::from(change.tx.site_holdings(site).await?);
        return Ok(Json(SiteDeletion::Tried(found)).into_response());
    }
    let mut change = caller.begin().await?;
    let before = lock_any(&caller, &mut change, site).await?;
    if before.status == SiteStatus::Deleted {
        // Deleting again does not begin its time anew.
        let still = SiteDeletion::Done(Box::new(Site::of(&before)));
        return change.answer(StatusCode::OK, &still).await;
    }
    turn(&caller, change, "site.delete", &before, &SiteTurn::Delete).await
}

/// Restore a deleted site
///
/// It is again what it was before it was deleted. A sandbox whose time was over has no end after that.
#[utoipa::path(post, path = "/v1/sites/{site}/restore", operation_id = "restore_site", tag = "sites",
    security(("key" = ["sites:delete"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The site", body = Site), ChangeRefusals))]
pub(crate) async fn restore(
    caller: Caller<may::DeleteSites>,
    Place(site): Place<SiteRef>,
    nothing: Payload<Empty>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&nothing.sent).await?;
    let before = lock_any(&caller, &mut change, site).await?;
    let Some(deleted_at) = before.deleted_at else {
        return Err(Problem::conflict("site_not_deleted", "The site is not deleted.").into());
    };
    // From then on it may be in the middle of being erased.
    if Time(deleted_at).plus(caller.api.config.sites.tombstone) <= Time::now() {
        return Err(Problem::conflict("site_erased", "The time to restore the site is over.").into());
    }
    turn(&caller, change, "site.restore", &before, &SiteTurn::Restore).await
}

async fn turn<P>(
    caller: &Caller<P>,
    mut change: Change,
    action: &'static str,
    before: &SiteRecord,
    turn: &SiteTurn,
) -> Answer {
    let after = change.tx.turn_site(before.id, turn).await?.ok_or_else(Problem::internal)?;
    let shown = note(&mut change, action, before.id, Some(before), &after).await?;
    let answer = change.answer(StatusCode::OK, &shown).await?;
    caller.site_changed(before.id).await;
    Ok(answer)
}
