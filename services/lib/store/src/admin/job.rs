//! Jobs: long work that any admin server takes, and another takes over when the first one dies.

use std::str::FromStr;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::SiteId;
use uuid::Uuid;

use super::{AdminTx, Reader};
use crate::{Error, Store};

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Nobody has begun.
    Queued,
    /// Somebody is at it.
    Running,
    /// It is done.
    Done,
    /// It cannot be done.
    Failed,
    /// Somebody did not want it any longer.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| format!("unknown state of a job {text:?}"))
    }
}

/// A job as its admins see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// The site; `None` for what concerns the deployment.
    pub site: Option<SiteId>,
    /// What it does, such as `site.erase`.
    pub kind: String,
    /// How far it is.
    pub state: JobState,
    /// Somebody wants it to end.
    pub cancelling: bool,
    /// How many of its parts are done.
    pub done: i64,
    /// How many parts it has, once that is known.
    pub total: Option<i64>,
    /// What came out of it, as JSON.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// The key with which it was asked for; `None` when nobody asked.
    pub created_by: Option<Uuid>,
    /// When it was asked for (ms since 1970).
    pub created_at: i64,
    /// When it was begun (ms since 1970).
    pub started_at: Option<i64>,
    /// When it ended (ms since 1970).
    pub finished_at: Option<i64>,
}

/// A job to be.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Its id, the caller's random choice.
    pub id: Uuid,
    /// The site; `None` for what concerns the deployment.
    pub site: Option<SiteId>,
    /// What it does.
    pub kind: &'a str,
    /// What it needs to know, as JSON.
    pub input: &'a str,
    /// The key with which it is asked for.
    pub created_by: Option<Uuid>,
    /// Secrets that only that key opens.
    pub sealed: Option<&'a str>,
}

/// A job that is one's own to do, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenJob {
    /// Which.
    pub id: Uuid,
    /// The site.
    pub site: Option<SiteId>,
    /// What it does.
    pub kind: String,
    /// What it needs to know, as JSON.
    pub input: String,
    /// How far an earlier taker came, as JSON.
    pub position: Option<String>,
    /// How many parts are done.
    pub done: i64,
    /// How often it was begun or taken over, this time included.
    pub attempts: i32,
    /// Proves the taking.
    pub lease: Uuid,
}

/// How far a job has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// How many parts are done.
    pub done: i64,
    /// How many parts there are.
    pub total: Option<i64>,
    /// Where to go on, as JSON.
    pub position: Option<String>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is still one's own: go on.
    Held,
    /// It is still one's own, and somebody wants it to end.
    Cancelling,
    /// Somebody else has it now: stop.
    Lost,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// With this result, as JSON.
    Done(String),
    /// For this reason.
    Failed(String),
    /// As somebody wanted.
    Cancelled,
}

/// Which jobs are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobFilter<'a> {
    /// Of these sites only; `None` for all.
    pub sites: Option<&'a [SiteId]>,
    /// In this state only.
    pub state: Option<JobState>,
    /// Of this kind only.
    pub kind: Option<&'a str>,
}

/// The columns of [`Job`].
macro_rules! columns {
    () => {
        columns!("result")
    };
    ($result:literal) => {
        concat!(
            "job_id, site_id, kind, state, cancelling, done, total, (",
            $result,
            ")::text AS result, error,
         created_by,
         (extract(epoch FROM created_at) * 1000)::bigint AS created_ms,
         (extract(epoch FROM started_at) * 1000)::bigint AS started_ms,
         (extract(epoch FROM finished_at) * 1000)::bigint AS finished_ms"
        )
    };
}

impl Reader {
    /// Jobs, the newest first, behind `after`. Their results come without `rows`, which may be long.
    pub async fn jobs(
        &mut self,
        filter: JobFilter<'_>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Job>, Error> {
        let sites: Option<Vec<Uuid>> = filter.sites.map(|sites| sites.iter().map(|site| site.0).collect());
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!("CASE WHEN jsonb_typeof(result -> 'rows') = 'array' THEN result - 'rows' ELSE result END"),
            " FROM job WHERE ($1::uuid[] IS NULL OR site_id = ANY($1)) AND ($2::text IS NULL OR state = $2)
              AND ($3::text IS NULL OR kind = $3)
              AND ($4::uuid IS NULL OR (created_at, job_id) < (SELECT created_at, job_id FROM job WHERE job_id = $4))
              ORDER BY created_at DESC, job_id DESC LIMIT $5"
        ))
        .bind(sites)
        .bind(filter.state.map(JobState::as_str))
        .bind(filter.kind)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(job).collect()
    }

    /// One job.
    pub async fn job(&mut self, id: Uuid) -> Result<Option<Job>, Error> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM job WHERE job_id = $1"))
            .bind(id)
            .fetch_optional(&mut *self.tx)
            .await?;
        row.as_ref().map(job).transpose()
    }
}

impl Store {
    /// The secrets of a job that was asked for with this key, until they are erased. Only that key opens them.
    pub async fn sealed_of(&self, id: Uuid, created_by: Uuid) -> Result<Option<String>, Error> {
        let sealed: Option<Option<String>> =
            sqlx::query_scalar("SELECT sealed FROM job WHERE job_id = $1 AND created_by = $2")
                .bind(id)
                .bind(created_by)
                .fetch_optional(&self.pool)
                .await?;
        Ok(sealed.flatten())
    }

