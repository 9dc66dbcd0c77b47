//! Checks the client against a server that plays scripts over real TLS.
//! It must never wait for time to pass; everything waits for frames, with a deadline.

mod server;

use server::{Peer, Server};
use tmtp_client::{Client, Error};
use tmtp_wire::{DataInfo, Recipient, Request, Response, Std};

fn std_of(id: &str, data: &[u8]) -> Std<'static> {
    Std {
        from: "V".into(),
        id: id.to_owned().into(),
        posted: "2026-01-02T03:04:05.678Z".into(),
        data: DataInfo { len: data.len() as u64, head: 0, sum: 0 },
    }
}

fn delivery(id: &str, data: &[u8]) -> Response<'static> {
    Response::Delivery { std: std_of(id, data), notify: 0 }
}

fn ack(id: &str, msg_id: &str) -> Response<'static> {
    let receipt = Some((msg_id.to_owned().into(), "2026-01-02T03:04:05.678Z".into()));
    Response::Ack { id: id.to_owned().into(), receipt, error: None }
}

/// Answers a login.
async fn log_in(peer: &mut Peer) {
    peer.greet().await;
    assert_eq!(peer.request().await.0, Request::Login { uid: "U".to_owned(), node: "N".to_owned() });
    peer.say(Response::Info { info: "login ok".into(), ohi: vec!["V".into()] }, &[]).await;
}

