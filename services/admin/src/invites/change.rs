//! Invites revoked, and given a new code.

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_domain::{InviteId, InviteState, SiteId};
use tmtp_store::InviteRecord;
use utoipa::ToSchema;

use super::{Invite, MadeInvite, note, random_code};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Change, OnceParams};
use crate::api::id::{InviteRef, SiteRef};
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::sites::hold;

/// A new code to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resend {
    /// When the invite ends from now on; as before when absent.
    expires_at: Option<Time>,
}

/// Resend an invite
///
/// It gets a new code and a new link, told once. The old ones are no longer good. One that has expired needs a new
/// `expires_at`; one that is used up or revoked is refused with 409, because nobody could join with its new code.
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
    caller.site(site)?;
    let mut change = caller.begin_post(&wanted.sent).await?;
    let site = hold(&caller, &mut change, site).await?;
    let before = lock_invite(&mut change, site.id, invite).await?;
    let expires_at = wanted.value.expires_at.map(|time| time.0).or(before.usage.expires_at);
    if expires_at.is_some_and(|end| end <= Time::now().0) {
        return Err(Problem::invalid("expires_at", "give a time that is still to come").into());
    }
    // A new code for one of these would open nothing.
    match before.usage.state(Time::now().0) {
        InviteState::Revoked => {
            let problem = Problem::conflict("revoked", "The invite has been revoked.");
            return Err(problem.detail("It stays so. Make a new invite.").into());
        }
        InviteState::Used => {
            let problem = Problem::conflict("used", "The invite is used up.");
            return Err(problem.detail("As many have joined with it as may. Make a new invite.").into());
        }
        InviteState::Pending | InviteState::Active | InviteState::Expired => {}
    }
    let code = random_code()?;
    let hash = code.hash(site.id);
    let recoded = change.tx.recode_invite(site.id, before.id(), &hash, expires_at).await?;
    let after = recoded.ok_or_else(Problem::internal)?;
    note(&mut change, "invite.resend", site.id, Some(&Invite::of(&before)), &Invite::of(&after)).await?;
    change.answer(StatusCode::OK, &MadeInvite::of(&caller.api, &site.domains, &after, &code)).await
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
    let mut change = caller.begin().await?;
    let site = hold(&caller, &mut change, site).await?.id;
    let before = lock_invite(&mut change, site, invite).await?;
    if let Some(after) = change.tx.revoke_invite(site, before.id()).await? {
        note(&mut change, "invite.revoke", site, Some(&Invite::of(&before)), &Invite::of(&after)).await?;
    }
    change.done().await
}

async fn lock_invite(change: &mut Change, site: SiteId, invite: InviteRef) -> Result<InviteRecord, Problem> {
    change.tx.lock_invite(site, InviteId(invite.0)).await?.ok_or_else(Problem::not_found)
}
