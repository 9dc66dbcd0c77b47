//! Plays the engine with homes and a real store: loads, decides, commits, tells, spills, and stops where it is told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::PgPool;
use tmtp_contract::{Body, BodyRef, Command, Content, DataInfo, Digest, Effect, Envelope, JournalEntry, MessageRecord};
use tmtp_domain::{BodyId, MsgId, Recipient, RecipientKind, Registration, SecretHash, Site, SiteId, Uid, WorkerId};
use tmtp_store::{Commit, CommitError, CreateSite, OwnedShard, ShardCommit, Store};
use tmtp_worker::home::{Home, Limits, Now, Wanted, Window, World};
use uuid::Uuid;

use super::gateway::{GATEWAY, Gateway, WINDOW};
use super::reference::{Node, Reference};
use super::{Fate, Op, Step};

const LIMITS: Limits = Limits {
    window: Window { count: WINDOW, bytes: 1 << 20 },
    dedupe_window: Duration::from_hours(1),
    receipts_max: 10_000,
    members_max: 2,
};
const USERS: u8 = 3;
/// More would only make the sets larger.
const NODES_MAX: usize = 3;

/// One shard for all cases, which come one after the other.
pub struct Database {
    store: Store,
    pool: PgPool,
}

impl Database {
    pub async fn new() -> Self {
        let url = tmtp_testkit::fresh_database();
        let store = Store::connect(&url, 4, Duration::from_secs(20)).await.unwrap();
        store.migrate(1).await.unwrap();
        Self { store, pool: PgPool::connect(&url).await.unwrap() }
    }
}

/// A case: its site, its workers one after the other, its clients, and what should be.
struct Cluster<'d> {
    database: &'d Database,
    store: &'d Store,
    sites: HashMap<SiteId, Site>,
    site: SiteId,
    worker: WorkerId,
    home: Home,
    now: Now,
    gateway: Gateway,
    reference: Reference,
    /// Requests made so far, and the last of each node.
    requests: u8,
    made: u128,
    last: HashMap<Node, Command>,
}

/// Runs a case.
pub async fn run(database: &Database, steps: &[Step]) {
    let mut cluster = Cluster::new(database).await;
    for step in steps {
        for op in &step.ops {
            cluster.ask(*op);
        }
        cluster.process(step.fate, step.forgetful).await;
    }
    cluster.finish().await;
}

async fn claim(store: &Store, worker: WorkerId) -> OwnedShard {
    store.heartbeat(worker, Duration::from_hours(1)).await.unwrap();
    let [shard] = store.claim(worker, 1).await.unwrap()[..] else { panic!("the shard is not free") };
    shard
}

impl<'d> Cluster<'d> {
    /// A site with three users, each with a session at its first node.
    async fn new(database: &'d Database) -> Self {
        let store = &database.store;
        // What a failed case has left behind must not disturb the next one, when proptest makes it smaller.
        sqlx::raw_sql("UPDATE shard SET owner = NULL").execute(&database.pool).await.unwrap();
        let site = SiteId(Uuid::new_v4());
        let domains = vec![format!("{site}.example")];
        let create = CreateSite { id: site, name: "A site".into(), domains, registration: Registration::Open };
        store.create_site(&create).await.unwrap();
        let sites = store.sites(&[site]).await.unwrap().into_iter().map(|site| (site.id, site)).collect();
        let worker = WorkerId(Uuid::new_v4());
        let shard = claim(store, worker).await;
        let now = Now { nanos: 1_790_000_000_000_000_000.max(shard.last_msg_id.0) };
        let mut cluster = Self {
            database,
            store,
            sites,
            site,
            worker,
            home: recover(store, shard, now).await,
            now,
            gateway: Gateway::new(site),
            reference: Reference::default(),
            requests: 0,
            made: 0,
            last: HashMap::new(),
        };
        for n in 0..USERS {
            let uid = user(n);
            let register = Command::Register { uid, secret: secret((uid, 1)), label: "first".into(), alias: None };
            cluster.gateway.open((uid, 1), register);
        }
        cluster.process(Fate::Told, 0).await;
        cluster
    }

    /// Makes a client do something, if it can.
    fn ask(&mut self, op: Op) {
        let nodes: Vec<Node> = self.reference.owed.keys().copied().collect();
        let (Op::Toggle(n)
        | Op::Post(n, _)
        | Op::Alias(n)
        | Op::NewNode(n)
        | Op::Resend(n)
        | Op::Ack(n, _)) = op;
        let node = nodes[usize::from(n) % nodes.len()];
        let open = self.gateway.session_at(node);
        if let (Op::Toggle(_), None) = (op, &open) {
            return self.gateway.open(node, Command::Login { uid: node.0, secret: secret(node) });
        }
        let Some((id, session)) = open.filter(|(_, session)| session.ready && !session.closing) else { return };
        let command = match op {
            Op::Toggle(_) => {
                session.closing = true;
                Command::Detach
            }
            Op::Ack(_, which) => {
                let (acked, kept) =
                    (0..8).zip(session.in_flight.drain(..)).partition::<Vec<_>, _>(|(bit, _)| which >> bit & 1 == 1);
                session.in_flight = kept.into_iter().map(|(_, id)| id).collect();
                let ids: Vec<MsgId> = acked.into_iter().map(|(_, id)| id).collect();
                if ids.is_empty() {
                    return;
                }
                self.gateway.acked.entry(node).or_default().extend(&ids);
                Command::Acks { ids }
            }
            Op::Resend(_) => match self.last.get(&node) {
                Some(command) => command.clone(),
                None => return,
            },
            Op::NewNode(_) if self.reference.nodes_of(node.0).len() >= NODES_MAX => return,
            Op::Post(..) | Op::Alias(_) | Op::NewNode(_) => self.request(op, node),
        };
        self.gateway.publish(id, command);
    }

    /// A request that was not made before.
    fn request(&mut self, op: Op, (uid, _): Node) -> Command {
        self.made += 1;
        let digest = Digest((self.made << 32 | 1).to_be_bytes());
        let command = match op {
            Op::Alias(_) => Command::NewAlias { digest, alias: format!("alias {} of a case", self.made) },
            Op::NewNode(_) => {
                // Two that are asked for in one batch may be numbered in either way, so the secret is the request's.
                let secret = SecretHash([self.made as u8; 32]);
                Command::NewNode { digest, label: "new".into(), node_id: format!("node {}", self.made), secret }
            }
            Op::Post(_, to) => {
                let named = (0..USERS).filter(|n| to >> n & 1 == 1).map(|n| user(n).to_string());
                let recipients = named.map(|id| Recipient { id, kind: RecipientKind::User }).collect();
                let data = DataInfo { len: 1, head: 0, sum: self.made as u64 };
                let stored = BodyRef { id: BodyId(Uuid::new_v4()), len: 100_000, chunk: 65_536 };
                let body = match to >> 6 {
                    0 => Body::Stored(stored),
                    1 => Body::Empty,
                    _ => Body::Inline(Bytes::from(self.made.to_string())),
                };
                Command::Post { digest, recipients, data, body }
            }
            Op::Toggle(_) | Op::Resend(_) | Op::Ack(..) => panic!("{op:?} makes no request"),
        };
        command
    }
}
