//! Plays the engine with homes and a real store: loads, decides, commits, tells, spills, and stops where it is told to. It
//! must keep the engine's order of things, since that is what the home and the store may rely on.

mod owner;
mod spill;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tmtp_contract::{
    AdminChange, AdminRequest, AuditNote, Body, BodyRef, Command, DataInfo, Digest, Envelope, MessageRecord,
    Once,
};
use tmtp_domain::{
    BodyId, GatewayId, MsgId, NodeNum, Recipient, RecipientKind, RequestId, SecretHash, SessionId, Site,
    SiteId, Uid, WorkerId,
};
use tmtp_store::{Commit, CommitError, RowMessage, ShardCommit};
use tmtp_worker::home::{Facts, Home, Limits, Now, ReadPage, Wanted, Window, World};
use uuid::Uuid;

use self::owner::recover;
use super::database::{Database, KEY};
use super::gateway::{Gateway, WINDOW};
use super::reference::{Node, Reference};
use super::{Death, Fate, Op, Step};

/// The window counts messages only, members are forgotten as soon as may be, and receipts outlive a case.
const LIMITS: Limits = Limits {
    window: Window { count: WINDOW, bytes: 1 << 20 },
    dedupe_window: Duration::from_hours(1),
    receipts_max: 10_000,
    members_max: 1,
    traces: true,
};
/// Users, who stay the same for the whole case. More of them, or more nodes, would only meet less often.
const USERS: u8 = 3;
const NODES_MAX: usize = 3;
/// An admin server.
const ADMIN: GatewayId = GatewayId(Uuid::from_u128(0xAD));
/// Nanoseconds since 1970: some time in 2026.
const START: u64 = 1_790_000_000_000_000_000;
/// By how much the clock of the next owner may be behind (ns).
const CLOCK_BEHIND: u64 = 3_000_000_000;

/// An entry of the shard's command stream, by its id there.
type Entry = ((u64, u64), GatewayId, Vec<Envelope>);

/// A case: its workers one after the other, its clients, and what should be.
struct Cluster<'d> {
    database: &'d Database,
    sites: HashMap<SiteId, Site>,
    site: SiteId,
    worker: WorkerId,
    workers_made: u128,
    home: Home,
    now: Now,
    gateway: Gateway,
    gateways_made: u128,
    /// All that was ever published, and how far this owner has read.
    stream: Vec<Entry>,
    read: usize,
    reference: Reference,
    /// Requests of each node, and how many were made in all.
    requests: BTreeMap<Node, Vec<Command>>,
    made: u32,
    /// Bodies that were removed from the body store.
    removed: HashSet<BodyId>,
    /// Somebody stopped, or did not hear, that knew of bodies to be removed: those are left to the sweep.
    lost_removals: bool,
    /// How often an owner had sessions of a dead gateway.
    strangers: u32,
}

/// Runs a case. Says how often an owner had sessions of a dead gateway.
pub async fn run(database: &Database, steps: &[Step]) -> u32 {
    let mut cluster = Cluster::new(database).await;
    for step in steps {
        for op in &step.ops {
            cluster.ask(*op);
        }
        cluster.step(step).await;
    }
    cluster.finish().await;
    cluster.strangers
}

impl<'d> Cluster<'d> {
    /// A site with three users, each with a session at its first node.
    async fn new(database: &'d Database) -> Self {
        let site = database.begin().await;
        let worker = WorkerId(Uuid::from_u128(1));
        let row = database.claim(worker).await;
        let now = Now { nanos: START };
        let mut cluster = Self {
            database,
            site: site.id,
            gateway: Gateway::new(site.id, 1),
            gateways_made: 1,
            sites: HashMap::from([(site.id, site)]),
            worker,
            workers_made: 1,
            home: recover(database, row, HashSet::new(), now).await,
            now,
            stream: Vec::new(),
            read: 0,
            reference: Reference::default(),
            requests: BTreeMap::new(),
            made: 0,
            removed: HashSet::new(),
            lost_removals: false,
            strangers: 0,
        };
        for n in 0..USERS {
            let uid = user(n);
            let secret = SecretHash([n; 32]);
            let register =
                Command::Register { uid, secret, label: "first".into(), alias: None, credentials: None };
            cluster.gateway.open((uid, 1), register);
        }
        cluster.settle().await;
        cluster
    }

    // What clients do.

