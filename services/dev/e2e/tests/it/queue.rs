//! Queues of nodes: order, what is sent again, and what is not.

use anyhow::Result;
use tmtp_e2e::{Cluster, Link, Setup};

/// Goal: what was sent while a device was away waits for it, in order, with the login notice behind. Method: ben leaves,
/// gets twenty messages, and comes back through the other gateway, before and after they became rows.
#[tokio::test]
async fn messages_wait_for_a_device() -> Result<()> {
    let cluster = Setup::new().worker_setting("journal.spill_after", "1s").start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(0).connect("ben").await?;
    for (round, gateway) in [1, 0, 1].into_iter().enumerate() {
        let account = ben.account().clone();
        ben.quit().await?;
        let texts: Vec<String> = (0..20).map(|n| format!("{round}/{n}")).collect();
        for text in &texts {
            ann.post(text, &[&account.uid], text).await?;
        }
        if round > 0 {
            wait_for_rows(&cluster, 20).await?;
        }
        ben = cluster.gateway(gateway).login("ben", &account).await?;
        let mut last = String::new();
        for text in &texts {
            let delivery = ben.take(text).await?;
            assert!(delivery.id > last, "{} behind {last}", delivery.id);
            last = delivery.id;
        }
        ben.take_login_notice().await?;
        ben.expect_nothing_else().await?;
    }
    cluster.passed()
}

/// Goal: what was not acked comes again, unchanged, and what was acked does not. Method: of four messages ben acks the
/// first and the third, and cuts the connection; then he comes back, on the other gateway and then on the first.
#[tokio::test]
async fn only_what_was_not_acked_comes_again() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(0).connect("ben").await?;
    let account = ben.account().clone();
    for text in ["one", "two", "three", "four"] {
        ann.post(text, &[&account.uid], text).await?;
    }
    let mut came = Vec::new();
    for _ in 0..4 {
        came.push(ben.delivery().await?);
    }
    ben.ack(&came[0].id).await?;
    ben.ack(&came[2].id).await?;
    // Its own post is handled behind the acks, so they have arrived when its ack comes.
    ben.post("barrier", &[ann.uid()], "barrier").await?;
    drop(ben);

    let mut ben = reconnect(&cluster, 1, &account).await?;
    for expected in [&came[1], &came[3]] {
        assert_eq!(ben.delivery().await?, *expected);
    }
    ben.ack(&came[1].id).await?;
    ben.take_login_notice().await?;
    ben.post("barrier 2", &[ann.uid()], "barrier").await?;
    drop(ben);

    let mut ben = reconnect(&cluster, 0, &account).await?;
    assert_eq!(ben.delivery().await?, came[3]);
    ben.ack(&came[3].id).await?;
    ben.take_login_notice().await?;
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: what a connected device does not ack is sent to it again. Method: with two seconds in place of thirty, ben
/// leaves two messages unacked, gets both again on the same connection, as often as he likes, and acks them.
#[tokio::test]
async fn unacked_messages_are_sent_again() -> Result<()> {
    let cluster = Setup::new().gateway_setting("limits.redeliver_after", "2s").start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    for text in ["one", "two"] {
        ann.post(text, &[ben.uid()], text).await?;
    }
    let first = [ben.delivery().await?, ben.delivery().await?];
    for _ in 0..2 {
        assert_eq!([ben.delivery().await?, ben.delivery().await?], first);
    }
    ben.ack(&first[0].id).await?;
    assert_eq!(ben.delivery().await?, first[1], "only what is not acked");
    ben.ack(&first[1].id).await?;
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: what is urgent comes before what is not, and each of both in its order. Method: while ben's tablet is away, ann
/// posts and ben's phone takes aliases in turn; the tablet gets the aliases first, then the posts, then its login
/// notice; once from memory, once from rows, and once from both.
#[tokio::test]
async fn urgent_messages_come_first() -> Result<()> {
    let cluster = Setup::new().worker_setting("journal.spill_after", "1s").start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(0).connect("ben").await?;
    let mut tablet = crate::delivery::second_device(&cluster, &mut ben).await?;
    for round in 0..3 {
        let account = tablet.account().clone();
        tablet.quit().await?;
        let (mut urgent, mut posted) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let text = format!("number {number} of round {round}");
            posted.push(ann.post(&text, &[ben.uid()], &text).await?.msg_id);
            ben.take(&text).await?;
            urgent.push(crate::nodes::new_alias(&mut ben, &text).await?);
            // In the last round the first half become rows, and the second half stay in memory.
            if round == 1 && number == 3 || round == 2 && number == 1 {
                wait_for_rows(&cluster, 2 * (number + 1)).await?;
            }
        }
        tablet = cluster.gateway(1).login("tablet", &account).await?;
        for expected in urgent.iter().chain(&posted) {
            let frame = tablet.message().await?;
            let id = frame.response.std().map(|std| std.id.clone().into_owned()).unwrap_or_default();
            assert_eq!(id, *expected, "round {round}: {urgent:?}, then {posted:?}");
            tablet.ack(&id).await?;
        }
        tablet.take_login_notice().await?;
        ben.take_login_notice().await?;
        tablet.expect_nothing_else().await?;
        ben.take(&tmtp_e2e::barrier("tablet")).await?;
        assert!(urgent.is_sorted() && posted.is_sorted());
    }
    cluster.passed()
}

/// Waits until this many messages are rows.
async fn wait_for_rows(cluster: &Cluster, count: i64) -> Result<()> {
    let spilled = async || (cluster.store.waiting().await.ok()?.messages >= count).then_some(());
    tmtp_testkit::eventually(tmtp_e2e::WAIT, "messages to become rows", spilled).await
}

/// Logs in as soon as the old connection's end has been noticed.
async fn reconnect(cluster: &Cluster, gateway: usize, account: &tmtp_client::Account) -> Result<Link> {
    let login = async || cluster.gateway(gateway).login("ben", account).await.ok();
    tmtp_testkit::eventually(tmtp_e2e::WAIT, "ben's node to be free", login).await
}
