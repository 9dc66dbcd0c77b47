//! What nodes are owed and not yet in rows: queues in memory, of what the journal holds.

use std::sync::Arc;

use tmtp_contract::{BodyRef, Effect, Message};
use tmtp_domain::{MsgId, NodeNum, Owed, SiteId, Uid};
use tmtp_store::Change;

use super::{Home, NodeKey, Place};

/// A message in a queue.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub message: Arc<Message>,
    pub in_flight: bool,
}

impl Home {
    /// Queues a message for nodes, in the journal and in memory. `node` is where its sender posted it, if anybody did.
    pub(super) fn queue(&mut self, site: SiteId, message: Message, node: Option<NodeNum>, owed: Vec<Owed>) {
        if owed.is_empty() {
            return self.queue_for_nobody(site, message, node);
        }
        let message = Arc::new(message);
        if let tmtp_contract::Body::Stored(body) = message.body {
            self.changes.push(Change::BodyHeld { site, body: stored(body) });
        }
        self.remember(site, &message, node, &owed);
        self.effects.push(Effect::Queued { site, message, owed, node });
    }

    /// Nobody is owed the message: its data may go, and only its trace remains.
    fn queue_for_nobody(&mut self, site: SiteId, message: Message, node: Option<NodeNum>) {
        if let tmtp_contract::Body::Stored(body) = message.body {
            self.changes.push(Change::BodyFree { site, body: stored(body) });
            self.free_bodies.push((site, body));
        }
        if self.limits.traces {
            let message = Arc::new(Message { body: tmtp_contract::Body::Empty, ..message });
            self.remember(site, &message, node, &[]);
            self.effects.push(Effect::Queued { site, message, owed: Vec::new(), node });
        }
    }

    /// The part of `queue` that a replay of the journal repeats.
    pub(super) fn remember(
        &mut self,
        site: SiteId,
        message: &Arc<Message>,
        node: Option<NodeNum>,
        owed: &[Owed],
    ) {
        self.trace.queued(site, message, node, owed);
        if owed.is_empty() {
            return;
        }
        self.usage.count(site, message);
        let place = place(message);
        let mut nodes = 0;
        for user in owed {
            for &node in &user.nodes {
                let key = NodeKey { site, uid: user.uid, node };
                let queued = Queued { message: Arc::clone(message), in_flight: false };
                if self.queues.entry(key).or_default().insert(place, queued).is_none() {
                    nodes += 1;
                }
                if let Some(session) = self.occupied.get(&key) {
                    self.hungry.insert(*session);
                }
            }
        }
        self.owe(site, message, nodes);
    }

    /// Counts a message as owed to so many nodes more.
    pub(super) fn owe(&mut self, site: SiteId, message: &Message, nodes: u32) {
        if nodes == 0 {
            return;
        }
        let owed = self.owed.entry((site, message.id)).or_default();
        if *owed == 0 {
            self.owed_bytes += weight(message);
            self.backlogs.queued(site, message);
        }
        *owed += nodes;
        self.owed_bytes += PLACE_OCTETS.saturating_mul(usize::try_from(nodes).unwrap_or(usize::MAX));
    }

    /// Takes an acked message out of a node's queue. False when it is not there, but in the rows.
    pub(super) fn remove(&mut self, key: NodeKey, id: MsgId) -> bool {
        let Some(queue) = self.queues.get_mut(&key) else { return false };
        let Some(queued) = queue.remove(&(1, id)).or_else(|| queue.remove(&(0, id))) else { return false };
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        self.owed_bytes = self.owed_bytes.saturating_sub(PLACE_OCTETS);
        let owed = (key.site, id);
        let last = self.owed.get_mut(&owed).is_none_or(|nodes| {
            *nodes = nodes.saturating_sub(1);
            *nodes == 0
        });
        if last {
            self.owed.remove(&owed);
            self.backlogs.gone(key.site, &queued.message);
            self.owed_bytes = self.owed_bytes.saturating_sub(weight(&queued.message));
            if let tmtp_contract::Body::Stored(body) = queued.message.body {
                self.changes.push(Change::BodyFree { site: key.site, body: stored(body) });
                self.free_bodies.push((key.site, body));
            }
        }
        true
    }

    /// Forgets what a node is owed in memory, and which of its rows are acked. The part that a replay repeats.
    pub(super) fn drop_queue(&mut self, key: NodeKey) {
        let ids: Vec<MsgId> =
            self.queues.get(&key).into_iter().flat_map(|queue| queue.keys().map(|place| place.1)).collect();
        for id in ids {
            self.remove(key, id);
        }
        if let Some(ids) = self.row_acks.remove(&key) {
            self.row_acks_count = self.row_acks_count.saturating_sub(ids.len());
        }
    }

    /// How much more waits for a node than its rows say; less than 0 when it has acked more of them.
    pub(super) fn not_in_rows(&self, key: NodeKey) -> i64 {
        let len = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let queued = self.queues.get(&key).map_or(0, |queue| len(queue.len()));
        queued - self.row_acks.get(&key).map_or(0, |acked| len(acked.len()))
    }

    /// A node's ack of a message that is in rows; the next spill removes the row.
    pub(super) fn ack_row(&mut self, key: NodeKey, id: MsgId) {
        if self.row_acks.entry(key).or_default().insert(id) {
            self.row_acks_count += 1;
        }
    }

    /// Owes one node what another is owed, as far as it is in memory. `at_ms` is when that was decided (ms since 1970).
    pub(super) fn copy_queue(&mut self, site: SiteId, uid: Uid, (from, to): (NodeNum, NodeNum), at_ms: i64) {
        let Some(source) = self.queues.get(&NodeKey { site, uid, node: from }) else { return };
        let copies: Vec<Arc<Message>> = source.values().map(|queued| Arc::clone(&queued.message)).collect();
        for message in copies {
            let key = NodeKey { site, uid, node: to };
            let target = self.queues.entry(key).or_default();
            if target
                .insert(place(&message), Queued { message: Arc::clone(&message), in_flight: false })
                .is_none()
            {
                self.trace.copied(key, message.id, at_ms);
                self.owe(site, &message, 1);
            }
        }
    }
}

/// Where a message stands in a queue.
pub(super) fn place(message: &Message) -> Place {
    (u8::from(!message.content.is_urgent()), message.id)
}

/// Octets that a message's place in the queue of one node holds in memory, roughly: most queues are empty but for it, and
/// the first place costs a leaf of the queue's tree.
const PLACE_OCTETS: usize = 400;

/// Octets that a message holds in memory, roughly, without its places in queues.
fn weight(message: &Message) -> usize {
    const OVERHEAD: usize = 300;
    message.body.inline_len() + OVERHEAD
}

pub(super) fn stored(body: BodyRef) -> tmtp_store::StoredBody {
    tmtp_store::StoredBody { id: body.id, len: body.len, chunk: body.chunk }
}
