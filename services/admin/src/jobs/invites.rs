//! Many invites, some at a time. Their ids were chosen before, so a step that happens again finds what it has made.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tmtp_domain::{InviteId, SiteStatus};
use tmtp_store::{JobEnd, NewAudit, NewInvite, Progress};

use super::run::{Run, Stopped};
use crate::api::id::InviteRef;
use crate::invites::{BulkInput, BulkSecret, Invite};

/// What the job is called.
pub(crate) const KIND: &str = "invites.create";
/// Invites of one step.
const STEP: usize = 100;

pub(super) async fn work(run: &mut Run) -> Result<JobEnd, Stopped> {
    let Some(site) = run.job.site else { return Ok(JobEnd::Failed("the job names no site".to_owned())) };
    let Ok(input) = serde_json::from_str::<BulkInput>(&run.job.input) else {
        return Ok(JobEnd::Failed("the job cannot be read".to_owned()));
    };
    let total = i64::try_from(input.rows.len()).ok();
    let mut done = usize::try_from(run.job.done).unwrap_or_default();
    while let Some(rows) = input.rows.get(done..).filter(|rows| !rows.is_empty()) {
        let rows = &rows[..rows.len().min(STEP)];
        let ids: Vec<InviteId> =
            rows.iter().filter_map(|row| row.invite.as_ref()).map(|new| new.id).collect();
        let there = run.store.invites_there(site, &ids).await?;
        let new: Vec<NewInvite> =
            rows.iter().filter_map(|row| row.invite.clone()).filter(|new| !there.contains(&new.id)).collect();
        let mut tx = run.store.admin().await?;
        let held = tx.hold_site(site).await?.filter(|site| site.status != SiteStatus::Deleted);
        if held.is_none() {
            return Ok(JobEnd::Failed("the site is deleted".to_owned()));
        }
        let made: Vec<(String, Invite)> = tx
            .create_invites(site, Some(input.key), &new)
            .await?
            .iter()
            .map(Invite::of)
            .map(|shown| (shown.id.to_string(), shown))
            .collect();
        let audits: Vec<NewAudit<'_>> = made
            .iter()
            .map(|(target, shown)| NewAudit {
                site: Some(site),
                key: Some(input.key),
                action: "invite.create",
                target,
                from: &input.from,
                request: input.request,
                before: None,
                after: serde_json::to_string(shown).ok(),
            })
            .collect();
        tx.note_all(&audits).await?;
        tx.commit().await?;
        done += rows.len();
        let so_far = i64::try_from(done).unwrap_or(i64::MAX);
        run.step(&Progress { done: so_far, total, position: None }).await?;
    }
    Ok(JobEnd::Done(result(&input).to_string()))
}

fn result(input: &BulkInput) -> Value {
    let rows: Vec<Value> = input
        .rows
        .iter()
        .map(|row| {
            let mut told = json!(row.told);
            told["id"] = json!(row.invite.as_ref().map(|new| InviteRef::of(new.id.0)));
            told
        })
        .collect();
    let made = input.rows.iter().filter(|row| row.invite.is_some()).count();
    json!({ "created": made, "failed": rows.len() - made, "rows": rows })
}

/// The result with the codes and links, for whoever may see them.
pub(super) fn with_codes(result: &RawValue, secrets: &str) -> Option<Box<RawValue>> {
    let mut result: Value = serde_json::from_str(result.get()).ok()?;
    let secrets: Vec<BulkSecret> = serde_json::from_str(secrets).ok()?;
    let rows = result.get_mut("rows")?.as_array_mut()?;
    for BulkSecret { row, code, link } in secrets {
        if let Some(told) = row.checked_sub(1).and_then(|index| rows.get_mut(index)) {
            (told["code"], told["link"]) = (json!(code), json!(link));
        }
    }
    serde_json::value::to_raw_value(&result).ok()
}
