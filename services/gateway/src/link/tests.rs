//! Links over connections in memory that take as many octets as the test says, on a clock that moves when all wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tmtp_contract::{Answer, Body, Content, DataInfo, Message};
use tmtp_domain::{MsgId, NodeNum, NodeSecret, Posted, Uid};
use tmtp_wire::Request;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::{Link, Socket, run};
use crate::accept::Slots;
use crate::hub::Entry;
use crate::rig::{Rig, name, site};

/// More than everything that is written here.
const PIPE_OCTETS: usize = 4 << 20;
/// Longer than anything here takes.
const WAIT: Duration = Duration::from_hours(1);

/// A socket whose other end takes only what it is told to.
struct Trickle {
    stream: DuplexStream,
    tap: Arc<Mutex<Tap>>,
}

/// What a socket takes.
#[derive(Default)]
struct Tap {
    room: usize,
    waiting: Option<Waker>,
    reset: bool,
}

impl Tap {
    fn open(&mut self, octets: usize) {
        self.room += octets;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut tap = this.tap.lock();
        if tap.room == 0 {
            tap.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = std::task::ready!(
            Pin::new(&mut this.stream).poll_write(cx, &octets[..octets.len().min(tap.room)])
        )?;
        tap.room -= taken;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Socket for Trickle {
    fn probe(&self, _: bool) {}

    fn reset_at_close(&self) -> io::Result<()> {
        self.tap.lock().reset = true;
        Ok(())
    }
}

/// A link with a client that is logged in.
struct Linked {
    rig: Rig,
    entry: Arc<Entry>,
    link: JoinHandle<()>,
    tap: Arc<Mutex<Tap>>,
    client: client::TlsStream<DuplexStream>,
}

impl Linked {
    async fn new() -> Self {
        let rig = Rig::new();
        let (near, far) = duplex(PIPE_OCTETS);
        let tap = Arc::new(Mutex::new(Tap { room: PIPE_OCTETS, ..Tap::default() }));
        let socket = Trickle { stream: far, tap: Arc::clone(&tap) };
        let acceptor = TlsAcceptor::from(Arc::clone(&rig.server));
        let connector = TlsConnector::from(Arc::clone(&rig.client));
        let (server, client) = tokio::join!(acceptor.accept(socket), connector.connect(name(), near));
        let entry = rig.hub.open(Arc::new(site()), Instant::now(), None);
        let slot = Slots::new(1, rig.hub.metrics.links_open.clone()).take().expect("a place");
        let link = tokio::spawn(run(server.expect("shaken"), Arc::clone(&rig.hub), Arc::clone(&entry), slot));
        let mut linked = Self { rig, entry, link, tap, client: client.expect("shaken") };
        linked.log_in().await;
        linked
    }

    async fn log_in(&mut self) {
        self.send(&Request::TmtpRev { id: "1".into() }).await;
        let (uid, node) = (Uid([1; 20]).to_string(), NodeSecret([1; 25]).reveal());
        self.send(&Request::Login { uid, node }).await;
        let mut said = vec![0; 4 << 10];
        let read = self.client.read(&mut said).await.expect("a greeting");
        assert!(String::from_utf8_lossy(&said[..read]).contains("tmtprev"));
        self.rig.hub.nudge(&self.entry, |session, turn| {
            session.answer(turn, 1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
        });
        let read = timeout(WAIT, self.client.read(&mut said)).await.expect("an answer").expect("an answer");
        assert!(String::from_utf8_lossy(&said[..read]).contains("login ok"));
    }

    async fn send(&mut self, request: &Request) {
        let mut octets = Vec::new();
        request.encode(&mut octets).expect("a request");
        self.client.write_all(&octets).await.expect("sent");
    }

    /// Delivers a message of so many octets.
    fn deliver(&self, id: u64, octets: usize) {
        let body = Body::Inline(Bytes::from(vec![b'x'; octets]));
        let data = DataInfo { len: octets as u64, head: 0, sum: 0 };
        let content = Content::Delivery { notify: 0 };
        let message = Message { id: MsgId(id), posted: Posted(0), from: Uid([2; 20]), content, data, body };
        self.rig.hub.nudge(&self.entry, |session, turn| session.deliver(turn, 1, Arc::new(message)));
    }
}

/// Goal: an idle link stays small, because there are tens of thousands of them; method: the size of its task's
/// future, which is the link and next to nothing else.
#[test]
fn small() {
    fn size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    assert!(size(run::<TcpStream>) <= size_of::<Link<TcpStream>>() + 64, "{}", size(run::<TcpStream>));
}

/// Goal: a client is cut off when it has taken nothing for the time of a write, and not before: every octet that it takes
/// begins that time anew, also in the middle of what is being written. Method: more than the TLS layer holds for a
/// client that takes a little every fifty seconds, far less than is handed to TLS at once; then nothing more.
#[tokio::test(start_paused = true)]
async fn only_who_takes_nothing_is_cut_off() {
    let mut linked = Linked::new().await;
    linked.tap.lock().room = 0;
    (1..=8).for_each(|id| linked.deliver(id, 30_000));
    for _ in 0..6 {
        sleep(Duration::from_secs(50)).await;
        assert!(!linked.link.is_finished(), "cut off, although it took something");
        linked.tap.lock().open(1_000);
        // Whoever says nothing is taken for gone, which is not what this is about.
        linked.send(&Request::Pulse).await;
    }
    let last = Instant::now();
    timeout(WAIT, &mut linked.link).await.expect("an end").expect("no panic");
    let took = last.elapsed();
    let write_wait = linked.rig.config.limits.write_wait;
    assert!(took >= write_wait && took < write_wait + Duration::from_millis(600), "{took:?}");
    assert!(linked.tap.lock().reset, "an end within a record");
}

/// Goal: no time runs while the client has taken everything, and each write has its own; method: two writes that stall for
/// most of their time and are taken, and a third one that is not.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_taken_ends_its_time() {
    let mut linked = Linked::new().await;
    for id in 1..=2 {
        linked.tap.lock().room = 0;
        linked.deliver(id, 1_000);
        sleep(Duration::from_secs(50)).await;
        linked.tap.lock().open(PIPE_OCTETS);
        let mut octets = vec![0; 4 << 10];
        let read = timeout(WAIT, linked.client.read(&mut octets)).await.expect("a message");
        assert!(read.expect("a message") > 1_000);
        // No ack, which the home would have to answer, but a sign of life.
        linked.send(&Request::Pulse).await;
        assert!(!linked.link.is_finished(), "cut off, although it took everything");
    }
    linked.tap.lock().room = 0;
    linked.deliver(3, 1_000);
    let begun = Instant::now();
    timeout(WAIT, &mut linked.link).await.expect("an end").expect("no panic");
    let (took, write_wait) = (begun.elapsed(), linked.rig.config.limits.write_wait);
    assert!(took >= write_wait && took < write_wait + Duration::from_millis(600), "{took:?}");
}
