//! Long work: told at once, done later. What the API shows of it; who does it is in `run`.

mod erase;
mod expire;
mod invites;
mod member;
mod run;

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tmtp_store::{Job as Row, JobFilter, JobState};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::invites::KIND as INVITES;
pub(crate) use self::member::KIND as ERASE_MEMBER;
pub(crate) use self::run::{run_next, start};
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Empty, Note, OnceParams, Shown};
use crate::api::id::{JobRef, KeyRef, SiteRef};
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, PageParams};
use crate::api::payload::{Payload, Place};
use crate::api::sealed::open;
use crate::api::time::Time;
use crate::api::words::{JobStateWord, Word};
use crate::api::{Api, Problem};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(cancel))
}

/// Long work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    id: JobRef,
    /// The site; null for what concerns the deployment.
    #[schema(required = true)]
    site: Option<SiteRef>,
    /// What it does.
    #[schema(example = "site.erase")]
    kind: String,
    state: JobStateWord,
    /// Somebody wants it to end.
    cancelling: bool,
    /// How many of its parts are done.
    done: i64,
    /// How many parts it has, once that is known.
    #[schema(required = true)]
    total: Option<i64>,
    /// What came out of it.
    #[schema(value_type = Option<Object>, required = true)]
    result: Option<Box<RawValue>>,
    /// Why it failed.
    #[schema(required = true)]
    error: Option<String>,
    /// The key with which it was asked for; null when nobody asked.
    #[schema(required = true)]
    created_by: Option<KeyRef>,
    created_at: Time,
    #[schema(required = true)]
    started_at: Option<Time>,
    #[schema(required = true)]
    finished_at: Option<Time>,
}

/// Which jobs are wanted.
#[derive(Debug, Serialize, Deserialize, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobQuery {
    /// Of this site.
    site: Option<SiteRef>,
    /// In this state.
    #[param(inline)]
    state: Option<JobStateWord>,
    /// Of this kind.
    #[param(max_length = 100)]
    kind: Option<String>,
}

impl Job {
    /// As the API shows it; also in the answer 202 of whoever asked for it.
    pub(crate) fn of(row: Row) -> Self {
        Self {
            id: JobRef::of(row.id),
            site: row.site.map(Into::into),
            kind: row.kind,
            state: Word(row.state),
            cancelling: row.cancelling,
            done: row.done,
            total: row.total,
            result: row.result.and_then(|json| RawValue::from_string(json).ok()),
            error: row.error,
            created_by: row.created_by.map(KeyRef::of),
            created_at: Time(row.created_at),
            started_at: row.started_at.map(Time),
            finished_at: row.finished_at.map(Time),
        }
    }
}

/// List jobs
///
/// A job that has ended is shown for 30 days.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs",
    security(("key" = ["jobs:read"])), params(JobQuery, PageParams),
    responses((status = 200, description = "Those of one's own sites, the newest first; results without their `rows`",
               body = List<Job>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadJobs>,
    listing: Listing<JobQuery, JobRef>,
) -> Shown<List<Job>> {
    let wanted = &listing.filter;
    let site = wanted.site.map(|site| caller.site(site)).transpose()?;
    let filter = JobFilter {
        sites: site.as_ref().map(std::slice::from_ref).or(caller.sites()),
        state: wanted.state.map(|word| word.0),
        kind: wanted.kind.as_deref(),
    };
    let after = listing.after.map(|job| job.0);
    let rows = caller.read().await?.jobs(filter, after, listing.fetch()).await?;
    Ok(Json(listing.page("/v1/jobs", rows, |row| JobRef::of(row.id), Job::of)))
}

/// Show a job
#[utoipa::path(get, path = "/v1/jobs/{job}", operation_id = "get_job", tag = "jobs",
    security(("key" = ["jobs:read"])), params(("job" = JobRef, Path, description = "The job's id")),
    responses((status = 200, description = "The job", body = Job), Refusals))]
pub(crate) async fn show(caller: Caller<may::ReadJobs>, Place(id): Place<JobRef>) -> Shown<Job> {
    let row = find(&caller, id).await?;
    let sealed = match row.state {
        JobState::Done => caller.api.database.sealed_of(row.id, caller.key().id).await?,
        _ => None,
    };
    let secrets = sealed.and_then(|sealed| open(&caller.identity.seal, row.id.as_bytes(), &sealed));
    let mut job = Job::of(row);
    if let (Some(secrets), Some(result)) = (secrets, &job.result) {
        job.result = invites::with_codes(result, &secrets).or(job.result);
    }
    Ok(Json(job))
}

/// Cancel a job
///
/// One that nobody has begun ends at once, another after its current step; what is done stays done.
#[utoipa::path(post, path = "/v1/jobs/{job}/cancel", operation_id = "cancel_job", tag = "jobs",
    security(("key" = ["jobs:write"])),
    params(("job" = JobRef, Path, description = "The job's id"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The job", body = Job), ChangeRefusals))]
pub(crate) async fn cancel(
    caller: Caller<may::WriteJobs>,
    Place(id): Place<JobRef>,
    nothing: Payload<Empty>,
) -> Answer {
    let site = find(&caller, id).await?.site;
    let mut change = caller.begin_post(&nothing.sent).await?;
    let Some(row) = change.tx.cancel_job(id.0).await? else {
        return Err(Problem::conflict("job_ended", "The job has ended already.").into());
    };
    let (job, target) = (Job::of(row), id.to_string());
    change
        .note(Note { site, action: "job.cancel", target: &target, before: None, after: Some(&job) })
        .await?;
    change.answer(StatusCode::OK, &job).await
}

/// The job, if the caller may know of it.
async fn find<P>(caller: &Caller<P>, id: JobRef) -> Result<Row, Problem> {
    let row = caller.read().await?.job(id.0).await?.ok_or_else(Problem::not_found)?;
    match (caller.sites(), row.site) {
        (None, _) => Ok(row),
        (Some(sites), Some(site)) if sites.contains(&site) => Ok(row),
        (Some(_), _) => Err(Problem::not_found()),
    }
}
