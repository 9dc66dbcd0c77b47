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
//! | how much waits, where a policy limits that | rows and queues |
//! | members, groups | rows; a cache, true as long as the shard is ours |

mod admin;
mod decide;
mod deliver;
mod expire;
mod groups;
mod ohi;
mod opening;
mod policy;
mod posts;
mod receipts;
mod recover;
mod registration;
mod session;
mod spill;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tmtp_contract::{BodyRef, Effect, Envelope, Event, JournalEntry, Message};
use tmtp_domain::{
    BodyId, Epoch, GatewayId, Group, Invite, InviteRef, KeyId, Member, MsgId, NameHolder, NodeNum, Owed,
    Presence, Sender, SessionId, ShardId, Site, SiteId, Uid,
};
use tmtp_store::{Change, Looks, OwnedShard, Settled, ShardCommit, Subject};

pub use deliver::ReadPage;
pub use expire::{Old, Quiet, SITE, expired_ids};
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
}

/// What the rules have to know beyond the home's own state.
pub struct World<'w> {
    /// Sites, by id.
    pub sites: &'w HashMap<SiteId, Site>,
    /// What was loaded for this batch alone.
    pub facts: &'w mut Facts,
}

/// What is loaded for one batch and forgotten after it.
#[derive(Debug, Default)]
pub struct Facts {
    /// Names that the batch asks for, and whose they are.
    pub names: Names,
    /// Members whom a group knows by this alias.
    pub known: HashSet<(SiteId, Uid, String)>,
    /// Whose the names are that look like those that the batch is to make.
    pub looks: Looks,
    /// The oldest aliases of members, as far as the batch asks for them.
    pub aliases: HashMap<(SiteId, Uid), String>,
    /// To how many groups members belong.
    pub places: HashMap<(SiteId, Uid), u32>,
    /// Members (first) to whom another one (second) has written, or who are in a group with it.
    pub acquainted: HashSet<(SiteId, Uid, Uid)>,
    /// Whose the sessions are that the batch opens.
    pub opening: HashMap<SessionKey, Uid>,
    /// Requests of admins that were carried out before.
    pub settled: HashMap<(KeyId, String), Settled>,
    /// Invites that registrations name.
    pub invites: HashMap<(SiteId, InviteRef), Invite>,
    /// Sign-in tokens that were used before.
    pub used_tokens: HashSet<(SiteId, [u8; 32])>,
    /// People who have signed in and are members already.
    pub known_subjects: HashSet<(SiteId, Subject)>,
}

impl Facts {
    /// Adds what was loaded later.
    pub fn extend(&mut self, more: Self) {
        self.names.extend(more.names);
        self.known.extend(more.known);
        self.looks.extend(more.looks);
        self.aliases.extend(more.aliases);
        self.places.extend(more.places);
        self.acquainted.extend(more.acquainted);
        self.opening.extend(more.opening);
        self.settled.extend(more.settled);
        self.invites.extend(more.invites);
        self.used_tokens.extend(more.used_tokens);
        self.known_subjects.extend(more.known_subjects);
    }
}

/// Whose names are, as far as a batch asks for them.
pub type Names = HashMap<(SiteId, String), NameHolder>;

impl World<'_> {
    /// Whose a name is.
    fn holder(&self, site: SiteId, name: &str) -> Option<NameHolder> {
        self.facts.names.get(&(site, name.to_owned())).copied()
    }
}

/// What a batch needs from the database before it can be decided.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Members.
    pub members: HashSet<(SiteId, Uid)>,
    /// Names.
    pub names: HashSet<(SiteId, String)>,
    /// What names look like.
    pub looks: HashSet<(SiteId, String)>,
    /// The oldest aliases of members.
    pub aliases: HashSet<(SiteId, Uid)>,
    /// To how many groups members belong.
    pub places: HashSet<(SiteId, Uid)>,
    /// What waits in rows for members.
    pub member_backlogs: HashSet<(SiteId, Uid)>,
    /// What waits in rows at sites.
    pub site_backlogs: HashSet<SiteId>,
    /// Whether another one (second) has written to a member (first), or is in a group with it.
    pub acquainted: HashSet<(SiteId, Uid, Uid)>,
    /// Groups.
    pub groups: HashSet<(SiteId, String)>,
    /// Sites.
    pub sites: HashSet<SiteId>,
    /// Stored bodies that messages are to refer to: were they removed?
    pub bodies: HashSet<(SiteId, BodyId)>,
    /// Does a group know the member by this alias?
    pub known: HashSet<(SiteId, Uid, String)>,
    /// Requests of admins: were they carried out before?
    pub settled: HashSet<(KeyId, String)>,
    /// Invites.
    pub invites: HashSet<(SiteId, InviteRef)>,
    /// Sign-in tokens: were they used before?
    pub tokens: HashSet<(SiteId, [u8; 32])>,
    /// People who have signed in: are they members already?
    pub subjects: HashSet<(SiteId, Subject)>,
}

