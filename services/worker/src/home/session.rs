//! A session as its home sees it: which node, what is in flight, and how far its commands have come.

use std::collections::VecDeque;
use std::sync::Arc;

use tmtp_contract::{Body, Message};
use tmtp_domain::MsgId;

use super::{NodeKey, Place};

/// What may be in flight to one node: sent and not acked. At least one message always may.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Messages.
    pub count: usize,
    /// Octets.
    pub bytes: usize,
}

/// A message that was sent and not acked.
#[derive(Debug, Clone, Copy)]
pub struct InFlight {
    pub id: MsgId,
    pub bytes: usize,
    /// True when its row, not its place in memory, has to go with the ack.
    pub in_rows: bool,
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    pub node: NodeKey,
    /// Number of the command that opened it.
    pub opened: u64,
    /// Number of the next command.
    pub expected: u64,
    /// Deliveries wait until this command is answered; 0 for none.
    pub hold_until: u64,
    /// Oldest first.
    pub in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Spilled messages that were read and not yet sent.
    pub page: VecDeque<(Place, Arc<Message>)>,
    /// Rows up to here were read.
    pub cursor: Option<Place>,
    /// True when there are no rows behind the cursor.
    pub drained: bool,
}

impl Session {
    /// A session opened by the command `opened`; whether rows wait for it is not known yet.
    pub fn new(node: NodeKey, opened: u64) -> Self {
        Self {
            node,
            opened,
            expected: opened + 1,
            hold_until: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            page: VecDeque::new(),
            cursor: None,
            drained: false,
        }
    }

    /// True when nothing more may be sent now.
    pub fn is_full(&self, window: Window) -> bool {
        let some = !self.in_flight.is_empty();
        let held = self.hold_until >= self.expected;
        held || some && (self.in_flight.len() >= window.count || self.in_flight_bytes >= window.bytes)
    }

    pub fn sent(&mut self, flight: InFlight) {
        self.in_flight_bytes += flight.bytes;
        self.in_flight.push_back(flight);
    }

    /// Takes an acked message out of flight; `None` when it was not in flight, and then it is not sent any more either.
    pub fn acked(&mut self, id: MsgId) -> Option<InFlight> {
        let Some(index) = self.in_flight.iter().position(|flight| flight.id == id) else {
            self.page.retain(|(_, message)| message.id != id);
            return None;
        };
        let flight = self.in_flight.remove(index)?;
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(flight.bytes);
        Some(flight)
    }

    /// Keeps so many octets of the page, and at least one message; the rest is read again when there is room for it. A
    /// client that takes its time must not cost its page for as long.
    pub fn trim_page(&mut self, keep: usize) {
        let mut octets = 0;
        let kept = self.page.iter().position(|(_, message)| {
            octets += flight_bytes(message);
            octets >= keep
        });
        if let Some(last) = kept
            && last + 1 < self.page.len()
        {
            self.page.truncate(last + 1);
            self.cursor = self.page.back().map(|(place, _)| *place);
            self.drained = false;
        }
    }

    pub fn is_in_flight(&self, id: MsgId) -> bool {
        self.in_flight.iter().any(|flight| flight.id == id)
    }
}

/// Octets that count against the window. A stored body is streamed by the gateway with bounded memory, so it counts
/// as much as a chunk.
pub fn flight_bytes(message: &Message) -> usize {
    const STORED: usize = 64 * 1024;
    match &message.body {
        Body::Stored(_) => STORED,
        other => other.inline_len() + 300,
    }
}
