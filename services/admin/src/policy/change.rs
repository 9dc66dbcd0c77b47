//! `PATCH` and `PUT /v1/sites/{site}/policy`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use tmtp_domain::{Registration, SiteId};
use tmtp_store::PolicyRecord;
use utoipa::ToSchema;

use super::document::{Document, SitePolicy, check, stored, with_registration};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Change, Note, OnceParams};
use crate::api::dry_run::{DryRun, DryRunParams};
use crate::api::etag::{IfMatch, IfMatchParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::patch::merge;
use crate::api::payload::{Payload, Place};
use crate::sites;

/// What a change has led to; with `dry_run`, what it would lead to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyChange {
    /// What is set; null when something is wrong.
    #[schema(required = true, value_type = Option<SitePolicy>)]
    set: Option<Document>,
    /// What holds, with the defaults; null when something is wrong.
    #[schema(required = true)]
    effective: Option<SitePolicy>,
    /// All that is wrong. With `dry_run` only: else the first of it is the error.
    problems: Vec<PolicyProblem>,
}

/// Something that is wrong with a policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyProblem {
    /// Which field.
    param: String,
    /// What to do.
    detail: String,
}

/// Change the policy of a site
///
/// A JSON merge patch (RFC 7386): what is absent stays, what is null goes back to its default.
#[utoipa::path(patch, path = "/v1/sites/{site}/policy", operation_id = "update_policy", tag = "policy",
    security(("key" = ["policy:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), DryRunParams, IfMatchParams),
    request_body(content((SitePolicy = "application/merge-patch+json"), (SitePolicy = "application/json"))),
    responses((status = 200, description = "What is set now", body = PolicyChange,
               headers(("ETag" = String, description = "For If-Match"))), ChangeRefusals))]
pub(crate) async fn change(
    caller: Caller<may::WritePolicy>,
    Place(site): Place<SiteRef>,
    dry_run: DryRun,
    if_match: IfMatch,
    patch: Payload<Document>,
) -> Answer {
    let mut change = caller.begin().await?;
    let (site, before) = lock(&caller, &mut change, site, &if_match).await?;
    let mut document = stored(&before.document)?;
    merge(&mut document, patch.value);
    finish(&caller, change, site, &before, document, dry_run).await
}

/// Set the policy of a site
///
/// The whole document: what is not in it goes back to its default; so nobody can register where `registration` is not in
/// it.
#[utoipa::path(put, path = "/v1/sites/{site}/policy", operation_id = "replace_policy", tag = "policy",
    security(("key" = ["policy:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), DryRunParams, IfMatchParams),
    request_body = SitePolicy,
    responses((status = 200, description = "What is set now", body = PolicyChange,
               headers(("ETag" = String, description = "For If-Match"))), ChangeRefusals))]
pub(crate) async fn replace(
    caller: Caller<may::WritePolicy>,
    Place(site): Place<SiteRef>,
    dry_run: DryRun,
    if_match: IfMatch,
    document: Payload<Document>,
) -> Answer {
    let mut change = caller.begin().await?;
    let (site, before) = lock(&caller, &mut change, site, &if_match).await?;
    finish(&caller, change, site, &before, document.value, dry_run).await
}

/// Which policy is to hold again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// A `version` of the history; 0 for what held when the site was made.
    #[schema(minimum = 0)]
    version: i64,
}

/// Go back to an earlier policy
///
/// What was set then is set again, as a new version: nothing of the history goes.
#[utoipa::path(post, path = "/v1/sites/{site}/policy/rollback", operation_id = "roll_policy_back", tag = "policy",
    security(("key" = ["policy:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), DryRunParams, IfMatchParams, OnceParams),
    request_body = Rollback,
    responses((status = 200, description = "What is set now", body = PolicyChange,
               headers(("ETag" = String, description = "For If-Match"))), ChangeRefusals))]
pub(crate) async fn roll_back(
    caller: Caller<may::WritePolicy>,
    Place(site): Place<SiteRef>,
    dry_run: DryRun,
    if_match: IfMatch,
    wanted: Payload<Rollback>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&wanted.sent).await?;
    let (site, before) = lock(&caller, &mut change, site, &if_match).await?;
    let version = wanted.value.version;
    let unknown = || Problem::invalid("version", "the history has no such version");
    let document = match change.tx.earlier_policy(site, version).await? {
        Some(earlier) => stored(&earlier.document)?,
        // Most sites are made with the defaults.
        None if version == 0 => Document::new(),
        None => return Err(unknown().into()),
    };
    finish(&caller, change, site, &before, document, dry_run).await
}

async fn lock<P>(
    caller: &Caller<P>,
    change: &mut Change,
    site: SiteRef,
    if_match: &IfMatch,
) -> Result<(SiteId, PolicyRecord), Problem> {
    let site = sites::lock(caller, change, site).await?.id;
    let record = change.tx.lock_site_policy(site).await?.ok_or_else(Problem::not_found)?;
    if_match.check(record.version)?;
    Ok((site, record))
}

/// Sets the document, or says what would come of it. What changes nothing is no change.
async fn finish<P>(
    caller: &Caller<P>,
    mut change: Change,
    site: SiteId,
    before: &PolicyRecord,
    document: Document,
    dry_run: DryRun,
) -> Answer {
    let (policy, problems) = match check(&document) {
        Ok(policy) => (Some(policy), Vec::new()),
        Err(problems) => (None, problems),
    };
    let is_right = policy.is_some();
    if !dry_run.0
        && let Some((param, detail)) = problems.first()
    {
        return Err(Problem::invalid(param, detail.clone()).into());
    }
    let old = stored(&before.document)?;
    let is_new = old != document;
    let new = document.clone();
    let answer = PolicyChange {
        set: is_right.then_some(document),
        effective: policy,
        problems: problems.into_iter().map(|(param, detail)| PolicyProblem { param, detail }).collect(),
    };
    if dry_run.0 {
        return Ok(Json(answer).into_response());
    }
    let mut version = before.version;
    if is_new {
        version = set(caller, &mut change, site, &old, &new).await?.version;
    }
    let answer = change.answer_tagged(StatusCode::OK, &answer, version).await?;
    if is_new {
        caller.site_changed(site).await;
    }
    Ok(answer)
}

/// Lets others register at a site that is locked, which is a change of its policy like any other.
pub(crate) async fn set_registration<P>(
    caller: &Caller<P>,
    change: &mut Change,
    site: SiteId,
    mode: Registration,
) -> Result<(), Problem> {
    let before = change.tx.lock_site_policy(site).await?.ok_or_else(Problem::not_found)?;
    let old = stored(&before.document)?;
    let new = with_registration(&old, mode);
    if old != new {
        set(caller, change, site, &old, &new).await?;
    }
    Ok(())
}

/// Sets a document that was checked, as a new version that the history and the audit log have.
async fn set<P>(
    caller: &Caller<P>,
    change: &mut Change,
    site: SiteId,
    old: &Document,
    new: &Document,
) -> Result<PolicyRecord, Problem> {
    let text = serde_json::to_string(new).map_err(|_| Problem::internal())?;
    let record = change.tx.set_site_policy(site, &text, Some(caller.key().id)).await?;
    let target = SiteRef::from(site).to_string();
    let note = Note {
        site: Some(site),
        action: "policy.update",
        target: &target,
        before: Some(old),
        after: Some(new),
    };
    change.note(note).await?;
    Ok(record)
}
