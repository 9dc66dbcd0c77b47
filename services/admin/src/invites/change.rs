//! Invites revoked, and given a new code.

use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::show::find;
use super::{Invite, MadeInvite, domains, note, random_code};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams};
use crate::api::id::{InviteRef, SiteRef};
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;

/// A new code to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resend {
    /// When the invite ends from now on; as before when absent.
    expires_at: Option<Time>,
}

/// Resend an invite
///
/// It gets a new code and a new link, told once. The old ones are no longer good.
#[utoipa::path(post, path = "/v1/sites/{site}/invites/{invite}/resend", operation_id = "resend_invite",
    tag = "invites", security(("key" = ["invites:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("invite" = InviteRef, Path, description = "The invite's id"), OnceParams), request_body = Resend,
    responses((status = 200, description = "The invite with its new code", body = MadeInvite), ChangeRefusals))]
pub(crate) async fn resend(
    caller: Caller<may::WriteInvites>,
    Place((site, invite)): Place<(SiteRef, InviteRef)>,
    wanted: Payload<Resend>,
) -> Answer {
    let before = find(&caller, site, invite).await?;
    let mut change = caller.begin_post(&wanted.sent).await?;
    let expires_at = wanted.value.expires_at.map(|time| time.0).or(before.usage.expires_at);
    if expires_at.is_some_and(|end| end <= Time::now().0) {
        return Err(Problem::invalid("expires_at", "give a time that is still to come").into());
    }
    let code = random_code()?;
    let hash = code.hash(before.site);
    let recoded = change.tx.recode_invite(before.site, before.id(), &hash, expires_at).await?;
    let after = recoded.ok_or_else(|| Problem::conflict("revoked", "The invite has been revoked."))?;
    let domains = domains(&caller, before.site).await?;
    note(&mut change, "invite.resend", before.site, Some(&Invite::of(&before)), &Invite::of(&after)).await?;
    change.answer(StatusCode::OK, &MadeInvite::of(&caller.api, &domains, &after, &code)).await
}

/// Revoke an invite
///
/// Nobody can join with it any longer; who has, stays. Revoking it again changes nothing.
#[utoipa::path(delete, path = "/v1/sites/{site}/invites/{invite}", operation_id = "revoke_invite", tag = "invites",
    security(("key" = ["invites:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("invite" = InviteRef, Path, description = "The invite's id")),
    responses((status = 204, description = "It is revoked"), ChangeRefusals))]
pub(crate) async fn revoke(
    caller: Caller<may::WriteInvites>,
    Place((site, invite)): Place<(SiteRef, InviteRef)>,
) -> Answer {
    let before = find(&caller, site, invite).await?;
    let mut change = caller.begin().await?;
    if let Some(after) = change.tx.revoke_invite(before.site, before.id()).await? {
        note(&mut change, "invite.revoke", before.site, Some(&Invite::of(&before)), &Invite::of(&after))
            .await?;
    }
    change.done().await
}
