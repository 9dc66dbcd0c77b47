//! One connection: moves octets between its socket and its session, and bodies between its session and the store.
//!
//! Reads and writes at the same time, because the client writes its acks from the loop in which it reads. It must
//! never hold a buffer while idle, never write into the middle of a frame, and never end the stream inside of a TLS
//! record: that crashes the real client.

mod body;
mod close;
mod socket;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures::future::BoxFuture;
use tmtp_domain::Identity;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::accept::Slot;
use crate::hub::{Entry, Hub};
use crate::session::{Exit, Output, Session, Turn};
use body::{Download, Upload};

pub use socket::Socket;

/// Octets taken from a socket at once: one full TLS record.
const READ_OCTETS: usize = 16 * 1024;

thread_local! {
    /// Where every link of this thread reads into. What the session cannot take yet is copied out.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_OCTETS].into());
}

/// Serves one connection to its end.
///
/// Not an `async fn`: that would keep its arguments beside the link that they are moved into, a KiB for each link.
pub fn run<S: Socket>(
    stream: TlsStream<S>,
    hub: Arc<Hub>,
    entry: Arc<Entry>,
    slot: Slot,
) -> impl Future<Output = ()> + Send {
    let mut link = Link {
        stream,
        hub,
        entry,
        leftover: Bytes::new(),
        buffer: Bytes::new(),
        unreported: false,
        sent: 0,
        stalled: false,
        download: None,
        upload: None,
        sign_in: None,
        probed: false,
        _slot: slot,
    };
    async move {
        match poll_fn(|cx| link.poll(cx)).await {
            // Boxed, because its future is larger than the rest of this one and is seldom needed.
            Ok(exit) => Box::pin(close::close(&mut link.stream, exit)).await,
            Err(error) => {
                let entry = &link.entry;
                tracing::debug!(%error, session = %entry.id, client = %entry.client, "connection broke");
            }
        }
    }
}

struct Link<S: Socket> {
    stream: TlsStream<S>,
    hub: Arc<Hub>,
    entry: Arc<Entry>,
    /// Read from the socket and not taken by the session yet.
    leftover: Bytes,
    /// Being written.
    buffer: Bytes,
    /// Something was written since the session was last told that all is.
    unreported: bool,
    /// Octets that the socket has taken.
    sent: u64,
    /// The socket took nothing when it was last tried.
    stalled: bool,
    /// A stored body on its way to the client.
    download: Option<Box<Download>>,
    /// A chunk on its way into the store.
    upload: Option<Upload>,
    /// A sign-in token that is being checked.
    sign_in: Option<BoxFuture<'static, Option<Identity>>>,
    /// The client's machine is being asked whether it is still there.
    probed: bool,
    _slot: Slot,
}