/// Logs in to a server that plays `script` after its own part of the login.
async fn logged_in<F>(script: impl FnOnce(Peer) -> F + Send + 'static) -> (Client, Server)
where
    F: Future<Output = ()> + Send,
{
    let server = Server::start(|mut peer| async {
        log_in(&mut peer).await;
        script(peer).await;
    })
    .await;
    let (client, info) = Client::login(&server.connect, "U", "N").await.expect("login");
    assert_eq!(info.ohi, ["V"]);
    (client, server)
}

/// A new user gets what it has to remember, and why its alias was refused: registers by host name, with a root.
#[tokio::test]
async fn registering_gives_an_account() {
    let server = Server::start(|mut peer| async move {
        assert_eq!(peer.sni().as_deref(), Some("site.example"));
        peer.greet().await;
        let expected = Request::Register {
            new_node: "x".to_owned(),
            new_alias: "Ann Bell".to_owned(),
            oidc: None,
            invite: None,
        };
        assert_eq!(peer.request().await.0, expected);
        let error = Some("AddAlias: alias Ann Bell already taken".into());
        peer.say(Response::Registered { uid: "U".into(), node_id: "N".into(), error }, &[]).await;
        peer.say(Response::Info { info: "login ok".into(), ohi: Vec::new() }, &[]).await;
        assert_eq!(peer.request().await.0, Request::Quit);
        peer.quit("logout ok").await;
    })
    .await;
    let (client, account) =
        Client::register(&server.connect_by_name, "Ann Bell", "x").await.expect("register");
    assert_eq!((&*account.uid, &*account.node_id), ("U", "N"));
    assert_eq!(account.alias_error.as_deref(), Some("AddAlias: alias Ann Bell already taken"));
    assert!(!format!("{account:?}").contains("node_id"), "the password is not shown");
    client.quit().await.expect("quit");
    server.done().await;
}

/// The greeting says what the site wants, and a bare address sends no SNI: opens, then closes without a word.
#[tokio::test]
async fn opening_gives_a_greeting() {
    let server = Server::start(|mut peer| async move {
        assert_eq!(peer.sni(), None);
        peer.greet().await;
        assert!(peer.rest().await.is_empty());
    })
    .await;
    let (client, greeting) = Client::open(&server.connect).await.expect("open");
    assert_eq!((&*greeting.name, greeting.auth, greeting.auth_by), ("Test", None, None));
    client.close().await.expect("close");
    server.done().await;
}

/// An untrusted certificate ends the handshake: asks for a name that the certificate does not have.
#[tokio::test]
async fn certificates_are_checked() {
    let server = Server::start(|_| async { panic!("the client should not trust us") }).await;
    let mut connect = server.connect_by_name.clone();
    connect.server_name = Some("other.example".to_owned());
    let error = Client::connect(&connect).await.expect_err("wrong name");
    assert!(matches!(error, Error::Handshake { .. }), "{error:?}");
    server.done().await;
}

/// Frames that come before an ack wait for `next`, in their order: posts twice at once, while deliveries come in
/// between and the acks come in the other order.
#[tokio::test]
async fn acks_overtake_deliveries() {
    let (mut client, server) = logged_in(|mut peer| async move {
        for (id, body) in [("p1", &b"{}one"[..]), ("p2", b"two")] {
            let (request, data) = peer.request().await;
            let Request::Post { id: sent, recipients, data: info } = request else { panic!("{request:?}") };
            assert_eq!((&*sent, &*data), (id, body));
            assert_eq!(recipients, [Recipient { id: "V".to_owned(), kind: 1 }]);
            assert_eq!(info.len, body.len() as u64);
        }
        peer.say(delivery("a", b"first"), b"first").await;
        peer.say(ack("p2", "m2"), &[]).await;
        peer.say(delivery("b", b""), &[]).await;
        peer.say(ack("p1", "m1"), &[]).await;
        assert_eq!(peer.request().await.0, Request::Ack { id: "a".to_owned(), kind: "ok".to_owned() });
        peer.close().await;
    })
    .await;
    let first = Request::Post {
        id: "p1".to_owned(),
        recipients: vec![Recipient { id: "V".to_owned(), kind: 1 }],
        data: DataInfo { len: 5, head: 2, sum: 0 },
    };
    client.send(&first, b"{}one").await.expect("send");
    let second = client.post("p2", &["V"], b"", b"two").await.expect("post");
    assert_eq!((&*second.msg_id, &*second.posted), ("m2", "2026-01-02T03:04:05.678Z"));
    assert_eq!(client.expect_ack("p1").await.expect("ack").msg_id, "m1");
    client.ack("a").await.expect("ack");
    for (id, data) in [("a", &b"first"[..]), ("b", b"")] {
        let frame = client.next().await.expect("read").expect("a frame");
        assert_eq!(frame.response.std().map(|std| &*std.id), Some(id));
        assert_eq!(frame.data, data);
        assert!(tmtp_wire::headsum_holds(&frame.raw));
    }
    assert!(client.next().await.expect("a proper close").is_none());
    server.done().await;
}

/// An ack that was kept aside while another was waited for is found later: waits in the order of neither.
#[tokio::test]
async fn acks_kept_aside_are_found() {
    let (mut client, server) = logged_in(|mut peer| async move {
        for id in ["1", "2", "3"] {
            peer.say(ack(id, id), &[]).await;
        }
        peer.close().await;
    })
    .await;
    for id in ["3", "1", "2"] {
        assert_eq!(client.expect_ack(id).await.expect("ack").msg_id, id);
    }
    assert!(matches!(client.expect_ack("4").await, Err(Error::Closed)));
    server.done().await;
}

/// A refusal carries the server's words and leaves the link as it was: one refused request, one that succeeds.
#[tokio::test]
async fn refusals_are_told() {
    let (mut client, server) = logged_in(|mut peer| async move {
        peer.request().await;
        let error = Some("OpenNodes: iUid V not found".into());
        peer.say(Response::Ack { id: "p".into(), receipt: None, error }, &[]).await;
        peer.request().await;
        peer.say(Response::Ack { id: "e".into(), receipt: None, error: None }, &[]).await;
        assert!(peer.rest().await.is_empty());
    })
    .await;
    let error = client.post("p", &["V"], b"", b"x").await.expect_err("refused");
    assert!(matches!(&error, Error::Refused(text) if text == "OpenNodes: iUid V not found"), "{error:?}");
    let edit =
        Request::UserEdit { id: "e".to_owned(), new_node: None, new_alias: Some("Ann Bell".to_owned()) };
    client.send(&edit, &[]).await.expect("send");
    let receipt = client.expect_ack("e").await.expect("ack");
    assert!(receipt.msg_id.is_empty() && receipt.posted.is_empty());
    client.close().await.expect("close");
    server.done().await;
}

/// A quit carries the server's words, at a login and in place of an ack: one server for each.
#[tokio::test]
async fn quits_are_told() {
    let server = Server::start(|mut peer| async move {
        peer.greet().await;
        peer.request().await;
        peer.quit("login failed").await;
    })
    .await;
    let error = Client::login(&server.connect, "U", "N").await.expect_err("quit");
    assert!(matches!(&error, Error::Quit(text) if text == "login failed"), "{error:?}");
    assert_eq!(error.to_string(), "server quit: login failed");
    server.done().await;

    let (mut client, server) = logged_in(|mut peer| async move {
        peer.request().await;
        peer.quit("invalid header").await;
    })
    .await;
    let error = client.post("p", &["V"], b"", b"x").await.expect_err("quit");
    assert!(matches!(&error, Error::Quit(text) if text == "invalid header"), "{error:?}");
    drop(client);
    server.done().await;
}

/// A proper close, a cut connection and a frame cut short are three things: one server for each.
#[tokio::test]
async fn ends_are_told_apart() {
    let (mut client, server) = logged_in(Peer::close).await;
    assert!(client.next().await.expect("a proper close").is_none());
    server.done().await;

    let (mut client, server) = logged_in(Peer::cut).await;
    assert!(matches!(client.next().await, Err(Error::Cut)));
    server.done().await;

    let (mut client, server) = logged_in(|mut peer| async move {
        peer.say(delivery("a", b"three"), b"thr").await;
        peer.close().await;
    })
    .await;
    assert!(matches!(client.next().await, Err(Error::Cut)));
    server.done().await;

    let (mut client, server) = logged_in(|mut peer| async move {
        peer.say_raw(b"zzzz").await;
        peer.close().await;
    })
    .await;
    assert!(matches!(client.next().await, Err(Error::Wire(tmtp_wire::Error::HeaderLength))));
    server.done().await;
}

/// Large data goes both ways in pieces: streams some megabytes out, gets them back into a sink, from both halves at
/// the same time.
#[tokio::test]
async fn large_data_is_streamed() {
    const LEN: usize = 3_000_000;
    let body: Vec<u8> = (0..LEN).map(|place| u8::try_from(place % 253).expect("below 253")).collect();
    let (client, server) = logged_in(|mut peer| async move {
        let (_, data) = peer.request().await;
        peer.say(delivery("a", &data), &data).await;
        peer.say(delivery("b", b"x"), b"x").await;
        peer.close().await;
    })
    .await;
    let request = Request::Post {
        id: "p".to_owned(),
        recipients: Vec::new(),
        data: DataInfo { len: LEN as u64, head: 0, sum: 0 },
    };
    let (mut receiver, mut sender) = client.split();
    let mut sink = Vec::new();
    let (sent, frame) =
        tokio::join!(sender.send_stream(&request, &body[..]), receiver.next_streaming(&mut sink));
    sent.expect("send");
    let frame = frame.expect("read").expect("a frame");
    assert_eq!(frame.response.std().map(|std| &*std.id), Some("a"));
    assert!(frame.data.is_empty());
    assert!(sink == body, "all octets came back");
    assert_eq!(receiver.next().await.expect("read").expect("a frame").data, b"x");
    server.done().await;
}

/// A call that is cancelled loses nothing: polls `next` once for each octet that the server sends, then waits for it.
#[tokio::test]
async fn receiving_can_be_cancelled() {
    let (go, mut wait) = tokio::sync::mpsc::channel::<()>(1);
    let (mut client, server) = logged_in(|mut peer| async move {
        let mut octets = Vec::new();
        delivery("a", b"data").encode(&mut octets).expect("fits");
        octets.extend_from_slice(b"data");
        for octet in octets {
            peer.say_raw(&[octet]).await;
            if wait.recv().await.is_none() {
                break;
            }
        }
        peer.close().await;
    })
    .await;
    let frame = loop {
        tokio::select! {
            biased;
            frame = client.next() => break frame,
            sent = go.send(()) => sent.expect("the script goes on"),
        }
    };
    let frame = frame.expect("read").expect("a frame");
    assert_eq!(frame.data, b"data");
    drop(go);
    server.done().await;
}

/// A request whose data has another length than announced is not sent, and a stream that ends early is told: both
/// ways, then a raw line.
#[tokio::test]
async fn lengths_are_checked() {
    let (mut client, server) = logged_in(|mut peer| async move {
        assert_eq!(peer.request().await.0, Request::Pulse);
        let cut_short = peer.rest().await;
        assert!(cut_short.ends_with(b"}abc"), "{}", String::from_utf8_lossy(&cut_short));
    })
    .await;
    let request = Request::Ping {
        id: "i".to_owned(),
        from: "f".to_owned(),
        to: "t".to_owned(),
        data: DataInfo { len: 5, head: 0, sum: 0 },
    };
    let error = client.send(&request, b"abc").await.expect_err("too short");
    assert!(matches!(error, Error::DataLength { announced: 5, given: 3 }), "{error:?}");
    client.send_raw(br#"0009{"op":11}"#).await.expect("send");
    let error = client.send_stream(&request, &b"abc"[..]).await.expect_err("too short");
    assert!(matches!(error, Error::DataLength { announced: 5, given: 3 }), "{error:?}");
    client.close().await.expect("close");
    server.done().await;
}
