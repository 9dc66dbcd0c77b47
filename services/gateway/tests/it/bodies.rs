//! Links and a body store that fails.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tmtp_contract::{Body, Command};
use tmtp_store::Store;
use tmtp_testkit::{Postgres, eventually};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::links::{message, pattern, post};
use crate::rig::{Rig, WAIT, frame, soon};

/// A way to a server that can be closed: then connections end, and new ones end at once.
#[derive(Default)]
struct Door {
    closed: AtomicBool,
    /// How often somebody has found it closed.
    found_closed: AtomicU32,
    changed: tokio::sync::Notify,
}

impl Door {
    fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Lets connections through to this port on this machine, until it is dropped.
    async fn serve(self: Arc<Self>, listener: TcpListener, port: u16) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = self.changed.notified() => open.abort_all(),
                accepted = listener.accept() => {
                    let Ok((mut from, _)) = accepted else { continue };
                    if self.closed.load(Ordering::SeqCst) {
                        self.found_closed.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    open.spawn(async move {
                        if let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                            // However it ends: both sides notice.
                            let _ = copy_bidirectional(&mut from, &mut to).await;
                        }
                    });
                }
            }
        }
    }
}

/// Goal: a body store that is away for a moment costs an upload nothing but time; method: close the way to the store,
/// post, and open it when the gateway has tried a few times. The body comes back unchanged.
#[tokio::test]
async fn a_store_that_is_away() {
    let server = Postgres::start().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", listener.local_addr().unwrap());
    let door = Arc::new(Door::default());
    let serving = tokio::spawn(Arc::clone(&door).serve(listener, server.port()));
    Store::connect(&url, 2, WAIT).await.unwrap().migrate(64).await.unwrap();
    let mut rig = Rig::start(|config| config.bodies.postgres.url = url.into()).await;
    let (mut client, session) = rig.login(1).await;

    door.close(true);
    let data = pattern(3_000_001);
    let request = post("p", data.len());
    let opened = async {
        let come = async || (rig.metric("tmtp_gateway_body_octets_in_total") >= 65_536.0).then_some(());
        eventually(WAIT, "a chunk to come", come).await.unwrap();
        let before = door.found_closed.load(Ordering::SeqCst);
        let tried = async || (door.found_closed.load(Ordering::SeqCst) >= before + 3).then_some(());
        eventually(WAIT, "attempts to store it", tried).await.unwrap();
        door.close(false);
    };
    let (sent, ()) = soon("the post", async { tokio::join!(client.send(&request, &data), opened) }).await;
    sent.unwrap();
    let Command::Post { body: Body::Stored(stored), .. } = rig.home.command().await.command else {
        panic!("not a post with a stored body")
    };
    rig.home.deliver(session, 1, message(5, Body::Stored(stored), stored.len)).await;
    assert!(frame(&mut client).await.data == data, "the body has changed");
    rig.abort().await;
    serving.abort();
}
