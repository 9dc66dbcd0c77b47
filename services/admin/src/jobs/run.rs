//! Who does the jobs: any admin server that is free, one step after the other.
//!
//! A job is held by a lease, which every step renews; when its server dies, another takes it over where it was. So a
//! step may happen twice, and must not mind. To add a kind of job, add a line to [`KINDS`].

use std::time::Duration;

use futures::future::BoxFuture;
use tmtp_chassis::life::Life;
use tmtp_store::{Error, Hold, JobEnd, Progress, Store, TakenJob};
use tokio::time::sleep;
use uuid::Uuid;

use super::{erase, expire, invites, member};
use crate::Config;
use crate::api::Api;
use crate::homes::{HomeError, Homes};

/// A step must be much shorter.
const LEASE: Duration = Duration::from_mins(1);
/// How often is looked for a job when there was none.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A job that could not go on is tried again after that.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Jobs of one server at a time.
const AT_A_TIME: usize = 2;
/// A job that was begun so often and did not end is given up.
const ATTEMPTS_MAX: i32 = 100;

/// What does a kind of job.
type Work = for<'a> fn(&'a mut Run) -> BoxFuture<'a, Result<JobEnd, Stopped>>;

/// Every kind of job.
const KINDS: &[(&str, Work)] = &[
    (erase::KIND, |run| Box::pin(erase::work(run))),
    (expire::KIND, |run| Box::pin(expire::work(run))),
    (invites::KIND, |run| Box::pin(invites::work(run))),
    (member::KIND, |run| Box::pin(member::work(run))),
];

/// A job under way.
pub(crate) struct Run {
    pub(crate) config: Config,
    pub(crate) store: Store,
    /// The way to the homes of sites.
    pub(crate) homes: Homes,
    pub(crate) job: TakenJob,
}

/// Why a job does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    /// Somebody does not want it any longer.
    #[error("cancelled")]
    Cancelled,
    /// Another server has it.
    #[error("taken over by another server")]
    Lost,
    /// The database did not take a step.
    #[error(transparent)]
    Store(#[from] Error),
    /// The site's home has not answered: the same step may come to something later.
    #[error("no answer from the site's home")]
    Home(#[source] HomeError),
    /// The site's home did not take a step.
    #[error("the site's home refused a step: {0}")]
    Refused(String),
}

impl Run {
    /// Notes a step, and says whether to go on.
    pub(crate) async fn step(&mut self, progress: &Progress) -> Result<(), Stopped> {
        self.job.done = progress.done;
        match self.store.hold_job(&self.job, progress, LEASE).await? {
            Hold::Held => Ok(()),
            Hold::Cancelling => Err(Stopped::Cancelled),
            Hold::Lost => Err(Stopped::Lost),
        }
    }
}

/// Starts doing jobs, until the drain. What is under way then is taken over by others when its lease ends.
pub(crate) fn start(life: &Life, api: &Api, store: &Store) {
    for _ in 0..AT_A_TIME {
        let (drain, work) = (life.drain(), work_on(api.clone(), store.clone()));
        life.spawn("jobs", async move {
            drain.run_until_cancelled(work).await;
            Ok(())
        });
    }
}

async fn work_on(api: Api, store: Store) {
    loop {
        match run_next(&api.config, &store, &api.homes).await {
            Ok(true) => {}
            Ok(false) => sleep(LOOK_EVERY).await,
            Err(error) => {
                tracing::debug!(%error, "no jobs while the database is away");
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Does one job, or as much of it as is possible now. `false`: there is none.
pub(crate) async fn run_next(config: &Config, store: &Store, homes: &Homes) -> Result<bool, Error> {
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    let Some(job) = store.take_job(&kinds, Uuid::new_v4(), LEASE).await? else { return Ok(false) };
    let Some((_, work)) = KINDS.iter().find(|(kind, _)| *kind == job.kind) else { return Ok(false) };
    let mut run = Run { config: config.clone(), store: store.clone(), homes: homes.clone(), job };
    let ended = if run.job.attempts > ATTEMPTS_MAX {
        Ok(JobEnd::Failed(format!("given up after {ATTEMPTS_MAX} attempts")))
    } else {
        work(&mut run).await
    };
    let job = &run.job;
    match ended {
        Ok(end) => {
            tracing::info!(job = %job.id, kind = job.kind, ?end, "a job has ended");
            store.end_job(job, &end).await?;
        }
        Err(Stopped::Cancelled) => store.end_job(job, &JobEnd::Cancelled).await?,
        Err(Stopped::Lost) => tracing::warn!(job = %job.id, kind = job.kind, "another server does the job"),
        Err(Stopped::Store(error)) if error.is_transient() => {
            tracing::warn!(job = %job.id, kind = job.kind, %error, "a job has to wait");
            store.return_job(job, TRY_AGAIN).await?;
        }
        Err(Stopped::Home(error)) => {
            tracing::warn!(job = %job.id, kind = job.kind, %error, "a job has to wait");
            store.return_job(job, TRY_AGAIN).await?;
        }
        Err(error @ Stopped::Refused(_)) => {
            tracing::error!(job = %job.id, kind = job.kind, %error, "a job has failed");
            store.end_job(job, &JobEnd::Failed(error.to_string())).await?;
        }
        Err(Stopped::Store(error)) => {
            tracing::error!(job = %job.id, kind = job.kind, %error, "a job has failed");
            store
                .end_job(job, &JobEnd::Failed("the database refused a step; see the log".to_owned()))
                .await?;
        }
    }
    Ok(true)
}