    /// Makes a client do something, if it can.
    fn ask(&mut self, op: Op) {
        let nodes = self.reference.nodes();
        let (Op::Toggle(n)
        | Op::Post(n, _)
        | Op::Alias(n)
        | Op::NewNode(n)
        | Op::Resend(n, _)
        | Op::Ack(n, _)) = op;
        let node = nodes[usize::from(n) % nodes.len()];
        let open = self.gateway.session_at(node).map(|(id, session)| (id, session.ready, session.closing));
        let (id, ready) = match (op, open) {
            (Op::Toggle(_), None) => return self.log_in(node),
            (Op::Alias(_), None) => return self.drop_queue(node),
            (_, None | Some((_, _, true))) => return,
            (_, Some((id, ready, false))) => (id, ready),
        };
        match op {
            Op::Toggle(_) => self.gateway.close(id),
            _ if !ready => {}
            Op::Ack(_, which) => self.gateway.ack(id, which),
            Op::Resend(_, which) => self.resend(id, node, which),
            Op::NewNode(_) if self.reference.nodes_of(node.0).len() >= NODES_MAX => {}
            Op::Post(..) | Op::Alias(_) | Op::NewNode(_) => {
                let command = self.request(op);
                self.requests.entry(node).or_default().push(command.clone());
                self.gateway.publish(id, command);
            }
        }
    }

    fn log_in(&mut self, node: Node) {
        let secret = self.reference.password(node);
        self.gateway.open(node, Command::Login { uid: node.0, secret });
    }

    /// An admin drops what a node is owed, behind all that clients have done. The sweep removes its bodies.
    fn drop_queue(&mut self, (uid, node): Node) {
        self.publish(usize::MAX);
        self.made += 1;
        self.lost_removals = true;
        let request = AdminRequest {
            id: RequestId(Uuid::from_u128(u128::from(self.made))),
            once: Once { key: KEY, text: self.made.to_string(), digest: [0; 32] },
            note: AuditNote { action: "test".into(), target: "it".into(), from: "192.0.2.1".into() },
            change: AdminChange::DropQueue { uid, node: NodeNum(node) },
        };
        let command = Command::Admin(Box::new(request));
        let envelope = Envelope { site: self.site, session: SessionId(0), seq: 0, trace: None, command };
        self.stream.push(((7, self.stream.len() as u64 + 1), ADMIN, vec![envelope]));
    }

    /// A request that was not made before.
    fn request(&mut self, op: Op) -> Command {
        self.made += 1;
        let number = self.made;
        let digest = Digest(u128::from(number).to_be_bytes());
        match op {
            Op::Alias(_) => Command::NewAlias { digest, alias: format!("alias number {number}") },
            Op::NewNode(_) => {
                let mut secret = SecretHash([0xFF; 32]);
                secret.0[..4].copy_from_slice(&number.to_be_bytes());
                Command::NewNode { digest, label: "new".into(), node_id: format!("node {number}"), secret }
            }
            Op::Post(_, to) => {
                let named = (0..USERS).filter(|n| to >> n & 1 == 1).map(|n| user(n).to_string());
                let recipients = named.map(|id| Recipient { id, kind: RecipientKind::User }).collect();
                let data = DataInfo { len: 1, head: 0, sum: u64::from(number) };
                let body = match to >> 6 {
                    0 => uploaded(u128::from(number)),
                    1 => Body::Empty,
                    _ => Body::Inline(Bytes::from(number.to_string())),
                };
                Command::Post { digest, recipients, data, body, front: None }
            }
            Op::Toggle(_) | Op::Resend(..) | Op::Ack(..) => {
                panic!("{op:?} makes no request")
            }
        }
    }

    /// The client sends a request again; its data is uploaded again, as a body of its own.
    fn resend(&mut self, id: u64, node: Node, which: u8) {
        let Some(requests) = self.requests.get(&node) else { return };
        let mut command = requests[usize::from(which) % requests.len()].clone();
        if let Command::Post { body: body @ Body::Stored(_), .. } = &mut command {
            self.made += 1;
            *body = uploaded(u128::from(self.made) << 32);
        }
        self.gateway.publish(id, command);
    }

    // What the owner does.

    /// One turn of the owner, and what becomes of it.
    async fn step(&mut self, step: &Step) {
        self.publish(step.entry);
        let first =
            if step.piecewise { self.stream.len().saturating_sub(1).max(self.read) } else { self.read };
        while self.read < first {
            self.process(self.read + 1, Fate::Told, 0).await;
        }
        self.process(self.stream.len(), step.fate, step.forgetful).await;
        self.end_strangers();
        if step.death != Death::Nobody {
            self.gateway_dies().await;
        }
        if step.death == Death::Both {
            self.stop(step.forgetful).await;
        }
    }

