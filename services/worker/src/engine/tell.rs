//! After the commit: answers, then deliveries, one entry per gateway, and the streams are trimmed behind.

use std::collections::{BTreeMap, VecDeque};

use tmtp_bus::StreamId;
use tmtp_contract::{Event, EventEntry};
use tmtp_domain::{GatewayId, SessionId, ShardId};
use tmtp_store::PageRequest;

use super::{Engine, now};
use crate::home::SessionKey;

/// Octets of an event entry, roughly; more go into further entries.
const ENTRY_OCTETS: usize = 256 * 1024;
/// Octets of rows that are read, and told, at once, roughly.
const READ_OCTETS: usize = 8 * 1024 * 1024;
/// Pages that are read at once at most.
const PAGES_MAX: usize = 256;
/// Octets of one append, roughly: it has to be through within the bus's response time, however much a batch tells.
const APPEND_OCTETS: usize = 4 * 1024 * 1024;

/// What one gateway is told.
#[derive(Default)]
struct Told {
    answers: Vec<Event>,
    pushes: Vec<Event>,
    done: Vec<(SessionId, u64)>,
}

/// What one entry for a gateway says.
struct Words {
    gateway: GatewayId,
    done: Vec<(SessionId, u64)>,
    events: Vec<Event>,
}

/// Entries that go with one append.
#[derive(Default)]
struct Portion {
    entries: Vec<(GatewayId, Vec<u8>)>,
    octets: usize,
}

impl Portion {
    /// Adds an entry; returns those that have to be appended before it.
    fn add(&mut self, entry: (GatewayId, Vec<u8>)) -> Option<Vec<(GatewayId, Vec<u8>)>> {
        let full = self.octets > 0 && self.octets + entry.1.len() > APPEND_OCTETS;
        let before = full.then(|| std::mem::take(self).entries);
        self.octets += entry.1.len();
        self.entries.push(entry);
        before
    }
}

impl Engine {
    /// Commits what was decided, then tells.
    pub(super) async fn commit_and_tell(&mut self, progress: bool) {
        let committed = self.commit(progress).await;
        self.tell(&committed).await;
    }

    /// Tells gateways what their sessions are to know, feeds sessions, and trims the streams of shards that committed.
    ///
    /// When shards change hands, all sessions of them want their first rows at once: what is read is told before more
    /// is read, so that memory does not grow with the sessions.
    pub(super) async fn tell(&mut self, committed: &[ShardId]) {
        let mut hungry = VecDeque::new();
        loop {
            self.feed(&mut hungry);
            if hungry.is_empty() {
                break;
            }
            let some: Vec<_> = hungry.drain(..self.pages_at_once().min(hungry.len())).collect();
            let requests: Vec<PageRequest> = some.iter().map(|(_, _, request)| *request).collect();
            let Some(pages) = self.read_pages(&requests).await else { break };
            for ((shard, session, _), page) in some.into_iter().zip(pages) {
                if let Some(home) = self.homes.get_mut(&shard) {
                    home.take_page(session, page);
                }
            }
            if !hungry.is_empty() {
                self.feed(&mut hungry);
                self.tell_outboxes(&[]).await;
            }
        }
        let trims = committed.iter().filter_map(|shard| {
            let (ms, seq) = self.homes.get(shard)?.applied();
            Some((*shard, StreamId { ms, seq }))
        });
        let trims: Vec<(ShardId, StreamId)> = trims.collect();
        self.tell_outboxes(&trims).await;
    }

    /// Tells what is in the outboxes, and trims. Only a portion of it is encoded at a time: one message may be told to
    /// thousands of nodes.
    async fn tell_outboxes(&mut self, trims: &[(ShardId, StreamId)]) {
        let mut portion = Portion::default();
        for words in self.take_told() {
            let Some(entry) = self.entry(words) else { continue };
            if let Some(before) = portion.add(entry)
                && !self.append(&before, &[]).await
            {
                return;
            }
        }
        self.append(&portion.entries, trims).await;
    }

    /// Gives sessions what waits for them in memory; those for which rows have to be read come into line.
    fn feed(&mut self, hungry: &mut VecDeque<(ShardId, SessionKey, PageRequest)>) {
        let at = now();
        for (shard, home) in &mut self.homes {
            hungry.extend(home.feed(at).into_iter().map(|(session, request)| (*shard, session, request)));
        }
    }

    /// Each page has as many octets as the window of a session allows.
    fn pages_at_once(&self) -> usize {
        (READ_OCTETS / self.config.delivery.window_bytes.max(1)).clamp(1, PAGES_MAX)
    }

