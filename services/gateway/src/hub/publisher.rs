//! The way to the command streams. What sessions publish gathers while one append is under way, and goes with the
//! next: so batches form by themselves, and nothing waits while it is quiet.
//!
//! It must never reorder the commands of a shard. It may drop commands, when the bus is down: the sessions hold them,
//! and publish them again when the bus is back.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tmtp_bus::Bus;
use tmtp_contract::{Command, CommandEntry, Envelope, encode};
use tmtp_domain::ShardId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Hub;

/// Octets per entry, roughly: an entry is what a worker reads at least at a time.
const ENTRY_OCTETS: usize = 256 << 10;
/// Octets per append, roughly: it has to be through within the bus's response time.
const APPEND_OCTETS: usize = 4 << 20;
/// Octets of a command without its body, for these bounds.
const COMMAND_OCTETS: usize = 256;

/// The queue before the command streams.
pub struct Publisher {
    queue: Mutex<Queue>,
    filled: Notify,
    /// The bus takes commands. Otherwise they are dropped. Changed only under the queue's lock.
    up: AtomicBool,
}

struct Queue {
    waiting: Vec<(ShardId, Envelope)>,
    /// An append is under way.
    busy: bool,
}

impl Publisher {
    /// An empty queue, of a bus that is not up yet.
    pub fn new() -> Self {
        let queue = Queue { waiting: Vec::new(), busy: false };
        Self { queue: Mutex::new(queue), filled: Notify::new(), up: AtomicBool::new(false) }
    }

    /// Queues commands of one shard, in this order.
    pub fn push(&self, shard: ShardId, commands: Vec<Envelope>) {
        let mut queue = self.queue.lock();
        if !self.is_up() {
            return;
        }
        let idle = queue.waiting.is_empty() && !queue.busy;
        queue.waiting.extend(commands.into_iter().map(|command| (shard, command)));
        drop(queue);
        if idle {
            self.filled.notify_one();
        }
    }

    /// Commands are taken.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Nothing waits, and nothing is under way.
    pub fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        queue.waiting.is_empty() && !queue.busy
    }

    /// From now on commands are taken.
    pub fn go_up(&self) {
        let _queue = self.queue.lock();
        self.up.store(true, Ordering::Release);
    }

    /// From now on commands are dropped, those that wait included.
    pub fn go_down(&self) {
        let mut queue = self.queue.lock();
        self.up.store(false, Ordering::Release);
        queue.waiting = Vec::new();
    }

    fn take(&self) -> Vec<(ShardId, Envelope)> {
        let mut queue = self.queue.lock();
        queue.busy = !queue.waiting.is_empty();
        mem::take(&mut queue.waiting)
    }
}

/// Appends what is queued, one append at a time, until it is stopped.
pub async fn publish(hub: Arc<Hub>, bus: Bus, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = hub.publisher.filled.notified() => {}
            () = stop.cancelled() => return Ok(()),
        }
        loop {
            let taken = hub.publisher.take();
            // After they were taken, so that each of them was queued by then.
            let queued = hub.now();
            if taken.is_empty() {
                break;
            }
            for batch in batches(taken) {
                if !append(&hub, &bus, batch, queued).await {
                    break;
                }
            }
        }
    }
}

/// Appends a batch of what was queued up to that time. False when the bus failed: then nothing behind it may be appended either.
async fn append(hub: &Hub, bus: &Bus, batch: Vec<(ShardId, Vec<Envelope>)>, queued: Duration) -> bool {
    let mut entries = Vec::with_capacity(batch.len());
    let mut commands: u32 = 0;
    for (shard, envelopes) in batch {
        commands = commands.saturating_add(u32::try_from(envelopes.len()).unwrap_or(u32::MAX));
        match encode(&CommandEntry::new(hub.gateway, envelopes)) {
            Ok(octets) => entries.push((shard, octets)),
            // Only a bug does this. The sessions publish again, so nobody waits for nothing without a trace of it.
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cannot encode commands"),
        }
    }
    match bus.append_commands(&entries).await {
        Ok(ids) => {
            let confirmed = hub.now();
            for ((shard, _), id) in entries.iter().zip(ids) {
                hub.backlogs.appended(*shard, id, queued, confirmed);
            }
            hub.metrics.append_commands.observe(f64::from(commands));
            true
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot append commands");
            hub.metrics.append_failures_total.inc();
            hub.publisher.go_down();
            false
        }
    }
}

