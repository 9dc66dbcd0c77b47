//! Feeding sessions: from memory and from pages of rows, in the order of the queue, as far as the window allows.

use std::sync::Arc;

use tmtp_contract::{Event, Message};
use tmtp_domain::MsgId;
use tmtp_store::PageRequest;

use super::queue::place;
use super::session::{InFlight, flight_bytes};
use super::{Home, Now, Place, SessionKey};

/// Octets of a page that stay with a session which has no room for them.
const PAGE_KEPT: usize = 16 * 1024;

/// A page of rows that was read for a session.
#[derive(Debug, Default)]
pub struct ReadPage {
    /// Messages in the order of delivery, those that could be read.
    pub messages: Vec<Arc<Message>>,
    /// The last place that the page covers, also when its message could not be read.
    pub last: Option<Place>,
    /// Nothing waits behind the page.
    pub is_end: bool,
}

/// What a session could be sent next.
enum Next {
    /// A message in memory.
    Memory(Arc<Message>),
    /// A message of the page that was read.
    Row(Arc<Message>),
    /// Rows have to be read first.
    Read,
    /// Nothing waits.
    Nothing,
}

impl Home {
    /// Sends what can be sent to all sessions that may have something waiting. Returns the pages that have to be read
    /// before the others can go on.
    pub fn feed(&mut self, now: Now) -> Vec<(SessionKey, PageRequest)> {
        let hungry = std::mem::take(&mut self.hungry);
        hungry
            .into_iter()
            .filter_map(|key| self.feed_session(key, now).map(|request| (key, request)))
            .collect()
    }

    /// Takes a page that was read.
    pub fn take_page(&mut self, key: SessionKey, page: ReadPage) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        session.drained = page.is_end;
        session.cursor = page.last.or(session.cursor);
        let acked = self.row_acks.get(&session.node);
        for message in page.messages {
            let done = acked.is_some_and(|ids| ids.contains(&message.id));
            if !done && !session.is_in_flight(message.id) {
                session.page.push_back((place(&message), message));
            }
        }
        self.hungry.insert(key);
    }

    fn feed_session(&mut self, key: SessionKey, now: Now) -> Option<PageRequest> {
        loop {
            let session = self.sessions.get_mut(&key)?;
            if session.is_full(self.limits.window) {
                session.trim_page(PAGE_KEPT);
                return None;
            }
            match self.next(key) {
                Next::Nothing => return None,
                Next::Read => return self.page_request(key),
                Next::Memory(message) => {
                    let node = self.sessions.get(&key)?.node;
                    let queued = self.queues.get_mut(&node)?.get_mut(&place(&message))?;
                    queued.in_flight = true;
                    self.send(key, message, false, now);
                }
                Next::Row(message) => {
                    self.sessions.get_mut(&key)?.page.pop_front();
                    self.send(key, message, true, now);
                }
            }
        }
    }

    fn next(&self, key: SessionKey) -> Next {
        let Some(session) = self.sessions.get(&key) else { return Next::Nothing };
        if session.page.is_empty() && !session.drained {
            return Next::Read;
        }
        let row = session.page.front();
        let memory = self
            .queues
            .get(&session.node)
            .and_then(|queue| queue.iter().find(|(_, queued)| !queued.in_flight))
            .map(|(place, queued)| (place, &queued.message));
        match (memory, row) {
            (Some((place, message)), Some((row_place, _))) if place < row_place => {
                Next::Memory(Arc::clone(message))
            }
            (_, Some((_, message))) => Next::Row(Arc::clone(message)),
            (Some((_, message)), None) => Next::Memory(Arc::clone(message)),
            (None, None) => Next::Nothing,
        }
    }

    fn page_request(&self, key: SessionKey) -> Option<PageRequest> {
        let session = self.sessions.get(&key)?;
        let after = session.cursor.map_or((-1, MsgId(0)), |(urgency, id): Place| (i16::from(urgency), id));
        let limit = u32::try_from(self.limits.window.count.max(1)).unwrap_or(u32::MAX);
        Some(PageRequest {
            site: session.node.site,
            uid: session.node.uid,
            node: session.node.node,
            after,
            limit,
            octets: u64::try_from(self.limits.window.bytes).unwrap_or(u64::MAX),
        })
    }

    fn send(&mut self, key: SessionKey, message: Arc<Message>, in_rows: bool, now: Now) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        session.sent(InFlight { id: message.id, bytes: flight_bytes(&message), in_rows });
        self.trace.sent(session.node, message.id, key.0, now);
        let event = Event::Deliver { session: key.1, opened: session.opened, message, trace: None };
        self.outbox.pushes.push((key.0, event));
    }

    /// Marks what an attached session says is in flight to it, so that it is not sent again.
    pub(super) fn resume_flight(&mut self, key: SessionKey, ids: &[MsgId]) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        for &id in ids {
            let queue = self.queues.get_mut(&session.node);
            let queued = queue.and_then(|queue| {
                let urgent = queue.contains_key(&(0, id));
                queue.get_mut(&(u8::from(!urgent), id))
            });
            let acked = self.row_acks.get(&session.node).is_some_and(|acked| acked.contains(&id));
            let flight = match queued {
                Some(queued) => {
                    queued.in_flight = true;
                    InFlight { id, bytes: flight_bytes(&queued.message), in_rows: false }
                }
                None if acked => continue,
                None => InFlight { id, bytes: 0, in_rows: true },
            };
            session.sent(flight);
        }
    }
}
