//! What this gateway knows of the command streams: how full they are, and up to when their owners have taken what it
//! published. Commands are published again only when a stream does not hold them any longer, and clients are read
//! only while there is room: so the streams hold each command once, and stay bounded while no owner commits.
//!
//! It must never claim for long that a command was taken whose entry is still there: then repeats would add up. Nor the
//! other way round: then what was lost would not come again.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tmtp_bus::{Backlog, StreamId};
use tmtp_domain::ShardId;

/// How much time one mark stands for: a shard gets that few of them.
const MARK_SPAN: Duration = Duration::from_secs(1);
/// Marks of one shard. When there are more, the last one stands for all that follows.
const MARKS_MAX: usize = 64;

/// All command streams that this gateway has written to. Its lock is taken inside of a session's lock, and no other
/// inside of it.
pub struct Backlogs {
    streams: Mutex<HashMap<ShardId, Stream>>,
    /// How many of them are full; most of the time none, and then nobody needs the lock to know.
    full: AtomicUsize,
    entries_max: u64,
}

#[derive(Default)]
struct Stream {
    /// Appended and not known to be taken, oldest first.
    marks: VecDeque<Mark>,
    /// Everything that was queued up to this time has been taken.
    taken_until: Duration,
    entries: u64,
    full: bool,
}

/// Appends that are looked at as one.
struct Mark {
    /// When the first of them was queued, and the last.
    first: Duration,
    last: Duration,
    /// When the last of them was confirmed.
    confirmed: Duration,
    /// Its entry.
    id: StreamId,
}

impl Backlogs {
    /// Knows of no stream. From `entries_max` entries on, a stream is full.
    pub fn new(entries_max: u64) -> Self {
        Self { streams: Mutex::default(), full: AtomicUsize::new(0), entries_max }
    }

    /// Notes an entry that holds what was queued for the shard up to `queued`.
    pub fn appended(&self, shard: ShardId, id: StreamId, queued: Duration, confirmed: Duration) {
        let mut streams = self.streams.lock();
        let marks = &mut streams.entry(shard).or_default().marks;
        let full = marks.len() >= MARKS_MAX;
        match marks.back_mut() {
            Some(mark) if full || queued < mark.first + MARK_SPAN => {
                (mark.last, mark.confirmed, mark.id) = (queued, confirmed, id);
            }
            _ => marks.push_back(Mark { first: queued, last: queued, confirmed, id }),
        }
    }

    /// The streams to look at.
    pub fn shards(&self) -> Vec<ShardId> {
        self.streams.lock().keys().copied().collect()
    }

    /// Notes what a look found that was sent at `asked`. Returns the shards whose streams are not full any longer.
    pub fn found(&self, found: &[(ShardId, Backlog)], asked: Duration) -> Vec<ShardId> {
        let mut room = Vec::new();
        let mut streams = self.streams.lock();
        for (shard, backlog) in found {
            let Some(stream) = streams.get_mut(shard) else { continue };
            // What was not confirmed by then may have come behind the look.
            while let Some(mark) = stream.marks.front()
                && mark.confirmed <= asked
                && backlog.oldest.is_none_or(|oldest| mark.id < oldest)
            {
                stream.taken_until = mark.last;
                stream.marks.pop_front();
            }
            stream.entries = backlog.entries;
            // Room is made in portions, so that the sessions are not woken for one entry each.
            let max = if stream.full { self.entries_max / 2 } else { self.entries_max };
            let was_full = std::mem::replace(&mut stream.full, backlog.entries >= max.max(1));
            if was_full && !stream.full {
                room.push(*shard);
            }
        }
        let full = streams.values().filter(|stream| stream.full).count();
        self.full.store(full, Ordering::Relaxed);
        room
    }

    /// Redis lost data: nothing is there any longer.
    pub fn lost(&self, now: Duration) {
        for stream in self.streams.lock().values_mut() {
            stream.marks = VecDeque::new();
            stream.taken_until = now;
        }
    }

