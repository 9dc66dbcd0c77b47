//! What home workers tell this gateway, handed to the sessions. Entries of each worker are numbered; when one is
//! missing, every session is opened again before anything of a later entry counts.

use std::collections::HashMap;

use tmtp_chassis::trace;
use tmtp_contract::{Event, EventEntry};
use tmtp_domain::{Epoch, SessionId, ShardId, WorkerId};

use super::Hub;
use crate::session::{Cause, Session, Turn};

/// Workers that are remembered. Each life of a worker is one more.
const WORKERS_MAX: usize = 1_024;

/// What this gateway knows of the workers.
#[derive(Default)]
pub struct Events {
    /// The last number of each worker.
    numbers: HashMap<WorkerId, u64>,
    /// The highest epoch that was announced for each shard.
    epochs: HashMap<ShardId, Epoch>,
}

impl Events {
    /// Takes an entry in. Its events come before its `done` numbers, so that an answer is there before the news that
    /// the session's last command is committed.
    pub fn take(&mut self, hub: &Hub, entry: EventEntry) {
        if !self.follows(entry.worker, entry.number) {
            tracing::warn!(worker = %entry.worker, number = entry.number, "events were lost");
            self.reattach_all(hub, Cause::Gap);
        }
        for event in entry.events {
            self.dispatch(hub, event);
        }
        for (session, up_to) in entry.done {
            to(hub, session, |session, turn| session.done(turn, up_to));
        }
    }

    /// Opens all sessions again and says so to the owners of all shards that have ever asked.
    pub fn reattach_all(&self, hub: &Hub, cause: Cause) {
        hub.reattach_all(cause);
        for (shard, epoch) in &self.epochs {
            hub.present(*shard, *epoch);
        }
    }

    /// Notes a worker's number. A worker that is new may begin anywhere: what it said before is not for the sessions
    /// of this life.
    fn follows(&mut self, worker: WorkerId, number: u64) -> bool {
        if self.numbers.len() >= WORKERS_MAX {
            // Costs those that live one round of attaching at most, in the months that this takes.
            self.numbers.clear();
        }
        let before = self.numbers.insert(worker, number);
        before.is_none_or(|before| number == before + 1)
    }

    fn dispatch(&mut self, hub: &Hub, event: Event) {
        match event {
            Event::Answer { session, seq, answer, .. } => {
                to(hub, session, |session, turn| session.answer(turn, seq, answer));
            }
            Event::Deliver { session, opened, message, trace } => {
                let span = trace.filter(|_| trace::enabled()).map(|parent| {
                    let span = tracing::info_span!("link.deliver", message.id = %message.id);
                    trace::set_parent(&span, &parent);
                    span
                });
                let _entered = span.as_ref().map(tracing::Span::enter);
                to(hub, session, |session, turn| session.deliver(turn, opened, message));
            }
            Event::Close { session, opened, reason } => {
                to(hub, session, |session, turn| session.close(turn, opened, reason));
            }
            Event::Lost { session, seq } => to(hub, session, |session, turn| session.lost(turn, seq)),
            Event::Probe { session } => to(hub, session, Session::probe),
            Event::Rehome { shard, epoch } => {
                let known = self.epochs.entry(shard).or_insert(epoch);
                // The same epoch again: its owner lost its view, and asks again.
                if epoch >= *known {
                    *known = epoch;
                    hub.rehome(shard, epoch);
                }
            }
        }
    }
}

/// Hands something to a session, if it is still there.
fn to(hub: &Hub, session: SessionId, act: impl FnOnce(&mut Session, &mut Turn<'_>)) {
    if let Some(entry) = hub.registry.get(session) {
        hub.nudge(&entry, act);
    }
}
