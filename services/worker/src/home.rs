//! The home of one shard's sites: live state and rules. Pure: no I/O, no clock, no randomness; the engine loads what a
//! batch needs before, commits what came of it after, and only then tells anybody.
//!
//! State, and where it survives the loss of this process:
//!
//! | state | rebuilt from |
//! |---|---|
//! | queues: what is owed and not yet in rows | the journal |
//! | acks of messages that are in rows | the journal |
//! | receipts of requests | the journal and `receipts` |
//! | sessions, presence | the gateways, which attach them again |
//! | how often members posted and pinged, and strangers guessed codes of invites, lately | nothing: counted anew |
//! | steps of messages since the last spill | the journal, but for what was sent |
//! | how much waits, where a policy limits that | rows and queues |
//! | members, groups | rows; a cache, true as long as the shard is ours |

mod admin;
mod decide;
mod deliver;
mod expire;
mod facts;
mod groups;
mod ohi;
mod opening;
mod policy;
mod posts;
mod queue;
mod receipts;
mod recover;
mod registration;
mod session;
mod spill;
mod trace;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tmtp_contract::{BodyRef, Effect, Envelope, Event, JournalEntry};
use tmtp_domain::{
    BodyId, Epoch, GatewayId, Group, Member, MsgId, NodeNum, Presence, Sender, SessionId, ShardId, SiteId,
    Uid,
};
use tmtp_store::{Change, OwnedShard, ShardCommit};

pub use deliver::ReadPage;
pub use expire::{Old, Quiet, SITE, expired_ids};
pub use facts::{Facts, Names, Wanted, World};
use queue::Queued;
use receipts::Receipts;
use session::Session;
pub use session::Window;
pub use spill::SpillPolicy;

/// A session of a gateway's life.
pub type SessionKey = (GatewayId, SessionId);

/// The order of delivery: urgent ones (0) before others (1), then by id.
pub type Place = (u8, MsgId);

/// A node, and so a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// Where.
    pub site: SiteId,
    /// Whose.
    pub uid: Uid,
    /// Which.
    pub node: NodeNum,
}

/// The number of no node: of messages that come from a member, and that none of its nodes has sent.
const NO_NODE: NodeNum = NodeNum(0);

impl NodeKey {
    /// The node as one that sends.
    fn sender(&self) -> Sender {
        Sender { uid: self.uid, node: self.node }
    }
}

/// The time at which a batch is decided.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Nanoseconds since 1970.
    pub nanos: u64,
}

