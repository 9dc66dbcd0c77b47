//! Bodies beyond the inline limit, which go through the body store piece by piece.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tmtp_e2e::{Cluster, Link, Setup, WAIT, post};
use tmtp_testkit::eventually;
use tmtp_wire::{Request, Response};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::pattern::Pattern;

const MIB: u64 = 1 << 20;
/// What a gateway may grow by while a large body, twice as long, goes through it. It holds a chunk or two at a time;
/// what an allocator keeps, and what the TLS layer and the database driver hold, comes on top.
const GROWTH_MAX: u64 = 32 * MIB;

/// Goal: a body of any size goes through unchanged, and no gateway holds much of it. Method: 64 MiB from ann to ben over
/// two gateways, compared octet by octet; the gateways' peaks of memory are compared with those after a body of 1 MiB.
#[tokio::test]
async fn a_large_body_streams() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    send(&mut ann, ben.uid(), "small", MIB).await?;
    receive(&mut ben, MIB).await?;
    let before = [cluster.gateway(0).peak_memory()?, cluster.gateway(1).peak_memory()?];
    send(&mut ann, ben.uid(), "large", 64 * MIB).await?;
    receive(&mut ben, 64 * MIB).await?;
    for (number, before) in before.into_iter().enumerate() {
        let grown = cluster.gateway(number).peak_memory()?.saturating_sub(before);
        assert!(grown < GROWTH_MAX, "gateway {number} has grown by {} KiB", grown >> 10);
    }
    cluster.wait_until_erased().await?;
    cluster.passed()
}

/// Goal: a connection that breaks in the middle of a body leaves nothing behind. Method: ann announces 1 MiB, sends half
/// of it until chunks are stored, and is gone; the chunks go as well, and ben has got nothing.
#[tokio::test]
async fn a_broken_body_leaves_no_trace() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    send_half(&mut ann, ben.uid()).await?;
    wait_for_chunks(&cluster).await?;
    drop(ann);
    cluster.wait_for_no_chunks(WAIT).await?;
    ben.expect_nothing_else().await?;
    cluster.wait_until_erased().await?;
    cluster.passed()
}

/// Goal: what nobody can tidy up any more is swept, and what somebody waits for is not. Method: a gateway is killed in the
/// middle of a body, while another body waits for ben, who is away; one is swept, and ben gets the other.
#[tokio::test]
async fn forgotten_bodies_are_swept() -> Result<()> {
    let cluster = Setup::new()
        .worker_setting("journal.spill_after", "1s")
        .worker_setting("sweep.every", "1s")
        .worker_setting("sweep.older_than", "4s")
        .start()
        .await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let ben = cluster.gateway(1).connect("ben").await?;
    let account = ben.account().clone();
    ben.quit().await?;
    send(&mut ann, &account.uid, "waits", MIB).await?;
    let waiting = cluster.body_chunks().await?;
    send_half(&mut ann, &account.uid).await?;
    let more = async || (cluster.body_chunks().await.ok()? > waiting).then_some(());
    eventually(WAIT, "chunks of the second body", more).await?;
    cluster.gateway(0).kill()?;

    let swept = async || (cluster.body_chunks().await.ok()? == waiting).then_some(());
    eventually(WAIT, "the forgotten chunks to be swept", swept).await?;
    let mut ben = cluster.gateway(1).login("ben", &account).await?;
    receive(&mut ben, MIB).await?;
    cluster.passed()
}

/// Goal: small and large messages of one sender keep their order, although they travel by different ways. Method: ann
/// sends small and large ones in turn, without waiting for acks; acks and deliveries come in that order.
#[tokio::test]
async fn small_and_large_keep_their_order() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let messages: Vec<Vec<u8>> = (0..20_u8)
        .map(|number| vec![number; if number % 2 == 0 { 100 } else { 100_000 + usize::from(number) }])
        .collect();
    for (number, data) in messages.iter().enumerate() {
        ann.client().send(&post(&number.to_string(), &[ben.uid()], data), data).await?;
    }
    for (number, data) in messages.iter().enumerate() {
        let Response::Ack { id, receipt: Some((msg_id, _)), .. } = ann.next().await?.response else {
            anyhow::bail!("something else in place of an ack");
        };
        ensure!(id == number.to_string(), "the ack of {id} in place of {number}");
        let delivery = ben.delivery().await?;
        ensure!(delivery.id == msg_id, "{} in place of message {number}", delivery.id);
        ensure!(delivery.data == *data, "message {number} has changed");
        ben.ack(&delivery.id).await?;
    }
    ben.expect_nothing_else().await?;
    cluster.wait_until_erased().await?;
    cluster.passed()
}

/// Posts a body of this length, and waits for the ack.
pub async fn send(link: &mut Link, to: &str, id: &str, len: u64) -> Result<()> {
    let request = announce(id, to, len);
    let sent = link.client().send_stream(&request, Pattern::new(len));
    timeout(WAIT, sent).await.context("the body was not taken")??;
    link.acked(id).await?;
    Ok(())
}

/// Announces 1 MiB and sends the first half of it.
pub async fn send_half(link: &mut Link, to: &str) -> Result<()> {
    let half = Pattern::new(MIB).take(MIB / 2);
    // The client says that it could not send all; that is the point.
    let short = link.client().send_stream(&announce("half", to, MIB), half).await;
    ensure!(matches!(short, Err(tmtp_client::Error::DataLength { .. })), "{short:?}");
    Ok(())
}

/// Takes a body of this length, compares it, and acks it.
pub async fn receive(link: &mut Link, len: u64) -> Result<()> {
    let mut expected = Pattern::new(len);
    let next = timeout(WAIT, link.client().next_streaming(&mut expected)).await;
    let frame = next.context("the body did not come")??.context("the server closed")?;
    let Response::Delivery { std, .. } = &frame.response else {
        anyhow::bail!("{:?} in place of a body", frame.response);
    };
    ensure!(expected.is_complete() && std.data.len == len, "the body is cut short");
    link.ack(&std.id).await
}

async fn wait_for_chunks(cluster: &Cluster) -> Result<()> {
    let some = async || (cluster.body_chunks().await.ok()? > 0).then_some(());
    eventually(Duration::from_secs(30), "chunks to be stored", some).await
}

fn announce(id: &str, to: &str, len: u64) -> Request {
    let mut request = post(id, &[to], b"");
    if let Request::Post { data, .. } = &mut request {
        data.len = len;
    }
    request
}
