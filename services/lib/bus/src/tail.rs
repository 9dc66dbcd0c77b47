//! Reads the ends of streams with XREAD BLOCK, on a connection of its own.
//!
//! A read that has begun is kept when its caller goes away (in `select!`) and taken up by the next call: a blocked
//! XREAD that nobody waits for would keep its connection busy, and answer into the void. Must never move a position
//! by itself: the caller does so together with taking the entries.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value, cmd};
use tmtp_contract::{Versioned, decode};
use tokio::time::timeout;

use crate::error::sort;
use crate::link::Link;
use crate::parked::{Parked, chain, park};
use crate::parse::{RawContent, RawStream, streams};
use crate::{Error, RESPONSE_MAX, StreamId};

/// How long Redis waits for an entry before it answers with nothing. Bounds how long a dead connection goes unnoticed.
const BLOCK: Duration = Duration::from_secs(1);
/// Before the second attempt after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What to read.
pub(crate) struct Request {
    /// Streams, each with the last id that is known; at least one.
    pub(crate) sources: Vec<(String, StreamId)>,
    /// Entries at most, for each stream.
    pub(crate) count: usize,
}

/// What was read. Nothing, when the wait was over first.
pub(crate) struct Batch<T> {
    /// Stream by stream (by index in the request), oldest first.
    pub(crate) items: Vec<Item<T>>,
    /// How far each stream was read that had something, parked and skipped entries included.
    pub(crate) reached: Vec<(usize, StreamId)>,
    /// Entries that were parked.
    pub(crate) parked: u64,
}

pub(crate) struct Item<T> {
    pub(crate) source: usize,
    pub(crate) id: StreamId,
    pub(crate) entry: T,
    pub(crate) octets: usize,
}

struct Finished<T> {
    connection: Option<MultiplexedConnection>,
    result: Result<Batch<T>, Error>,
}

pub(crate) struct Tail<T> {
    link: Arc<Link>,
    /// Who reads; told in parked entries.
    name: Arc<str>,
    connection: Option<MultiplexedConnection>,
    pending: Option<BoxFuture<'static, Finished<T>>>,
    pause: Duration,
}

impl<T: Versioned + Send + 'static> Tail<T> {
    pub(crate) fn new(link: Arc<Link>, name: String) -> Self {
        Self { link, name: name.into(), connection: None, pending: None, pause: Duration::ZERO }
    }

    /// Reads what `request` says, or ends the read that has begun before; cancel safe. After an error, the next call
    /// pauses first, so a caller may simply call again.
    pub(crate) async fn read(&mut self, request: impl FnOnce() -> Request) -> Result<Batch<T>, Error> {
        let pending = self.pending.get_or_insert_with(|| {
            let attempt =
                Attempt { link: Arc::clone(&self.link), name: Arc::clone(&self.name), pause: self.pause };
            attempt.run(self.connection.take(), request()).boxed()
        });
        let finished = pending.await;
        self.pending = None;
        self.connection = finished.connection;
        self.pause = match &finished.result {
            Ok(_) => Duration::ZERO,
            Err(_) => (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX),
        };
        finished.result
    }

    /// Gives up the read that has begun, because its request no longer holds. Nothing is lost: reading changes nothing.
    pub(crate) fn abandon(&mut self) {
        // The connection goes with it, as it is busy with a blocked command.
        self.pending = None;
    }
}

/// One read with all that it needs, so that it can outlive a call.
struct Attempt {
    link: Arc<Link>,
    name: Arc<str>,
    pause: Duration,
}

impl Attempt {
    async fn run<T: Versioned>(
        self,
        connection: Option<MultiplexedConnection>,
        request: Request,
    ) -> Finished<T> {
        tokio::time::sleep(self.pause).await;
        let mut connection = match connection {
            Some(open) => open,
            None => match self.link.dial().await {
                Ok(dialled) => dialled,
                Err(error) => return Finished { connection: None, result: Err(sort(error).0) },
            },
        };
        match self.read(&mut connection, &request).await {
            Ok(batch) => Finished { connection: Some(connection), result: Ok(batch) },
            // Whatever it was: another connection does no harm.
            Err(error) => Finished { connection: None, result: Err(error) },
        }
    }

    async fn read<T: Versioned>(
        &self,
        connection: &mut MultiplexedConnection,
        request: &Request,
    ) -> Result<Batch<T>, Error> {
        let command = xread(request);
        let deadline = BLOCK + RESPONSE_MAX;
        let answer: Value = match timeout(deadline, command.query_async(connection)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(sort(error).0),
            Err(_) => return Err(Error::Timeout(deadline)),
        };
        let (batch, bad) = decode_all(streams(answer)?, request)?;
        park(&self.link, &self.name, &bad).await?;
        Ok(batch)
    }
}

