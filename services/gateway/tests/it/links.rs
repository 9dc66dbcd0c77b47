//! Links: what goes through them, and how they end.

use std::time::Duration;

use bytes::Bytes;
use tmtp_client::{Client, Connect};
use tmtp_contract::{Answer, Body, Command, Content, DataInfo, Message};
use tmtp_domain::{MsgId, Posted, SiteStatus, Uid};
use tmtp_wire::{Recipient, Request, Response};

use crate::rig::{Rig, frame, posted, site, soon};

/// A post of so many octets.
pub fn post(id: &str, len: usize) -> Request {
    let recipients = vec![Recipient { id: Uid([2; 20]).to_string(), kind: 1 }];
    let data = tmtp_wire::DataInfo { len: len as u64, head: 0, sum: 0 };
    Request::Post { id: id.into(), recipients, data }
}

/// A message with this data.
pub fn message(id: u64, body: Body, len: u64) -> Message {
    Message {
        id: MsgId(id),
        posted: Posted(0),
        from: Uid([2; 20]),
        content: Content::Delivery { notify: 0 },
        data: DataInfo { len, head: 0, sum: 0 },
        body,
    }
}

/// Data that shows when pieces change places.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index * 7 % 251).expect("less than 251")).collect()
}

/// Goal: a whole life of a link; method: login, post, delivery, ack, quit, each seen from both ends. The client sees
/// `quit` only when the home has freed the node.
#[tokio::test]
async fn a_life() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, session) = rig.login(1).await;
    client.send(&post("p", 5), b"hello").await.unwrap();
    let sent = rig.home.command().await;
    let Command::Post { body, .. } = &sent.command else { panic!("{sent:?}") };
    assert_eq!((sent.session, sent.seq, body), (session, 2, &Body::Inline(Bytes::from_static(b"hello"))));
    rig.home.answer(&sent, posted(0xAB)).await;
    assert_eq!(soon("an ack", client.expect_ack("p")).await.unwrap().msg_id, "00000000000000ab");

    rig.home.deliver(session, 1, message(5, Body::Inline(Bytes::from_static(b"hi")), 2)).await;
    let delivery = frame(&mut client).await;
    assert!(matches!(delivery.response, Response::Delivery { .. }));
    assert_eq!(delivery.data, b"hi");
    client.ack("0000000000000005").await.unwrap();
    let acks = rig.home.command().await;
    assert_eq!((acks.seq, &acks.command), (3, &Command::Acks { ids: vec![MsgId(5)] }));

    client.send(&Request::Quit, b"").await.unwrap();
    let detach = rig.home.command().await;
    assert_eq!((detach.seq, &detach.command), (4, &Command::Detach));
    rig.home.done(&detach).await;
    let quit = frame(&mut client).await.response;
    assert_eq!(quit, Response::Quit { error: "logout ok".into() });
    assert_eq!(soon("the end", client.next()).await.unwrap(), None, "a proper end of the TLS stream");
    rig.abort().await;
}

/// Goal: a large body goes through the store and back unchanged, and the link serves meanwhile; method: post a few
/// MiB, deliver what the command refers to, with another message behind it.
#[tokio::test]
async fn a_large_body() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, session) = rig.login(1).await;
    let data = pattern(3_000_001);
    client.send(&post("p", data.len()), &data).await.unwrap();
    let sent = rig.home.command().await;
    let Command::Post { body: Body::Stored(stored), .. } = sent.command else { panic!("{sent:?}") };
    assert_eq!(stored.len, 3_000_001);
    rig.home.answer(&sent, posted(1)).await;
    soon("an ack", client.expect_ack("p")).await.unwrap();

    rig.home.deliver(session, 1, message(5, Body::Stored(stored), stored.len)).await;
    rig.home.deliver(session, 1, message(6, Body::Inline(Bytes::from_static(b"hi")), 2)).await;
    assert!(frame(&mut client).await.data == data, "the body has changed");
    assert_eq!(frame(&mut client).await.data, b"hi");
    rig.abort().await;
}

/// Goal: a client that goes in the middle of an upload leaves no trace; method: send half of a body and drop the
/// connection: the home sees a detach and no post.
#[tokio::test]
async fn half_an_upload() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, session) = rig.login(1).await;
    let mut octets = Vec::new();
    post("p", 1_000_000).encode(&mut octets).unwrap();
    octets.extend(pattern(500_000));
    client.send_raw(&octets).await.unwrap();
    drop(client);
    let detach = rig.home.command().await;
    assert_eq!((detach.session, &detach.command), (session, &Command::Detach));
    rig.home.done(&detach).await;
    rig.abort().await;
}

