//! Groups of a site, and who belongs to them.

mod places;
mod rule;

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use tmtp_contract::AdminChange;
use tmtp_domain::Site;
use tmtp_store::{GroupPlace, GroupRecord, Reader};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::places::Wanted;
use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams, Shown};
use crate::api::dry_run::{DryRun, DryRunParams};
use crate::api::id::SiteRef;
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::uid::UidText;
use crate::api::words::{GroupModeWord, Word};
use crate::api::{Api, Problem};

/// Members that one request may add and drop: everybody in the group is told of each.
const CHANGES_MAX: usize = 100;

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, rule::update, delete))
        .routes(routes!(list_members, change_members))
}

/// A group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupShown {
    /// Its name, which is what members call it by.
    gid: String,
    created_at: Time,
    /// How many belong to it.
    members: i64,
    /// How many are invited and have not joined.
    invited: i64,
    /// How it is used.
    #[schema(inline)]
    mode: GroupModeWord,
    /// Who posts where not all do.
    posters: Vec<UidText>,
}

/// A group to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    /// Its name: at least 8 octets, printable, and nobody's alias.
    #[schema(min_length = 2, max_length = 255, example = "The team")]
    gid: String,
    /// Who belongs to it.
    #[schema(min_items = 1, max_items = 100)]
    members: Vec<Somebody>,
}

/// A group that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeGroup {
    group: GroupShown,
    /// What became of each member, in the order of the request.
    results: Vec<PlaceResult>,
}

/// A member, by one of the two. With an alias, the group knows the member by that; else by its oldest one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Somebody {
    /// Its uid.
    uid: Option<UidText>,
    /// Its alias.
    #[schema(max_length = 255)]
    alias: Option<String>,
}

/// Who is to belong to a group from now on, and who is not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupChange {
    /// They belong to it, without having to join.
    #[serde(default)]
    #[schema(max_items = 100)]
    add: Vec<Somebody>,
    /// They do not, and come back only when they are added or invited.
    #[serde(default)]
    #[schema(max_items = 100)]
    drop: Vec<Somebody>,
}

/// What became of a member.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PlaceResult {
    /// Who; null when nobody has the alias.
    #[schema(required = true)]
    uid: Option<UidText>,
    /// True when it is as it was to be.
    ok: bool,
    /// Why it is not.
    #[schema(required = true)]
    error: Option<String>,
}

/// What became of the members, in the order of the request: first those to add, then those to drop.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlaceResults {
    results: Vec<PlaceResult>,
}

/// Somebody's place in a group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupMember {
    uid: UidText,
    /// Under which alias the group knows the member.
    alias: String,
    /// `joined` ones receive, `invited` ones may join, `barred` ones were dropped.
    #[schema(example = "joined")]
    status: String,
}

impl GroupShown {
    fn of(record: GroupRecord) -> Self {
        Self {
            gid: record.gid,
            created_at: Time(record.created_at),
            members: record.joined,
            invited: record.invited,
            mode: Word(record.rule.mode),
            posters: record.rule.posters.into_iter().map(UidText).collect(),
        }
    }
}

/// List groups
#[utoipa::path(get, path = "/v1/sites/{site}/groups", operation_id = "list_groups", tag = "groups",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), PageParams),
    responses((status = 200, description = "By name", body = List<GroupShown>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadMembers>,
    Place(site): Place<SiteRef>,
    listing: Listing<NoFilter, String>,
) -> Shown<List<GroupShown>> {
    let (mut read, known) = caller.read_site(site).await?;
    let rows = read.group_records(known.id, listing.after.as_deref(), listing.fetch()).await?;
    let path = format!("/v1/sites/{site}/groups");
    Ok(Json(listing.page(&path, rows, |row| row.gid.clone(), GroupShown::of)))
}

/// Show a group
#[utoipa::path(get, path = "/v1/sites/{site}/groups/{gid}", operation_id = "get_group", tag = "groups",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), ("gid" = String, Path, description = "Its name")),
    responses((status = 200, description = "The group", body = GroupShown), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadMembers>,
    Place((site, gid)): Place<(SiteRef, String)>,
) -> Shown<GroupShown> {
    let (mut read, site) = caller.read_site(site).await?;
    Ok(Json(find(&mut read, &site, &gid).await?))
}

/// Make a group
///
/// Its members belong to it at once, and their clients are told by the ordinary messages.
#[utoipa::path(post, path = "/v1/sites/{site}/groups", operation_id = "create_group", tag = "groups",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams), request_body = NewGroup,
    responses((status = 201, description = "The group", body = MadeGroup), ChangeRefusals))]
