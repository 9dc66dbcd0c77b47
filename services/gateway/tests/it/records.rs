//! How frames lie in TLS records, and that a link reads while it writes: widely used clients depend on both.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tmtp_contract::{Body, Command};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::links::{message, pattern, post};
use crate::rig::{Rig, frame, posted, soon};

/// The most data that a record holds.
const FULL: usize = 16 << 10;
/// What encryption adds to it in TLS 1.3.
const SEAL: usize = 17;

/// The sizes of the records from the server, without what encryption adds.
type Records = Arc<Mutex<Vec<usize>>>;

/// Somebody between client and server who passes everything on and notes the server's records.
async fn listen_in(server: SocketAddr) -> (SocketAddr, Records) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback works");
    let address = listener.local_addr().expect("loopback works");
    let records = Records::default();
    let noted = Arc::clone(&records);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("loopback works");
        let server = TcpStream::connect(server).await.expect("loopback works");
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut head = [0; 5];
        while from_server.read_exact(&mut head).await.is_ok() {
            let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            from_server.read_exact(&mut body).await.expect("loopback works");
            noted.lock().expect("nobody panics with it").push(body.len().saturating_sub(SEAL));
            if to_client.write_all(&head).await.is_err() || to_client.write_all(&body).await.is_err() {
                return;
            }
        }
    });
    (address, records)
}

/// Goal: a small frame is one record, one of some KiB lies in two, and a large body in full records; method: count the
/// records between server and client.
#[tokio::test]
async fn frames_in_records() {
    let mut rig = Rig::start(|_| {}).await;
    let (address, records) = listen_in(rig.connect.address).await;
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
