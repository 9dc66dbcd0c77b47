//! The event streams: workers append, the gateway reads and trims.
//!
//! Event streams may be cut, and they expire: the queues behind the workers are the truth, and entries are numbered,
//! so that a gateway notices what is missing.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, cmd, pipe};
use tmtp_contract::EventEntry;
use tmtp_domain::{GatewayId, ShardId};

use crate::tail::{Pace, Request, Tail};
use crate::{Bus, Error, StreamId, keys};

/// Entries of an event stream, roughly. A gateway that is so far behind attaches its sessions anew.
const EVENTS_MAX: usize = 50_000;
/// Octets of an event stream, roughly: large entries are allowed as many as fit. What the delivery windows of a
/// gateway's sessions hold can be ten times as much; a gateway that lets so much gather is better off with a new start.
const EVENTS_OCTETS: usize = 1 << 30;
/// After its last use a stream goes away by itself: that of a gateway that has died.
const UNUSED_MAX: Duration = Duration::from_mins(2);

impl Bus {
    /// Appends encoded [`EventEntry`]s in this order, then removes everything up to and including the given ids from
    /// the command streams; one round trip for all.
    ///
    /// # Errors
    /// Any of it may have been done then.
    pub async fn append_events_and_trim(
        &self,
        events: &[(GatewayId, Vec<u8>)],
        trims: &[(ShardId, StreamId)],
    ) -> Result<(), Error> {
        let mut steps = pipe();
        for (gateway, octets) in events {
            let key = keys::events(*gateway);
            steps.cmd("XADD").arg(&key).arg("MAXLEN").arg("~").arg(events_max(octets.len())).arg("*");
            steps.arg(keys::BODY).arg(octets.as_slice()).ignore();
            steps.cmd("EXPIRE").arg(&key).arg(UNUSED_MAX.as_secs()).ignore();
        }
        for (shard, up_to) in trims {
            trim(&mut steps, &keys::commands(*shard), *up_to);
        }
        if steps.is_empty() {
            return Ok(());
        }
        self.link.pipeline(&steps).await
    }

    /// Removes everything up to and including `up_to` from the gateway's stream.
    pub async fn trim_events(&self, gateway: GatewayId, up_to: StreamId) -> Result<(), Error> {
        let key = keys::events(gateway);
        let mut steps = pipe();
        trim(&mut steps, &key, up_to);
        steps.cmd("EXPIRE").arg(&key).arg(UNUSED_MAX.as_secs()).ignore();
        self.link.pipeline(&steps).await
    }

    /// A reader of the gateway's events, from the oldest on.
    pub fn event_reader(&self, gateway: GatewayId) -> EventReader {
        EventReader {
            bus: self.clone(),
            gateway,
            tail: Tail::new(Arc::clone(&self.link), format!("gateway {gateway}")),
            after: StreamId::default(),
            pace: Pace::new(),
            parked: 0,
        }
    }
}

/// Reads the events of a gateway, on a connection of its own.
pub struct EventReader {
    bus: Bus,
    gateway: GatewayId,
    tail: Tail<EventEntry>,
    after: StreamId,
    pace: Pace,
    parked: u64,
}

impl EventReader {
    /// Waits for entries and gives them in order, 8 MiB or so at most. Cancel safe. Entries that do not decode are
    /// parked and passed over.
    ///
    /// # Errors
    /// Then nothing was taken, and it may be called again at once: it pauses by itself, up to a second.
    pub async fn next(&mut self) -> Result<Vec<EventEntry>, Error> {
        loop {
            let (gateway, after, pace) = (self.gateway, self.after, &self.pace);
            let request = || Request { sources: vec![(keys::events(gateway), after)], count: pace.count(1) };
            let batch = self.tail.read(request).await?;
            self.pace.learn(&batch);
            self.parked += batch.parked;
            if let Some((_, reached)) = batch.reached.last() {
                self.after = *reached;
            }
            if !batch.items.is_empty() {
                return Ok(batch.items.into_iter().map(|item| item.entry).collect());
            }
        }
    }

    /// The last entry that was given; for [`Bus::trim_events`] while this reader is busy.
    pub fn position(&self) -> StreamId {
        self.after
    }

    /// Removes from the stream what was given. To be called now and then.
    pub async fn trim(&self) -> Result<(), Error> {
        self.bus.trim_events(self.gateway, self.after).await
    }

    /// Throws the stream away and begins anew. To be called when a beat finds that Redis lost data: a stream that is
    /// made anew by a server whose clock is behind would hand out ids that this reader believes it knows.
    pub async fn reset(&mut self) -> Result<(), Error> {
        self.tail.abandon();
        self.bus.link.command::<()>(cmd("DEL").arg(keys::events(self.gateway))).await?;
        self.after = StreamId::default();
        Ok(())
    }

    /// How many entries this reader has parked.
    pub fn parked(&self) -> u64 {
        self.parked
    }
}

/// How many entries a stream may hold whose newest has so many octets. With entries of one size the stream stays
/// within [`EVENTS_OCTETS`], with mixed ones within a few times that.
fn events_max(octets: usize) -> usize {
    (EVENTS_OCTETS / octets.max(1)).min(EVENTS_MAX)
}

fn trim(steps: &mut Pipeline, key: &str, up_to: StreamId) {
    // Exact, so that no body outlives the commit that made it superfluous (I9).
    steps.cmd("XTRIM").arg(key).arg("MINID").arg("=").arg(up_to.next().to_string()).ignore();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: neither many small entries nor large ones take more than the bounds; method: multiply out.
    #[test]
    fn bounded_by_octets() {
        assert_eq!((events_max(0), events_max(300)), (EVENTS_MAX, EVENTS_MAX));
        for octets in [30_000, 256 << 10, 2 << 20, EVENTS_OCTETS] {
            assert!((1..=EVENTS_MAX).contains(&events_max(octets)), "{octets}");
            assert!(events_max(octets) * octets <= EVENTS_OCTETS, "{octets}");
        }
    }
}