    /// What clients have done becomes entries of the stream.
    fn publish(&mut self, entry: usize) {
        for commands in std::mem::take(&mut self.gateway.outgoing).chunks(entry) {
            let number = self.stream.len() as u64;
            self.stream.push(((7, number + 1), self.gateway.id, commands.to_vec()));
        }
    }

    /// Processes all there is, and nothing happens to it.
    async fn settle(&mut self) {
        self.publish(usize::MAX);
        self.process(self.stream.len(), Fate::Told, 0).await;
        assert!(self.gateway.outgoing.is_empty());
        self.gateway.check_flow(&self.reference);
    }

    /// Reads the stream up to here as one batch.
    async fn process(&mut self, up_to: usize, fate: Fate, forgetful: u8) {
        let mut batch = Vec::new();
        for (id, gateway, commands) in &self.stream[self.read..up_to] {
            if self.home.advance(*id) {
                batch.extend(commands.iter().map(|envelope| (*gateway, envelope.clone())));
            }
        }
        self.read = up_to;
        self.now.nanos += 1_000_000;
        self.decide(&batch).await;
        let Some(commit) = self.commit(fate).await else { return self.take_over(forgetful).await };
        for (gateway, envelope) in &batch {
            self.reference.follow(*gateway, envelope);
        }
        if let Some(part) = &commit {
            self.home.committed(part, self.now);
        }
        self.after_commit(fate, forgetful).await;
        // Between batches nothing is half done, unless what was told has just been lost.
        if self.gateway.outgoing.is_empty() && self.read == self.stream.len() {
            self.gateway.check_flow(&self.reference);
        }
    }

    async fn decide(&mut self, batch: &[(GatewayId, Envelope)]) {
        let mut wanted = Wanted::default();
        for (gateway, envelope) in batch {
            self.home.wants(*gateway, envelope, &Facts::default(), &mut wanted);
        }
        let store = &self.database.store;
        let members: Vec<_> = wanted.members.into_iter().collect();
        let members = if members.is_empty() { Vec::new() } else { store.members(&members).await.unwrap() };
        for (site, member) in members {
            self.home.learn(site, member);
        }
        let bodies: Vec<_> = wanted.bodies.into_iter().collect();
        for (site, body) in store.bodies_condemned(&bodies).await.unwrap() {
            self.home.learn_condemned(site, body);
        }
        let names: Vec<_> = wanted.names.into_iter().collect();
        let mut facts = Facts::default();
        if !names.is_empty() {
            facts.names = store.names(&names).await.unwrap();
        }
        for (gateway, envelope) in batch {
            let mut world = World { sites: &self.sites, facts: &mut facts };
            self.home.apply(self.now, *gateway, envelope.clone(), &mut world);
        }
    }

    /// Commits what was decided. `None` when the owner has stopped before that; `Some(None)` when there was nothing to
    /// commit.
    async fn commit(&mut self, fate: Fate) -> Option<Option<ShardCommit>> {
        let store = &self.database.store;
        // Progress alone is recorded now and then.
        let progress = fate == Fate::Spilled;
        let part = self.home.take_commit(progress).unwrap();
        if fate == Fate::StoppedBeforeCommit {
            let other = self.next_worker().await;
            if let Some(part) = part {
                let late = store.commit(&Commit { shards: vec![part] }).await;
                assert!(matches!(late, Err(CommitError::Fenced)), "an owner that was: {late:?}");
            }
            self.worker = other;
            return None;
        }
        let Some(part) = part else { return Some(None) };
        let commit = Commit { shards: vec![part] };
        store.commit(&commit).await.unwrap();
        if fate == Fate::AnswerLost {
            let again = store.commit(&commit).await;
            assert!(matches!(again, Err(CommitError::Fenced)), "a commit that has happened: {again:?}");
            let owned = store.owned(self.worker).await.unwrap();
            assert_eq!(owned[0].commits, commit.shards[0].commits + 1, "that it has happened shows");
        }
        Some(commit.shards.into_iter().next())
    }

    /// The rest of a turn: tell, decide the logins that waited, spill.
    async fn after_commit(&mut self, fate: Fate, forgetful: u8) {
        if fate == Fate::StoppedBeforeTelling {
            self.lost_removals = true;
            return self.stop(forgetful).await;
        }
        self.feed().await;
        let outbox = self.home.take_outbox();
        self.remove_bodies().await;
        if fate == Fate::EventsLost {
            self.gateway.attach_all(forgetful);
        } else {
            self.gateway.hear(outbox, &mut self.reference);
        }
        self.home.forget_members();
        if self.home.has_deferred() && !self.home.is_waiting() {
            // The gateway may have heard nothing of its sessions, so it hears nothing of these logins either.
            return Box::pin(self.resume_deferred(fate, forgetful)).await;
        }
        match fate {
            Fate::Stopped => self.stop(forgetful).await,
            Fate::Spilled | Fate::SpilledTwice | Fate::StoppedBeforeSpill | Fate::StoppedAfterSpill => {
                self.spill(fate, forgetful).await;
            }
            Fate::Told | Fate::AnswerLost | Fate::EventsLost | Fate::StoppedBeforeCommit => {}
            Fate::StoppedBeforeTelling => unreachable!("handled above"),
        }
    }

