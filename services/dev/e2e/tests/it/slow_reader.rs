//! A client that reads nothing for a while.

use anyhow::{Result, ensure};
use tmtp_e2e::{Cluster, Setup, WAIT, post};
use tmtp_testkit::eventually;

use crate::load::Load;

/// Messages that wait at first.
const COUNT: usize = 200;
/// Messages that wait in the end.
const ALL: usize = 10 * COUNT;
/// Just below the inline limit, so that every one of them travels through all streams, and counts in all windows.
const OCTETS: usize = 30_000;
/// What the worker may keep in memory of what is owed; the first messages alone are six times as much.
const SPILL_BYTES: usize = 1 << 20;
/// What one turn may add to that before it is looked at: a message of ours, and some of the load's.
const TURN_BYTES: usize = 64 << 10;
/// What a program may grow by while more and more messages wait: half of what these are. How much memory the first ones
/// take depends on the allocator, which keeps what it once had; a program that kept messages would go on growing.
const GROWTH_MAX: u64 = ((ALL - COUNT) * OCTETS / 2) as u64;

/// Goal: a client that does not read costs bounded memory, hinders nobody, and loses nothing. Method: 200 messages of
/// 30 kB for slow, who does not read, and then nine times as many, while others talk through the same programs, whose books
/// have to balance before slow reads again; after each message, what the worker says that it owes; in the end, how much the
/// programs' peaks of memory have grown since the first 200. Then slow reads, and gets everything in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_costs_only_itself() -> Result<()> {
    let cluster = Setup::new()
        .gateways(1)
        .workers(1)
        .worker_setting("journal.spill_bytes", &SPILL_BYTES.to_string())
        // Only their size makes rows of messages here.
        .worker_setting("journal.spill_after", "10m")
        // Nothing may be sent twice here, however long the test takes.
        .gateway_setting("limits.redeliver_after", "10m")
        .gateway_setting("limits.write_wait", "10m")
        .start()
        .await?;
    let gateway = cluster.gateway(0);
    let mut ann = gateway.connect("ann").await?;
    let mut ben = gateway.connect("ben").await?;
    let mut slow = gateway.connect("slow").await?;
    let text = |number: usize| format!("{number:0>OCTETS$}");
    let load = Load::start(&cluster).await?;
    for number in 0..COUNT {
        ann.post(&format!("warm {number}"), &[ben.uid()], &text(number)).await?;
        ben.take(&text(number)).await?;
    }

    let mut most = 0;
    let mut before = [0; 2];
    for number in 0..ALL {
        if number == COUNT {
            before = peaks(&cluster)?;
        }
        let data = text(number);
        ann.request(&post(&number.to_string(), &[slow.uid()], data.as_bytes()), data.as_bytes()).await?;
        most = most.max(owed(&cluster).await?);
    }
    ensure!(most <= SPILL_BYTES + TURN_BYTES, "the worker owes {most} octets from memory");
    ensure!(most > SPILL_BYTES / 2, "the messages do not even fill the worker's memory: {most} octets");
    let waiting = cluster.store.waiting().await?;
    let rows = usize::try_from(waiting.messages)?;
    ensure!(rows > ALL / 2, "{rows} messages have become rows");
    load.flows("while slow reads nothing").await?;
    load.finish().await?;
    ann.post("meanwhile", &[ben.uid()], &text(0)).await?;
    ben.take(&text(0)).await?;
    for (before, now) in before.into_iter().zip(peaks(&cluster)?) {
        ensure!(
            now - before < GROWTH_MAX,
            "a program has grown by {} KiB: {before} to {now}",
            (now - before) >> 10
        );
    }

    for number in 0..ALL {
        slow.take(&text(number)).await?;
    }
    slow.expect_nothing_else().await?;
    let nothing = async || (owed(&cluster).await.ok()? == 0).then_some(());
    eventually(WAIT, "nothing to be owed", nothing).await?;
    cluster.passed()
}

/// The most memory that the gateway and the worker have had, in octets.
fn peaks(cluster: &Cluster) -> Result<[u64; 2]> {
    Ok([cluster.gateway(0).peak_memory()?, cluster.worker(0).peak_memory()?])
}

/// Octets of messages that the worker owes from memory.
async fn owed(cluster: &Cluster) -> Result<usize> {
    let octets = cluster.worker(0).metric("tmtp_worker_owed_bytes").await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of octets")]
    Ok(octets as usize)
}
