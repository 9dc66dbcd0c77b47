//! A home without a database, and the short words that its cases are told in. Commits and spills succeed at once; the
//! rows of spills are kept in a map.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tmtp_contract::{
    Answer, Attach, Body, Command, Content, DataInfo, Digest, Envelope, Event, LoginRefusal, Message,
    MessageRecord,
};
use tmtp_domain::{
    Epoch, GatewayId, Member, MemberStatus, MsgId, Node, NodeNum, Posted, Recipient, RecipientKind,
    Registration, SecretHash, SessionId, ShardId, Site, SiteId, SiteStatus, Uid,
};
use tmtp_store::{Change, OwnedShard, PageRequest, Recovery, ShardCommit, TraceRow};
use tmtp_worker::home::{Facts, Home, Limits, Now, Outbox, ReadPage, Window, World};
use uuid::Uuid;

pub const EPOCH: Epoch = Epoch(7);
pub const HERE: SiteId = SiteId(Uuid::from_u128(1));
pub const THERE: SiteId = SiteId(Uuid::from_u128(2));
pub const G1: GatewayId = GatewayId(Uuid::from_u128(11));
pub const G2: GatewayId = GatewayId(Uuid::from_u128(12));
pub const ANN: Uid = Uid([1; 20]);
pub const BEN: Uid = Uid([2; 20]);

/// Some time in 2026.
const START: u64 = 1_790_000_000_000_000_000;

pub const LIMITS: Limits = Limits {
    window: Window { count: 8, bytes: 1 << 20 },
    dedupe_window: Duration::from_mins(10),
    receipts_max: 1_000,
    members_max: 1_000,
    traces: true,
};

/// A session as the cases name it: gateway and number.
pub type Who = (GatewayId, u64);

/// The rows of one node, in the order of delivery.
type Inbox = BTreeMap<(i16, MsgId), Arc<Message>>;

pub struct Rig {
    pub home: Home,
    pub sites: HashMap<SiteId, Site>,
    pub facts: Facts,
    pub now: Now,
    /// What was committed, in order.
    pub commits: Vec<ShardCommit>,
    /// What spills have written, by node, in the order of delivery.
    rows: HashMap<(SiteId, Uid, NodeNum), Inbox>,
    /// Steps that spills have written.
    pub traces: Vec<TraceRow>,
    /// Messages whose rows this release cannot read.
    pub unreadable: HashSet<MsgId>,
    /// Pages that were read.
    pub pages: usize,
    /// The number of each session's next command.
    next: HashMap<Who, u64>,
}

/// What gateways were told of a step.
pub struct Told(pub Outbox);

impl Rig {
    /// A home with two open sites, of which `HERE` has Ann and Ben, each at one node.
    pub fn new() -> Self {
        Self::with(LIMITS, &[])
    }

    pub fn with(limits: Limits, absent: &[GatewayId]) -> Self {
        let mut rig = Self::recovered(&Recovery::default(), limits, absent);
        rig.member(HERE, ANN, 1);
        rig.member(HERE, BEN, 1);
        rig
    }

    /// A new owner of what is left, that knows no member yet.
    pub fn recovered(left: &Recovery, limits: Limits, absent: &[GatewayId]) -> Self {
        let row = OwnedShard {
            shard: ShardId(0),
            epoch: EPOCH,
            commits: 40,
            last_entry: (0, 0),
            last_msg_id: MsgId(0),
        };
        let now = Now { nanos: START };
        let absent: HashSet<GatewayId> = absent.iter().copied().collect();
        let home = Home::recover(&row, left, limits, absent, now).unwrap();
        let sites = [HERE, THERE].map(|id| (id, open_site(id))).into();
        Self {
            home,
            sites,
            facts: Facts::default(),
            now,
            commits: Vec::new(),
            rows: HashMap::new(),
            traces: Vec::new(),
            unreadable: HashSet::new(),
            pages: 0,
            next: HashMap::new(),
        }
    }

    /// A member whose nodes have the numbers from 1.
    pub fn member(&mut self, site: SiteId, uid: Uid, nodes: i16) {
        let node = |num| Node { num: NodeNum(num), secret: secret(uid, num) };
        let nodes = (1..=nodes).map(node).collect();
        self.home.learn(
            site,
            Member {
                uid,
                status: MemberStatus::Active,
                nodes,
                revoked: Vec::new(),
                flags: tmtp_domain::MemberFlags::default(),
                notice: None,
            },
        );
    }

    /// Applies a session's next command.
    pub fn run(&mut self, who: Who, command: Command) -> Told {
        self.run_in(HERE, who, command)
    }

    pub fn run_in(&mut self, site: SiteId, who: Who, command: Command) -> Told {
        let seq = self.next.entry(who).or_insert(1);
        let number = *seq;
        *seq += 1;
        self.run_at(site, who, number, command)
    }

