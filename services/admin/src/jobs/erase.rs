//! The erasure of a deleted site, some rows at a time, when the time to restore it is over.

use serde_json::json;
use tmtp_store::{Erasure, JobEnd, NewAudit, Progress};

use super::run::{Run, Stopped};
use crate::api::id::{RequestId, SiteRef};

pub(super) const KIND: &str = "site.erase";
/// Short enough that nobody waits for its locks.
const ROWS_MAX: i64 = 1_000;

pub(super) async fn work(run: &mut Run) -> Result<JobEnd, Stopped> {
    let Some(site) = run.job.site else { return Ok(JobEnd::Failed("the job names no site".to_owned())) };
    let mut rows = run.job.done;
    loop {
        let mut tx = run.store.admin().await?;
        match tx.erase_some(site, run.config.sites.tombstone, ROWS_MAX).await? {
            Erasure::NotDue => return Ok(JobEnd::Done(json!({ "rows": rows, "erased": false }).to_string())),
            Erasure::Rows(more) => {
                tx.commit().await?;
                rows = rows.saturating_add_unsigned(more);
            }
            Erasure::Done => {
                let result = json!({ "rows": rows, "erased": true }).to_string();
                let target = SiteRef::from(site).to_string();
                let audit = NewAudit {
                    site: Some(site),
                    key: None,
                    action: KIND,
                    target: &target,
                    from: "",
                    request: RequestId::random().0,
                    before: None,
                    after: Some(result.clone()),
                };
                tx.note(&audit).await?;
                tx.commit().await?;
                return Ok(JobEnd::Done(result));
            }
        }
        run.step(&Progress { done: rows, ..Progress::default() }).await?;
    }
}