/// Goal: the quit frame reaches a client that goes on sending; method: a bad header with half a MiB behind it.
#[tokio::test]
async fn quit_survives_unread_input() {
    let rig = Rig::start(|_| {}).await;
    let (mut client, _) = soon("a greeting", Client::open(&rig.connect)).await.unwrap();
    let mut octets = b"zzzz".to_vec();
    octets.extend(pattern(500_000));
    client.send_raw(&octets).await.unwrap();
    let quit = frame(&mut client).await.response;
    assert_eq!(quit, Response::Quit { error: "invalid header length".into() });
    assert_eq!(soon("the end", client.next()).await.unwrap(), None);
    rig.abort().await;
}

/// Goal: the login has its time, the handshake included, and then ends without a word; method: a client that says
/// nothing, and one that does not even shake hands.
#[tokio::test]
async fn no_login() {
    let rig = Rig::start(|config| config.limits.login_within = Duration::from_millis(300)).await;
    let mut client = soon("a handshake", Client::connect(&rig.connect)).await.unwrap();
    assert_eq!(soon("the end", client.next()).await.unwrap(), None);
    let mut socket = tokio::net::TcpStream::connect(rig.connect.address).await.unwrap();
    let mut buffer = [0; 16];
    let read = soon("the end", tokio::io::AsyncReadExt::read(&mut socket, &mut buffer)).await;
    assert_eq!(read.unwrap_or(0), 0);
    rig.abort().await;
}

/// Goal: a client that takes nothing is reset, never cut within a TLS record, and its node becomes free; method:
/// deliver more than all buffers hold to a client that does not read, then look at how its stream ends.
#[tokio::test]
async fn a_stalled_client() {
    let mut rig = Rig::start(|config| config.limits.write_wait = Duration::from_millis(500)).await;
    let (mut client, session) = rig.login(1).await;
    let data = pattern(8 << 20);
    client.send(&post("p", data.len()), &data).await.unwrap();
    let sent = rig.home.command().await;
    let Command::Post { body: Body::Stored(stored), .. } = sent.command else { panic!("{sent:?}") };
    rig.home.answer(&sent, posted(1)).await;
    for id in 0..8 {
        rig.home.deliver(session, 1, message(id, Body::Stored(stored), stored.len)).await;
    }
    let detach = rig.home.command().await;
    assert_eq!(detach.command, Command::Detach);
    rig.home.done(&detach).await;
    let end = soon("the end", async {
        loop {
            match client.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    })
    .await;
    assert!(matches!(end, Some(tmtp_client::Error::Read(_))), "{end:?}");
    rig.abort().await;
}

/// Goal: only sites get through the handshake, and a site that is suspended loses its clients within seconds;
/// method: no name and a foreign name; then suspend the site under a client.
#[tokio::test]
async fn only_sites_are_served() {
    let mut rig = Rig::start(|_| {}).await;
    for server_name in [None, Some("other.example".to_owned())] {
        let connect = Connect { server_name, ..rig.connect.clone() };
        assert!(soon("a refusal", Client::open(&connect)).await.is_err());
    }
    let (mut client, _) = rig.login(1).await;
    rig.bus.publish_sites(&[site(SiteStatus::Suspended, 2)], 2).await.unwrap();
    let detach = rig.home.command().await;
    assert_eq!(detach.command, Command::Detach);
    rig.home.done(&detach).await;
    assert!(matches!(frame(&mut client).await.response, Response::Quit { .. }));
    assert!(soon("a refusal", Client::open(&rig.connect)).await.is_err());
    rig.abort().await;
}

/// Goal: more clients than there is room for are refused at once, and room is made by those that go; method: room
/// for one.
#[tokio::test]
async fn too_many_links() {
    let mut rig = Rig::start(|config| config.limits.links_max = 1).await;
    let (client, _) = rig.login(1).await;
    assert!(soon("a refusal", Client::open(&rig.connect)).await.is_err());
    drop(client);
    let detach = rig.home.command().await;
    rig.home.answer(&detach, Answer::Done).await;
    let again =
        tmtp_testkit::eventually(crate::rig::WAIT, "room", async || Client::open(&rig.connect).await.ok());
    again.await.unwrap();
    rig.abort().await;
}

/// Goal: a gateway is not ready before it has looked at everything that it needs; method: what it says of itself at the
/// moment when it is ready.
#[tokio::test]
async fn ready_means_looked_at() {
    let rig = Rig::start(|_| {}).await;
    let checks: Vec<(&str, &str)> =
        rig.ready.checks.iter().map(|(name, state)| (*name, state.as_str())).collect();
    assert_eq!(
        checks.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["bodies", "bus", "certificates", "drain", "redis policy"]
    );
    assert!(checks.iter().all(|(_, state)| *state == "ok"), "{checks:?}");
    rig.abort().await;
}
