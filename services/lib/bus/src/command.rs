//! The command streams: gateways append, the owner of a shard reads and trims.

use std::collections::HashMap;
use std::sync::Arc;

use redis::{cmd, pipe};
use tmtp_contract::CommandEntry;
use tmtp_domain::{ShardId, WorkerId};
use tokio::sync::watch;

use crate::tail::{Batch, Pace, Request, Tail};
use crate::{Bus, Error, StreamId, keys};

/// How many entries a stream holds, and the id of the oldest. A script, because every command that tells that id sends
/// the entry with it.
const BACKLOG: &str = "local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1) \
    return {redis.call('XLEN', KEYS[1]), oldest[1] and oldest[1][1] or false}";

/// What a command stream holds: entries that no owner of the shard has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many.
    pub entries: u64,
    /// The id of the oldest; everything before it is committed, or was lost.
    pub oldest: Option<StreamId>,
}

impl Bus {
    /// Appends encoded [`CommandEntry`]s in this order, in one round trip. Returns their ids, one for each.
    ///
    /// # Errors
    /// Any of the entries may have been appended then.
    pub async fn append_commands(&self, entries: &[(ShardId, Vec<u8>)]) -> Result<Vec<StreamId>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut appends = pipe();
        for (shard, octets) in entries {
            appends.cmd("XADD").arg(keys::commands(*shard)).arg("*").arg(keys::BODY).arg(octets.as_slice());
        }
        let ids: Vec<String> = self.link.pipeline(&appends).await?;
        ids.iter().map(|id| id.parse().map_err(|_| Error::Answer("an id of an entry"))).collect()
    }

    /// Makes sure that the shard's stream hands out only ids above `at_least`, so that nothing new can land behind
    /// the place that Postgres remembers. True when it had to: then the stream was lost, or is older than that place.
    pub async fn raise_floor(&self, shard: ShardId, at_least: StreamId) -> Result<bool, Error> {
        if at_least == StreamId::default() {
            return Ok(false);
        }
        // One atomic step: Redis refuses an id that is not above the last one, which is all we want to know.
        let mut raise = cmd("XADD");
        raise.arg(keys::commands(shard)).arg(at_least.to_string()).arg(keys::FLOOR).arg(1);
        match self.link.command::<String>(&raise).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(refusal)) if refusal.to_string().contains("equal or smaller") => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// How many entries each of these streams holds.
    pub async fn command_depth(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, u64)>, Error> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let mut asks = pipe();
        for shard in shards {
            asks.cmd("XLEN").arg(keys::commands(*shard));
        }
        let depths: Vec<u64> = self.link.pipeline(&asks).await?;
        Ok(shards.iter().copied().zip(depths).collect())
    }

    /// What each of these streams holds, without its entries travelling. Where scripts are forbidden the oldest entry
    /// of a stream that is not empty has the lowest id there is.
    pub async fn command_backlog(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, Backlog)>, Error> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let mut asks = pipe();
        for shard in shards {
            asks.cmd("EVAL").arg(BACKLOG).arg(1).arg(keys::commands(*shard));
        }
        let answers: Vec<(u64, Option<String>)> = match self.link.pipeline(&asks).await {
            Err(Error::Refused(_)) => return self.command_backlog_by_depth(shards).await,
            other => other?,
        };
        let backlog = |(shard, (entries, oldest)): (&ShardId, (u64, Option<String>))| {
            let oldest = oldest.map(|id| id.parse().map_err(|_| Error::Answer("an id of an entry")));
            Ok((*shard, Backlog { entries, oldest: oldest.transpose()? }))
        };
        shards.iter().zip(answers).map(backlog).collect()
    }

    async fn command_backlog_by_depth(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, Backlog)>, Error> {
        let oldest = |entries| (entries > 0).then(StreamId::default);
        let depths = self.command_depth(shards).await?;
        Ok(depths
            .into_iter()
            .map(|(shard, entries)| (shard, Backlog { entries, oldest: oldest(entries) }))
            .collect())
    }

    /// A reader of no shards, and the handle that gives it some.
    pub fn command_reader(&self, worker: WorkerId) -> (CommandReader, ReaderHandle) {
        let plan = Arc::new(watch::Sender::new(Plan::default()));
        let reader = CommandReader {
            tail: Tail::new(Arc::clone(&self.link), format!("worker {worker}")),
            changes: plan.subscribe(),
            _open: Arc::clone(&plan),
            shards: Vec::new(),
            pace: Pace::new(),
            parked: 0,
        };
        (reader, ReaderHandle { plan })
    }
}

/// What a reader should read. Each time that a shard is given, it gets a new `turn`: that is how the reader tells a
/// shard that stays from one that left and came back between two looks.
#[derive(Clone, Default)]
struct Plan {
    turns: u64,
    shards: HashMap<ShardId, (u64, StreamId)>,
}

