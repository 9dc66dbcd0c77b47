//! Names of a site: whether one can be had, and those that nobody may have.

use axum::Json;
use serde::{Deserialize, Serialize};
use tmtp_contract::AdminChange;
use tmtp_domain::policy::skeletons;
use tmtp_domain::{Alias, NameHolder, PolicyRefusal, Site, Uid};
use tmtp_store::Reader;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams, Shown};
use crate::api::id::SiteRef;
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::{Api, Problem};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(check))
        .routes(routes!(list_reserved))
        .routes(routes!(reserve, release))
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
    /// It is kept for nobody, or the site's policy reserves it or one like it.
    Reserved,
    /// It has fewer characters than the site's policy asks for.
    TooShort,
    /// It looks like a name in use, which the site's policy does not allow.
    Lookalike,
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

/// A name that nobody can have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReservedName {
    #[schema(example = "postmaster")]
    name: String,
    reserved_at: Time,
}

/// Ask whether an alias can be had
///
/// By a member who asks for it: the site's policy counts. It may be taken a moment later.
#[utoipa::path(post, path = "/v1/sites/{site}/aliases/check", operation_id = "check_alias", tag = "aliases",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams),
    request_body = WantedAlias,
    responses((status = 200, description = "What is known of it", body = CheckedAlias), ChangeRefusals))]
pub(crate) async fn check(
    caller: Caller<may::ReadMembers>,
    Place(site): Place<SiteRef>,
    wanted: Payload<WantedAlias>,
) -> Answer {
    let (mut read, known) = caller.read_site(site).await?;
    let alias = wanted.value.alias;
    let (state, text) = look_at(&mut read, &known, &alias).await?;
    drop(read);
    caller.answer_once(&wanted.sent, &CheckedAlias { alias, state, text }).await
}

/// How a name stands, and what a client would be told that wants it.
async fn look_at(
    read: &mut Reader,
    site: &Site,
    alias: &str,
) -> Result<(AliasState, Option<String>), Problem> {
    if let Err(refusal) = Alias::parse(alias) {
        return Ok((AliasState::Invalid, Some(refusal.to_string())));
    }
    let key = (site.id, alias.to_owned());
    let holder = read.names(std::slice::from_ref(&key)).await?.remove(&key);
    let state = match holder {
        None => AliasState::Available,
        Some(NameHolder::Member(_)) => AliasState::Taken,
        Some(NameHolder::Group) => AliasState::Group,
        Some(NameHolder::Reserved) => AliasState::Reserved,
    };
    // Nobody has this uid, so that a member's own alias is taken, too.
    if let Err(refusal) = tmtp_domain::claim(Uid([0; 20]), alias, holder) {
        return Ok((state, Some(refusal.to_string())));
    }
    let names = &site.policy.names;
    if let Err(refusal) = names.check(alias) {
        let state = match refusal {
            PolicyRefusal::NameShort(_) => AliasState::TooShort,
            _ => AliasState::Reserved,
        };
        return Ok((state, Some(refusal.to_string())));
    }
    if !names.lookalikes {
        let looks = skeletons(alias).map(|look| (site.id, look));
        if !read.looks(&looks).await?.is_empty() {
            let refusal = PolicyRefusal::NameLike(alias.to_owned());
            return Ok((AliasState::Lookalike, Some(refusal.to_string())));
        }
    }
    Ok((state, None))
}

/// List reserved names
#[utoipa::path(get, path = "/v1/sites/{site}/reserved-names", operation_id = "list_reserved_names", tag = "aliases",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), PageParams),
    responses((status = 200, description = "By name. Those that the site's policy reserves are in the policy",
               body = List<ReservedName>), Refusals))]
pub(crate) async fn list_reserved(
    caller: Caller<may::ReadMembers>,
    Place(site): Place<SiteRef>,
    listing: Listing<NoFilter, String>,
) -> Shown<List<ReservedName>> {
    let (mut read, known) = caller.read_site(site).await?;
    let rows = read.reserved_names(known.id, listing.after.as_deref(), listing.fetch()).await?;
    let path = format!("/v1/sites/{site}/reserved-names");
    let show = |(name, at)| ReservedName { name, reserved_at: Time(at) };
    Ok(Json(listing.page(&path, rows, |(name, _)| name.clone(), show)))
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
