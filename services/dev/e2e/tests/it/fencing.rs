//! A worker that stalls and wakes (invariant I2): what it had decided before is refused by the epoch of its shard.

use anyhow::{Result, ensure};
use sqlx::{Connection as _, PgConnection};
use tmtp_e2e::{DEFAULT_SITE, Program, Setup, WAIT};
use tmtp_testkit::eventually;

use crate::load::Load;

/// Goal: a worker that stalls in the middle of a commit does no harm when it wakes: that very commit is refused. Method:
/// under load, hold the row of the site's shard until a commit of the serving worker waits for it; stop the worker
/// there (SIGSTOP) and end that commit's connection, so that it cannot have happened; let the other worker take over;
/// then wake the first one, which knows no better than to commit again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_workers_commit_is_refused() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    let number = load.serving_worker(&cluster).await?;
    let (stalled, other) = (cluster.worker(number), cluster.worker(1 - number));

    let (mut holder, mut watcher) = (cluster.database().await?, cluster.database().await?);
    let mut holding = holder.begin().await?;
    sqlx::query(
        "SELECT 1 FROM shard WHERE shard_id =
             (SELECT shard_id FROM site JOIN site_domain USING (site_id) WHERE domain = $1) FOR UPDATE",
    )
    .bind(DEFAULT_SITE)
    .execute(&mut *holding)
    .await?;
    let backend = waiting_commit(&mut watcher).await?;
    stalled.pause()?;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(backend).execute(&mut watcher).await?;
    holding.rollback().await?;

    load.flows("while the worker is stalled").await?;
    stalled.resume()?;
    let refused = async || (refusals(stalled).await.ok()? > 0.0).then_some(());
    eventually(WAIT, "the commit of the worker that woke to be refused", refused).await?;
    ensure!(refusals(other).await? == 0.0, "the worker that had taken over was refused as well");
    // It draws the conclusion a moment after it has counted the refusal.
    let given_up = async || (stalled.metric("tmtp_worker_shards_lost_total").await.ok()? > 0.0).then_some(());
    eventually(WAIT, "the worker that woke to give its shard up", given_up).await?;
    load.flows("after the worker woke").await?;
    let report = load.finish().await?;
    ensure!(report.reconnects == 0, "a stalled worker reached the clients: {report:?}");
    cluster.passed()
}

/// The server process of a commit that waits for a row.
async fn waiting_commit(watcher: &mut PgConnection) -> Result<i32> {
    let waits = async || {
        sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO journal%' AND pid <> pg_backend_pid()",
        )
        .fetch_optional(&mut *watcher)
        .await
        .ok()?
    };
    eventually(WAIT, "a commit to wait for the row", waits).await
}

async fn refusals(worker: &Program) -> Result<f64> {
    worker.metric("tmtp_worker_commits_fenced_total").await
}
