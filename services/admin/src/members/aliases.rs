//! Aliases of a member.

use axum::Json;
use axum::http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use tmtp_contract::AdminChange;
use utoipa::ToSchema;

use super::find;
use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams, Shown};
use crate::api::id::SiteRef;
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::{Payload, Place};
use crate::api::uid::UidText;

/// An alias.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AliasText {
    /// At least 8 octets, printable.
    #[schema(min_length = 2, max_length = 255, example = "Ann Example")]
    alias: String,
}

/// List the aliases of a member
#[utoipa::path(get, path = "/v1/sites/{site}/members/{uid}/aliases", operation_id = "list_aliases", tag = "aliases",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), PageParams),
    responses((status = 200, description = "The oldest first", body = List<AliasText>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadMembers>,
    Place((site, uid)): Place<(SiteRef, UidText)>,
    uri: Uri,
    listing: Listing<NoFilter, String>,
) -> Shown<List<AliasText>> {
    let aliases = find(&caller, site, uid).await?.aliases;
    Ok(Json(listing.page_of(uri.path(), aliases, String::clone, |alias| AliasText { alias })?))
}

/// Give a member an alias
///
/// Its devices are told as if it had taken the alias itself.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/aliases", operation_id = "add_alias", tag = "aliases",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), OnceParams),
    request_body = AliasText,
    responses((status = 201, description = "The member has it", body = AliasText), ChangeRefusals))]
pub(crate) async fn add(
    caller: Caller<may::WriteMembers>,
    Place((site, uid)): Place<(SiteRef, UidText)>,
    new: Payload<AliasText>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let change = AdminChange::AddAlias { uid: uid.0, alias: new.value.alias.clone() };
    let target = uid.to_string();
    let todo = Todo { action: "alias.add", target: &target, change };
    caller.ask(&site, &new.sent, todo).await?.answer(StatusCode::CREATED, &new.value)
}

/// Take an alias away from a member
///
/// It is free then. While a group knows the member by it, it stays.
#[utoipa::path(delete, path = "/v1/sites/{site}/members/{uid}/aliases/{alias}", operation_id = "remove_alias",
    tag = "aliases", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"),
           ("alias" = String, Path, description = "The alias")),
    responses((status = 204, description = "The member does not have it any longer"), ChangeRefusals))]
pub(crate) async fn remove(
    caller: Caller<may::WriteMembers>,
    Place((site, uid, alias)): Place<(SiteRef, UidText, String)>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let target = uid.to_string();
    let change = AdminChange::DropAlias { uid: uid.0, alias };
    let todo = Todo { action: "alias.remove", target: &target, change };
    Ok(caller.ask_anew(&site, todo).await?.no_content())
}