pub(crate) async fn create(
    caller: Caller<may::WriteMembers>,
    Place(site): Place<SiteRef>,
    new: Payload<NewGroup>,
) -> Answer {
    let site = caller.known_site(site).await?;
    if !(1..=CHANGES_MAX).contains(&new.value.members.len()) {
        return Err(Problem::invalid("members", format!("name 1 to {CHANGES_MAX} members")).into());
    }
    let wanted = Wanted { gid: &new.value.gid, founds: true, add: &new.value.members, drop: &[] };
    let (done, results) = places::place(&caller, &site, &new.sent, &wanted).await?;
    let group = find(&mut caller.read().await?, &site, &new.value.gid).await?;
    done.answer(StatusCode::CREATED, &MadeGroup { group, results })
}

/// Delete a group
///
/// Each of its members is told by the ordinary message that it does not belong to it any longer. The name is free then.
#[utoipa::path(delete, path = "/v1/sites/{site}/groups/{gid}", operation_id = "delete_group", tag = "groups",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), ("gid" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"), ChangeRefusals))]
pub(crate) async fn delete(
    caller: Caller<may::WriteMembers>,
    Place((site, gid)): Place<(SiteRef, String)>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let todo =
        Todo { action: "group.delete", target: &gid, change: AdminChange::DeleteGroup { gid: gid.clone() } };
    Ok(caller.ask_anew(&site, todo).await?.no_content())
}

/// List the members of a group
#[utoipa::path(get, path = "/v1/sites/{site}/groups/{gid}/members", operation_id = "list_group_members",
    tag = "groups", security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), ("gid" = String, Path, description = "Its name"),
           PageParams),
    responses((status = 200, description = "By uid, those invited and barred included", body = List<GroupMember>),
              Refusals))]
pub(crate) async fn list_members(
    caller: Caller<may::ReadMembers>,
    Place((site, gid)): Place<(SiteRef, String)>,
    uri: Uri,
    listing: Listing<NoFilter, UidText>,
) -> Shown<List<GroupMember>> {
    let (mut read, site) = caller.read_site(site).await?;
    find(&mut read, &site, &gid).await?;
    let after = listing.after.map(|uid| uid.0);
    let rows = read.group_places(site.id, &gid, after, listing.fetch()).await?;
    let show = |row: GroupPlace| GroupMember { uid: UidText(row.uid), alias: row.alias, status: row.status };
    Ok(Json(listing.page(uri.path(), rows, |row| UidText(row.uid), show)))
}

/// Change who belongs to a group
///
/// With `dry_run` the results say what would become of each, as far as that can be told before the change.
#[utoipa::path(post, path = "/v1/sites/{site}/groups/{gid}/members", operation_id = "change_group_members",
    tag = "groups", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), ("gid" = String, Path, description = "Its name"),
           DryRunParams, OnceParams),
    request_body = GroupChange,
    responses((status = 200, description = "What became of each", body = PlaceResults), ChangeRefusals))]
pub(crate) async fn change_members(
    caller: Caller<may::WriteMembers>,
    Place((site, gid)): Place<(SiteRef, String)>,
    dry_run: DryRun,
    change: Payload<GroupChange>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let GroupChange { add, drop } = &change.value;
    if !(1..=CHANGES_MAX).contains(&(add.len() + drop.len())) {
        return Err(Problem::invalid("add", format!("add and drop 1 to {CHANGES_MAX} members")).into());
    }
    let wanted = Wanted { gid: &gid, founds: false, add, drop };
    if dry_run.0 {
        let mut read = caller.read().await?;
        find(&mut read, &site, &gid).await?;
        let results = places::try_out(&mut read, &site, &wanted).await?;
        return Ok(Json(PlaceResults { results }).into_response());
    }
    let (done, results) = places::place(&caller, &site, &change.sent, &wanted).await?;
    done.answer(StatusCode::OK, &PlaceResults { results })
}

async fn find(read: &mut Reader, site: &Site, gid: &str) -> Result<GroupShown, Problem> {
    let record = read.group_record(site.id, gid).await?;
    record.map(GroupShown::of).ok_or_else(Problem::not_found)
}