impl Now {
    /// Milliseconds since 1970.
    pub fn millis(self) -> i64 {
        i64::try_from(self.nanos / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// The bounds of a home.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What may be in flight to one node.
    pub window: Window,
    /// How long a request that succeeded is remembered.
    pub dedupe_window: Duration,
    /// How many requests are remembered; beyond, the oldest are forgotten early.
    pub receipts_max: usize,
    /// Members that stay cached per shard.
    pub members_max: usize,
    /// Steps of messages are noted, for the delivery trace.
    pub traces: bool,
}

/// What gateways are told once the batch is committed.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Answers, in the order of the commands.
    pub answers: Vec<(GatewayId, Event)>,
    /// Deliveries, closures: behind all answers of the batch.
    pub pushes: Vec<(GatewayId, Event)>,
    /// Up to which command sessions are done.
    pub done: BTreeMap<SessionKey, u64>,
}

/// One shard's home.
#[derive(Debug)]
pub struct Home {
    shard: ShardId,
    epoch: Epoch,
    commits: i64,
    limits: Limits,
    last_msg_id: MsgId,
    /// Id of the last entry that was applied here, and of the last one that is committed.
    applied: (u64, u64),
    committed: (u64, u64),
    /// What was decided and is not yet committed.
    effects: Vec<Effect>,
    changes: Vec<Change>,
    /// What is owed and in the journal, not in rows.
    queues: HashMap<NodeKey, BTreeMap<Place, Queued>>,
    /// To how many nodes each message of `queues` is owed.
    owed: HashMap<(SiteId, MsgId), u32>,
    owed_bytes: usize,
    /// When the journal began to hold something (ms since 1970).
    unspilled_since: Option<i64>,
    /// Acks of messages in rows, to be applied by the next spill.
    row_acks: HashMap<NodeKey, BTreeSet<MsgId>>,
    row_acks_count: usize,
    receipts: Receipts,
    members: HashMap<(SiteId, Uid), Member>,
    groups: HashMap<(SiteId, String), Group>,
    presence: HashMap<SiteId, Presence<SessionKey>>,
    /// Whom the clients of sessions that came back believe to be online, until nobody else is waited for.
    unsettled: HashMap<SessionKey, BTreeSet<Uid>>,
    sessions: HashMap<SessionKey, Session>,
    occupied: HashMap<NodeKey, SessionKey>,
    /// How many sessions each gateway has here; those that have some.
    gateways: HashMap<GatewayId, usize>,
    /// Sessions that may have something to be sent.
    hungry: BTreeSet<SessionKey>,
    /// Gateways that have not said yet that all their sessions are here. Until then a node that looks free may be taken.
    absent: HashSet<GatewayId>,
    /// There may be others, of which Redis has lost the beats.
    expects_unknown: bool,
    /// Logins that wait for them.
    deferred: Vec<(GatewayId, Envelope)>,
    outbox: Outbox,
    free_bodies: Vec<(SiteId, BodyRef)>,
    /// Bodies that no message has come to refer to, as far as this home knows.
    orphans: Vec<(SiteId, BodyRef)>,
    /// Bodies of this batch that were removed before their message came.
    condemned: HashSet<(SiteId, BodyId)>,
    lately: policy::Lately,
    guesses: registration::Guesses,
    usage: usage::Usage,
    trace: trace::Trace,
    backlogs: policy::Backlogs,
}

impl Home {
    fn empty(row: &OwnedShard, limits: Limits, absent: HashSet<GatewayId>) -> Self {
        Self {
            shard: row.shard,
            epoch: row.epoch,
            commits: row.commits,
            limits,
            last_msg_id: row.last_msg_id,
            applied: row.last_entry,
            committed: row.last_entry,
            effects: Vec::new(),
            changes: Vec::new(),
            queues: HashMap::new(),
            owed: HashMap::new(),
            owed_bytes: 0,
            unspilled_since: None,
            row_acks: HashMap::new(),
            row_acks_count: 0,
            receipts: Receipts::new(limits.dedupe_window, limits.receipts_max),
            members: HashMap::new(),
            groups: HashMap::new(),
            presence: HashMap::new(),
            unsettled: HashMap::new(),
            sessions: HashMap::new(),
            occupied: HashMap::new(),
            gateways: HashMap::new(),
            hungry: BTreeSet::new(),
            absent,
            expects_unknown: false,
            deferred: Vec::new(),
            outbox: Outbox::default(),
            free_bodies: Vec::new(),
            orphans: Vec::new(),
            condemned: HashSet::new(),
            lately: policy::Lately::default(),
            guesses: registration::Guesses::default(),
            usage: usage::Usage::default(),
            trace: trace::Trace::new(limits.traces),
            backlogs: policy::Backlogs::default(),
        }
    }

    /// Which shard this is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Under which epoch it is ours.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many commits it has seen.
    pub fn commits(&self) -> i64 {
        self.commits
    }

    /// Id of the last entry that was applied.
    pub fn applied(&self) -> (u64, u64) {
        self.applied
    }

    /// Id of the last entry that is committed.
    pub fn settled(&self) -> (u64, u64) {
        self.committed
    }

    /// Sessions that are open here.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Octets of what is owed and not in rows.
    pub fn owed_bytes(&self) -> usize {
        self.owed_bytes
    }

    /// Remembers that the entry with this id has been applied. An entry at or before it is skipped: it is a replay.
    pub fn advance(&mut self, entry: (u64, u64)) -> bool {
        let new = entry > self.applied;
        if new {
            self.applied = entry;
        }
        new
    }

    /// Takes members that were loaded.
    pub fn learn(&mut self, site: SiteId, member: Member) {
        self.members.insert((site, member.uid), member);
    }

