//! What is still owed becomes rows; see `tmtp_store::Spill`.

use std::collections::HashMap;
use std::time::Duration;

use tmtp_contract::{Body, MessageRecord, ReceiptPack};
use tmtp_domain::{MsgId, SiteId};
use tmtp_store::{InboxRow, MessageRow, RowAck, Spill};

use super::{Home, NodeKey, Now, Place};

/// When a home spills.
#[derive(Debug, Clone, Copy)]
pub struct SpillPolicy {
    /// The journal holds nothing older.
    pub after: Duration,
    /// Memory holds no more octets of what is owed, and of steps of messages.
    pub bytes: usize,
    /// No more acks wait for their rows to be removed.
    pub acks: usize,
}

impl Home {
    /// Is it time?
    pub fn spill_is_due(&self, policy: SpillPolicy, now: Now) -> bool {
        let aged = self.unspilled_since.is_some_and(|since| {
            let age = now.millis().saturating_sub(since);
            u128::try_from(age).is_ok_and(|age| age >= policy.after.as_millis())
        });
        aged || self.held_bytes() >= policy.bytes || self.row_acks_count >= policy.acks
    }

    /// What a spill writes. Nothing may be decided between this and [`Home::spilled`].
    pub fn spill(&self, now: Now) -> Result<Spill, tmtp_contract::Error> {
        let mut messages: HashMap<(SiteId, MsgId), MessageRow> = HashMap::with_capacity(self.owed.len());
        let mut inbox = Vec::new();
        for (key, queue) in &self.queues {
            for (place, queued) in queue {
                inbox.push(InboxRow {
                    site: key.site,
                    uid: key.uid,
                    node: key.node,
                    urgency: i16::from(place.0),
                    msg_id: place.1,
                });
                if let Some(row) = messages.get_mut(&(key.site, place.1)) {
                    row.owed += 1;
                    continue;
                }
                let (record, body) = MessageRecord::split(&queued.message);
                let body_id = match record.message.body {
                    Body::Stored(body) => Some(body.id),
                    Body::Empty | Body::Inline(_) => None,
                };
                let row = MessageRow {
                    site: key.site,
                    msg_id: place.1,
                    owed: 1,
                    header: tmtp_contract::encode(&record)?,
                    body,
                    body_id,
                };
                messages.insert((key.site, place.1), row);
            }
        }
        let ack =
            |key: &NodeKey, id: &MsgId| RowAck { site: key.site, uid: key.uid, node: key.node, msg_id: *id };
        let unspilled = self.receipts.unspilled();
        Ok(Spill {
            messages: messages.into_values().collect(),
            inbox,
            acks: self
                .row_acks
                .iter()
                .flat_map(|(key, ids)| ids.iter().map(move |id| ack(key, id)))
                .collect(),
            receipts: unspilled
                .iter()
                .map(|receipt| receipt.posted.0)
                .max()
                .map(|youngest| (youngest, ReceiptPack::pack(unspilled.iter()))),
            forget_receipts_before_ms: self.receipts.oldest(now),
            usage: self.usage.days(),
            traces: self.trace.rows(now)?,
        })
    }

    /// The spill is committed: what it wrote is read back from rows when there is room for it.
    pub fn spilled(&mut self, now: Now) {
        let queues = std::mem::take(&mut self.queues);
        for (key, queue) in queues {
            let Some(session_key) = self.occupied.get(&key).copied() else { continue };
            let Some(session) = self.sessions.get_mut(&session_key) else { continue };
            for flight in &mut session.in_flight {
                flight.in_rows = true;
            }
            let waiting: Option<Place> =
                queue.iter().find(|(_, queued)| !queued.in_flight).map(|(place, _)| *place);
            if let Some(first) = waiting {
                session.drained = false;
                // An urgent message may stand before what was read already.
                if session.cursor.is_some_and(|cursor| first < cursor) {
                    session.cursor = None;
                    session.page.clear();
                }
                self.hungry.insert(session_key);
            }
        }
        self.owed.clear();
        self.backlogs.forget();
        self.owed_bytes = 0;
        self.row_acks.clear();
        self.row_acks_count = 0;
        self.usage.clear();
        self.trace.clear();
        self.receipts.spilled();
        self.receipts.expire(now);
        self.unspilled_since = None;
    }
}
