//! `PATCH /v1/sites/{site}/groups/{gid}`: how a group is used.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_contract::AdminChange;
use tmtp_domain::{GroupRule, POSTERS_MAX};
use utoipa::ToSchema;

use super::{GroupShown, find};
use crate::api::Problem;
use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::Answer;
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::patch::Patch;
use crate::api::payload::{Payload, Place};
use crate::api::uid::UidText;
use crate::api::words::GroupModeWord;

/// What is to be different about a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupPatch {
    /// How it is used from now on: `free` is as the protocol has it, to a `closed` one only admins add members, in a
    /// `moderated` one only its posters post, invite and drop, in an `announce` one only its posters post, and to an `open`
    /// one those may post, too, who do not belong to it.
    #[serde(default)]
    #[schema(value_type = Option<GroupModeWord>)]
    mode: Patch<GroupModeWord>,
    /// Uids of those who post where not all do; all of them.
    #[serde(default)]
    #[schema(value_type = Option<Vec<UidText>>, max_items = 100)]
    posters: Patch<Vec<UidText>>,
}

/// Change a group
///
/// Members who may not do what they ask for are told so in the ack.
#[utoipa::path(patch, path = "/v1/sites/{site}/groups/{gid}", operation_id = "update_group", tag = "groups",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), ("gid" = String, Path, description = "Its name")),
    request_body(content(
        (GroupPatch = "application/merge-patch+json"), (GroupPatch = "application/json"))),
    responses((status = 200, description = "The group as it is now", body = GroupShown), ChangeRefusals))]
pub(crate) async fn update(
    caller: Caller<may::WriteMembers>,
    Place((site, gid)): Place<(SiteRef, String)>,
    patch: Payload<GroupPatch>,
) -> Answer {
    let (mut read, site) = caller.read_site(site).await?;
    let before = find(&mut read, &site, &gid).await?;
    drop(read);
    let mode = patch.value.mode.value("mode")?.unwrap_or(before.mode).0;
    let posters: BTreeSet<_> = match patch.value.posters.nullable() {
        None => before.posters.iter().map(|uid| uid.0).collect(),
        Some(posters) => posters.unwrap_or_default().iter().map(|uid| uid.0).collect(),
    };
    if posters.len() > POSTERS_MAX {
        return Err(Problem::invalid("posters", format!("name at most {POSTERS_MAX} members")).into());
    }
    let change = AdminChange::GroupRule { gid: gid.clone(), rule: GroupRule { mode, posters } };
    let done = caller.ask(&site, &patch.sent, Todo { action: "group.update", target: &gid, change }).await?;
    done.answer(StatusCode::OK, &find(&mut caller.read().await?, &site, &gid).await?)
}