    /// A member is cached.
    pub fn knows(&self, site: SiteId, uid: Uid) -> bool {
        self.members.contains_key(&(site, uid))
    }

    /// Takes a group that was loaded.
    pub fn learn_group(&mut self, site: SiteId, gid: String, group: Group) {
        self.groups.insert((site, gid), group);
    }

    /// Takes note of a body that was removed; holds until the next commit.
    pub fn learn_condemned(&mut self, site: SiteId, body: BodyId) {
        self.condemned.insert((site, body));
    }

    /// How many requests are remembered.
    pub fn receipts(&self) -> usize {
        self.receipts.len()
    }

    /// Forgets the oldest requests beyond so many.
    pub fn limit_receipts(&mut self, most: usize) {
        self.receipts.limit(most);
    }

    /// Forgets cached members beyond the bound, those with a session last, and groups of as many members. They are
    /// loaded again when needed.
    pub fn forget_members(&mut self) {
        if self.groups.values().map(Group::len).sum::<usize>() > self.limits.members_max {
            self.groups.clear();
        }
        if self.members.len() > self.limits.members_max {
            let here: HashSet<(SiteId, Uid)> = self.occupied.keys().map(|key| (key.site, key.uid)).collect();
            self.members.retain(|key, _| here.contains(key));
        }
    }

    /// Takes what is to be committed: effects since the last commit, or progress alone when `progress` asks for it.
    ///
    /// Until [`Home::committed`] is told, nothing may be decided here.
    pub fn take_commit(&mut self, progress: bool) -> Result<Option<ShardCommit>, tmtp_contract::Error> {
        self.condemned.clear();
        let changed = !self.effects.is_empty() || !self.changes.is_empty();
        if !changed && (!progress || self.applied <= self.committed) {
            return Ok(None);
        }
        let effects = std::mem::take(&mut self.effects);
        let at_ms = self.trace.take_decided();
        let entry = if effects.is_empty() {
            None
        } else {
            Some(tmtp_contract::encode(&JournalEntry { at_ms, ..JournalEntry::new(effects) })?)
        };
        Ok(Some(ShardCommit {
            shard: self.shard,
            epoch: self.epoch,
            commits: self.commits,
            last_entry: self.applied,
            last_msg_id: self.last_msg_id,
            entry,
            changes: std::mem::take(&mut self.changes),
        }))
    }

    /// What `take_commit` gave is committed.
    pub fn committed(&mut self, commit: &ShardCommit, now: Now) {
        self.commits = commit.commits + 1;
        self.committed = commit.last_entry;
        if commit.entry.is_some() {
            self.trace.committed(now.millis());
            self.unspilled_since.get_or_insert(now.millis());
        }
    }

    /// True when entries were applied that the shard's row does not know.
    pub fn has_progress(&self) -> bool {
        self.applied > self.committed
    }

    /// Takes what gateways are to be told.
    pub fn take_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    /// True when gateways are to be told something.
    pub fn has_news(&self) -> bool {
        !self.outbox.answers.is_empty() || !self.outbox.pushes.is_empty()
    }

    /// The latest answer of this batch, for tracing.
    pub fn last_answer(&mut self) -> Option<&mut Event> {
        self.outbox.answers.last_mut().map(|(_, event)| event)
    }

    /// True when logins wait.
    pub fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Takes bodies that nobody needs any more.
    pub fn take_free_bodies(&mut self) -> Vec<(SiteId, BodyRef)> {
        std::mem::take(&mut self.free_bodies)
    }

    /// Takes bodies that no message refers to, as far as this home knows: another answer to the same request may have
    /// been lost, so whoever removes them asks the rows first.
    pub fn take_orphans(&mut self) -> Vec<(SiteId, BodyRef)> {
        std::mem::take(&mut self.orphans)
    }

    fn orphan(&mut self, site: SiteId, body: &tmtp_contract::Body) {
        if let tmtp_contract::Body::Stored(body) = body {
            self.orphans.push((site, *body));
        }
    }

    fn next_msg_id(&mut self, now: Now) -> MsgId {
        self.last_msg_id = MsgId::next(self.last_msg_id, now.nanos);
        self.last_msg_id
    }
}
