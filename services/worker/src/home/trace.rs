//! The delivery trace: what happens to messages, noted between two spills and written with the spill, in packs. What the
//! journal holds is noted again by the shard's next owner, but for what was sent; what a spill has written is in no
//! journal any more, so nothing is noted twice. Must never hold anything that a message says.

use std::collections::{BTreeSet, HashMap};

use tmtp_contract::{AdminOutcome, Ended, Message, Step, StepKind, TracePack};
use tmtp_domain::{GatewayId, MsgId, NodeNum, Owed, SiteId};
use tmtp_store::{DropReason, TraceDrop, TraceRow};

use super::admin::Changed;
use super::expire::SITE;
use super::{Home, NO_NODE, NodeKey, Now};

/// Steps since the last spill.
#[derive(Debug, Default)]
pub(super) struct Trace {
    is_kept: bool,
    steps: HashMap<SiteId, Vec<(MsgId, Step)>>,
    count: usize,
    /// Messages whose queueing is decided and not yet committed.
    uncommitted: Vec<(SiteId, MsgId)>,
    /// When the latest of what is not committed was decided (ms since 1970).
    decided_ms: Option<i64>,
}

impl Trace {
    /// Notes nothing unless traces are kept.
    pub(super) fn new(is_kept: bool) -> Self {
        Self { is_kept, ..Self::default() }
    }

    fn add(&mut self, site: SiteId, id: MsgId, step: Step) {
        self.count += 1;
        self.steps.entry(site).or_default().push((id, step));
    }

    /// A message was accepted, and queued for these.
    pub(super) fn queued(&mut self, site: SiteId, message: &Message, node: Option<NodeNum>, owed: &[Owed]) {
        if !self.is_kept {
            return;
        }
        let at_ms = message.posted.0;
        self.decided_ms = Some(at_ms);
        let from = (message.from != SITE).then_some(message.from);
        self.add(site, message.id, Step::by(StepKind::Accepted, at_ms, from, node.unwrap_or(NO_NODE)));
        let nodes = |user: &Owed| user.nodes.len();
        let devices: usize = owed.iter().map(nodes).sum();
        let each = owed.iter().flat_map(|user| user.nodes.iter().map(|node| (user.uid, *node)));
        for (uid, node) in each.take(TracePack::LISTED_MAX) {
            self.add(site, message.id, Step::at_device(StepKind::Queued, at_ms, uid, node));
        }
        let more = devices.saturating_sub(TracePack::LISTED_MAX);
        if more > 0 || devices == 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.add(site, message.id, Step::at_devices(StepKind::Queued, at_ms, more));
        }
        self.uncommitted.push((site, message.id));
    }

    /// Another node is owed a message, too.
    pub(super) fn copied(&mut self, to: NodeKey, id: MsgId, at_ms: i64) {
        self.at_device(StepKind::Queued, to, id, at_ms);
    }

    /// A message was handed to a gateway.
    pub(super) fn sent(&mut self, node: NodeKey, id: MsgId, gateway: GatewayId, now: Now) {
        if self.is_kept {
            let step = Step::at_device(StepKind::Sent, now.millis(), node.uid, node.node);
            self.add(node.site, id, Step { gateway: Some(gateway), ..step });
        }
    }

    /// A node is owed messages no longer: it acked them, or they have ended otherwise.
    fn done(&mut self, node: NodeKey, ids: &[MsgId], ended: Option<Ended>, at_ms: i64) {
        self.decided_ms = Some(at_ms);
        let kind = if ended.is_some() { StepKind::Expired } else { StepKind::Acked };
        for id in ids {
            self.at_device(kind, node, *id, at_ms);
        }
    }

    /// The sender of a message was told that it had waited too long.
    fn returned(&mut self, site: SiteId, id: MsgId, at_ms: i64) {
        if self.is_kept {
            self.add(site, id, Step::by(StepKind::Returned, at_ms, None, NO_NODE));
        }
    }

    fn at_device(&mut self, kind: StepKind, node: NodeKey, id: MsgId, at_ms: i64) {
        if self.is_kept {
            self.add(node.site, id, Step::at_device(kind, at_ms, node.uid, node.node));
        }
    }

    /// When what is about to be committed was decided, for the journal.
    pub(super) fn take_decided(&mut self) -> Option<i64> {
        self.decided_ms.take().filter(|_| self.is_kept)
    }

    /// What was decided is durable.
    pub(super) fn committed(&mut self, at_ms: i64) {
        for (site, id) in std::mem::take(&mut self.uncommitted) {
            self.add(site, id, Step::by(StepKind::Committed, at_ms, None, NO_NODE));
        }
    }

    /// Octets that it holds in memory.
    pub(super) fn octets(&self) -> usize {
        self.count.saturating_mul(size_of::<(MsgId, Step)>())
    }

    /// What was noted, as rows.
    pub(super) fn rows(&self, now: Now) -> Result<Vec<TraceRow>, tmtp_contract::Error> {
        let mut rows = Vec::with_capacity(self.steps.len());
        for (site, steps) in &self.steps {
            let mut steps: Vec<&(MsgId, Step)> = steps.iter().collect();
            // Steps of one message stay in their order.
            steps.sort_by_key(|(id, _)| *id);
            for span in steps.chunk_by(|a, b| TracePack::span(a.0) == TracePack::span(b.0)) {
                let (Some((first, _)), Some((last, _))) = (span.first(), span.last()) else { continue };
                rows.push(TraceRow {
                    site: *site,
                    span: TracePack::span(*first),
                    until_ms: now.millis(),
                    ids: (*first, *last),
                    pack: tmtp_contract::encode(&TracePack::new(span))?,
                });
            }
        }
        Ok(rows)
    }

    /// It is in rows.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.count = 0;
    }

    fn of(&self, site: SiteId, id: MsgId) -> TracePack {
        let steps = self.steps.get(&site).into_iter().flatten();
        TracePack::new(&steps.filter(|(of, _)| *of == id).copied().collect::<Vec<_>>())
    }
}

impl Home {
    /// Octets that are held until the next spill.
    pub fn held_bytes(&self) -> usize {
        self.owed_bytes.saturating_add(self.trace.octets())
    }

    /// What is known of a message that is not in rows. Looks at all steps since the last spill, which the spill keeps few.
    pub(super) fn trace_of(&self, site: SiteId, id: MsgId) -> Changed {
        let acked = |(node, ids): &(&NodeKey, &BTreeSet<MsgId>)| node.site == site && ids.contains(&id);
        Changed::nothing(AdminOutcome::Trace {
            pack: Box::new(self.trace.of(site, id)),
            owed: self.owed.get(&(site, id)).copied().unwrap_or(0),
            acks: u32::try_from(self.row_acks.iter().filter(acked).count()).unwrap_or(u32::MAX),
        })
    }

    /// A node is owed messages no longer. The part of it that a replay of the journal repeats.
    pub(super) fn note_done(&mut self, node: NodeKey, ids: &[MsgId], ended: Option<Ended>, at_ms: i64) {
        self.trace.done(node, ids, ended, at_ms);
        if ended == Some(Ended::Returned) {
            for id in ids {
                self.trace.returned(node.site, *id, at_ms);
            }
        }
    }

    /// What the trace says of a queue that is dropped now.
    pub(super) fn trace_drop(&self, reason: DropReason) -> Option<TraceDrop> {
        self.trace.is_kept.then_some(TraceDrop { last_id: self.last_msg_id, reason })
    }
}