impl<S: Socket> Link<S> {
    /// Does everything that can be done, until nothing can. Ready when the connection is to be closed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        // Before anything is looked at, so that nothing that happens after the look is missed.
        self.entry.waker.register(cx.waker());
        loop {
            let mut progress = self.drive_upload(cx);
            progress |= self.drive_sign_in(cx);
            progress |= self.drive_write(cx)?;
            progress |= self.drive_read(cx)?;
            if let Some(exit) = self.exit() {
                return Poll::Ready(Ok(exit));
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// How to close, when it is time: with `Clean` everything in line has been written.
    fn exit(&mut self) -> Option<Exit> {
        let (exit, more, probed) = self
            .hub
            .turn(&self.entry, |session, _| (session.exit(), session.has_output(), session.is_probed()));
        if self.probed != probed {
            self.probed = probed;
            self.stream.get_ref().0.probe(probed);
        }
        match exit? {
            Exit::Cut => Some(Exit::Cut),
            Exit::Clean => {
                // A body that is half-written is given up, and with it what cannot be written behind half a frame.
                let half = self.download.as_ref().is_some_and(|download| download.is_streaming());
                let quiet = self.buffer.is_empty() && !self.stream.get_ref().1.wants_write();
                (quiet && (half || !more)).then_some(Exit::Clean)
            }
        }
    }

    /// Moves a chunk on into the store. True if something changed.
    fn drive_upload(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            if let Some(upload) = &mut self.upload {
                let Poll::Ready(success) = upload.poll(cx) else { return progress };
                self.upload = None;
                progress = true;
                if let Some(success) = success {
                    self.hub.turn(&self.entry, |session, turn| session.uploaded(turn, success));
                }
            }
            let Some(next) = self.hub.turn(&self.entry, |session, _| session.take_upload()) else {
                return progress;
            };
            self.upload = Some(Upload::start(&self.hub.bodies, self.entry.site, next));
        }
    }

    /// Moves the check of a sign-in token on. True if something changed.
    fn drive_sign_in(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(check) = &mut self.sign_in else { return false };
        let Poll::Ready(identity) = check.as_mut().poll(cx) else { return false };
        self.sign_in = None;
        self.hub.turn(&self.entry, |session, turn| session.signed_in(turn, identity));
        true
    }

    /// Reads once and hands it to the session, or hands on what was read before. True if something changed.
    fn drive_read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.upload.is_some() {
            return Ok(false);
        }
        let look =
            |session: &mut Session, turn: &mut Turn<'_>| (session.wants_input(turn), session.take_sign_in());
        let (wanted, asked) = self.hub.turn(&self.entry, look);
        if let Some((site, token)) = asked {
            self.sign_in = Some(self.hub.sign_ins.check(site, self.entry.client, token));
            return Ok(true);
        }
        if !wanted {
            return Ok(false);
        }
        if !self.leftover.is_empty() {
            let octets = std::mem::take(&mut self.leftover);
            let left = self.feed(&octets);
            self.leftover = octets.slice(octets.len() - left..);
            return Ok(true);
        }
        let Poll::Ready(open) = self.poll_read(cx)? else { return Ok(false) };
        if !open {
            self.hub.turn(&self.entry, Session::input_ended);
        }
        Ok(true)
    }

