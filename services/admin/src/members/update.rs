//! `PATCH /v1/sites/{site}/members/{uid}`: what no worker knows of a member.

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_store::ExternalId;
use utoipa::ToSchema;

use super::{Member, find};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Note};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::patch::Patch;
use crate::api::payload::{Payload, Place};
use crate::api::uid::UidText;
use crate::sites::hold;

/// Octets of an external id.
pub(crate) const EXTERNAL_ID_MAX: usize = 255;

/// What is to be different about a member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberPatch {
    /// What your own systems call it; no two members of a site are called the same.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    external_id: Patch<String>,
}

/// Change a member
#[utoipa::path(patch, path = "/v1/sites/{site}/members/{uid}", operation_id = "update_member", tag = "members",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`")),
    request_body(content(
        (MemberPatch = "application/merge-patch+json"), (MemberPatch = "application/json"))),
    responses((status = 200, description = "The member as it is now", body = Member), ChangeRefusals))]
pub(crate) async fn update(
    caller: Caller<may::WriteMembers>,
    Place((site, uid)): Place<(SiteRef, UidText)>,
    patch: Payload<MemberPatch>,
) -> Answer {
    let before = find(&caller, site, uid).await?;
    let Some(external_id) = patch.value.external_id.nullable() else {
        return caller.begin().await?.answer(StatusCode::OK, &Member::of(&before)).await;
    };
    if external_id.as_ref().is_some_and(|id| id.trim().is_empty() || id.len() > EXTERNAL_ID_MAX) {
        let detail = format!("give 1 to {EXTERNAL_ID_MAX} octets, or null");
        return Err(Problem::invalid("external_id", detail).into());
    }
    let mut change = caller.begin().await?;
    let site = hold(&caller, &mut change, site).await?.id;
    match change.tx.set_external_id(site, uid.0, external_id.as_deref()).await? {
        ExternalId::Set => {}
        ExternalId::Taken => {
            let problem = Problem::conflict("external_id_taken", "Another member has this external id.");
            return Err(problem.param("external_id").into());
        }
        // Erased since it was looked at.
        ExternalId::NoMember => return Err(Problem::not_found().into()),
    }
    let before = Member::of(&before);
    let after = Member { external_id, ..before.clone() };
    let target = uid.to_string();
    let note = Note {
        site: Some(site),
        action: "member.update",
        target: &target,
        before: Some(&before),
        after: Some(&after),
    };
    change.note(note).await?;
    change.answer(StatusCode::OK, &after).await
}
