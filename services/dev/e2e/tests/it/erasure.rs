//! What is delivered is forgotten (invariant I9).

use anyhow::{Context as _, Result};
use tmtp_e2e::{Cluster, Setup, WAIT, post};
use tmtp_testkit::eventually;

use crate::load::Load;

/// Goal: when the last device has acked, nothing is left of a message, wherever it was kept. Method: small and large
/// messages to two users with three devices; one device is there, one comes late, one acks late; in the end journal,
/// rows and body store are empty, and before the last ack they are not.
#[tokio::test]
async fn delivered_messages_are_gone() -> Result<()> {
    let cluster = Setup::new().worker_setting("journal.spill_after", "1s").start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut tablet = crate::delivery::second_device(&cluster, &mut ann).await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut away = cluster.gateway(1).connect("away").await?;
    let account = away.account().clone();
    away.expect_nothing_else().await?;
    away.quit().await?;

    let large = "x".repeat(200_000);
    for (id, text) in [("small", "small"), ("large", large.as_str())] {
        let request = post(id, &[ben.uid(), &account.uid], text.as_bytes());
        ann.request(&request, text.as_bytes()).await?;
        ben.take(text).await?;
    }
    let rows = async || {
        let waiting = cluster.store.waiting().await.ok()?;
        (waiting.messages == 2 && waiting.journal == 0 && waiting.bodies == 1).then_some(waiting)
    };
    eventually(WAIT, "two messages to wait as rows", rows).await?;
    tablet.take("small").await?;
    let last = tablet.delivery().await?;

    let mut away = cluster.gateway(0).login("away", &account).await?;
    for text in ["small", large.as_str()] {
        away.take(text).await?;
    }
    away.take_login_notice().await?;
    away.expect_nothing_else().await?;
    assert!(cluster.store.waiting().await?.messages > 0, "a message is gone that was not acked");
    assert!(cluster.body_chunks().await? > 0, "a body is gone whose message was not acked");

    tablet.ack(&last.id).await?;
    cluster.wait_until_erased().await?;
    traces_say_nothing(&cluster).await?;
    cluster.passed()
}

/// What is left on purpose for some days are traces: of these messages, and without what they say.
async fn traces_say_nothing(cluster: &Cluster) -> Result<()> {
    let packs: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT pack FROM trace_pack").fetch_all(&mut cluster.database().await?).await?;
    assert!(!packs.is_empty(), "no trace is left");
    for pack in packs {
        for said in ["small", "xxxxxxxx"] {
            let found = pack.windows(said.len()).any(|octets| octets == said.as_bytes());
            assert!(!found, "a trace has what a message says");
        }
    }
    Ok(())
}

/// Goal: what is committed leaves the streams, and what is not stays: when nothing is under way they are empty, up to the
/// very entry that Postgres knows as the last, and so is the journal. Method: load through both gateways, with a take-over
/// in the middle; then, while two clients stay connected and say nothing, look at all streams and at the shards' rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_cluster_holds_nothing() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let load = Load::start(&cluster).await?;
    let serving = load.serving_worker(&cluster).await?;
    cluster.worker(serving).terminate().await?;
    load.flows("with one worker").await?;
    cluster.worker(serving).restart().await?;
    load.flows("with both workers").await?;
    load.finish().await?;

    let empty = async || (cluster.streams().await.ok()?.entries() == 0).then_some(());
    let waited = eventually(WAIT, "the streams to be empty", empty).await;
    let streams = cluster.streams().await?;
    waited.with_context(|| format!("{streams:?}"))?;
    assert_eq!(streams.events.len(), 2, "a stream for each gateway: {streams:?}");
    for stream in &streams.commands {
        let committed = last_committed(&cluster, stream.shard()?).await?;
        assert_eq!(stream.last, committed, "{}: what was not committed is gone, or the reverse", stream.key);
    }
    assert!(!streams.commands.is_empty(), "nothing went through the streams");
    cluster.wait_until_erased().await?;

    ann.post("still there", &[ben.uid()], "still there").await?;
    ben.take("still there").await?;
    cluster.passed()
}

/// The last entry of a shard's command stream that is committed.
async fn last_committed(cluster: &Cluster, shard: i16) -> Result<(u64, u64)> {
    let (ms, seq): (i64, i64) =
        sqlx::query_as("SELECT last_entry_ms, last_entry_seq FROM shard WHERE shard_id = $1")
            .bind(shard)
            .fetch_one(&mut cluster.database().await?)
            .await?;
    Ok((ms.cast_unsigned(), seq.cast_unsigned()))
}
