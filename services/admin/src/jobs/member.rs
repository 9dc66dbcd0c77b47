//! The erasure of a member. Each step is a change that the site's home makes, known by the job, so that a step which comes
//! again has no second effect.

use serde_json::json;
use tmtp_contract::{AdminAnswer, AdminChange, AdminRefusal, AdminRequest, AuditNote, Once};
use tmtp_domain::{KeyId, MemberStatus, RequestId, Site};
use tmtp_store::{JobEnd, Progress, Sights};
use uuid::Uuid;

use super::run::{Run, Stopped};
use crate::members::{ErasureInput, ErasureReport};

/// What the job is called.
pub(crate) const KIND: &str = "member.erase";
/// Groups that are looked up at a time.
const GROUPS: i64 = 100;

pub(super) async fn work(run: &mut Run) -> Result<JobEnd, Stopped> {
    let Ok(input) = serde_json::from_str::<ErasureInput>(&run.job.input) else {
        return Ok(JobEnd::Failed("the job cannot be read".to_owned()));
    };
    let sites: Vec<_> = run.job.site.into_iter().collect();
    let site = run.store.sites(&sites).await?.pop();
    let Some(site) = site else { return Ok(JobEnd::Failed("there is no such site any longer".to_owned())) };
    // What an earlier taker has counted, before it began to remove.
    let position = run.job.position.clone();
    let position = if let Some(position) = position {
        position
    } else {
        let report = ErasureReport::from(
            run.store.read(&Sights::of(site.id)).await?.holdings(site.id, input.uid.0).await?,
        );
        json!(report).to_string()
    };
    let mut done = run.job.done;
    run.step(&Progress { done, total: None, position: Some(position.clone()) }).await?;

    let uid = input.uid.0;
    let close = AdminChange::MemberStatus { uid, status: MemberStatus::Deactivated };
    // One that waits for approval has no session, and this is refused.
    ask(run, &site, &input, "member.deactivate", "close", close).await?;
    let mut after = String::new();
    loop {
        let groups = run.store.groups_of(site.id, uid, &after, GROUPS).await?;
        let Some(last) = groups.last() else { break };
        after.clone_from(last);
        for gid in groups {
            let (add, drop, asked) = (Vec::new(), vec![uid], Vec::new());
            let change = AdminChange::Places { gid: gid.clone(), founds: false, add, drop, asked };
            ask(run, &site, &input, "group.members", &format!("leave {gid}"), change).await?;
            done += 1;
            run.step(&Progress { done, total: None, position: Some(position.clone()) }).await?;
        }
    }
    let erased = ask(run, &site, &input, "member.erase", "erase", AdminChange::Erase { uid }).await?;
    let mut result: serde_json::Value = serde_json::from_str(&position).unwrap_or_default();
    result["erased"] = json!(erased);
    Ok(JobEnd::Done(result.to_string()))
}

/// Has the home make a change; false when it does not go with what is there.
async fn ask(
    run: &Run,
    site: &Site,
    input: &ErasureInput,
    action: &str,
    step: &str,
    change: AdminChange,
) -> Result<bool, Stopped> {
    let request = AdminRequest {
        id: RequestId(Uuid::new_v4()),
        once: Once { key: KeyId(input.key), text: format!("job {} {step}", run.job.id), digest: [0; 32] },
        note: AuditNote {
            action: action.to_owned(),
            target: input.uid.to_string(),
            from: input.from.clone(),
        },
        change,
    };
    match run.homes.ask(site.id, site.shard, request).await {
        Ok(AdminAnswer::Done { .. }) => Ok(true),
        Ok(AdminAnswer::Refused { reason: AdminRefusal::NotFound | AdminRefusal::Conflict, .. }) => Ok(false),
        Ok(AdminAnswer::Refused { text, .. }) => Err(Stopped::Refused(text)),
        Err(error) => Err(Stopped::Home(error)),
    }
}