/// Tells a [`CommandReader`] what to read; takes effect at once, also on a reader that waits.
#[derive(Clone)]
pub struct ReaderHandle {
    plan: Arc<watch::Sender<Plan>>,
}

impl ReaderHandle {
    /// Replaces the shards to read, each with the id behind which to begin.
    ///
    /// A shard that is read already goes on where it is, whatever the id says; [`Self::rewind`] moves it.
    pub fn set_shards(&self, shards: Vec<(ShardId, StreamId)>) {
        self.plan.send_modify(|plan| {
            let mut old = std::mem::take(&mut plan.shards);
            for (shard, after) in shards {
                let place = old.remove(&shard).unwrap_or_else(|| {
                    plan.turns += 1;
                    (plan.turns, after)
                });
                plan.shards.insert(shard, place);
            }
        });
    }

    /// Reads this shard again from behind `after`, if it is read at all.
    pub fn rewind(&self, shard: ShardId, after: StreamId) {
        self.plan.send_modify(|plan| {
            if let Some(place) = plan.shards.get_mut(&shard) {
                plan.turns += 1;
                *place = (plan.turns, after);
            }
        });
    }
}

/// An entry of a command stream.
#[derive(Debug)]
pub struct Read {
    /// Whose.
    pub shard: ShardId,
    /// Where in the stream.
    pub id: StreamId,
    /// What.
    pub entry: CommandEntry,
    /// Its encoded size.
    pub octets: usize,
}

/// Reads the command streams of all shards of a worker, on one connection.
pub struct CommandReader {
    tail: Tail<CommandEntry>,
    changes: watch::Receiver<Plan>,
    /// Keeps `changes` alive without a handle.
    _open: Arc<watch::Sender<Plan>>,
    shards: Vec<Place>,
    pace: Pace,
    parked: u64,
}

struct Place {
    shard: ShardId,
    turn: u64,
    after: StreamId,
}

impl CommandReader {
    /// Waits for entries and gives them: shard by shard, each in its order, 8 MiB or so at most. Cancel safe.
    ///
    /// Entries that do not decode are parked and passed over. Nothing is given of a shard that was taken away by a
    /// [`ReaderHandle`] before the call.
    ///
    /// # Errors
    /// Then nothing was taken, and it may be called again at once: it pauses by itself, up to a second.
    pub async fn next(&mut self) -> Result<Vec<Read>, Error> {
        loop {
            if self.changes.has_changed().unwrap_or(false) {
                self.adopt();
            }
            if self.shards.is_empty() {
                // Cannot fail, as the sender is ours as well.
                let _ = self.changes.changed().await;
                self.changes.mark_changed();
                continue;
            }
            let (shards, pace) = (&self.shards, &self.pace);
            let request = || Request {
                sources: shards.iter().map(|place| (keys::commands(place.shard), place.after)).collect(),
                count: pace.count(shards.len()),
            };
            let batch = tokio::select! {
                biased;
                _ = self.changes.changed() => {
                    self.changes.mark_changed();
                    continue;
                }
                batch = self.tail.read(request) => batch?,
            };
            // A change that came with the entries counts, too: they are read again where they are still wanted.
            if self.changes.has_changed().unwrap_or(false) {
                continue;
            }
            let reads = self.take(batch);
            if !reads.is_empty() {
                return Ok(reads);
            }
        }
    }

    /// How many entries this reader has parked.
    pub fn parked(&self) -> u64 {
        self.parked
    }

    /// Takes the plan over. Shards of a turn that is known keep their place.
    fn adopt(&mut self) {
        self.tail.abandon();
        let plan = self.changes.borrow_and_update();
        let known: HashMap<u64, StreamId> =
            self.shards.iter().map(|place| (place.turn, place.after)).collect();
        self.shards = plan
            .shards
            .iter()
            .map(|(&shard, &(turn, after))| Place {
                shard,
                turn,
                after: known.get(&turn).copied().unwrap_or(after),
            })
            .collect();
        self.shards.sort_by_key(|place| place.shard);
        self.pace = Pace::new();
    }

    fn take(&mut self, batch: Batch<CommandEntry>) -> Vec<Read> {
        self.pace.learn(&batch);
        self.parked += batch.parked;
        for (source, reached) in &batch.reached {
            if let Some(place) = self.shards.get_mut(*source) {
                place.after = *reached;
            }
        }
        let shards = &self.shards;
        let read = |item: crate::tail::Item<CommandEntry>| {
            let shard = shards.get(item.source)?.shard;
            Some(Read { shard, id: item.id, entry: item.entry, octets: item.octets })
        };
        batch.items.into_iter().filter_map(read).collect()
    }
}
