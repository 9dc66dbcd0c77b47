//! Invites listed and shown, and who joined with them.

use axum::Json;
use serde::{Deserialize, Serialize};
use tmtp_domain::InviteId;
use tmtp_store::{InviteFilter, InviteRecord};
use utoipa::{IntoParams, ToSchema};

use super::Invite;
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::id::{InviteRef, SiteRef};
use crate::api::openapi::Refusals;
use crate::api::page::{List, Listing, PageParams};
use crate::api::payload::Place;
use crate::api::time::Time;
use crate::api::words::InviteStateWord;

/// Uses that are shown of one invite.
const JOINED_MAX: i64 = 10_000;

/// Which invites are wanted.
#[derive(Debug, Serialize, Deserialize, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteQuery {
    /// In this state.
    #[param(inline)]
    state: Option<InviteStateWord>,
    /// For this person of your own system.
    external_id: Option<String>,
}

/// Somebody who joined.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Joined {
    /// Who.
    uid: String,
    /// `pending`: waits for approval; `completed`; `denied`.
    state: String,
    at: Time,
}

/// Everybody who joined with an invite.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllJoined {
    data: Vec<Joined>,
}

/// List invites
#[utoipa::path(get, path = "/v1/sites/{site}/invites", operation_id = "list_invites", tag = "invites",
    security(("key" = ["invites:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), InviteQuery, PageParams),
    responses((status = 200, description = "The newest first", body = List<Invite>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadInvites>,
    Place(site): Place<SiteRef>,
    listing: Listing<InviteQuery, InviteRef>,
) -> Shown<List<Invite>> {
    let id = caller.site(site)?;
    let filter = InviteFilter {
        state: listing.filter.state.map(|word| word.0),
        external_id: listing.filter.external_id.as_deref(),
        after: listing.after.map(|invite| InviteId(invite.0)),
    };
    let rows = caller.read().await?.invites(id, filter, listing.fetch()).await?;
    let path = format!("/v1/sites/{site}/invites");
    Ok(Json(listing.page(&path, rows, |row| InviteRef::of(row.id().0), |row| Invite::of(&row))))
}

/// Show an invite
#[utoipa::path(get, path = "/v1/sites/{site}/invites/{invite}", operation_id = "get_invite", tag = "invites",
    security(("key" = ["invites:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("invite" = InviteRef, Path, description = "The invite's id")),
    responses((status = 200, description = "The invite, without its code", body = Invite), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadInvites>,
    Place((site, invite)): Place<(SiteRef, InviteRef)>,
) -> Shown<Invite> {
    Ok(Json(Invite::of(&find(&caller, site, invite).await?)))
}

/// List who joined
#[utoipa::path(get, path = "/v1/sites/{site}/invites/{invite}/joined", operation_id = "list_joined", tag = "invites",
    security(("key" = ["invites:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("invite" = InviteRef, Path, description = "The invite's id")),
    responses((status = 200, description = "All of them, the first one first", body = AllJoined), Refusals))]
pub(crate) async fn joined(
    caller: Caller<may::ReadInvites>,
    Place((site, invite)): Place<(SiteRef, InviteRef)>,
) -> Shown<AllJoined> {
    let invite = find(&caller, site, invite).await?;
    let joined = caller.read().await?.joined(invite.site, invite.id(), JOINED_MAX).await?;
    let data = joined
        .into_iter()
        .map(|one| Joined { uid: one.uid.to_string(), state: one.state, at: Time(one.at) })
        .collect();
    Ok(Json(AllJoined { data }))
}

pub(super) async fn find<P>(
    caller: &Caller<P>,
    site: SiteRef,
    invite: InviteRef,
) -> Result<InviteRecord, Problem> {
    let site = caller.site(site)?;
    caller.read().await?.invite(site, InviteId(invite.0)).await?.ok_or_else(Problem::not_found)
}
