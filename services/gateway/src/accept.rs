//! Takes connections, shakes hands, starts links. An error of one connection must never end the loop, nor may one
//! connection hold up another.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::server::Acceptor as Hello;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::hub::Hub;
use crate::link;
use crate::session::Session;
use crate::sites::Sites;
use crate::tls::{Choice, Tls};

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

/// What a new connection needs.
#[derive(Clone)]
pub struct Acceptor {
    hub: Arc<Hub>,
    sites: Arc<Sites>,
    tls: Arc<Tls>,
    links: Arc<AtomicUsize>,
    links_max: usize,
    login_within: Duration,
}

impl Acceptor {
    /// An acceptor that has no links.
    pub fn new(hub: Arc<Hub>, sites: Arc<Sites>, tls: Arc<Tls>, config: &Config) -> Self {
        Self {
            hub,
            sites,
            tls,
            links: Arc::default(),
            links_max: config.limits.links_max,
            login_within: config.limits.login_within,
        }
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
                Ok((stream, _)) => {
                    pause = PAUSE_MIN;
                    self.start(stream, &drain);
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

    fn start(&self, stream: TcpStream, drain: &CancellationToken) {
        let accepted = Instant::now();
        let Some(slot) = Slot::take(self) else {
            self.hub.metrics.links_refused_total.inc();
            return;
        };
        let (this, drain) = (self.clone(), drain.clone());
        tokio::spawn(async move { this.shake_hands(stream, accepted, slot, drain).await });
    }

    /// Ends with a link, which is a task of its own: this one's future is as large as a handshake, and would be kept.
    async fn shake_hands(self, stream: TcpStream, accepted: Instant, slot: Slot, drain: CancellationToken) {
        // Acks are small and have to leave at once.
        let handshake = async {
            stream.set_nodelay(true)?;
            self.handshake(stream).await
        };
        let left = self.login_within.saturating_sub(accepted.elapsed());
        let stream = match tokio::time::timeout(left, handshake).await {
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
        let entry = self.hub.open(site, accepted);
        if drain.is_cancelled() {
            self.hub.nudge(&entry, Session::dismiss);
        }
        tokio::spawn(link::run(stream, Arc::clone(&self.hub), entry, slot));
    }

    /// Shakes hands by what the client asks for. None: it was no client, and has what it wanted.
    async fn handshake(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
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

/// A place among the links that may be open.
pub struct Slot {
    links: Arc<AtomicUsize>,
    gauge: tmtp_chassis::metrics::IntGauge,
}

impl Slot {
    fn take(acceptor: &Acceptor) -> Option<Self> {
        let more = |open: usize| (open < acceptor.links_max).then_some(open + 1);
        acceptor.links.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let gauge = acceptor.hub.metrics.links_open.clone();
        gauge.inc();
        Some(Self { links: Arc::clone(&acceptor.links), gauge })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.links.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}
