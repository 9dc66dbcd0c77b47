//! Bodies between a link and the body store, chunk by chunk. At most one chunk is under way in each direction, and
//! one more is held while it is written: memory must not depend on the size of a body.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tmtp_bodies::{Bodies, Error};
use tmtp_contract::BodyRef;
use tmtp_domain::{BodyId, SiteId};
use tokio::time::Instant;

use crate::session;

/// How long a client waits for a chunk that the store does not give. Its link has nothing better to do, and a client
/// that is sent away waits two minutes.
const FETCH_MAX: Duration = Duration::from_secs(30);
/// The pause between two attempts.
const FETCH_PAUSE: Duration = Duration::from_millis(500);

/// Something that is being done at the store for a request. `None` when it has ended: nobody waits for it.
pub struct Upload {
    work: BoxFuture<'static, Option<bool>>,
}

impl Upload {
    /// Begins it.
    pub fn start(bodies: &Bodies, site: SiteId, what: session::Upload) -> Self {
        let bodies = bodies.clone();
        let work = async move {
            match what {
                session::Upload::Put { body, seq, octets } => {
                    let result = bodies.put_chunk(site, body, seq, octets).await;
                    if let Err(error) = &result {
                        tracing::warn!(error = error as &dyn std::error::Error, "cannot store a body");
                    }
                    Some(result.is_ok())
                }
                session::Upload::Discard { body, chunks } => {
                    // What cannot be removed now is swept later.
                    if let Err(error) = bodies.discard(site, body, chunks).await {
                        tracing::debug!(error = &error as &dyn std::error::Error, "cannot discard a body");
                    }
                    None
                }
            }
        };
        Self { work: Box::pin(work) }
    }

    /// Ready with the success of a chunk, or with `None` for what has none.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<bool>> {
        self.work.as_mut().poll(cx)
    }
}

/// Ends what is under way for a link that is gone, and then removes what has broken off, in this order: a chunk that
/// lands behind the removal would stay until it is swept.
pub fn finish(bodies: &Bodies, site: SiteId, under_way: Option<Upload>, discard: Option<session::Upload>) {
    // None at the end of the process, when the runtime goes away with its links; then it is swept.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let discard = discard.map(|discard| Upload::start(bodies, site, discard));
    runtime.spawn(async move {
        if let Some(upload) = under_way {
            upload.work.await;
        }
        if let Some(discard) = discard {
            discard.work.await;
        }
    });
}

/// A stored body on its way to the client.
pub struct Download {
    site: SiteId,
    body: BodyRef,
    /// The next chunk to be written.
    seq: u64,
    next: Next,
    streaming: bool,
}

/// The next chunk.
enum Next {
    Fetching(BoxFuture<'static, Result<Option<Bytes>, Error>>),
    Here(Bytes),
    /// There is none.
    End,
}

impl Download {
    /// Fetches the first chunk, before anything is written.
    pub fn fetch(bodies: &Bodies, site: SiteId, body: BodyRef) -> Self {
        Self { site, body, seq: 0, next: Next::Fetching(fetch(bodies, site, body, 0)), streaming: false }
    }

    /// Which body.
    pub fn body(&self) -> BodyRef {
        self.body
    }

    /// Its name, if its first chunk is at hand and nothing is written yet.
    pub fn fetched(&self) -> Option<BodyId> {
        (!self.streaming && matches!(self.next, Next::Here(_))).then_some(self.body.id)
    }

    /// A part is written, or being written, and the rest has to follow.
    pub fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// All of it has been handed out.
    pub fn is_complete(&self) -> bool {
        matches!(self.next, Next::End)
    }

    /// Ready when the next chunk is at hand (true), or gone (false).
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if let Next::Fetching(work) = &mut self.next {
            let result = std::task::ready!(work.as_mut().poll(cx));
            match result? {
                Some(octets) => self.next = Next::Here(octets),
                None => return Poll::Ready(Ok(false)),
            }
        }
        Poll::Ready(Ok(matches!(self.next, Next::Here(_))))
    }

    /// Hands the chunk out that is at hand, and fetches the one behind it while this one is written.
    pub fn begin(&mut self, bodies: &Bodies) -> Bytes {
        self.streaming = true;
        self.seq += 1;
        let next = if self.seq < self.body.chunks() {
            Next::Fetching(fetch(bodies, self.site, self.body, self.seq))
        } else {
            Next::End
        };
        match std::mem::replace(&mut self.next, next) {
            Next::Here(octets) => octets,
            Next::Fetching(_) | Next::End => Bytes::new(),
        }
    }
}

/// Reads a chunk, and tries for a while when the store does not answer.
fn fetch(
    bodies: &Bodies,
    site: SiteId,
    body: BodyRef,
    seq: u64,
) -> BoxFuture<'static, Result<Option<Bytes>, Error>> {
    let bodies = bodies.clone();
    Box::pin(async move {
        let until = Instant::now() + FETCH_MAX;
        loop {
            match bodies.get_chunk(site, &body, seq).await {
                Err(error) if error.is_transient() && Instant::now() < until => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot fetch a body yet");
                    tokio::time::sleep(FETCH_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot fetch a body");
                    return Err(error);
                }
                Ok(octets) => return Ok(octets),
            }
        }
    })
}
