//! Changes that a site's home makes for an admin. They go through the command stream of the site's shard, in order with
//! the requests of its members, and come back as events when they are committed.
//!
//! Redis may lose a change or its answer, and its worker may die: a change is published again until it is answered or
//! time is up. That is safe, because the worker knows it by its [`Once`](tmtp_contract::Once), and commits it once. What
//! ends here unanswered may have happened or may yet happen; the same request later tells which.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tmtp_bus::{Bus, Error, EventReader};
use tmtp_contract::{AdminAnswer, AdminRequest, Command, CommandEntry, Envelope, Event, EventEntry};
use tmtp_domain::{GatewayId, RequestId, SessionId, ShardId, SiteId};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Changes under way at the same time; more are refused.
const UNDER_WAY_MAX: usize = 1_000;
/// How long a publication may take that nobody relies on.
const TELL_WITHIN: Duration = Duration::from_secs(1);
/// Pause after an append that failed.
const BACKOFF: Duration = Duration::from_millis(200);

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without an answer the change is published again after this time.
    pub repeat_after: Duration,
    /// Then it is given up.
    pub give_up_after: Duration,
}

impl Default for Patience {
    /// A shard has a new owner within its lease of five seconds.
    fn default() -> Self {
        Self { repeat_after: Duration::from_secs(2), give_up_after: Duration::from_secs(12) }
    }
}

/// Why a change has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Too many are under way; this one was not published.
    #[error("more than {UNDER_WAY_MAX} changes are under way")]
    Busy,
    /// A bug: such a change cannot be written down. It was not published.
    #[error("cannot encode the change")]
    Encode(#[source] tmtp_contract::Error),
    /// Nobody has answered in time. It may have happened, or may yet happen.
    #[error("no answer from the site's worker")]
    Unanswered,
}

/// The way to the homes of sites. Clones share it.
#[derive(Clone)]
pub struct Changes {
    desk: Arc<Desk>,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("node", &self.desk.node).finish_non_exhaustive()
    }
}

struct Desk {
    bus: Bus,
    /// This life of the admin server, under which workers answer it.
    node: GatewayId,
    patience: Patience,
    waiting: Mutex<HashMap<RequestId, oneshot::Sender<AdminAnswer>>>,
    /// An answer is overdue: the stream may have been lost.
    overdue: Notify,
}

impl Changes {
    /// A way over this bus. Nothing is heard before [`Changes::listen`] runs.
    pub fn new(bus: Bus, patience: Patience) -> Self {
        let desk = Desk {
            bus,
            node: GatewayId(Uuid::new_v4()),
            patience,
            waiting: Mutex::default(),
            overdue: Notify::new(),
        };
        Self { desk: Arc::new(desk) }
    }

    /// The bus that it goes over.
    pub(crate) fn bus(&self) -> &Bus {
        &self.desk.bus
    }

    /// Hands answers to those who wait for them, until `stop`.
    pub async fn listen(self, stop: CancellationToken) {
        let mut reader = self.desk.bus.event_reader(self.desk.node);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.desk.overdue.notified() => begin_anew(&mut reader).await,
                entries = reader.next() => match entries {
                    Ok(entries) => {
                        for entry in entries {
                            self.desk.take(entry);
                        }
                        let trimmed = self.desk.bus.trim_events(self.desk.node, reader.position());
                        if let Err(error) = trimmed.await {
                            tracing::debug!(error = &error as &dyn std::error::Error, "cannot trim events");
                        }
                    }
                    // The reader pauses by itself; those who wait publish again.
                    Err(error) => {
                        tracing::debug!(error = &error as &dyn std::error::Error, "cannot read events");
                    }
                },
            }
        }
    }

    /// Has the site's home make a change. Cancel safe: the change may happen all the same.
    pub async fn ask(
        &self,
        site: SiteId,
        shard: ShardId,
        request: AdminRequest,
    ) -> Result<AdminAnswer, AskError> {
        let id = request.id;
        let octets = self.encode(site, request)?;
        let mut seat = self.desk.sit_down(id)?;
        let give_up_at = Instant::now() + self.desk.patience.give_up_after;
        loop {
            if let Err(error) = self.publish(shard, &octets).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot publish a change");
                tokio::time::sleep(BACKOFF).await;
            }
            let until = give_up_at.min(Instant::now() + self.desk.patience.repeat_after);
            match tokio::time::timeout_at(until, &mut seat.answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                // The same request is asked a second time at once, and took the place of this one.
                Ok(Err(_)) => return Err(AskError::Unanswered),
                Err(_) if Instant::now() >= give_up_at => return Err(AskError::Unanswered),
                Err(_) => self.desk.overdue.notify_one(),
            }
        }
    }

    /// Publishes a change once, and does not wait for what comes of it.
    pub async fn tell(&self, site: SiteId, shard: ShardId, request: AdminRequest) {
        let told = match self.encode(site, request) {
            Ok(octets) => tokio::time::timeout(TELL_WITHIN, self.publish(shard, &octets)).await,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot tell a home");
                return;
            }
        };
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a home was not told");
            }
            Err(_) => tracing::debug!("a home was not told in time"),
        }
    }

    fn encode(&self, site: SiteId, request: AdminRequest) -> Result<Vec<u8>, AskError> {
        let envelope = Envelope {
            site,
            session: SessionId(0),
            seq: 0,
            trace: tmtp_chassis::trace::current_traceparent(),
            command: Command::Admin(Box::new(request)),
        };
        tmtp_contract::encode(&CommandEntry::new(self.desk.node, vec![envelope])).map_err(AskError::Encode)
    }

    async fn publish(&self, shard: ShardId, octets: &[u8]) -> Result<(), Error> {
        self.desk.bus.append_commands(&[(shard, octets.to_vec())]).await?;
        Ok(())
    }
}

/// Somebody who waits. Leaves no trace when it stops waiting.
struct Seat<'d> {
    desk: &'d Desk,
    id: RequestId,
    answer: oneshot::Receiver<AdminAnswer>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.desk.waiting.lock().remove(&self.id);
    }
}

impl Desk {
    fn sit_down(&self, id: RequestId) -> Result<Seat<'_>, AskError> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= UNDER_WAY_MAX {
            return Err(AskError::Busy);
        }
        waiting.insert(id, sender);
        drop(waiting);
        Ok(Seat { desk: self, id, answer })
    }

    /// Answers come again, and late; whoever does not wait any more is passed over.
    fn take(&self, entry: EventEntry) {
        for event in entry.events {
            if let Event::Admin { request, answer } = event
                && let Some(waiting) = self.waiting.lock().remove(&request)
            {
                let _ = waiting.send(answer);
            }
        }
    }
}

/// A stream that was lost and made anew could hand out ids that the reader believes it knows.
async fn begin_anew(reader: &mut EventReader) {
    if let Err(error) = reader.reset().await {
        tracing::debug!(error = &error as &dyn std::error::Error, "cannot reset the events");
    }
}
