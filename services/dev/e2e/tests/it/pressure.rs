//! Back-pressure: what nobody takes is not gathered, but left with those who send it (invariant I8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use tmtp_client::{Receiver, Sender};
use tmtp_domain::Registration;
use tmtp_e2e::{Cluster, Link, Setup, WAIT, post};
use tmtp_testkit::eventually;
use tmtp_wire::Response;
use tokio::time::timeout;

/// Posts of the flood. Together they are more than the buffers of a connection take.
const POSTS: usize = 2_000;
/// Octets of a post: below the inline limit, so that every one of them is a command as a whole.
const OCTETS: usize = 30_000;
/// Octets of unanswered commands of one client beyond which it is not read: the default of `limits.unanswered_octets_max`.
const UNANSWERED_MAX: usize = 256 << 10;
/// Looks, 50 ms apart at last, at which nothing may have changed before everything counts as standing still. Together they
/// are several times as long as a gateway waits for answers here.
const LOOKS: usize = 80;
/// What the gateway may grow by: half of the flood. Expected is what is unanswered, in a few copies, and what the allocator
/// adds to that.
const GROWTH_MAX: u64 = (POSTS * OCTETS / 2) as u64;

/// Goal: with no worker at work, a client that posts as fast as it can is slowed down; gateways and streams hold a bounded
/// part of that, and once; nobody loses the connection; and in the end everything is answered and delivered, once. Method:
/// stop both workers (SIGSTOP), flood, and wait until nothing goes into the socket and into the streams any more, for much
/// longer than the gateway waits for answers; look at sizes; look whether others are still connected and greeted; wake the
/// workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_workers_slow_their_clients() -> Result<()> {
    let cluster = Setup::new()
        .gateway_setting("limits.republish_after", "1s")
        // Nothing may be sent twice to a device, however long the test takes.
        .gateway_setting("limits.redeliver_after", "10m")
        .start()
        .await?;
    cluster.add_site("Second", &["second.test"], Registration::Open).await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut eve = cluster.gateway(0).at("second.test").connect("eve").await?;
    let mut fay = cluster.gateway(1).at("second.test").connect("fay").await?;
    ann.request(&post("warm", &[ben.uid()], &data(0)), &data(0)).await?;
    let warm = ben.delivery().await?;
    ben.ack(&warm.id).await?;
    eve.post("before", &[fay.uid()], "before").await?;
    fay.take("before").await?;
    let before = [cluster.gateway(0).peak_memory()?, cluster.gateway(1).peak_memory()?];

    pause(&cluster, true)?;
    let written = Arc::new(AtomicUsize::new(0));
    let ben_uid = ben.uid().to_owned();
    let (acks, sender) = ann.into_client().split();
    let flood = tokio::spawn(flood(sender, ben_uid, Arc::clone(&written)));
    eve.client().send(&post("meanwhile", &[fay.uid()], b"meanwhile"), b"meanwhile").await?;
    wait_until_still(&cluster, &written).await?;
    ensure!(!flood.is_finished(), "all was taken: {} posts", written.load(Ordering::Relaxed));
    let read = posts_read(&cluster).await?;
    ensure!(read <= UNANSWERED_MAX / OCTETS + 2, "the gateway goes on reading: {read} posts");
    let octets = usize::try_from(cluster.streams().await?.octets())?;
    ensure!(octets < 2 * (UNANSWERED_MAX + OCTETS), "{octets} octets are in the streams");
    for (number, before) in before.into_iter().enumerate() {
        let gateway = cluster.gateway(number);
        let grown = gateway.peak_memory()? - before;
        ensure!(grown < GROWTH_MAX, "{} has grown by {} KiB", gateway.name(), grown >> 10);
        gateway.greeting().await.context("a newcomer is not even greeted")?;
    }

    pause(&cluster, false)?;
    let (acked, taken) = tokio::try_join!(take_acks(acks), take_flood(&mut ben))?;
    ensure!(acked == taken, "acks and deliveries differ");
    let _still_connected = flood.await??;
    eve.acked("meanwhile").await?;
    fay.take("meanwhile").await?;
    for link in [&mut ben, &mut eve, &mut fay] {
        link.expect_nothing_else().await?;
    }
    cluster.passed()
}

/// Posts as fast as it goes.
async fn flood(mut sender: Sender, to: String, written: Arc<AtomicUsize>) -> Result<Sender> {
    for number in 0..POSTS {
        let data = data(number);
        sender.send(&post(&number.to_string(), &[&to], &data), &data).await?;
        written.fetch_add(1, Ordering::Relaxed);
    }
    Ok(sender)
}

/// Takes all acks, which have to be successes in the order of the posts. Gives the ids of the messages.
async fn take_acks(mut acks: Receiver) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0..POSTS {
        let frame = timeout(WAIT, acks.next()).await.context("no ack")??.context("closed")?;
        match frame.response {
            Response::Ack { id, receipt: Some((msg_id, _)), error: None } if id == number.to_string() => {
                ids.push(msg_id.into_owned());
            }
            other => anyhow::bail!("{other:?} in place of the ack of post {number}"),
        }
    }
    Ok(ids)
}

/// Takes and acks all messages, in the order of the posts. Gives their ids.
async fn take_flood(ben: &mut Link) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0..POSTS {
        let delivery = ben.delivery().await?;
        ensure!(delivery.data == data(number), "something else in place of message {number}");
        ben.ack(&delivery.id).await?;
        ids.push(delivery.id);
    }
    Ok(ids)
}

fn data(number: usize) -> Vec<u8> {
    format!("{number:0>OCTETS$}").into_bytes()
}

fn pause(cluster: &Cluster, pause: bool) -> Result<()> {
    for number in 0..cluster.workers() {
        let worker = cluster.worker(number);
        if pause { worker.pause()? } else { worker.resume()? }
    }
    Ok(())
}

/// Waits until neither the sockets nor the streams take any more: at many looks in a row they hold the same.
async fn wait_until_still(cluster: &Cluster, written: &AtomicUsize) -> Result<()> {
    let (mut last, mut same) = ((0, 0), 0);
    let still = async || {
        let now = (written.load(Ordering::Relaxed), cluster.streams().await.ok()?.entries());
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (now.0 > 0 && same >= LOOKS).then_some(())
    };
    eventually(WAIT, "the flood to stand still", still).await
}

/// Posts that the first gateway has read since the flood began.
async fn posts_read(cluster: &Cluster) -> Result<usize> {
    // Two of ann and eve before the flood; eve's other one may be among them or not.
    let posts = cluster.gateway(0).metric(r#"tmtp_gateway_frames_in_total{op="post"}"#).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    Ok(posts as usize - 2)
}
