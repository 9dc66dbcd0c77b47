//! A client that reads nothing for a while.

use anyhow::Result;
use tmtp_e2e::{Setup, WAIT, post};
use tmtp_testkit::eventually;

/// Messages that wait.
const COUNT: usize = 200;
/// Just below the inline limit, so that every one of them travels through all streams, and counts in all windows.
const OCTETS: usize = 30_000;
/// What a program may grow by. All messages together are 6 MB: a gateway that kept them all would show; a worker may keep
/// them until they are rows, and pass them on in batches.
const GATEWAY_GROWTH_MAX: u64 = 4 << 20;
const WORKER_GROWTH_MAX: u64 = 20 << 20;

/// Goal: a client that does not read costs bounded memory, hinders nobody, and loses nothing. Method: 200 messages of
/// 30 kB for slow, who does not read; peaks of memory are compared; ann and ben go on talking through the same programs;
/// then slow reads, and gets everything in order.
#[tokio::test]
async fn a_slow_reader_costs_only_itself() -> Result<()> {
    let cluster = Setup::new()
        .gateways(1)
        .workers(1)
        .worker_setting("journal.spill_after", "1s")
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
    for number in 0..20 {
        ann.post(&format!("warm {number}"), &[ben.uid()], &text(number)).await?;
        ben.take(&text(number)).await?;
    }

    let before = (gateway.peak_memory()?, cluster.worker(0).peak_memory()?);
    for number in 0..COUNT {
        let data = text(number);
        ann.request(&post(&number.to_string(), &[slow.uid()], data.as_bytes()), data.as_bytes()).await?;
    }
    let rows = async || (cluster.store.waiting().await.ok()?.messages > 100).then_some(());
    eventually(WAIT, "what waits to become rows", rows).await?;
    ann.post("meanwhile", &[ben.uid()], "meanwhile").await?;
    ben.take("meanwhile").await?;

    for number in 0..COUNT {
        slow.take(&text(number)).await?;
    }
    slow.expect_nothing_else().await?;
    let grown = (gateway.peak_memory()? - before.0, cluster.worker(0).peak_memory()? - before.1);
    assert!(grown.0 < GATEWAY_GROWTH_MAX, "the gateway has grown by {} KiB", grown.0 >> 10);
    assert!(grown.1 < WORKER_GROWTH_MAX, "the worker has grown by {} KiB", grown.1 >> 10);
    cluster.passed()
}
