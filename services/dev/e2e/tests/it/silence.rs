//! Peers that go silent, or deaf, in the middle of something. The deadlines are short here; what they are by default, and
//! a link that goes silent before its login, are looked at elsewhere.

use anyhow::{Context as _, Result};
use tmtp_client::Client;
use tmtp_e2e::{End, Setup, WAIT, end_of, post};
use tmtp_testkit::eventually;
use tmtp_wire::{Request, Response};
use tokio::time::timeout;

/// Goal: a link on which nothing comes is ended in silence, wherever it had got to, and leaves nothing behind; a pulse is
/// enough to stay. Method: with two seconds in place of two minutes, one client says nothing after its login, one stops
/// in the middle of a header, one in the middle of a small body, one of a large one; a fifth sends pulses and
/// outlives them all. Then their nodes are free, and nobody got anything.
#[tokio::test]
async fn a_pulse_keeps_a_link_and_half_a_frame_does_not() -> Result<()> {
    let cluster = Setup::new().workers(1).gateway_setting("limits.silence_max", "2s").start().await?;
    let mut alive = cluster.gateway(1).connect("alive").await?;
    let body = |announced: usize, sent: usize| {
        let header = format!(
            r#"{{"op":7,"id":"half","for":[{{"id":"{}","type":1}}],"datalen":{announced}}}"#,
            alive.uid()
        );
        [format!("{:04x}{header}", header.len()).into_bytes(), vec![b'x'; sent]].concat()
    };
    let unfinished = [Vec::new(), body(1, 0)[..20].to_vec(), body(1_000, 999), body(1_000_000, 300_000)];
    let (mut accounts, mut ends) = (Vec::new(), Vec::new());
    for octets in unfinished {
        let mut link = cluster.gateway(0).connect("silent").await?;
        link.client().send_raw(&octets).await?;
        accounts.push(link.account().clone());
        ends.push(async move { end_of(link.client()).await });
    }
    let mut ends = Box::pin(futures::future::try_join_all(ends));
    let ends = loop {
        alive.client().send(&Request::Pulse, b"").await?;
        // A pause between pulses, which also ends when there is nothing left to wait for.
        let pause = std::time::Duration::from_millis(200);
        if let Ok(ends) = timeout(pause, &mut ends).await {
            break ends?;
        }
    };
    assert_eq!(ends, vec![End::Closed; accounts.len()]);
    for account in &accounts {
        let login = async || cluster.gateway(1).try_login(account).await.ok();
        eventually(WAIT, "the node of a silent client to be free", login).await?;
    }
    alive.expect_nothing_else().await?;
    cluster.wait_for_no_chunks(WAIT).await?;
    cluster.passed()
}

/// Goal: a client that takes nothing is cut off, although it goes on sending; its node is free then and has everything.
/// Method: with two seconds in place of a minute, deaf gets more than sockets hold, reads nothing and sends pulses
/// until that fails; it logs in again and gets it all.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() -> Result<()> {
    const COUNT: usize = 3;
    // More than the buffers of a connection can grow to.
    const OCTETS: usize = 12 << 20;
    let cluster = Setup::new().workers(1).gateway_setting("limits.write_wait", "2s").start().await?;
    let mut ann = cluster.gateway(1).connect("ann").await?;
    let mut deaf = cluster.gateway(0).connect("deaf").await?;
    let account = deaf.account().clone();
    let data = vec![b'x'; OCTETS];
    for number in 0..COUNT {
        ann.request(&post(&number.to_string(), &[&account.uid], &data), &data).await?;
    }
    let cut = async || deaf.client().send(&Request::Pulse, b"").await.err();
    eventually(WAIT, "the deaf client to be cut off", cut).await?;

    let login = async || cluster.gateway(1).try_login(&account).await.ok();
    let mut again = eventually(WAIT, "the node to be free", login).await?;
    for _ in 0..COUNT {
        take(&mut again, &data).await?;
    }
    ann.expect_nothing_else().await?;
    cluster.passed()
}

/// The next frame has to be a delivery of this. It is acked.
async fn take(client: &mut Client, data: &[u8]) -> Result<()> {
    let frame = timeout(WAIT, client.next()).await.context("nothing came")??.context("closed")?;
    let Response::Delivery { std, .. } = &frame.response else {
        anyhow::bail!("got {:?} in place of a delivery", frame.response);
    };
    anyhow::ensure!(frame.data == data, "the data has changed");
    Ok(client.ack(&std.id).await?)
}