    /// Applies a command under a number of its own.
    pub fn run_at(&mut self, site: SiteId, (gateway, session): Who, seq: u64, command: Command) -> Told {
        self.run_envelope(gateway, Envelope { site, session: SessionId(session), seq, trace: None, command })
    }

    pub fn run_envelope(&mut self, gateway: GatewayId, envelope: Envelope) -> Told {
        self.decide(gateway, envelope);
        self.settle()
    }

    /// Decides without committing.
    pub fn decide(&mut self, gateway: GatewayId, envelope: Envelope) {
        self.now.nanos += 1_000_000;
        let mut world = World { sites: &self.sites, facts: &mut self.facts };
        self.home.apply(self.now, gateway, envelope, &mut world);
    }

    /// Commits, feeds and tells.
    pub fn settle(&mut self) -> Told {
        if let Some(commit) = self.home.take_commit(false).unwrap() {
            for change in &commit.changes {
                if let Change::DropInbox { site, uid, node, .. } = change {
                    self.rows.remove(&(*site, *uid, *node));
                }
            }
            self.home.committed(&commit, self.now);
            self.commits.push(commit);
        }
        loop {
            let wanted = self.home.feed(self.now);
            if wanted.is_empty() {
                return Told(self.home.take_outbox());
            }
            for (key, request) in wanted {
                let page = self.page(&request);
                self.pages += 1;
                self.home.take_page(key, page);
            }
        }
    }

    /// As the engine reads it: bounded by count and octets, and without what cannot be read.
    fn page(&self, request: &PageRequest) -> ReadPage {
        let rows = self.rows.get(&(request.site, request.uid, request.node));
        let mut page = ReadPage { is_end: true, ..ReadPage::default() };
        let (mut count, mut octets) = (0, 0);
        for (place, message) in rows.into_iter().flatten().filter(|(place, _)| **place > request.after) {
            if count == request.limit || octets >= request.octets {
                page.is_end = false;
                break;
            }
            count += 1;
            octets += message.body.inline_len() as u64;
            page.last = Some((u8::try_from(place.0).unwrap(), place.1));
            if !self.unreadable.contains(&message.id) {
                page.messages.push(Arc::clone(message));
            }
        }
        page
    }

    /// Spills, and feeds what may go on then.
    pub fn spill(&mut self) -> Told {
        let spill = self.home.spill(self.now).unwrap();
        for row in &spill.inbox {
            let message = spill.messages.iter().find(|message| message.msg_id == row.msg_id).unwrap();
            let record: MessageRecord = tmtp_contract::decode(&message.header).unwrap();
            let message = Arc::new(record.join(message.body.clone()));
            let rows = self.rows.entry((row.site, row.uid, row.node)).or_default();
            assert!(rows.insert((row.urgency, row.msg_id), message).is_none(), "a row is written once");
        }
        for ack in &spill.acks {
            let rows = self.rows.entry((ack.site, ack.uid, ack.node)).or_default();
            rows.retain(|(_, id), _| *id != ack.msg_id);
        }
        self.traces.extend(spill.traces);
        self.home.spilled(self.now);
        self.settle()
    }

    /// Rows of one node.
    pub fn rows(&self, uid: Uid, node: i16) -> usize {
        self.rows.get(&(HERE, uid, NodeNum(node))).map_or(0, BTreeMap::len)
    }

    /// A message in the rows of one node.
    pub fn row_message(&self, uid: Uid, node: i16, id: MsgId) -> Option<Arc<Message>> {
        let rows = self.rows.get(&(HERE, uid, NodeNum(node)))?;
        rows.values().find(|message| message.id == id).cloned()
    }

    /// Messages in rows of one node whose octets somebody else holds, too.
    pub fn held(&self, uid: Uid, node: i16) -> usize {
        let rows = self.rows.get(&(HERE, uid, NodeNum(node)));
        rows.into_iter().flatten().filter(|(_, message)| Arc::strong_count(message) > 1).count()
    }

    pub fn present(&mut self, gateway: GatewayId, epoch: Epoch) {
        self.run_at(HERE, (gateway, 0), 0, Command::Present { epoch });
    }

    /// Logs in and acks whatever that brings.
    pub fn log_in(&mut self, who: Who, uid: Uid, node: i16) {
        let told = self.run(who, login(uid, node));
        assert_eq!(told.answer(), &Answer::LoggedIn { node: NodeNum(node), ohi: Vec::new() });
        let ids = told.delivered(who);
        self.run(who, Command::Acks { ids });
    }

    /// Places that a spill would write now.
    pub fn waiting(&self) -> usize {
        self.home.spill(self.now).unwrap().inbox.len()
    }

    /// What a new owner would read: every entry that was committed.
    pub fn journal(&self) -> Recovery {
        let journal = self.commits.iter().filter_map(|commit| commit.entry.clone()).collect();
        Recovery { journal, receipts: Vec::new() }
    }
}

