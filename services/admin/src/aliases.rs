//! Names of a site: whether one can be had, and those that nobody may have.

use axum::Json;
use serde::{Deserialize, Serialize};
use tmtp_contract::AdminChange;
use tmtp_domain::{Alias, NameHolder};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;
use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Shown};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(check)).routes(routes!(reserve, release))
}

/// A name that somebody may want.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedAlias {
    /// The alias.
    #[schema(max_length = 255, example = "Ann Example")]
    alias: String,
}

/// Whether a name can be had.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AliasState {
    /// Yes.
    Available,
    /// A member has it.
    Taken,
    /// A group has it.
    Group,
    /// It is kept for nobody.
    Reserved,
    /// It is none.
    Invalid,
}

/// What is known of a name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckedAlias {
    alias: String,
    state: AliasState,
    /// What a client would be told that wants it; null when it can be had.
    #[schema(required = true)]
    text: Option<String>,
}

/// Ask whether an alias can be had
///
/// It may be taken a moment later.
#[utoipa::path(post, path = "/v1/sites/{site}/aliases/check", operation_id = "check_alias", tag = "aliases",
    security(("key" = ["members:read"])), params(("site" = SiteRef, Path, description = "The site's id")),
    request_body = WantedAlias,
    responses((status = 200, description = "What is known of it", body = CheckedAlias), ChangeRefusals))]
pub(crate) async fn check(
    caller: Caller<may::ReadMembers>,
    Place(site): Place<SiteRef>,
    wanted: Payload<WantedAlias>,
) -> Shown<CheckedAlias> {
    let (mut read, site) = caller.read_site(site).await?;
    let alias = wanted.value.alias;
    if let Err(refusal) = Alias::parse(&alias) {
        let text = Some(refusal.to_string());
        return Ok(Json(CheckedAlias { alias, state: AliasState::Invalid, text }));
    }
    let key = (site.id, alias);
    let holder = read.names(std::slice::from_ref(&key)).await?.remove(&key);
    let state = match holder {
        None => AliasState::Available,
        Some(NameHolder::Member(_)) => AliasState::Taken,
        Some(NameHolder::Group) => AliasState::Group,
        Some(NameHolder::Reserved) => AliasState::Reserved,
    };
    // Nobody has this uid, so that a member's own alias is taken, too.
    let refusal = tmtp_domain::claim(tmtp_domain::Uid([0; 20]), &key.1, holder).err();
    Ok(Json(CheckedAlias { alias: key.1, state, text: refusal.map(|refusal| refusal.to_string()) }))
}

/// Reserve a name
///
/// Nobody can take it, as an alias or for a group.
#[utoipa::path(put, path = "/v1/sites/{site}/reserved-names/{name}", operation_id = "reserve_name", tag = "aliases",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("name" = String, Path, description = "The name")),
    responses((status = 204, description = "It is reserved"), ChangeRefusals))]
pub(crate) async fn reserve(
    caller: Caller<may::WriteMembers>,
    Place((site, name)): Place<(SiteRef, String)>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let change = AdminChange::Reserve { name: name.clone() };
    let todo = Todo { action: "name.reserve", target: &name, change };
    Ok(caller.ask_anew(&site, todo).await?.no_content())
}

/// Release a reserved name
#[utoipa::path(delete, path = "/v1/sites/{site}/reserved-names/{name}", operation_id = "release_name", tag = "aliases",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("name" = String, Path, description = "The name")),
    responses((status = 204, description = "It is free"), ChangeRefusals))]
pub(crate) async fn release(
    caller: Caller<may::WriteMembers>,
    Place((site, name)): Place<(SiteRef, String)>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let change = AdminChange::Release { name: name.clone() };
    let todo = Todo { action: "name.release", target: &name, change };
    Ok(caller.ask_anew(&site, todo).await?.no_content())
}