/// Cuts what was taken into appends, and each append into entries, one shard each. The order within a shard stays.
fn batches(taken: Vec<(ShardId, Envelope)>) -> Vec<Vec<(ShardId, Vec<Envelope>)>> {
    let mut batches = Vec::new();
    let mut batch: Vec<(ShardId, Vec<Envelope>)> = Vec::new();
    // The entry of each shard that is still open, and its octets.
    let mut open: HashMap<ShardId, (usize, usize)> = HashMap::new();
    let mut octets = 0;
    for (shard, envelope) in taken {
        let size = size(&envelope);
        if octets + size > APPEND_OCTETS && octets > 0 {
            batches.push(mem::take(&mut batch));
            open.clear();
            octets = 0;
        }
        octets += size;
        match open.get_mut(&shard) {
            Some((index, filled)) if *filled + size <= ENTRY_OCTETS => {
                *filled += size;
                batch[*index].1.push(envelope);
            }
            _ => {
                open.insert(shard, (batch.len(), size));
                batch.push((shard, vec![envelope]));
            }
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn size(envelope: &Envelope) -> usize {
    let payload = match &envelope.command {
        Command::Post { recipients, body, front, .. } => {
            recipients.len() * 48 + body.inline_len() + front.as_ref().map_or(0, Bytes::len)
        }
        Command::PostNotify { recipients, note_recipients, body, note_body, front, note_front, .. } => {
            let fronts: usize = front.iter().chain(note_front).map(Bytes::len).sum();
            (recipients.len() + note_recipients.len()) * 48
                + body.inline_len()
                + note_body.inline_len()
                + fronts
        }
        Command::Ping { from, to, body, .. } => from.len() + to.len() + body.inline_len(),
        Command::GroupInvite { gid, from, to, body, .. } => {
            gid.len() + from.len() + to.len() + body.inline_len()
        }
        Command::GroupEdit { gid, edit, .. } => gid.len() + edit.octets(),
        Command::OhiEdit { list, .. } => list.iter().map(|item| item.id.len() + 8).sum(),
        Command::Acks { ids } => ids.len() * 9,
        Command::Attach(attach) => {
            let shown = attach.showing.as_ref().map_or(0, |showing| showing.uids.len());
            attach.in_flight.len() * 9 + (shown + attach.seen.len()) * 22
        }
        Command::NewAlias { alias, .. } => alias.len(),
        Command::NewNode { label, .. } | Command::Register { label, .. } => label.len(),
        // Gateways publish none.
        Command::Admin(_) | Command::Login { .. } | Command::Detach | Command::Present { .. } => 0,
    };
    COMMAND_OCTETS + payload
}

#[cfg(test)]
mod tests {
    use tmtp_contract::{Body, DataInfo, Digest};
    use tmtp_domain::{SessionId, SiteId};
    use uuid::Uuid;

    use super::*;

    fn post(seq: u64, octets: usize) -> Envelope {
        let body = Body::Inline(Bytes::from(vec![0; octets]));
        let command = Command::Post {
            digest: Digest([0; 16]),
            recipients: Vec::new(),
            data: DataInfo::default(),
            body,
            front: None,
        };
        Envelope { site: SiteId(Uuid::nil()), session: SessionId(1), seq, trace: None, command }
    }

    /// Goal: batches keep each shard's order and their bounds; method: many posts of many sizes to three shards.
    #[test]
    fn batches_keep_order_and_bounds() {
        let sizes = [0, 10, 40_000, 120_000, 300_000, 1, 70_000];
        let taken: Vec<_> = (0..400_u64)
            .map(|seq| {
                let index = usize::try_from(seq).unwrap() % sizes.len();
                (ShardId(u16::try_from(seq % 3).unwrap()), post(seq, sizes[index]))
            })
            .collect();
        let mut seen: HashMap<ShardId, Vec<u64>> = HashMap::new();
        for batch in batches(taken) {
            let octets: usize = batch.iter().flat_map(|(_, entry)| entry).map(size).sum();
            assert!(octets <= APPEND_OCTETS, "{octets}");
            for (shard, entry) in batch {
                let octets: usize = entry.iter().map(size).sum();
                assert!(octets <= ENTRY_OCTETS || entry.len() == 1, "{octets}");
                seen.entry(shard).or_default().extend(entry.iter().map(|envelope| envelope.seq));
            }
        }
        for shard in 0..3 {
            let expected: Vec<u64> = (0..400).filter(|seq| seq % 3 == shard).collect();
            assert_eq!(seen[&ShardId(u16::try_from(shard).unwrap())], expected);
        }
    }

    /// Goal: while the bus is down nothing gathers; method: push before, while and after.
    #[test]
    fn down_means_dropped() {
        let publisher = Publisher::new();
        publisher.push(ShardId(0), vec![post(1, 0)]);
        assert!(publisher.is_idle());
        publisher.go_up();
        publisher.push(ShardId(0), vec![post(2, 0)]);
        assert!(!publisher.is_idle());
        publisher.go_down();
        publisher.push(ShardId(0), vec![post(3, 0)]);
        assert!(publisher.take().is_empty());
    }
}
