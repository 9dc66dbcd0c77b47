//! What home workers tell this gateway, handed to the sessions. Entries of each worker are numbered; when one is
//! missing, every session is opened again before anything of a later entry counts. One that comes again is passed over.

use std::collections::HashMap;
use std::time::Duration;

use tmtp_chassis::trace;
use tmtp_contract::{Answer, Envelope, Event, EventEntry};
use tmtp_domain::{Epoch, SessionId, ShardId, SiteId, WorkerId};
use uuid::Uuid;

use super::Hub;
use crate::session::{Cause, Session, Turn};

/// Workers that are remembered. Each life of a worker is one more.
const WORKERS_MAX: usize = 1_024;

/// Sessions that homes are told to be gone at one time. A home that goes on about one is told again later.
const GONE_MAX: usize = 1_024;
/// For so long a home is not told again that a session is gone.
const GONE_PAUSE: Duration = Duration::from_secs(2);

/// What this gateway knows of the workers.
#[derive(Default)]
pub struct Events {
    /// The last number of each worker.
    numbers: HashMap<WorkerId, u64>,
    /// The highest epoch that was announced for each shard.
    epochs: HashMap<ShardId, Epoch>,
    /// Sessions that are not here though a home believes so, and when that was told.
    gone: HashMap<SessionId, Duration>,
}

impl Events {
    /// Takes an entry in. Its events come before its `done` numbers, so that an answer is there before the news that
    /// the session's last command is committed.
    pub fn take(&mut self, hub: &Hub, entry: EventEntry) {
        match self.place(entry.worker, entry.number) {
            Place::Next => {}
            Place::Seen => {
                tracing::debug!(worker = %entry.worker, number = entry.number, "events came again");
                return;
            }
            Place::Gap => {
                tracing::warn!(worker = %entry.worker, number = entry.number, "events were lost");
                self.reattach_all(hub, Cause::Gap);
            }
        }
        for event in entry.events {
            self.dispatch(hub, event);
        }
        for (session, up_to) in entry.done {
            to(hub, session, |session, turn| session.done(turn, up_to));
        }
    }

    /// Opens all sessions again and says so to the owners of all shards that have ever asked. Shards whose streams
    /// are full follow when they have room.
    pub fn reattach_all(&self, hub: &Hub, cause: Cause) {
        hub.reattach_all(cause);
        for (shard, epoch) in &self.epochs {
            if !hub.backlogs.is_full(*shard) {
                hub.present(*shard, *epoch);
            }
        }
    }

    /// A shard's stream has room again.
    pub fn resume(&self, hub: &Hub, shard: ShardId) {
        hub.resume(shard);
        if let Some(epoch) = self.epochs.get(&shard) {
            hub.present(shard, *epoch);
        }
    }

    /// Notes a worker's number. A worker that is new may begin anywhere: what it said before is not for the sessions
    /// of this life.
    fn place(&mut self, worker: WorkerId, number: u64) -> Place {
        if self.numbers.len() >= WORKERS_MAX {
            // Costs those that live one round of attaching at most, in the months that this takes.
            self.numbers.clear();
        }
        let Some(last) = self.numbers.get_mut(&worker) else {
            self.numbers.insert(worker, number);
            return Place::Next;
        };
        let before = std::mem::replace(last, number.max(*last));
        if number == before + 1 {
            Place::Next
        } else if number == 1 && before > 1 {
            // A worker that has forgotten this gateway counts from 1 again: passed over, it would never be heard.
            *last = number;
            Place::Gap
        } else if number <= before {
            Place::Seen
        } else {
            Place::Gap
        }
    }

    /// Tells the homes that a session is not here, or it would sit at its node for good. Which shard is its own was
    /// forgotten with it, so all are told; the others make nothing of it.
    fn tell_gone(&mut self, hub: &Hub, session: SessionId) {
        let now = hub.now();
        self.gone.retain(|_, told| now.saturating_sub(*told) < GONE_PAUSE);
        if self.gone.contains_key(&session) || self.gone.len() >= GONE_MAX {
            return;
        }
        tracing::info!(session.id = session.0, "a home believes a session to be open that is gone");
        self.gone.insert(session, now);
        for shard in self.epochs.keys() {
            hub.publisher.push(*shard, vec![Envelope::gone(SiteId(Uuid::nil()), session)]);
        }
    }

    fn dispatch(&mut self, hub: &Hub, event: Event) {
        if let Some(session) = open_at_home(&event)
            && hub.registry.get(session).is_none()
        {
            return self.tell_gone(hub, session);
        }
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
            Event::Ohi { session, opened, online, offline } => {
                to(hub, session, |session, turn| session.ohi(turn, opened, &online, &offline));
            }
            Event::Shows { session, opened, version, full, added, dropped } => {
                to(hub, session, |session, _| session.shows(opened, version, full, &added, &dropped));
            }
            Event::Close { session, opened, reason } => {
                to(hub, session, |session, turn| session.close(turn, opened, reason));
            }
            Event::Lost { session, seq } => to(hub, session, |session, turn| session.lost(turn, seq)),
            Event::Probe { session } => to(hub, session, Session::probe),
            // For admin servers.
            Event::Admin { .. } => {}
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

/// The session that an event shows to be open at its home.
fn open_at_home(event: &Event) -> Option<SessionId> {
    match event {
        Event::Answer { session, answer, .. } => {
            let opened =
                matches!(answer, Answer::LoggedIn { .. } | Answer::Registered { .. } | Answer::Attached);
            opened.then_some(*session)
        }
        Event::Deliver { session, .. }
        | Event::Ohi { session, .. }
        | Event::Shows { session, .. }
        | Event::Probe { session } => Some(*session),
        Event::Close { .. } | Event::Lost { .. } | Event::Rehome { .. } | Event::Admin { .. } => None,
    }
}

/// Where an entry stands among those of its worker.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It is the next one.
    Next,
    /// It was taken before: a worker that does not know whether an append succeeded repeats it.
    Seen,
    /// Some before it are missing.
    Gap,
}

/// Hands something to a session, if it is still there.
fn to(hub: &Hub, session: SessionId, act: impl FnOnce(&mut Session, &mut Turn<'_>)) {
    if let Some(entry) = hub.registry.get(session) {
        hub.nudge(&entry, act);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only what is missing is a gap; method: one worker's numbers as they come with repeats, a loss, and a new
    /// count, with another worker's between them.
    #[test]
    fn places() {
        let mut events = Events::default();
        let (worker, other) = (WorkerId(Uuid::from_u128(1)), WorkerId(Uuid::from_u128(2)));
        for (number, expected) in [
            (7, Place::Next),
            (8, Place::Next),
            (9, Place::Next),
            (8, Place::Seen),
            (9, Place::Seen),
            (10, Place::Next),
            (10, Place::Seen),
            (12, Place::Gap),
            (12, Place::Seen),
            (13, Place::Next),
            (1, Place::Gap),
            (1, Place::Seen),
            (2, Place::Next),
        ] {
            assert_eq!(events.place(worker, number), expected, "{number}");
            assert_ne!(events.place(other, number), Place::Gap, "{number}");
            events.numbers.remove(&other);
        }
    }
}
