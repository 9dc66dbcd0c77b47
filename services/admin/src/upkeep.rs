//! What has to be done from time to time: forget what nobody asks for any longer, end suspensions that are over.

use std::time::Duration;

use tmtp_chassis::life::Life;
use tmtp_contract::{AdminChange, AdminRequest, AuditNote, Once};
use tmtp_domain::{MemberStatus, RequestId};
use tmtp_store::{DueResume, Error, Store};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::Config;
use crate::api::Api;

/// How often.
const EVERY: Duration = Duration::from_mins(1);
/// For how long the API promises to recognise a repeated request.
const REQUESTS_KEPT: Duration = Duration::from_hours(24);

/// For how long codes of invites that a job has made can be read.
const SEALED_KEPT: Duration = Duration::from_hours(24);
/// For how long the API promises to show a job that has ended.
const JOBS_KEPT: Duration = Duration::from_hours(30 * 24);
/// Suspensions that end at a time; the others do the next time.
const RESUMES_MAX: i64 = 1_000;

/// Starts the upkeep, which goes on until the drain.
pub(crate) fn start(life: &Life, api: &Api, store: Store) {
    let (drain, upkeep) = (life.drain(), keep_up(api.clone(), store));
    life.spawn("upkeep", async move {
        drain.run_until_cancelled(upkeep).await;
        Ok(())
    });
}

async fn keep_up(api: Api, store: Store) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        api.limits.forget();
        // Several admin servers do this side by side, and one that cannot does it the next time.
        if let Err(error) = store.forget_requests(REQUESTS_KEPT).await {
            tracing::debug!(%error, "old requests are not forgotten yet");
        }
        if let Err(error) = store.forget_sealed(SEALED_KEPT).await {
            tracing::debug!(%error, "codes of invites are not erased yet");
        }
        if let Err(error) = store.forget_sign_ins().await {
            tracing::debug!(%error, "sign-ins that are over are not forgotten yet");
        }
        if let Err(error) = schedule(&store, &api.config).await {
            tracing::debug!(%error, "jobs are neither asked for nor forgotten yet");
        }
        if let Err(error) = end_suspensions(&api, &store).await {
            tracing::debug!(%error, "suspensions that are over have not ended yet");
        }
    }
}

/// Asks the homes to end suspensions that are over, and again the next time as long as they have not.
async fn end_suspensions(api: &Api, store: &Store) -> Result<(), Error> {
    for due in store.due_resumes(RESUMES_MAX).await? {
        if let Some(site) = store.sites(&[due.site]).await?.pop() {
            api.homes.tell(site.id, site.shard, resume(&due)).await;
        }
    }
    Ok(())
}

/// The same whoever asks for it, so that it happens once.
fn resume(due: &DueResume) -> AdminRequest {
    AdminRequest {
        id: RequestId(Uuid::new_v4()),
        once: Once { key: due.by, text: format!("until {} {}", due.uid, due.until), digest: [0; 32] },
        note: AuditNote {
            action: "member.resume".to_owned(),
            target: due.uid.to_string(),
            from: "upkeep".to_owned(),
        },
        change: AdminChange::MemberStatus { uid: due.uid, status: MemberStatus::Active },
    }
}

/// Asks for the jobs that end sandboxes and erase deleted sites, and forgets jobs that ended long ago.
pub(crate) async fn schedule(store: &Store, config: &Config) -> Result<(), Error> {
    store.forget_jobs(JOBS_KEPT).await?;
    store.schedule_ends(config.sites.tombstone).await?;
    Ok(())
}
