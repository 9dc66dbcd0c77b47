//! After the commit: answers, then deliveries, one entry per gateway, and the streams are trimmed behind.

use std::collections::{BTreeMap, VecDeque};

use tmtp_bus::StreamId;
use tmtp_contract::{Event, EventEntry};
use tmtp_domain::{GatewayId, SessionId, ShardId};
use tmtp_store::PageRequest;

use super::Engine;
use crate::home::SessionKey;

/// Octets of an event entry, roughly; more go into further entries.
const ENTRY_OCTETS: usize = 256 * 1024;
/// Octets of rows that are read, and told, at once, roughly.
const READ_OCTETS: usize = 8 * 1024 * 1024;
/// Pages that are read at once at most.
const PAGES_MAX: usize = 256;

/// What one gateway is told.
#[derive(Default)]
struct Told {
    answers: Vec<Event>,
    pushes: Vec<Event>,
    done: Vec<(SessionId, u64)>,
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
                let entries = self.take_told();
                self.append(&entries, &[]).await;
            }
        }
        let entries = self.take_told();
        let trims = committed.iter().filter_map(|shard| {
            let (ms, seq) = self.homes.get(shard)?.applied();
            Some((*shard, StreamId { ms, seq }))
        });
        let trims: Vec<(ShardId, StreamId)> = trims.collect();
        self.append(&entries, &trims).await;
    }

    /// Gives sessions what waits for them in memory; those for which rows have to be read come into line.
    fn feed(&mut self, hungry: &mut VecDeque<(ShardId, SessionKey, PageRequest)>) {
        for (shard, home) in &mut self.homes {
            hungry.extend(home.feed().into_iter().map(|(session, request)| (*shard, session, request)));
        }
    }

    /// Each page has as many octets as the window of a session allows.
    fn pages_at_once(&self) -> usize {
        (READ_OCTETS / self.config.delivery.window_bytes.max(1)).clamp(1, PAGES_MAX)
    }

    /// Takes what homes have to tell, as entries; and bodies that nobody needs any more.
    fn take_told(&mut self) -> Vec<(GatewayId, Vec<u8>)> {
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
        told.into_iter().flat_map(|(gateway, told)| self.entries(gateway, told)).collect()
    }

    /// Packs what a gateway is told into numbered entries of bounded size.
    fn entries(&mut self, gateway: GatewayId, told: Told) -> Vec<(GatewayId, Vec<u8>)> {
        let mut entries = Vec::new();
        let (mut events, mut octets) = (Vec::new(), 0);
        let mut done = told.done;
        for mut event in told.answers.into_iter().chain(told.pushes) {
            if let Event::Deliver { message, trace, .. } = &mut event {
                self.metrics.deliveries_total.inc();
                octets += message.body.inline_len();
                // Deliveries of rows, or to a second device, are not traced: the message has left the map by then.
                *trace = self.traces.remove(&message.id);
            }
            octets += 200;
            events.push(event);
            if octets >= ENTRY_OCTETS {
                octets = 0;
                entries.extend(self.entry(gateway, std::mem::take(&mut done), std::mem::take(&mut events)));
            }
        }
        if !events.is_empty() || !done.is_empty() {
            entries.extend(self.entry(gateway, done, events));
        }
        entries
    }

    fn entry(
        &mut self,
        gateway: GatewayId,
        done: Vec<(SessionId, u64)>,
        events: Vec<Event>,
    ) -> Option<(GatewayId, Vec<u8>)> {
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
    /// Repeated entries carry the same numbers, by which gateways pass them over.
    pub(super) async fn append(&self, entries: &[(GatewayId, Vec<u8>)], trims: &[(ShardId, StreamId)]) {
        if entries.is_empty() && trims.is_empty() {
            return;
        }
        let mut attempt = 0;
        while let Err(error) = self.bus.append_events_and_trim(entries, trims).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot append events; trying again");
            self.vitals.set_stuck(true);
            if !self.pause(attempt, "redis").await {
                return;
            }
            attempt += 1;
        }
        self.vitals.set_stuck(false);
    }

    /// Tells one gateway something outside of a batch.
    pub(super) async fn tell_gateway(&mut self, gateway: GatewayId, events: Vec<Event>) {
        let entry: Vec<_> = self.entry(gateway, Vec::new(), events).into_iter().collect();
        self.append(&entry, &[]).await;
    }
}