fn xread(request: &Request) -> Cmd {
    let mut command = cmd("XREAD");
    command
        .arg("COUNT")
        .arg(request.count)
        .arg("BLOCK")
        .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1_000));
    command.arg("STREAMS");
    for (key, _) in &request.sources {
        command.arg(key);
    }
    for (_, after) in &request.sources {
        command.arg(after.to_string());
    }
    command
}

fn decode_all<T: Versioned>(
    streams: Vec<RawStream>,
    request: &Request,
) -> Result<(Batch<T>, Vec<Parked>), Error> {
    let mut batch = Batch { items: Vec::new(), reached: Vec::new(), parked: 0 };
    let mut bad = Vec::new();
    for stream in streams {
        let source = request
            .sources
            .iter()
            .position(|(key, _)| key.as_bytes() == stream.key)
            .ok_or(Error::Answer("entries of a stream that was not asked for"))?;
        for raw in stream.entries {
            match batch.reached.last_mut() {
                Some((last, reached)) if *last == source => *reached = raw.id,
                _ => batch.reached.push((source, raw.id)),
            }
            let octets = match raw.content {
                RawContent::Floor => continue,
                RawContent::Octets(octets) => octets,
                RawContent::Foreign => Vec::new(),
            };
            match decode(&octets) {
                Ok(entry) => batch.items.push(Item { source, id: raw.id, entry, octets: octets.len() }),
                Err(error) => {
                    let (stream, error) = (stream.key.clone(), chain(&error));
                    bad.push(Parked { stream, id: raw.id, octets, error });
                    batch.parked += 1;
                }
            }
        }
    }
    Ok((batch, bad))
}

/// How many entries to ask for, learned from the sizes of the entries before: XREAD counts entries, memory is octets.
pub(crate) struct Pace {
    /// A guess of an entry's size: the mean of the last read, coming down slowly from larger ones.
    octets_each: usize,
    /// How many streams had something in the last read.
    active: usize,
}

impl Pace {
    /// What a read should bring, roughly. As the guess can be wrong, a read can bring more.
    const OCTETS: usize = 8 << 20;
    /// More entries per stream and read save nothing measurable.
    const COUNT_MAX: usize = 500;

    /// Begins carefully, as if every stream was full.
    pub(crate) fn new() -> Self {
        Self { octets_each: 16 << 10, active: usize::MAX }
    }

    /// Entries to ask for in each of `streams`, 1 to 500.
    pub(crate) fn count(&self, streams: usize) -> usize {
        // Twice the streams that were active, so that a few more may become so; and if all do at once, four times
        // the octets at most.
        let expected = self.active.saturating_mul(2).clamp(1, streams.max(1));
        let usual = Self::OCTETS / (self.octets_each * expected);
        let worst = 4 * Self::OCTETS / (self.octets_each * streams.max(1));
        usual.min(worst).clamp(1, Self::COUNT_MAX)
    }

    pub(crate) fn learn<T>(&mut self, batch: &Batch<T>) {
        self.active = batch.reached.len();
        if batch.items.is_empty() {
            return;
        }
        let octets: usize = batch.items.iter().map(|item| item.octets).sum();
        self.octets_each = (octets / batch.items.len()).max(self.octets_each / 8 * 7).max(256);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sizes: &[usize], streams: usize) -> Batch<()> {
        let item = |&octets: &usize| Item { source: 0, id: StreamId::default(), entry: (), octets };
        let reached = (0..streams).map(|source| (source, StreamId::default())).collect();
        Batch { items: sizes.iter().map(item).collect(), reached, parked: 0 }
    }

    /// Goal: a read stays near its budget whatever the entries' size; method: feed sizes and multiply out.
    #[test]
    fn the_count_follows_the_sizes() {
        let mut pace = Pace::new();
        assert!(pace.count(64) * 64 * (16 << 10) <= Pace::OCTETS);
        for _ in 0..100 {
            pace.learn(&batch(&[300; 10], 1));
        }
        assert_eq!(pace.count(1), 500);
        assert!(pace.count(64) * 64 * 300 <= 4 * Pace::OCTETS);
        pace.learn(&batch(&[1 << 20; 3], 64));
        assert_eq!(pace.count(64), 1);
        assert_eq!(pace.count(1), 8);
    }
}
