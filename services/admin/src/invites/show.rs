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
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::Place;
use crate::api::time::Time;
use crate::api::uid::UidText;
use crate::api::words::InviteStateWord;

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
    uid: UidText,
    /// `pending`: waits for approval; `completed`; `denied`.
    state: String,
    at: Time,
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
    let id = caller.known_site(site).await?.id;
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
           ("invite" = InviteRef, Path, description = "The invite's id"), PageParams),
    responses((status = 200, description = "The first one first", body = List<Joined>), Refusals))]
pub(crate) async fn joined(
    caller: Caller<may::ReadInvites>,
    Place((site, invite)): Place<(SiteRef, InviteRef)>,
    listing: Listing<NoFilter, UidText>,
) -> Shown<List<Joined>> {
    let path = format!("/v1/sites/{site}/invites/{invite}/joined");
    let invite = find(&caller, site, invite).await?;
    let after = listing.after.map(|uid| uid.0);
    let rows = caller.read().await?.joined(invite.site, invite.id(), after, listing.fetch()).await?;
    let show = |one: tmtp_store::Joined| Joined { uid: UidText(one.uid), state: one.state, at: Time(one.at) };
    Ok(Json(listing.page(&path, rows, |one| UidText(one.uid), show)))
}

pub(super) async fn find<P>(
    caller: &Caller<P>,
    site: SiteRef,
    invite: InviteRef,
) -> Result<InviteRecord, Problem> {
    let site = caller.site(site)?;
    caller.read().await?.invite(site, InviteId(invite.0)).await?.ok_or_else(Problem::not_found)
}
