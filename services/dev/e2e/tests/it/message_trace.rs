//! The delivery trace of a real cluster, as support asks for it with `tmtpctl`.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tmtp_e2e::{DEFAULT_SITE, Setup, WAIT};
use tmtp_testkit::eventually;

use crate::administration::{Person, bootstrap};

/// The steps of a trace that are called so.
fn steps<'t>(trace: &'t Value, called: &str) -> Vec<&'t Value> {
    trace["steps"].as_array().into_iter().flatten().filter(|step| step["step"] == called).collect()
}

/// A trace, once so many devices have acked.
async fn acked(support: &Person<'_>, id: &str, devices: u64) -> Result<Value> {
    let look = async || {
        let trace = support.ask(&format!("trace {DEFAULT_SITE} {id}")).ok()?;
        (trace["devices"]["acked"] == devices && trace["complete"] == true).then_some(trace)
    };
    eventually(WAIT, "the acks to be in the trace", look).await
}

/// Goal: a message is followed over gateways, workers and days: where it was sent, and, when all workers have died at once,
/// all that was durable, each step once; also when its receiver comes long after it has become a row. Method: messages both
/// ways between two gateways, the workers killed before they spill, and a third person who comes later.
#[tokio::test]
async fn a_message_is_followed() -> Result<()> {
    let cluster = Setup::new().with_admin().worker_setting("journal.spill_after", "1h").start().await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    operator.ask(&format!("key create --name helper --role support --site {DEFAULT_SITE} --save support"))?;
    let support = operator.with_key("support");
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let there = ann.post("there", &[ben.uid()], "there").await?.msg_id;
    ben.take("there").await?;
    let back = ben.post("back", &[ann.uid()], "back").await?.msg_id;
    ann.take("back").await?;
    let mut gateways = Vec::new();
    for (id, from, to) in [(&there, ann.uid(), ben.uid()), (&back, ben.uid(), ann.uid())] {
        let trace = acked(&support, id, 1).await?;
        ensure!(steps(&trace, "accepted")[0]["uid"] == from, "{trace}");
        for step in ["queued", "sent", "acked"] {
            let found = steps(&trace, step);
            ensure!(found.len() == 1 && found[0]["uid"] == to && found[0]["device"] == 1, "{step}: {trace}");
        }
        gateways.push(steps(&trace, "sent")[0]["gateway"].clone());
    }
    ensure!(gateways[0] != gateways[1] && gateways[0].is_string(), "{gateways:?}");

    (0..cluster.workers()).try_for_each(|number| cluster.worker(number).kill())?;
    for number in 0..cluster.workers() {
        cluster.worker(number).restart().await?;
    }
    let trace = acked(&support, &there, 1).await?;
    for step in ["accepted", "committed", "queued", "acked"] {
        ensure!(steps(&trace, step).len() == 1, "{step}: {trace}");
    }
    cluster.passed()
}

/// Goal: what comes long after the message was accepted stands with it, and what is old is forgotten; method: a message
/// to somebody who is away, followed while it waits as a row and when it was fetched; steps that are made older than they are kept.
#[tokio::test]
async fn a_late_delivery_is_followed() -> Result<()> {
    let cluster = Setup::new()
        .with_admin()
        .worker_setting("journal.spill_after", "300ms")
        .worker_setting("trace.keep", "1h")
        .worker_setting("trace.sweep_every", "1s")
        .start()
        .await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut away = cluster.gateway(1).connect("away").await?;
    let account = away.account().clone();
    away.expect_nothing_else().await?;
    away.quit().await?;
    let id = ann.post("later", &[&account.uid], "later").await?.msg_id;
    let row = async || (cluster.store.waiting().await.ok()?.messages == 1).then_some(());
    eventually(WAIT, "the message to be a row", row).await?;
    let trace = operator.ask(&format!("trace {DEFAULT_SITE} {id}"))?;
    ensure!(trace["devices"]["waiting"] == 1 && steps(&trace, "sent").is_empty(), "{trace}");

    let mut away = cluster.gateway(0).login("away", &account).await?;
    away.take("later").await?;
    let trace = acked(&operator, &id, 1).await?;
    for step in ["accepted", "committed", "queued", "sent", "acked"] {
        ensure!(steps(&trace, step).len() == 1, "{step}: {trace}");
    }
    ensure!(trace["devices"]["waiting"] == 0, "{trace}");
    let mut database = cluster.database().await?;
    // Two hours later. At each look, because a spill may still have been under way.
    let older = "UPDATE trace_pack SET until_ms = until_ms - 7200000";
    let forgotten = async || {
        sqlx::query(older).execute(&mut database).await.ok()?;
        operator.fail(&format!("trace {DEFAULT_SITE} {id}")).ok()
    };
    let refusal = eventually(WAIT, "the trace to be forgotten", forgotten).await?;
    ensure!(refusal.contains("older than traces are kept"), "{refusal}");
    cluster.passed()
}
