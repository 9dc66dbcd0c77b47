//! How frames lie in TLS records, and that a link reads while it writes: widely used clients depend on both.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tmtp_client::Frame;
use tmtp_contract::{Body, Command, Event};
use tmtp_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::links::{message, pattern, post};
use crate::rig::{Rig, WAIT, frame, posted, soon};

/// The most data that a record holds.
const FULL: usize = 16 << 10;
/// What encryption adds to it in TLS 1.3.
const SEAL: usize = 17;

/// The sizes of the records from the server, without what encryption adds.
type Records = Arc<Mutex<Vec<usize>>>;

/// Whether anything of the server's is passed on.
type Gate = watch::Sender<bool>;

/// Somebody between client and server who passes everything on, unless told to wait, and notes the server's records.
async fn listen_in(server: SocketAddr) -> (SocketAddr, Records, Gate) {
    let (gate, mut open) = watch::channel(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback works");
    let address = listener.local_addr().expect("loopback works");
    let records = Records::default();
    let noted = Arc::clone(&records);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("loopback works");
        // Takes little at once, so that the server's socket is soon full.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
        let server = socket.connect(server).await.expect("loopback works");
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut head = [0; 5];
        loop {
            open.wait_for(|open| *open).await.expect("the gate outlives the connection");
            if from_server.read_exact(&mut head).await.is_err() {
                return;
            }
            let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            from_server.read_exact(&mut body).await.expect("loopback works");
            noted.lock().expect("nobody panics with it").push(body.len().saturating_sub(SEAL));
            if to_client.write_all(&head).await.is_err() || to_client.write_all(&body).await.is_err() {
                return;
            }
        }
    });
    (address, records, gate)
}

/// In how many records each frame's data lies, counted from the one in which its header ends. The frames begin with
/// the first record.
fn spans(records: &[usize], frames: &[Frame]) -> Vec<usize> {
    let record_of = |octet: usize| {
        let mut end = 0;
        let record = records.iter().position(|len| {
            end += len;
            octet < end
        });
        record.expect("all that came was noted")
    };
    let mut begin = 0;
    let span = |frame: &Frame| {
        let data = begin + 4 + frame.raw.len();
        begin = data + frame.data.len();
        record_of(begin - 1) - record_of(data - 1) + 1
    };
    frames.iter().map(span).collect()
}

/// Goal: a small frame is one record, one of some KiB lies in two, and a large body in full records; method: count the
/// records between server and client.
#[tokio::test]
async fn frames_in_records() {
    let mut rig = Rig::start(|_| {}).await;
    let (address, records, _gate) = listen_in(rig.connect.address).await;
    rig.connect.address = address;
    let (mut client, session) = rig.login(1).await;
    let take = || std::mem::take(&mut *records.lock().unwrap());
    take();

    for (id, len, at_most) in [(1, 420, 1), (2, 30_000, 2)] {
        let data = Bytes::from(pattern(len));
        rig.home.deliver(session, 1, message(id, Body::Inline(data.clone()), len as u64)).await;
        assert!(frame(&mut client).await.data == data);
        let records = take();
        assert!(records.len() <= at_most, "{len} octets in {records:?}");
    }

    let data = pattern(3_000_000);
    client.send(&post("p", data.len()), &data).await.unwrap();
    let sent = rig.home.command().await;
    let Command::Post { body: Body::Stored(stored), .. } = sent.command else { panic!("{sent:?}") };
    rig.home.answer(&sent, posted(1)).await;
    soon("an ack", client.expect_ack("p")).await.unwrap();
    take();
    rig.home.deliver(session, 1, message(3, Body::Stored(stored), stored.len)).await;
    assert!(frame(&mut client).await.data == data);
    let records = take();
    let full = records.iter().filter(|len| **len == FULL).count();
    // The header, and what is left at the end of each chunk of the store.
    assert!(full * FULL > data.len() * 9 / 10 && records.len() <= full + 8, "{records:?}");
    rig.abort().await;
}