    /// The shard's stream takes no more than it has to.
    pub fn is_full(&self, shard: ShardId) -> bool {
        self.full.load(Ordering::Relaxed) > 0
            && self.streams.lock().get(&shard).is_some_and(|stream| stream.full)
    }

    /// What was queued for the shard at that time is not in its stream any longer.
    pub fn is_taken(&self, shard: ShardId, queued: Duration) -> bool {
        self.streams.lock().get(&shard).is_none_or(|stream| queued <= stream.taken_until)
    }

    /// Entries in all of these streams together, and in the fullest.
    pub fn entries(&self) -> (u64, u64) {
        let streams = self.streams.lock();
        let entries = streams.values().map(|stream| stream.entries);
        (entries.clone().sum(), entries.max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(3);

    fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn look(backlogs: &Backlogs, entries: u64, oldest: Option<u64>, asked: u64) -> Vec<ShardId> {
        backlogs.found(&[(SHARD, Backlog { entries, oldest: oldest.map(id) })], at(asked))
    }

    /// Goal: what is still in the stream is never taken for taken; method: two appends far apart, and looks that find
    /// both, the second, none, and none at a time at which a third was on its way.
    #[test]
    fn taken_when_gone() {
        let backlogs = Backlogs::new(100);
        assert!(backlogs.is_taken(SHARD, at(0)), "nothing was ever appended");
        backlogs.appended(SHARD, id(10), at(1_000), at(1_005));
        backlogs.appended(SHARD, id(20), at(3_000), at(3_005));
        look(&backlogs, 2, Some(10), 4_000);
        assert!(!backlogs.is_taken(SHARD, at(1_000)));
        look(&backlogs, 1, Some(20), 5_000);
        assert!(backlogs.is_taken(SHARD, at(1_000)) && !backlogs.is_taken(SHARD, at(1_001)));
        backlogs.appended(SHARD, id(30), at(5_995), at(6_005));
        look(&backlogs, 0, None, 6_000);
        assert!(backlogs.is_taken(SHARD, at(3_000)) && !backlogs.is_taken(SHARD, at(5_000)));
        look(&backlogs, 0, None, 6_005);
        assert!(backlogs.is_taken(SHARD, at(5_995)) && !backlogs.is_taken(SHARD, at(6_000)));
        backlogs.lost(at(7_000));
        assert!(backlogs.is_taken(SHARD, at(7_000)));
    }

    /// Goal: the memory of what was appended is bounded, and errs on the safe side; method: an hour of appends.
    #[test]
    fn marks_are_bounded() {
        let backlogs = Backlogs::new(100);
        for millis in (0..3_600_000).step_by(100) {
            backlogs.appended(SHARD, id(millis), at(millis), at(millis));
        }
        assert!(backlogs.streams.lock()[&SHARD].marks.len() <= MARKS_MAX);
        look(&backlogs, 1, Some(3_599_900), 4_000_000);
        assert!(backlogs.is_taken(SHARD, at(60_000)) && !backlogs.is_taken(SHARD, at(3_500_000)));
        look(&backlogs, 0, None, 4_000_000);
        assert!(backlogs.is_taken(SHARD, at(3_599_900)));
    }

    /// Goal: a full stream is known for one until half of it is taken; method: fill and empty it.
    #[test]
    fn full() {
        let backlogs = Backlogs::new(100);
        backlogs.appended(SHARD, id(1), at(1), at(1));
        for (entries, full, room) in
            [(99, false, 0), (100, true, 0), (99, true, 0), (50, true, 0), (49, false, 1), (99, false, 0)]
        {
            assert_eq!(look(&backlogs, entries, Some(1), 2).len(), room, "{entries}");
            assert_eq!(backlogs.is_full(SHARD), full, "{entries}");
            assert_eq!(backlogs.entries(), (entries, entries));
        }
        assert!(!backlogs.is_full(ShardId(4)));
    }
}