    /// Reads once. False at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => Poll::Ready(Ok(false)),
                Ok(()) => {
                    let octets = buffer.filled();
                    let left = self.feed(octets);
                    if left > 0 {
                        self.leftover = Bytes::copy_from_slice(&octets[octets.len() - left..]);
                    }
                    Poll::Ready(Ok(true))
                }
                // Most clients just close the connection; to the session it is the same end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(false)),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
    }

    /// Hands octets to the session. Returns how many at their end it has not taken.
    fn feed(&self, octets: &[u8]) -> usize {
        let mut rest = octets;
        self.hub.turn(&self.entry, |session, turn| session.input(turn, &mut rest));
        rest.len()
    }

    /// Writes what there is. True if something changed.
    ///
    /// Into the TLS layer only when that is empty: it cuts what it is given into full records, but of what it has little
    /// room for it makes short ones, and the real client takes data from two records at most.
    fn drive_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        loop {
            let before = self.sent;
            let drained = self.poll_drain(cx)?;
            progress |= self.sent > before;
            if self.sent > before {
                self.note_stall(false);
            }
            if drained.is_pending() {
                self.note_stall(true);
                return Ok(progress);
            }
            if self.buffer.is_empty() && !self.refill(cx) {
                break;
            }
            match self.stream.get_mut().1.writer().write(&self.buffer)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.buffer.advance(written),
            }
            self.unreported = true;
        }
        self.buffer = Bytes::new();
        // In the middle of a body more is to come, though it is not there yet.
        let half = self.download.as_ref().is_some_and(|download| download.is_streaming());
        if self.unreported && !half {
            self.unreported = false;
            progress = true;
            self.note_stall(false);
            self.hub.turn(&self.entry, |session, turn| session.flushed(turn.now));
        }
        Ok(progress)
    }

    /// Hands the socket what the TLS layer holds. Ready when that is nothing.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let (socket, tls) = self.stream.get_mut();
        while tls.wants_write() {
            match tls.write_tls(&mut Sink { socket, cx }) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(octets) => self.sent += octets as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Poll::Pending),
                Err(error) => return Err(error),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Puts the next thing to write into the buffer. False if there is nothing, or if it is not there yet.
    fn refill(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if let Some(download) = &mut self.download
                && download.is_streaming()
            {
                return self.refill_from_store(cx);
            }
            let fetched = self.download.as_ref().and_then(|download| download.fetched());
            let mut frames = Vec::new();
            match self.hub.turn(&self.entry, |session, turn| session.output(turn, fetched, &mut frames)) {
                Output::Nothing => {
                    self.download = None;
                    return false;
                }
                Output::Frames => {
                    self.buffer = frames.into();
                    return true;
                }
                Output::Stream(_) => {
                    if let Some(download) = &mut self.download {
                        // With the header in one write: the client takes small data only from the same record or the next.
                        frames.extend_from_slice(&download.begin(&self.hub.bodies));
                    }
                    self.buffer = frames.into();
                    self.note_chunk_taken();
                    return true;
                }
                Output::Fetch(body) => {
                    if self.download.as_ref().is_none_or(|download| download.body() != body) {
                        let download = Download::fetch(&self.hub.bodies, self.entry.site, body);
                        self.download = Some(Box::new(download));
                    }
                    let Some(download) = &mut self.download else { return false };
                    match download.poll(cx) {
                        Poll::Pending => return false,
                        Poll::Ready(Ok(true)) => {}
                        Poll::Ready(Ok(false)) => {
                            tracing::error!(session = %self.entry.id, body = %body.id, "body of a message is gone");
                            self.download = None;
                            self.hub.turn(&self.entry, |session, turn| session.pass_over(turn, body.id));
                        }
                        Poll::Ready(Err(_)) => return self.give_up(),
                    }
                }
            }
        }
    }

    /// The next chunk of the body that is being written.
    fn refill_from_store(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_ending() {
            return false;
        }
        let Some(download) = &mut self.download else { return false };
        match download.poll(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(true)) => {
                self.buffer = download.begin(&self.hub.bodies);
                self.note_chunk_taken();
                true
            }
            Poll::Ready(Ok(false) | Err(_)) => {
                tracing::error!(session = %self.entry.id, body = %download.body().id, "body broke off in delivery");
                self.give_up()
            }
        }
    }

    /// Counts what is to be written of a body, and ends its download with its last chunk.
    fn note_chunk_taken(&mut self) {
        self.hub.metrics.body_octets_out_total.inc_by(self.buffer.len() as u64);
        if self.download.as_ref().is_some_and(|download| download.is_complete()) {
            self.download = None;
        }
    }

    /// The store does not give what the client is to get: the link ends, and the client gets it at its next login.
    fn give_up(&mut self) -> bool {
        self.hub.turn(&self.entry, Session::input_ended);
        false
    }

    fn is_ending(&self) -> bool {
        self.hub.turn(&self.entry, |session, _| session.exit().is_some())
    }

    /// Tells the session when the socket begins to take nothing, and when it takes something again.
    fn note_stall(&mut self, stalled: bool) {
        if self.stalled != stalled {
            self.stalled = stalled;
            self.hub.turn(&self.entry, |session, turn| session.set_stalled(stalled.then_some(turn.now)));
        }
    }
}

/// A socket as the TLS layer writes to it.
struct Sink<'s, 'c, 'w, S> {
    socket: &'s mut S,
    cx: &'c mut Context<'w>,
}

impl<S: Socket> io::Write for Sink<'_, '_, '_, S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_write(self.cx, octets) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // A TCP socket has nothing to flush.
        Ok(())
    }
}

impl<S: Socket> Drop for Link<S> {
    /// However the link ends, its session hears of it, and an upload that has broken off is removed.
    fn drop(&mut self) {
        let discards: Vec<_> = self.hub.turn(&self.entry, |session, turn| {
            session.socket_closed(turn);
            std::iter::from_fn(|| session.take_upload()).collect()
        });
        let under_way = self.upload.take();
        if !discards.is_empty() || under_way.is_some() {
            body::finish(&self.hub.bodies, self.entry.site, under_way, discards);
        }
    }
}
