//! Takes connections, shakes hands, starts links. An error of one connection must never end the loop, nor may one
//! connection hold up another.

mod slots;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor as Hello;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::hub::Hub;
use crate::link::{self, Socket};
use crate::session::Session;
use crate::sites::Sites;
use crate::tls::{Choice, Tls};

pub use slots::{Slot, Slots};

/// Connections that the kernel keeps for us: a herd that comes back after two minutes comes within seconds.
const BACKLOG: u32 = 4_096;
/// The pause after an accept that failed, which doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Opens the port.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A connection that was accepted.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    /// When.
    at: Instant,
    /// Who connected: a client, or what stands between it and us.
    from: IpAddr,
}

/// What a new connection needs.
#[derive(Clone)]
pub struct Acceptor {
    hub: Arc<Hub>,
    sites: Arc<Sites>,
    tls: Arc<Tls>,
    slots: Slots,
    login_within: Duration,
}

impl Acceptor {
    /// An acceptor that has no links.
    pub fn new(hub: Arc<Hub>, sites: Arc<Sites>, tls: Arc<Tls>, config: &Config) -> Self {
        let slots = Slots::new(config.limits.links_max, hub.metrics.links_open.clone());
        Self { hub, sites, tls, slots, login_within: config.limits.login_within }
    }

    /// Accepts until the drain begins, then closes the port.
    pub async fn run(self, listener: TcpListener, drain: CancellationToken) -> anyhow::Result<()> {
        let mut pause = PAUSE_MIN;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.cancelled() => return Ok(()),
            };
            match accepted {
                Ok((stream, from)) => {
                    pause = PAUSE_MIN;
                    self.start(stream, from.ip(), &drain);
                }
                Err(error) => {
                    // Out of descriptors, or a connection that broke before it was taken.
                    tracing::warn!(%error, ?pause, "cannot accept");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn start(&self, stream: TcpStream, from: IpAddr, drain: &CancellationToken) {
        let accepted = Accepted { at: Instant::now(), from: from.to_canonical() };
        let Some(slot) = self.slots.take() else {
            self.hub.metrics.links_refused_total.inc();
            return;
        };
        // Acks are small and have to leave at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
            return;
        }
        tokio::spawn(self.clone().serve(stream, accepted, slot, drain.clone()));
    }

    /// Shakes hands with a client that was accepted then. Ends with a link, which is a task of its own: this one's
    /// future is as large as a handshake, and would be kept.
    async fn serve<S: Socket>(self, stream: S, accepted: Accepted, slot: Slot, drain: CancellationToken) {
        let handshake = self.handshake(stream);
        let stream = match timeout_at(accepted.at + self.login_within, handshake).await {
            Ok(Ok(Some(stream))) => stream,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                tracing::debug!(%error, "handshake failed");
                self.hub.metrics.handshake_failures_total.inc();
                return;
            }
            Err(_) => {
                self.hub.metrics.handshake_failures_total.inc();
                return;
            }
        };
        // The site may have been suspended since the certificate was chosen.
        let Some(site) = self.sites.find(stream.get_ref().1.server_name()) else { return };
        let entry = self.hub.open(site, accepted.at, Some(accepted.from));
        if drain.is_cancelled() {
            self.hub.nudge(&entry, Session::dismiss);
        }
        tokio::spawn(link::run(stream, Arc::clone(&self.hub), entry, slot));
    }

    /// Shakes hands by what the client asks for. None: it was no client, and has what it wanted.
    async fn handshake<S: Socket>(&self, stream: S) -> io::Result<Option<TlsStream<S>>> {
        let start = LazyConfigAcceptor::new(Hello::default(), stream).await?;
        let asked = Tls::asked(&start.client_hello());
        match self.tls.choose(asked).await {
            Choice::Serve(config) => start.into_stream(config).await.map(Some),
            Choice::Prove(config) => {
                start.into_stream(config).await?.shutdown().await?;
                self.hub.metrics.challenges_answered_total.inc();
                Ok(None)
            }
            Choice::Refuse => Err(io::Error::other("no challenge is expected for this name")),
        }
    }
}
