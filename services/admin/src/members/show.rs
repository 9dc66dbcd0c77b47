//! `GET /v1/sites/{site}/members`, and one of them.

use axum::Json;
use serde::{Deserialize, Serialize};
use tmtp_store::MemberFilter;
use utoipa::IntoParams;

use super::{Member, find};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::id::SiteRef;
use crate::api::openapi::Refusals;
use crate::api::page::{List, Listing, PageParams};
use crate::api::payload::Place;
use crate::api::time::Time;
use crate::api::uid::UidText;
use crate::api::words::MemberStatusWord;

/// Octets to search for: an alias has no more.
const SEARCH_MAX: usize = 255;

/// Which members are wanted.
#[derive(Debug, Serialize, Deserialize, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberQuery {
    /// In this state.
    #[param(inline)]
    status: Option<MemberStatusWord>,
    /// With exactly this alias.
    #[param(max_length = 255)]
    alias: Option<String>,
    /// With an alias that begins with this.
    #[param(max_length = 255)]
    alias_prefix: Option<String>,
    /// That your own systems call so.
    #[param(max_length = 255)]
    external_id: Option<String>,
    /// With this in an alias or in the external id, in any case.
    #[param(max_length = 255)]
    q: Option<String>,
    /// That has not been seen since then, or never: no session of it has begun or ended since.
    seen_before: Option<Time>,
    /// That has been seen then or later.
    seen_since: Option<Time>,
}

/// List members
#[utoipa::path(get, path = "/v1/sites/{site}/members", operation_id = "list_members", tag = "members",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), MemberQuery, PageParams),
    responses((status = 200, description = "The newest first", body = List<Member>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadMembers>,
    Place(site): Place<SiteRef>,
    listing: Listing<MemberQuery, UidText>,
) -> Shown<List<Member>> {
    let (mut read, known) = caller.read_site(site).await?;
    let wanted = &listing.filter;
    for (name, text) in [
        ("alias", &wanted.alias),
        ("alias_prefix", &wanted.alias_prefix),
        ("external_id", &wanted.external_id),
        ("q", &wanted.q),
    ] {
        if text.as_ref().is_some_and(|text| text.len() > SEARCH_MAX) {
            return Err(Problem::invalid(name, format!("search for at most {SEARCH_MAX} octets")));
        }
    }
    let filter = MemberFilter {
        status: wanted.status.map(|word| word.0),
        alias: wanted.alias.as_deref(),
        alias_prefix: wanted.alias_prefix.as_deref(),
        external_id: wanted.external_id.as_deref(),
        contains: wanted.q.as_deref(),
        seen_before: wanted.seen_before.map(|time| time.0),
        seen_since: wanted.seen_since.map(|time| time.0),
    };
    let after = listing.after.map(|uid| uid.0);
    let rows = read.member_records(known.id, filter, after, listing.fetch()).await?;
    let path = format!("/v1/sites/{site}/members");
    Ok(Json(listing.page(&path, rows, |row| UidText(row.uid), |row| Member::of(&row))))
}

/// Show a member
#[utoipa::path(get, path = "/v1/sites/{site}/members/{uid}", operation_id = "get_member", tag = "members",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`")),
    responses((status = 200, description = "The member", body = Member), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadMembers>,
    Place((site, uid)): Place<(SiteRef, UidText)>,
) -> Shown<Member> {
    Ok(Json(Member::of(&find(&caller, site, uid).await?)))
}