impl Told {
    /// The only answer of the step.
    pub fn answer(&self) -> &Answer {
        match &self.0.answers[..] {
            [(_, Event::Answer { answer, .. })] => answer,
            other => panic!("not one answer: {other:?}"),
        }
    }

    pub fn posted(&self) -> (MsgId, Posted) {
        match self.answer() {
            Answer::Posted { msg_id, posted } => (*msg_id, *posted),
            other => panic!("{other:?}"),
        }
    }

    pub fn refusal(&self) -> &str {
        match self.answer() {
            Answer::Refused(text) => text,
            other => panic!("{other:?}"),
        }
    }

    pub fn not_logged_in(&self) -> LoginRefusal {
        match self.answer() {
            Answer::NotLoggedIn(refusal) => *refusal,
            other => panic!("{other:?}"),
        }
    }

    /// The command that was told to be lost, if one was.
    pub fn lost(&self) -> Option<u64> {
        self.0.answers.iter().find_map(|(_, event)| match event {
            Event::Lost { seq, .. } => Some(*seq),
            _ => None,
        })
    }

    /// Nobody was told anything.
    pub fn is_silence(&self) -> bool {
        self.0.answers.is_empty() && self.0.pushes.is_empty()
    }

    /// The sessions that have to be probed.
    pub fn probed(&self) -> Vec<Who> {
        let probe = |(gateway, event): &(GatewayId, Event)| match event {
            Event::Probe { session } => Some((*gateway, session.0)),
            _ => None,
        };
        self.0.pushes.iter().filter_map(probe).collect()
    }

    /// The messages for a session, in their order.
    pub fn messages(&self, who: Who) -> Vec<Arc<Message>> {
        let message = |(gateway, event): &(GatewayId, Event)| match event {
            Event::Deliver { session, message, .. } if (*gateway, session.0) == who => {
                Some(Arc::clone(message))
            }
            _ => None,
        };
        self.0.pushes.iter().filter_map(message).collect()
    }

    /// Their ids.
    pub fn delivered(&self, who: Who) -> Vec<MsgId> {
        self.messages(who).iter().map(|message| message.id).collect()
    }

    /// Their contents.
    pub fn contents(&self, who: Who) -> Vec<Content> {
        self.messages(who).iter().map(|message| message.content.clone()).collect()
    }
}

fn open_site(id: SiteId) -> Site {
    Site {
        id,
        revision: 1,
        shard: ShardId(0),
        name: "A site".into(),
        domains: Vec::new(),
        registration: Registration::Open,
        status: SiteStatus::Active,
        policy: tmtp_domain::Policy::default(),
        providers: Vec::new(),
        notice: None,
    }
}

pub fn secret(uid: Uid, num: i16) -> SecretHash {
    let mut octets = [uid.0[0]; 32];
    octets[..2].copy_from_slice(&num.to_be_bytes());
    SecretHash(octets)
}

pub fn login(uid: Uid, num: i16) -> Command {
    Command::Login { uid, secret: secret(uid, num) }
}

pub fn register(uid: Uid, alias: Option<&str>) -> Command {
    Command::Register {
        uid,
        secret: secret(uid, 1),
        label: "first".into(),
        alias: alias.map(str::to_owned),
        credentials: None,
    }
}

pub fn digest(n: u8) -> Digest {
    Digest([n; 16])
}

pub fn user(uid: Uid) -> Recipient {
    Recipient { id: uid.to_string(), kind: RecipientKind::User }
}

/// A post whose body is its number.
pub fn post(n: u8, to: &[Uid]) -> Command {
    post_body(n, to, Body::Inline(Bytes::from(vec![n])))
}

pub fn post_body(n: u8, to: &[Uid], body: Body) -> Command {
    let recipients = to.iter().map(|uid| user(*uid)).collect();
    Command::Post {
        digest: digest(n),
        recipients,
        data: DataInfo { len: 1, head: 0, sum: 3 },
        body,
        front: None,
    }
}

pub fn new_alias(n: u8, alias: &str) -> Command {
    Command::NewAlias { digest: digest(n), alias: alias.into() }
}

pub fn new_node(n: u8, uid: Uid, num: i16) -> Command {
    Command::NewNode {
        digest: digest(n),
        label: "new".into(),
        node_id: "secret".into(),
        secret: secret(uid, num),
    }
}

pub fn attach(uid: Uid, num: i16, in_flight: &[MsgId], pending: u64) -> Command {
    Command::Attach(Attach {
        uid,
        node: NodeNum(num),
        in_flight: in_flight.to_vec(),
        pending,
        showing: None,
        seen: Vec::new(),
    })
}

pub fn acks(ids: &[MsgId]) -> Command {
    Command::Acks { ids: ids.to_vec() }
}
