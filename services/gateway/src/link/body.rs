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

/// How long something is tried.
#[derive(Clone, Copy)]
struct Patience {
    /// No attempt begins later.
    wait: Duration,
    /// The pause before the second attempt, which doubles up to the longest.
    pause_min: Duration,
    pause_max: Duration,
}

/// How long a client waits for a store that does not take a chunk or does not give one. Its link has nothing better to
/// do, and a client that is sent away waits two minutes.
const PATIENCE: Patience = Patience {
    wait: Duration::from_secs(30),
    pause_min: Duration::from_millis(100),
    pause_max: Duration::from_secs(2),
};

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
                    // Writing a chunk again replaces it. Meanwhile the client is not read.
                    let put = || bodies.put_chunk(site, body, seq, octets.clone());
                    Some(persist("store", PATIENCE, put).await.is_ok())
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
pub fn finish(bodies: &Bodies, site: SiteId, under_way: Option<Upload>, discards: Vec<session::Upload>) {
    // None at the end of the process, when the runtime goes away with its links; then it is swept.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let discards: Vec<Upload> =
        discards.into_iter().map(|discard| Upload::start(bodies, site, discard)).collect();
    runtime.spawn(async move {
        if let Some(upload) = under_way {
            upload.work.await;
        }
        for discard in discards {
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

/// Reads a chunk.
fn fetch(
    bodies: &Bodies,
    site: SiteId,
    body: BodyRef,
    seq: u64,
) -> BoxFuture<'static, Result<Option<Bytes>, Error>> {
    let bodies = bodies.clone();
    Box::pin(async move { persist("fetch", PATIENCE, || bodies.get_chunk(site, &body, seq)).await })
}

/// Repeats a call as long as the store is only not available, and patience lasts.
async fn persist<T, F: Future<Output = Result<T, Error>>>(
    what: &str,
    patience: Patience,
    call: impl Fn() -> F,
) -> Result<T, Error> {
    let until = Instant::now() + patience.wait;
    let mut pause = patience.pause_min;
    loop {
        match call().await {
            Err(error) if error.is_transient() && Instant::now() + pause <= until => {
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot {what} a body yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(patience.pause_max);
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot {what} a body");
                return Err(error);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Calls that fail in this way until there were enough. Returns whether one succeeded, and how many there were.
    async fn attempts(wait: Duration, enough: u32, error: fn() -> Error) -> (bool, u32) {
        let patience =
            Patience { wait, pause_min: Duration::from_millis(1), pause_max: Duration::from_millis(4) };
        let attempts = Cell::new(0);
        let call = || {
            attempts.set(attempts.get() + 1);
            let result = if attempts.get() >= enough { Ok(()) } else { Err(error()) };
            std::future::ready(result)
        };
        let result = persist("store", patience, call).await;
        (result.is_ok(), attempts.get())
    }

    /// Goal: a passing trouble of the store costs time only, a lasting one ends, and a refusal ends at once; method:
    /// calls that fail so many times, with much patience and with little.
    #[tokio::test]
    async fn persistence() {
        let passing = || Error::Timeout(Duration::ZERO);
        assert_eq!(attempts(Duration::from_mins(1), 8, passing).await, (true, 8));
        let (success, many) = attempts(Duration::from_millis(20), u32::MAX, passing).await;
        // Pauses of 1, 2, 4, 4 and so on: not more than seven fit, however fast the machine.
        assert!(!success && (1..=8).contains(&many), "{many}");
        assert_eq!(attempts(Duration::from_mins(1), 2, || Error::Config("bad".into())).await, (false, 1));
    }
}
