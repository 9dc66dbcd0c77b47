//! The end of a sandbox whose time is over: it is deleted as if somebody had done it, so that it can be restored.

use serde_json::json;
use tmtp_domain::SiteStatus;
use tmtp_store::{JobEnd, NewAudit, SiteTurn};

use super::run::{Run, Stopped};
use crate::api::id::RequestId;
use crate::api::time::Time;
use crate::sites::Site;

pub(super) const KIND: &str = "site.expire";

pub(super) async fn work(run: &mut Run) -> Result<JobEnd, Stopped> {
    let Some(site) = run.job.site else { return Ok(JobEnd::Failed("the job names no site".to_owned())) };
    let mut tx = run.store.admin().await?;
    let before = tx.lock_site(site).await?;
    // Somebody may have given it more time since.
    let due = before.filter(|site| {
        site.status != SiteStatus::Deleted && site.expires_at.is_some_and(|at| Time(at) <= Time::now())
    });
    let Some(before) = due else { return Ok(JobEnd::Done(json!({ "expired": false }).to_string())) };
    if let Some(after) = tx.turn_site(site, &SiteTurn::Delete).await? {
        let (before, after) = (Site::of(&before), Site::of(&after));
        let target = after.id.to_string();
        let audit = NewAudit {
            site: Some(site),
            key: None,
            action: KIND,
            target: &target,
            from: "",
            request: RequestId::random().0,
            before: serde_json::to_string(&before).ok(),
            after: serde_json::to_string(&after).ok(),
        };
        tx.note(&audit).await?;
        tx.commit().await?;
    }
    Ok(JobEnd::Done(json!({ "expired": true }).to_string()))
}