impl Wanted {
    /// Leaves out what has been asked for before, and remembers the rest in `asked`. False when nothing is left.
    pub fn leave_out(&mut self, asked: &mut Self) -> bool {
        self.members.retain(|key| asked.members.insert(*key));
        self.names.retain(|key| asked.names.insert(key.clone()));
        self.looks.retain(|key| asked.looks.insert(key.clone()));
        self.aliases.retain(|key| asked.aliases.insert(*key));
        self.places.retain(|key| asked.places.insert(*key));
        self.member_backlogs.retain(|key| asked.member_backlogs.insert(*key));
        self.site_backlogs.retain(|key| asked.site_backlogs.insert(*key));
        self.acquainted.retain(|key| asked.acquainted.insert(*key));
        self.groups.retain(|key| asked.groups.insert(key.clone()));
        self.sites.retain(|key| asked.sites.insert(*key));
        self.bodies.retain(|key| asked.bodies.insert(*key));
        self.known.retain(|key| asked.known.insert(key.clone()));
        self.settled.retain(|key| asked.settled.insert(key.clone()));
        self.invites.retain(|key| asked.invites.insert(*key));
        self.tokens.retain(|key| asked.tokens.insert(*key));
        self.subjects.retain(|key| asked.subjects.insert(key.clone()));
        !(self.members.is_empty()
            && self.names.is_empty()
            && self.looks.is_empty()
            && self.aliases.is_empty()
            && self.places.is_empty()
            && self.acquainted.is_empty()
            && self.member_backlogs.is_empty()
            && self.site_backlogs.is_empty()
            && self.groups.is_empty()
            && self.sites.is_empty()
            && self.bodies.is_empty()
            && self.known.is_empty()
            && self.settled.is_empty()
            && self.invites.is_empty()
            && self.tokens.is_empty()
            && self.subjects.is_empty())
    }
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

/// A message in a queue.
#[derive(Debug, Clone)]
struct Queued {
    message: Arc<Message>,
    in_flight: bool,
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
        let entry =
            if effects.is_empty() { None } else { Some(tmtp_contract::encode(&JournalEntry::new(effects))?) };
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

    /// Queues a message for nodes, in the journal and in memory.
    fn queue(&mut self, site: SiteId, message: Message, owed: Vec<Owed>) {
        let message = Arc::new(message);
        if owed.is_empty() {
            if let tmtp_contract::Body::Stored(body) = message.body {
                self.changes.push(Change::BodyFree { site, body: stored(body) });
                self.free_bodies.push((site, body));
            }
            return;
        }
        if let tmtp_contract::Body::Stored(body) = message.body {
            self.changes.push(Change::BodyHeld { site, body: stored(body) });
        }
        self.remember(site, &message, &owed);
        self.effects.push(Effect::Queued { site, message, owed });
    }

    /// The part of `queue` that a replay of the journal repeats.
    fn remember(&mut self, site: SiteId, message: &Arc<Message>, owed: &[Owed]) {
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
    fn owe(&mut self, site: SiteId, message: &Message, nodes: u32) {
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
    fn remove(&mut self, key: NodeKey, id: MsgId) -> bool {
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
    fn drop_queue(&mut self, key: NodeKey) {
        let ids: Vec<MsgId> =
            self.queues.get(&key).into_iter().flat_map(|queue| queue.keys().map(|place| place.1)).collect();
        for id in ids {
            self.remove(key, id);
        }
        if let Some(ids) = self.row_acks.remove(&key) {
            self.row_acks_count = self.row_acks_count.saturating_sub(ids.len());
        }
    }

    /// A node's ack of a message that is in rows; the next spill removes the row.
    fn ack_row(&mut self, key: NodeKey, id: MsgId) {
        if self.row_acks.entry(key).or_default().insert(id) {
            self.row_acks_count += 1;
        }
    }

    /// Owes one node what another is owed, as far as it is in memory.
    fn copy_queue(&mut self, site: SiteId, uid: Uid, from: NodeNum, to: NodeNum) {
        let Some(source) = self.queues.get(&NodeKey { site, uid, node: from }) else { return };
        let copies: Vec<Arc<Message>> = source.values().map(|queued| Arc::clone(&queued.message)).collect();
        for message in copies {
            let target = self.queues.entry(NodeKey { site, uid, node: to }).or_default();
            if target
                .insert(place(&message), Queued { message: Arc::clone(&message), in_flight: false })
                .is_none()
            {
                self.owe(site, &message, 1);
            }
        }
    }
}

/// Where a message stands in a queue.
fn place(message: &Message) -> Place {
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

fn stored(body: BodyRef) -> tmtp_store::StoredBody {
    tmtp_store::StoredBody { id: body.id, len: body.len, chunk: body.chunk }
}