    /// Erases secrets of jobs that were asked for before `age`.
    pub async fn forget_sealed(&self, age: Duration) -> Result<u64, Error> {
        let done = sqlx::query(
            "UPDATE job SET sealed = NULL
             WHERE sealed IS NOT NULL AND created_at < now() - make_interval(secs => $1)",
        )
        .bind(age.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Forgets jobs that ended before `age`. Says how many.
    pub async fn forget_jobs(&self, age: Duration) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM job WHERE finished_at < now() - make_interval(secs => $1)")
            .bind(age.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Takes the job that waits longest, or whose taker has let its lease end, of these kinds.
    pub async fn take_job(
        &self,
        kinds: &[&str],
        lease: Uuid,
        lease_for: Duration,
    ) -> Result<Option<TakenJob>, Error> {
        let row = sqlx::query(
            "UPDATE job SET state = 'running', lease = $1, lease_until = now() + make_interval(secs => $2),
                 attempts = attempts + 1, started_at = coalesce(started_at, now())
             WHERE job_id = (
                 SELECT job_id FROM job
                 WHERE kind = ANY($3) AND not_before <= now()
                   AND (state = 'queued' OR state = 'running' AND lease_until < now())
                 ORDER BY not_before, job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING job_id, site_id, kind, input::text AS input, position::text AS position, done, attempts",
        )
        .bind(lease)
        .bind(lease_for.as_secs_f64())
        .bind(kinds)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(TakenJob {
            id: row.try_get("job_id")?,
            site: row.try_get::<Option<Uuid>, _>("site_id")?.map(SiteId),
            kind: row.try_get("kind")?,
            input: row.try_get("input")?,
            position: row.try_get("position")?,
            done: row.try_get("done")?,
            attempts: row.try_get("attempts")?,
            lease,
        }))
    }

    /// Notes how far a job has come, and keeps it for longer.
    pub async fn hold_job(
        &self,
        job: &TakenJob,
        progress: &Progress,
        lease_for: Duration,
    ) -> Result<Hold, Error> {
        let cancelling: Option<bool> = sqlx::query_scalar(
            "UPDATE job SET done = $3, total = $4, position = $5::jsonb,
                 lease_until = now() + make_interval(secs => $6)
             WHERE job_id = $1 AND lease = $2 AND state = 'running' RETURNING cancelling",
        )
        .bind(job.id)
        .bind(job.lease)
        .bind(progress.done)
        .bind(progress.total)
        .bind(&progress.position)
        .bind(lease_for.as_secs_f64())
        .fetch_optional(&self.pool)
        .await?;
        Ok(match cancelling {
            None => Hold::Lost,
            Some(true) => Hold::Cancelling,
            Some(false) => Hold::Held,
        })
    }

    /// Gives a job back, to be tried again after a while.
    pub async fn return_job(&self, job: &TakenJob, wait: Duration) -> Result<(), Error> {
        sqlx::query(
            "UPDATE job SET state = 'queued', lease = NULL, lease_until = NULL,
                 not_before = now() + make_interval(secs => $3)
             WHERE job_id = $1 AND lease = $2 AND state = 'running'",
        )
        .bind(job.id)
        .bind(job.lease)
        .bind(wait.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends a job, and forgets what it was asked for, which may name people. Nothing happens if somebody else has it now.
    pub async fn end_job(&self, job: &TakenJob, end: &JobEnd) -> Result<(), Error> {
        let (state, result, error) = match end {
            JobEnd::Done(result) => (JobState::Done, Some(result), None),
            JobEnd::Failed(error) => (JobState::Failed, None, Some(error)),
            JobEnd::Cancelled => (JobState::Cancelled, None, None),
        };
        sqlx::query(
            "UPDATE job SET state = $3, result = $4::jsonb, error = $5, finished_at = now(), lease = NULL,
                 lease_until = NULL, input = '{}', position = NULL
             WHERE job_id = $1 AND lease = $2 AND state = 'running'",
        )
        .bind(job.id)
        .bind(job.lease)
        .bind(state.as_str())
        .bind(result)
        .bind(error)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl AdminTx {
    /// Asks for a job. `None`: the same is under way already.
    pub async fn create_job(&mut self, new: &NewJob<'_>) -> Result<Option<Job>, Error> {
        let row = sqlx::query(concat!(
            "INSERT INTO job (job_id, site_id, kind, input, created_by, sealed) VALUES ($1, $2, $3, $4::jsonb, $5, $6)
             ON CONFLICT DO NOTHING RETURNING ",
            columns!()
        ))
        .bind(new.id)
        .bind(new.site.map(|site| site.0))
        .bind(new.kind)
        .bind(new.input)
        .bind(new.created_by)
        .bind(new.sealed)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(job).transpose()
    }

    /// Ends a job that nobody has begun, and lets whoever has begun it know. `None`: it has ended already.
    pub async fn cancel_job(&mut self, id: Uuid) -> Result<Option<Job>, Error> {
        let row = sqlx::query(concat!(
            "UPDATE job SET cancelling = true,
                 finished_at = CASE WHEN state = 'queued' THEN now() END,
                 input = CASE WHEN state = 'queued' THEN '{}' ELSE input END,
                 position = CASE WHEN state = 'queued' THEN NULL ELSE position END,
                 state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
             WHERE job_id = $1 AND state IN ('queued', 'running') RETURNING ",
            columns!()
        ))
        .bind(id)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(job).transpose()
    }
}

fn job(row: &PgRow) -> Result<Job, Error> {
    Ok(Job {
        id: row.try_get("job_id")?,
        site: row.try_get::<Option<Uuid>, _>("site_id")?.map(SiteId),
        kind: row.try_get("kind")?,
        state: row.try_get::<&str, _>("state")?.parse().map_err(Error::Unreadable)?,
        cancelling: row.try_get("cancelling")?,
        done: row.try_get("done")?,
        total: row.try_get("total")?,
        result: row.try_get("result")?,
        error: row.try_get("error")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_ms")?,
        started_at: row.try_get("started_ms")?,
        finished_at: row.try_get("finished_ms")?,
    })
}
