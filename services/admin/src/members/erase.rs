//! `DELETE /v1/sites/{site}/members/{uid}`: a job, with a report of what was removed.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use tmtp_store::{Holdings, NewJob};
use utoipa::ToSchema;
use uuid::Uuid;

use super::find;
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Note};
use crate::api::dry_run::{DryRun, DryRunParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::Place;
use crate::api::uid::UidText;
use crate::jobs::{ERASE_MEMBER, Job};
use crate::sites::hold;

/// What is removed with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErasureReport {
    /// Devices, revoked ones included.
    devices: i64,
    /// Aliases; others may have them then.
    aliases: i64,
    /// Groups that it belongs to or is invited to; their members are told that it has gone.
    groups: i64,
    /// Messages that wait for its devices, each as often as devices wait for it. Those of the last seconds may not be counted.
    queued: i64,
    /// Accounts of sign-in providers: whoever has them may register again.
    identities: i64,
}

/// What the job has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErasureInput {
    pub(crate) uid: UidText,
    pub(crate) key: Uuid,
    /// The address that it was asked for from.
    pub(crate) from: String,
}

impl From<Holdings> for ErasureReport {
    fn from(Holdings { devices, aliases, groups, queued, identities }: Holdings) -> Self {
        Self { devices, aliases, groups, queued, identities }
    }
}

/// Erase a member
///
/// A job: the sessions are closed first, then it leaves its groups, whose members are told, and then it is gone with its
/// devices, aliases, accounts of sign-in providers and all that waits for it. The job's `result` is a report of that.
/// What it has sent to others stays theirs, and the audit log keeps its uid and what was noted there before.
#[utoipa::path(delete, path = "/v1/sites/{site}/members/{uid}", operation_id = "erase_member", tag = "members",
    security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), DryRunParams),
    responses((status = 202, description = "The job that erases it", body = Job),
              (status = 200, description = "With `dry_run`: what would be removed", body = ErasureReport),
              ChangeRefusals))]
pub(crate) async fn erase(
    caller: Caller<may::WriteMembers>,
    Place((site, uid)): Place<(SiteRef, UidText)>,
    dry_run: DryRun,
) -> Answer {
    find(&caller, site, uid).await?;
    let report = ErasureReport::from(caller.read().await?.holdings(caller.site(site)?, uid.0).await?);
    if dry_run.0 {
        return Ok(Json(report).into_response());
    }
    let mut change = caller.begin().await?;
    let site = hold(&caller, &mut change, site).await?.id;
    let (_, from) = change.origin();
    let input = serde_json::to_string(&ErasureInput { uid, key: caller.key().id, from });
    let new = NewJob {
        id: Uuid::new_v4(),
        site: Some(site),
        kind: ERASE_MEMBER,
        input: &input.map_err(|_| Problem::internal())?,
        created_by: Some(caller.key().id),
        sealed: None,
    };
    let job = Job::of(change.tx.create_job(&new).await?.ok_or_else(Problem::internal)?);
    // The log is never changed, so it must not say what is to be forgotten.
    let target = uid.to_string();
    let note = Note {
        site: Some(site),
        action: "member.erase_asked",
        target: &target,
        before: Some(&report),
        after: None,
    };
    change.note(note).await?;
    change.answer(StatusCode::ACCEPTED, &job).await
}
