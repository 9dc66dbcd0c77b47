//! What fails, and what happens: under load, with books. The load's report says whether an acked message was lost, or
//! delivered again to a device that acked it, or out of order; each test checks besides that messages flow again.

use anyhow::{Result, ensure};
use tmtp_e2e::{Setup, WAIT};
use tmtp_testkit::eventually;

use crate::load::Load;

/// Goal: the loss of a gateway loses no message. Method: kill each gateway in turn under load, and start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_may_be_killed() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    for number in 0..2 {
        cluster.gateway(number).kill()?;
        load.flows("with one gateway").await?;
        cluster.gateway(number).restart().await?;
        load.flows("with both gateways").await?;
    }
    let report = load.finish().await?;
    ensure!(report.reconnects > 0, "nobody was connected to a gateway that was killed");
    cluster.passed()
}

/// Goal: the loss of a worker loses no message. Method: kill each worker in turn under load, so that the site moves to
/// the other one and back, and start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_may_be_killed() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    for _ in 0..2 {
        let serving = load.serving_worker(&cluster).await?;
        cluster.worker(serving).kill()?;
        load.flows("with one worker").await?;
        cluster.worker(serving).restart().await?;
        load.flows("with both workers").await?;
    }
    let report = load.finish().await?;
    ensure!(report.reconnects == 0, "a worker's end reached the clients: {report:?}");
    cluster.passed()
}

/// Goal: Redis may lose everything at any moment. Method: flush it under load, several times, and restart it empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_lose_everything() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    for _ in 0..2 {
        cluster.flush_redis().await?;
        load.flows("after a flush").await?;
    }
    cluster.redis.restart_empty()?;
    load.flows("after a restart").await?;
    let report = load.finish().await?;
    ensure!(report.reconnects == 0, "Redis' trouble reached the clients: {report:?}");
    cluster.passed()
}

/// Goal: a restart of Postgres is a pause. Method: restart it under load, once in order and once as after a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_restart() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    cluster.postgres.restart()?;
    load.flows("after a restart").await?;
    cluster.postgres.kill()?;
    cluster.postgres.start_again()?;
    load.flows("after a crash").await?;
    let report = load.finish().await?;
    ensure!(report.reconnects == 0, "Postgres' trouble reached the clients: {report:?}");
    cluster.passed()
}

/// Goal: a worker that stalls for longer than its lease does no harm when it wakes. Method: stop the serving worker under
/// load (SIGSTOP) until messages flow through the other one, and wake it: it notices that it has lost its shards, by a
/// commit that is refused or by its heartbeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_worker_does_no_harm() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    let number = load.serving_worker(&cluster).await?;
    let stalled = cluster.worker(number);
    stalled.pause()?;
    load.flows("while the worker is stalled").await?;
    stalled.resume()?;
    let noticed = async || {
        let fenced = stalled.metric("tmtp_worker_commits_fenced_total").await.ok()?;
        let lost = stalled.metric("tmtp_worker_shards_lost_total").await.ok()?;
        (fenced + lost > 0.0).then_some(())
    };
    eventually(WAIT, "the worker to notice", noticed).await?;
    load.flows("after the worker woke").await?;
    let report = load.finish().await?;
    ensure!(report.reconnects == 0, "a stalled worker reached the clients: {report:?}");
    cluster.passed()
}