    /// Takes what homes have to tell; and bodies that nobody needs any more.
    fn take_told(&mut self) -> Vec<Words> {
        let mut told: BTreeMap<GatewayId, Told> = BTreeMap::new();
        for home in self.homes.values_mut() {
            let outbox = home.take_outbox();
            for (gateway, event) in outbox.answers {
                told.entry(gateway).or_default().answers.push(event);
            }
            for (gateway, event) in outbox.pushes {
                told.entry(gateway).or_default().pushes.push(event);
            }
            for ((gateway, session), seq) in outbox.done {
                told.entry(gateway).or_default().done.push((session, seq));
            }
            self.janitor.remove(home.take_free_bodies());
            self.janitor.remove_orphans(home.take_orphans());
        }
        told.into_iter().flat_map(|(gateway, told)| self.cut(gateway, told)).collect()
    }

    /// Cuts what a gateway is told into what goes into entries of bounded size.
    fn cut(&mut self, gateway: GatewayId, told: Told) -> Vec<Words> {
        let mut cut = Vec::new();
        let mut words = Words { gateway, done: told.done, events: Vec::new() };
        let mut octets = 0;
        for mut event in told.answers.into_iter().chain(told.pushes) {
            if let Event::Deliver { message, trace, .. } = &mut event {
                self.metrics.deliveries_total.inc();
                octets += message.body.inline_len();
                // Deliveries of rows, or to a second device, are not traced: the message has left the map by then.
                *trace = self.traces.remove(&message.id);
            }
            octets += 200;
            words.events.push(event);
            if octets >= ENTRY_OCTETS {
                octets = 0;
                let next = Words { gateway, done: Vec::new(), events: Vec::new() };
                cut.push(std::mem::replace(&mut words, next));
            }
        }
        if !words.events.is_empty() || !words.done.is_empty() {
            cut.push(words);
        }
        cut
    }

    /// A numbered entry.
    fn entry(&mut self, Words { gateway, done, events }: Words) -> Option<(GatewayId, Vec<u8>)> {
        let number = self.numbers.entry(gateway).or_default();
        *number += 1;
        match tmtp_contract::encode(&EventEntry::new(self.worker, *number, done, events)) {
            Ok(octets) => Some((gateway, octets)),
            Err(error) => {
                // The gap in the numbers makes the gateway attach its sessions again.
                tracing::error!(error = &error as &dyn std::error::Error, "cannot encode events");
                None
            }
        }
    }

    /// Appends until Redis has taken it: a gateway would not know of entries that were dropped before the next one.
    /// Repeated entries carry the same numbers, by which gateways pass them over. False when the process is to end.
    async fn append(&self, entries: &[(GatewayId, Vec<u8>)], trims: &[(ShardId, StreamId)]) -> bool {
        if entries.is_empty() && trims.is_empty() {
            return true;
        }
        let mut attempt = 0;
        while let Err(error) = self.bus.append_events_and_trim(entries, trims).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot append events; trying again");
            self.vitals.set_stuck(true);
            if !self.pause(attempt, "redis").await {
                return false;
            }
            attempt += 1;
        }
        self.vitals.set_stuck(false);
        true
    }

    /// Tells one gateway something outside of a batch.
    pub(super) async fn tell_gateway(&mut self, gateway: GatewayId, events: Vec<Event>) {
        let entry: Vec<_> = self.entry(Words { gateway, done: Vec::new(), events }).into_iter().collect();
        self.append(&entry, &[]).await;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Goal: no append is larger than its bound, nothing is left out, and the order stays; method: entries of many sizes,
    /// one of them larger than an append.
    #[test]
    fn appends_are_bounded() {
        let sizes = (0..500).map(|n| if n == 77 { APPEND_OCTETS * 2 } else { n * 1_000 });
        let entry = |size: usize| (GatewayId(Uuid::nil()), vec![0; size]);
        let mut portion = Portion::default();
        let mut appends: Vec<_> = sizes.clone().filter_map(|size| portion.add(entry(size))).collect();
        appends.push(portion.entries);
        let told: Vec<usize> = appends.iter().flatten().map(|(_, octets)| octets.len()).collect();
        assert_eq!(told, sizes.collect::<Vec<_>>());
        for append in &appends {
            let octets: usize = append.iter().map(|(_, octets)| octets.len()).sum();
            assert!(octets <= APPEND_OCTETS || append.len() == 1, "{octets}");
        }
        assert!(appends.len() > 30);
    }
}
