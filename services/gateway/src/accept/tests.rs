//! The time that a client has for its login. The clock stands still unless everybody waits, and then moves on to whatever
//! comes next; connections are in memory.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use tmtp_bus::Bus;
use tmtp_testkit::Redis;
use tmtp_wire::Request;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, copy_bidirectional, duplex};
use tokio::time::{Instant, advance, pause, sleep};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{Accepted, Acceptor};
use crate::rig::{Rig, name};
use crate::tls::{SiteCertificates, Tls};

/// What a client has by default.
const LOGIN_WITHIN: Duration = Duration::from_secs(5);
/// Timers of the runtime are as coarse as this.
const TIMER: Duration = Duration::from_millis(2);
/// How much later a session looks at the clock.
const SWEEP: Duration = Duration::from_millis(600);
/// Octets in memory on their way.
const PIPE_OCTETS: usize = 64 << 10;

/// A gateway that takes connections of the test.
struct Door {
    rig: Rig,
    acceptor: Acceptor,
    _redis: Redis,
}

impl Door {
    /// Time stands still from then on.
    async fn open() -> Self {
        let redis = Redis::start().expect("a Redis");
        let bus = Bus::connect(&redis.url()).await.expect("a bus");
        let rig = Rig::new();
        let of_sites =
            SiteCertificates::new(None, bus.clone(), Arc::clone(&rig.server), rig.hub.metrics.clone(), 1);
        let tls = Tls::new(Arc::clone(&rig.server), Arc::clone(&rig.sites), Arc::new(of_sites), bus);
        let acceptor =
            Acceptor::new(Arc::clone(&rig.hub), Arc::clone(&rig.sites), Arc::new(tls), &rig.config);
        pause();
        Self { rig, acceptor, _redis: redis }
    }

    /// Takes a connection that was accepted then, and gives the client's end of it.
    fn take(&self, accepted: Instant) -> DuplexStream {
        let (client, gateway) = duplex(PIPE_OCTETS);
        let slot = self.acceptor.slots.take().expect("a free place");
        let accepted = Accepted { at: accepted, from: Ipv4Addr::LOCALHOST.into() };
        tokio::spawn(self.acceptor.clone().serve(gateway, accepted, slot, CancellationToken::new()));
        client
    }

    /// The first octets that a client sends: all of its first message.
    fn hello(&self) -> Vec<u8> {
        let mut client = ClientConnection::new(Arc::clone(&self.rig.client), name()).expect("a client");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("a hello");
        hello
    }

    fn failures(&self) -> u64 {
        self.rig.hub.metrics.handshake_failures_total.get()
    }
}

/// Reads until the gateway closes the connection.
async fn end(mut stream: impl AsyncRead + Unpin) {
    let mut octets = Vec::new();
    // A gateway that gives up in the handshake may also break the connection off.
    let _ = stream.read_to_end(&mut octets).await;
}

/// Goal: the handshake has the login's time, counted from accept, whatever comes of it; method: clients that send
/// nothing, half of their first message, and one octet a second; and one whose connection had waited for two seconds.
#[tokio::test]
async fn a_handshake_ends_in_time() {
    let door = Door::open().await;
    let hello = door.hello();
    for (failures, sent) in [(1, &[][..]), (2, &hello[..hello.len() / 2])] {
        let accepted = Instant::now();
        let mut client = door.take(accepted);
        client.write_all(sent).await.unwrap();
        end(client).await;
        let took = accepted.elapsed();
        assert!(took >= LOGIN_WITHIN && took < LOGIN_WITHIN + TIMER, "{took:?} for {} octets", sent.len());
        assert_eq!((door.failures(), door.rig.hub.metrics.links_open.get()), (failures, 0));
    }

    let accepted = Instant::now();
    let (read, mut write) = tokio::io::split(door.take(accepted));
    let dribble = async {
        for octet in &hello {
            // Nobody takes it any more, in the end.
            let _ = write.write_all(&[*octet]).await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = end(read) => {}
        () = dribble => panic!("there was time for all of it"),
    }
    let took = accepted.elapsed();
    assert!(took >= LOGIN_WITHIN && took < LOGIN_WITHIN + TIMER, "{took:?} for drops");

    let accepted = Instant::now();
    advance(Duration::from_secs(2)).await;
    end(door.take(accepted)).await;
    let took = accepted.elapsed();
    assert!(took >= LOGIN_WITHIN && took < LOGIN_WITHIN + TIMER, "{took:?} for a late beginning");
}

/// Goal: the login has what the handshake has left of the time, and then ends without a word; method: a client whose
/// first message comes in two parts, three seconds apart, and which then greets, and does not log in.
#[tokio::test]
async fn a_login_has_the_rest() {
    let door = Door::open().await;
    let accepted = Instant::now();
    let mut gateway = door.take(accepted);
    let (client, mut relay) = duplex(PIPE_OCTETS);
    let relayed = tokio::spawn(async move {
        let mut first = [0; 100];
        relay.read_exact(&mut first).await.unwrap();
        gateway.write_all(&first).await.unwrap();
        sleep(Duration::from_secs(3)).await;
        copy_bidirectional(&mut relay, &mut gateway).await
    });
    let connector = TlsConnector::from(Arc::clone(&door.rig.client));
    let mut client = connector.connect(name(), client).await.unwrap();
    let shaken = accepted.elapsed();
    assert!(shaken >= Duration::from_secs(3) && shaken < Duration::from_secs(3) + TIMER, "{shaken:?}");

    let mut greeting = Vec::new();
    Request::TmtpRev { id: "1".into() }.encode(&mut greeting).unwrap();
    client.write_all(&greeting).await.unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.expect("a proper end of the TLS stream");
    let took = accepted.elapsed();
    assert!(took >= LOGIN_WITHIN && took < LOGIN_WITHIN + SWEEP, "{took:?}");
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("tmtprev") && !said.contains("quit"), "{said}");
    assert_eq!(door.failures(), 0);
    drop(client);
    relayed.await.unwrap().expect("no error on the way");
}
