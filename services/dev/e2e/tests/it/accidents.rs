//! What fails, and what happens: under load, with books. The load's report says whether an acked message was lost, or
//! delivered again to a device that acked it, or out of order; each test checks besides that messages flow again.

use anyhow::{Result, ensure};
use tmtp_e2e::Setup;

use crate::causal::site_of_another_worker;
use crate::load::{Load, Shape};

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
    ensure!(load.resent() > 0, "no post was under way when a gateway was killed");
    let report = load.finish().await?;
    ensure!(report.reconnects > 0, "nobody was connected to a gateway that was killed");
    cluster.passed()
}

/// Goal: the loss of a worker loses no message of any site. Method: kill each worker in turn under load at two sites, of
/// which each had one at first, so that one of them moves to the other worker, and both move back, and start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_may_be_killed() -> Result<()> {
    let cluster = Setup::new().start().await?;
    // Lives as long as the process, like the names of other loads' sites.
    let elsewhere: &'static str = site_of_another_worker(&cluster).await?.leak();
    let load = Load::start(&cluster).await?;
    let other = Load::start_as(&cluster, Shape { site: elsewhere, ..Shape::default() }).await?;
    ensure!(load.serving_worker(&cluster).await? != other.serving_worker(&cluster).await?);
    let flow = async |when: &str| {
        load.flows(when).await?;
        other.flows(when).await
    };
    let mut killed = Vec::new();
    for _ in 0..2 {
        let serving = load.serving_worker(&cluster).await?;
        cluster.worker(serving).kill()?;
        flow("with one worker").await?;
        cluster.worker(serving).restart().await?;
        flow("with both workers").await?;
        killed.push(serving);
    }
    ensure!(killed[0] != killed[1], "the same worker was killed twice");
    for report in [load.finish().await?, other.finish().await?] {
        ensure!(report.reconnects == 0, "a worker's end reached the clients: {report:?}");
    }
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

/// Goal: a worker and Redis may be lost at the same moment: what the worker had read and not committed is gone from the
/// streams as well. Method: kill the serving worker under load and flush Redis at once, twice, once in either order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_and_redis_may_go_together() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    for flush_first in [false, true] {
        let serving = load.serving_worker(&cluster).await?;
        if flush_first {
            cluster.flush_redis().await?;
            cluster.worker(serving).kill()?;
        } else {
            cluster.worker(serving).kill()?;
            cluster.flush_redis().await?;
        }
        load.flows("with one worker and an empty Redis").await?;
        cluster.worker(serving).restart().await?;
        load.flows("with both workers").await?;
    }
    let report = load.finish().await?;
    ensure!(report.reconnects == 0, "trouble behind the gateways reached the clients: {report:?}");
    cluster.passed()
}

/// Goal: a gateway and Postgres may be lost at the same moment. Method: kill a gateway under load and crash Postgres at
/// once; when that is back, so are the clients, through the other gateway and then through both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_and_postgres_may_go_together() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let load = Load::start(&cluster).await?;
    cluster.gateway(0).kill()?;
    cluster.postgres.kill()?;
    cluster.postgres.start_again()?;
    load.flows("with one gateway, after the crash").await?;
    cluster.gateway(0).restart().await?;
    load.flows("with both gateways").await?;
    let report = load.finish().await?;
    ensure!(report.reconnects > 0, "nobody was connected to the gateway that was killed");
    cluster.passed()
}

/// Goal: bodies that go through the body store survive accidents as others do. Method: two loads at once, one of them with
/// bodies of 100 kB; kill a gateway and then the serving worker, so that uploads, commands with references, and
/// deliveries of bodies break off; the books compare every octet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_survive_accidents() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let small = Load::start(&cluster).await?;
    let large = Load::start_as(&cluster, Shape { octets: 100_000, ..Shape::default() }).await?;
    let flow = async |when: &str| {
        small.flows(when).await?;
        large.flows(when).await
    };
    cluster.gateway(0).kill()?;
    flow("with one gateway").await?;
    cluster.gateway(0).restart().await?;
    let serving = small.serving_worker(&cluster).await?;
    cluster.worker(serving).kill()?;
    flow("with one worker").await?;
    cluster.worker(serving).restart().await?;
    flow("with all of them").await?;
    for report in [small.finish().await?, large.finish().await?] {
        ensure!(report.reconnects > 0, "nobody was connected to the gateway that was killed");
    }
    cluster.wait_until_nothing_waits().await?;
    cluster.passed()
}
