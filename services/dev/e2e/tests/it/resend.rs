//! Requests that are sent again, as real clients do after 15 seconds without an ack.

use std::time::{Duration, Instant};

use anyhow::Result;
use tmtp_e2e::{Setup, WAIT, post};
use tmtp_testkit::eventually;
use tmtp_wire::Request;

/// Goal: a request that is sent again is recognised, wherever and whenever it comes. Method: the same octets again on the
/// same connection, twice in one go, on a new connection, and through the other gateway; one ack each, all equal, and
/// one message.
#[tokio::test]
async fn a_resent_request_is_one_message() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let ann = cluster.gateway(0).connect("ann").await?;
    let account = ann.account().clone();
    let request = post("resent", &[ben.uid()], b"once");
    let mut receipts = Vec::new();
    let mut ann = ann;
    for gateway in [0, 1] {
        receipts.push(ann.request(&request, b"once").await?);
        for _ in 0..2 {
            ann.client().send(&request, b"once").await?;
        }
        for _ in 0..2 {
            receipts.push(ann.acked("resent").await?);
        }
        ann.quit().await?;
        ann = cluster.gateway(gateway).login("ann", &account).await?;
        ann.take_login_notice().await?;
    }
    receipts.push(ann.request(&request, b"once").await?);
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    assert_eq!(ben.take("once").await?.id, receipts[0].msg_id);
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: only equal requests are one. Method: under one id ann sends another text, the same to somebody else, and what
/// her tablet sent before.
#[tokio::test]
async fn another_content_is_another_message() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut tablet = crate::delivery::second_device(&cluster, &mut ann).await?;
    let (ann_uid, ben_uid) = (ann.uid().to_owned(), ben.uid().to_owned());
    let mut ids = Vec::new();
    for (text, to) in [("one", &ben_uid), ("two", &ben_uid), ("two", &ann_uid)] {
        ids.push(ann.post("id", &[to], text).await?.msg_id);
    }
    ids.push(tablet.post("id", &[&ben_uid], "one").await?.msg_id);
    assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
    for text in ["one", "two", "one"] {
        ben.take(text).await?;
    }
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: a refused request leaves its id free. Method: ann posts to nobody's uid, then to ben under the same id; and asks
/// for an alias that is taken, then for another one under the same id.
#[tokio::test]
async fn an_id_can_be_used_again_after_an_error() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect_as("ben", "ben is here").await?;
    assert!(ann.refused(&post("p", &["nobody"], b"text"), b"text").await?.contains("not found"));
    let receipt = ann.request(&post("p", &[ben.uid()], b"text"), b"text").await?;
    assert_eq!(ben.take("text").await?.id, receipt.msg_id);

    let alias =
        |alias: &str| Request::UserEdit { id: "l".into(), new_node: None, new_alias: Some(alias.into()) };
    assert!(ann.refused(&alias("ben is here"), b"").await?.contains("already taken"));
    ann.request(&alias("ann is here"), b"").await?;
    cluster.passed()
}

/// Goal: a new node that is asked for twice is made once. Method: the same request again gets the same ack, and no second
/// message about a node comes.
#[tokio::test]
async fn a_resent_edit_has_one_effect() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let request = Request::UserEdit { id: "n".into(), new_node: Some("tablet".into()), new_alias: None };
    for _ in 0..2 {
        ann.request(&request, b"").await?;
    }
    crate::nodes::take_new_node(&mut ann, "tablet").await?;
    ann.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: a request is recognised within the window, also by a worker that has taken over meanwhile, and is a new one
/// beyond it. Method: a window of some seconds; the same request again at once, then again after the kill of the only
/// worker, then again when more time has passed than the window has.
#[tokio::test]
async fn a_request_is_recognised_within_the_window() -> Result<()> {
    const WINDOW: Duration = Duration::from_secs(12);
    let cluster = Setup::new()
        .gateways(1)
        .workers(1)
        .worker_setting("delivery.dedupe_window", "12s")
        .worker_setting("journal.spill_after", "500ms")
        .worker_setting("shards.lease", "1s")
        .worker_setting("shards.heartbeat", "200ms")
        .start()
        .await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(0).connect("ben").await?;
    let request = post("again", &[ben.uid()], b"text");
    let first = ann.request(&request, b"text").await?;
    let posted = Instant::now();
    assert_eq!(ben.take("text").await?.id, first.msg_id);
    assert_eq!(ann.request(&request, b"text").await?, first);

    // Into the rows, and then to a life of the worker that knows nothing else.
    let spilled = async || (cluster.store.waiting().await.ok()?.journal == 0).then_some(());
    eventually(WAIT, "an empty journal", spilled).await?;
    cluster.worker(0).kill()?;
    cluster.worker(0).restart().await?;
    let again = ann.request(&request, b"text").await?;
    if posted.elapsed() < WINDOW {
        assert_eq!(again, first, "the new life of the worker does not know the request");
    } else {
        anyhow::bail!("too slow to show anything: the window was over before the worker was back");
    }
    ben.expect_nothing_else().await?;

    eventually(WAIT, "the end of the window", async || (posted.elapsed() > WINDOW).then_some(())).await?;
    let late = ann.request(&request, b"text").await?;
    assert!(late.msg_id > first.msg_id, "still {late:?}");
    assert_eq!(ben.take("text").await?.id, late.msg_id);
    cluster.passed()
}