    /// Decides the logins that waited for the gateway: a batch of its own.
    async fn resume_deferred(&mut self, fate: Fate, forgetful: u8) {
        let batch = self.home.take_deferred();
        self.decide(&batch).await;
        let commit = self.commit(Fate::Told).await.flatten();
        for (gateway, envelope) in batch {
            assert!(self.reference.resumes(gateway, &envelope), "{envelope:?} was not to wait");
            self.reference.follow(gateway, &envelope);
        }
        if let Some(part) = &commit {
            self.home.committed(part, self.now);
        }
        self.after_commit(fate, forgetful).await;
    }

    /// Gives sessions what waits for them.
    async fn feed(&mut self) {
        loop {
            let (sessions, requests): (Vec<_>, Vec<_>) = self.home.feed(self.now).into_iter().unzip();
            if requests.is_empty() {
                return;
            }
            let pages = self.database.store.pages(&requests).await.unwrap();
            for (session, page) in sessions.into_iter().zip(pages) {
                let last = page.last.map(|(urgency, id)| (u8::try_from(urgency).unwrap(), id));
                let messages = page.messages.into_iter().map(|row| Arc::new(message(row))).collect();
                self.home.take_page(session, ReadPage { messages, last, is_end: page.is_end });
            }
        }
    }

    // What has to hold.

    /// What the owner holds in memory and what rows say is together what is owed.
    async fn check_owed(&self) {
        let spill = self.home.spill(self.now).unwrap();
        let acks: HashSet<_> = spill.acks.iter().map(|ack| ((ack.uid, ack.node.0), ack.msg_id)).collect();
        let mut found: BTreeMap<Node, Vec<(i16, MsgId)>> = BTreeMap::new();
        for (node, place) in self.database.inbox().await {
            if !acks.contains(&(node, place.1)) {
                found.entry(node).or_default().push(place);
            }
        }
        for row in &spill.inbox {
            found.entry((row.uid, row.node.0)).or_default().push((row.urgency, row.msg_id));
        }
        for places in found.values_mut() {
            places.sort_unstable();
        }
        self.reference.check_owed(&found);
        assert_eq!(self.database.miscounted().await, 0, "messages count the rows that name them");
    }

    /// Lets everybody fetch and ack everything, sends every request again, and looks at what is left.
    async fn finish(&mut self) {
        self.settle().await;
        self.end_strangers();
        self.everybody_logs_in().await;
        for (node, requests) in self.requests.clone() {
            let (id, _) = self.gateway.session_at(node).unwrap();
            for request in requests {
                self.gateway.publish(id, request);
            }
        }
        self.settle().await;
        while !self.reference.is_done() {
            for node in self.reference.nodes() {
                let (id, _) = self.gateway.session_at(node).unwrap();
                self.gateway.ack(id, u8::MAX);
            }
            assert!(!self.gateway.outgoing.is_empty(), "something is owed, and nobody is sent anything");
            self.settle().await;
        }
        self.reference.check_ids();
        self.stop(0).await;
        self.settle().await;
        self.spill(Fate::Spilled, 0).await;
        self.remove_what_was_left().await;
        let left = self.database.store.waiting().await.unwrap();
        assert_eq!((left.journal, left.messages, left.inbox, left.bodies), (0, 0, 0, 0), "left behind");
        assert_eq!(self.home.owed_bytes(), 0);
        if !self.lost_removals {
            assert!(self.reference.bodies().is_subset(&self.removed), "a body was not removed");
        }
    }

    async fn everybody_logs_in(&mut self) {
        for node in self.reference.nodes() {
            if self.gateway.session_at(node).is_none() {
                self.log_in(node);
            }
        }
        self.settle().await;
    }
}

fn user(n: u8) -> Uid {
    Uid([n + 1; 20])
}

fn uploaded(number: u128) -> Body {
    Body::Stored(BodyRef { id: BodyId(Uuid::from_u128(number)), len: 100_000, chunk: 65_536 })
}

fn message(row: RowMessage) -> tmtp_contract::Message {
    let record: MessageRecord = tmtp_contract::decode(&row.header).unwrap();
    record.join(row.body.map(Bytes::from))
}
