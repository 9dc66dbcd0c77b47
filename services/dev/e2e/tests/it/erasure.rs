//! What is delivered is forgotten (invariant I9).

use anyhow::Result;
use tmtp_e2e::{Setup, WAIT, post};
use tmtp_testkit::eventually;

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
    cluster.passed()
}