/// Goal: data of up to two records lies in two, whatever is before it and however slowly it is taken; method: frames of
/// all sizes in line at the same time, then more of them than all buffers hold, while nothing is passed on.
#[tokio::test]
async fn gathered_frames_in_records() {
    let mut rig = Rig::start(|_| {}).await;
    let (address, records, gate) = listen_in(rig.connect.address).await;
    rig.connect.address = address;
    let (mut client, session) = rig.login(1).await;
    let sizes = [420, 500, 15_900, 16_500, 30_000, 100, 32_000, 9_000, 31_000, 1, 20_000];
    let (mut id, mut all) = (0, 0.0);
    for (rounds, is_open) in [(1, true), (70, false)] {
        records.lock().unwrap().clear();
        gate.send_replace(is_open);
        for _ in 0..rounds {
            let deliver = |len: &usize| {
                id += 1;
                all += 1.0;
                let message = message(id, Body::Inline(pattern(*len).into()), *len as u64);
                Event::Deliver { session, opened: 1, message: Arc::new(message), trace: None }
            };
            rig.home.say(Vec::new(), sizes.iter().map(deliver).collect()).await;
        }
        let delivered = async || (rig.metric("tmtp_gateway_deliveries_total") >= all).then_some(());
        eventually(WAIT, "deliveries", delivered).await.unwrap();
        gate.send_replace(true);
        let mut frames = Vec::new();
        for len in sizes.iter().cycle().take(sizes.len() * rounds) {
            frames.push(frame(&mut client).await);
            assert!(frames.last().unwrap().data == pattern(*len));
        }
        let spans = spans(&records.lock().unwrap(), &frames);
        assert!(spans.iter().all(|span| *span <= 2), "{spans:?}");
    }
    rig.abort().await;
}

/// Goal: a client that only writes while much is written to it is read all the same; method: deliver more than all
/// buffers hold, and send more than they hold, before anything is read.
#[tokio::test]
async fn reads_while_it_writes() {
    let mut rig = Rig::start(|config| config.limits.write_wait = Duration::from_mins(5)).await;
    let (mut client, session) = rig.login(1).await;
    let data = pattern(8 << 20);
    client.send(&post("p", data.len()), &data).await.unwrap();
    let sent = rig.home.command().await;
    let Command::Post { body: Body::Stored(stored), .. } = sent.command else { panic!("{sent:?}") };
    rig.home.answer(&sent, posted(1)).await;
    for id in 0..4 {
        rig.home.deliver(session, 1, message(id, Body::Stored(stored), stored.len)).await;
    }
    let pulses = b"0009{\"op\":11}".repeat(100_000);
    for _ in 0..16 {
        let sending = timeout(Duration::from_secs(30), client.send_raw(&pulses)).await;
        sending.expect("the server does not read while it writes").unwrap();
    }
    soon("an ack", client.expect_ack("p")).await.unwrap();
    for _ in 0..4 {
        assert!(frame(&mut client).await.data == data);
    }
    rig.abort().await;
}

/// Goal: a client that takes nothing for a while is not cut off because somebody wants its node; method: for one more than
/// all buffers hold, for another a little more than its machine takes; a probe of both, and nothing is read until it is
/// over; then everything is there.
#[tokio::test]
async fn a_probe_does_not_cut_a_slow_client_off() {
    let mut rig = Rig::start(|config| config.limits.write_wait = Duration::from_mins(5)).await;
    let (mut client, session) = rig.login(1).await;
    let data = pattern(8 << 20);
    client.send(&post("p", data.len()), &data).await.unwrap();
    let sent = rig.home.command().await;
    let Command::Post { body: Body::Stored(stored), .. } = sent.command else { panic!("{sent:?}") };
    rig.home.answer(&sent, posted(1)).await;
    for id in 0..4 {
        rig.home.deliver(session, 1, message(id, Body::Stored(stored), stored.len)).await;
    }
    let (address, _records, gate) = listen_in(rig.connect.address).await;
    rig.connect.address = address;
    let (mut other, little) = rig.login(2).await;
    gate.send_replace(false);
    for id in 0..10 {
        let body = Body::Inline(pattern(20_000).into());
        rig.home.deliver(little, 1, message(id, body, 20_000)).await;
    }
    let out = std::cell::Cell::new(0.0);
    let stopped = async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = rig.metric("tmtp_gateway_body_octets_out_total");
        let all = rig.metric("tmtp_gateway_deliveries_total") >= 14.0;
        (all && now > 0.0 && out.replace(now) >= now).then_some(())
    };
    eventually(WAIT, "the links to stop", stopped).await.unwrap();
    let probes = [session, little].map(|session| Event::Probe { session });
    rig.home.say(Vec::new(), probes.into()).await;
    // That nothing happens can only be seen by waiting: longer than a machine has to answer.
    tokio::time::sleep(Duration::from_secs(8)).await;
    soon("an ack", client.expect_ack("p")).await.unwrap();
    for _ in 0..4 {
        assert!(frame(&mut client).await.data == data);
    }
    gate.send_replace(true);
    for _ in 0..10 {
        assert!(frame(&mut other).await.data == pattern(20_000));
    }
    rig.abort().await;
}
