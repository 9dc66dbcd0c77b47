//! Load balancers in front of a gateway: whose address a session gets, and what is counted.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::accept::proxy::tests::{BALANCER, balancers, clients, version_2};

/// Shakes hands as a client does, which has to succeed.
async fn shake<S: AsyncRead + AsyncWrite + Unpin>(door: &Door, stream: S) -> TlsStream<S> {
    let connector = TlsConnector::from(Arc::clone(&door.rig.client));
    connector.connect(name(), stream).await.expect("a handshake")
}

/// Waits until the gateway has no more to do right now.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

impl Door {
    /// One in front of which there are load balancers.
    async fn behind_balancers() -> Self {
        Self::open_behind(&["192.168.0.0/16", "10.1.2.0/24"]).await
    }

    /// A connection from a load balancer, with these octets in front.
    async fn take_proxied(&self, header: &[u8]) -> DuplexStream {
        let mut stream = self.take_from(BALANCER.parse().unwrap(), Instant::now());
        stream.write_all(header).await.unwrap();
        stream
    }

    /// How many connections from load balancers came to what, in the order of the label's values: with a client, without
    /// one, refused; and how many handshakes failed.
    fn counts(&self) -> [u64; 4] {
        let proxied = &self.rig.hub.metrics.proxied_total;
        let [client, balancer, refused] =
            ["client", "balancer", "refused"].map(|outcome| proxied.with_label_values(&[outcome]).get());
        [client, balancer, refused, self.failures()]
    }
}

/// Goal: a session has the address that the load balancer tells, and its own where none is in front; method: a handshake
/// behind every kind of header, and one without.
#[tokio::test]
async fn sessions_have_their_clients_address() {
    let door = Door::behind_balancers().await;
    let mut expected = Vec::new();
    let mut open = Vec::new();
    for (header, address) in clients() {
        open.push(shake(&door, door.take_proxied(&header).await).await);
        expected.push(address);
    }
    for header in balancers() {
        open.push(shake(&door, door.take_proxied(&header).await).await);
        expected.push(BALANCER.parse().unwrap());
    }
    open.push(shake(&door, door.take(Instant::now())).await);
    expected.push(CLIENT);
    settle().await;
    let mut found = door.rig.hub.clients();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(door.counts(), [6, 4, 0, 0]);
}

/// Goal: a header from anywhere else is bad TLS, and a load balancer that sends none gets nowhere; method: one of each,
/// and that neither keeps its place.
#[tokio::test]
async fn headers_come_from_load_balancers_and_nobody_else() {
    let door = Door::behind_balancers().await;
    let (header, _) = clients().swap_remove(0);
    let mut stranger = door.take(Instant::now());
    stranger.write_all(&header).await.unwrap();
    end(stranger).await;
    assert_eq!(door.counts(), [0, 0, 0, 1]);

    let hello = door.hello();
    end(door.take_proxied(&hello).await).await;
    settle().await;
    assert_eq!(door.counts(), [0, 0, 1, 1]);
    assert_eq!(door.rig.hub.metrics.links_open.get(), 0);
    assert!(door.rig.hub.clients().is_empty());
}

/// Goal: load balancers may look whether somebody is there, and nothing is taken for a failure or keeps its place;
/// method: connect and close; with a header for themselves, too; and a client that goes away behind a proper header,
/// which does count.
#[tokio::test]
async fn checks_of_load_balancers_are_no_failures() {
    let door = Door::behind_balancers().await;
    drop(door.take_proxied(b"").await);
    settle().await;
    for header in balancers() {
        drop(door.take_proxied(&header).await);
        settle().await;
    }
    assert_eq!(door.counts(), [0, 5, 0, 0]);
    let (header, _) = clients().swap_remove(0);
    drop(door.take_proxied(&header).await);
    settle().await;
    assert_eq!(door.counts(), [1, 5, 0, 1]);
    assert_eq!(door.rig.hub.metrics.links_open.get(), 0);
}

/// Goal: header and handshake have the login's time together; method: a header that never ends, one that ends after
/// three seconds with nothing behind it, and one that is too long, which is not waited for.
#[tokio::test]
async fn headers_have_the_logins_time() {
    let door = Door::behind_balancers().await;
    let (header, _) = clients().swap_remove(2);
    for late in [None, Some(Duration::from_secs(3))] {
        let began = Instant::now();
        let (first, second) = header.split_at(20);
        let mut stream = door.take_proxied(first).await;
        if let Some(late) = late {
            sleep(late).await;
            stream.write_all(second).await.unwrap();
        }
        end(stream).await;
        let took = began.elapsed();
        assert!(took >= LOGIN_WITHIN && took < LOGIN_WITHIN + TIMER, "{took:?} for {late:?}");
    }
    assert_eq!(door.counts(), [1, 0, 1, 1]);

    let began = Instant::now();
    end(door.take_proxied(&version_2(0x21, 0x11, &[0; 5_000])[..16]).await).await;
    assert!(began.elapsed() < TIMER);
    assert_eq!(door.counts(), [1, 0, 2, 1]);
}
