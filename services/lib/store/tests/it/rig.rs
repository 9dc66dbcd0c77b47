//! A migrated database and the short words that the cases are told in. Holds no expectation of its own.

use std::time::Duration;

use sqlx::PgPool;
use tmtp_domain::{BodyId, Epoch, MsgId, NodeNum, Registration, ShardId, SiteId, Uid, WorkerId};
use tmtp_store::{
    Change, Commit, CommitError, CreateSite, InboxRow, MessageRow, OwnedShard, PageRequest, Reader, RowAck,
    ShardCommit, Sights, Spill, Spilled, Store, StoredBody,
};
use uuid::Uuid;

/// Shards of a test's deployment.
pub const SHARDS: u16 = 4;
/// A lease that outlives every test.
pub const LONG: Duration = Duration::from_hours(1);
/// A lease that has ended when the next statement begins.
pub const ENDED: Duration = Duration::ZERO;
/// For what has to come about within the database.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A store on a database of its own, and a second way in, for what no API tells.
pub struct Rig {
    pub store: Store,
    pub pool: PgPool,
    pub url: String,
}

impl Rig {
    pub async fn new() -> Self {
        let url = tmtp_testkit::fresh_database();
        let store = Store::connect(&url, 10, DEADLINE).await.unwrap();
        store.migrate(SHARDS).await.unwrap();
        Self { store, pool: PgPool::connect(&url).await.unwrap(), url }
    }

    /// A read of all sites.
    pub async fn all(&self) -> Reader {
        self.store.read(&Sights::All).await.unwrap()
    }

    /// A live worker that owns every shard that is free, in the order of their numbers.
    pub async fn owner(&self) -> (WorkerId, Vec<OwnedShard>) {
        self.owner_for(LONG).await
    }

    pub async fn owner_for(&self, lease: Duration) -> (WorkerId, Vec<OwnedShard>) {
        let worker = worker();
        self.store.heartbeat(worker, lease).await.unwrap();
        let mut shards = self.store.claim(worker, u32::from(SHARDS)).await.unwrap();
        shards.sort_unstable_by_key(|shard| shard.shard);
        (worker, shards)
    }

    /// An open site with one member that has one node.
    pub async fn site_with_member(&self, shard: &mut OwnedShard, user: Uid) -> SiteId {
        let site = self.create_site("site.example").await;
        let changes = vec![Change::Member { site, uid: user }, node(site, user, 1, "first")];
        self.commit(shard, None, changes).await.unwrap();
        site
    }

    pub async fn create_site(&self, domain: &str) -> SiteId {
        let site = SiteId(Uuid::new_v4());
        self.store.create_site(&new_site(site, &[domain])).await.unwrap();
        site
    }

    /// Commits to one shard and moves our view of it on.
    pub async fn commit(
        &self,
        shard: &mut OwnedShard,
        entry: Option<&[u8]>,
        changes: Vec<Change>,
    ) -> Result<(), CommitError> {
        let part = ShardCommit { entry: entry.map(<[u8]>::to_vec), changes, ..part(shard) };
        self.store.commit(&Commit { shards: vec![part] }).await?;
        shard.commits += 1;
        Ok(())
    }

    /// Spills one shard as it is now.
    pub async fn spill(&self, shard: &OwnedShard, spill: &Spill) -> Result<Spilled, CommitError> {
        self.store.spill(shard.shard, shard.epoch, shard.commits, spill).await
    }

    /// The ids that wait for a node, in the order of delivery.
    pub async fn waiting_ids(&self, site: SiteId, user: Uid, num: i16) -> Vec<u64> {
        let pages = self.store.pages(&[page(site, user, num, (-1, 0), 1_000)]).await.unwrap();
        pages[0].messages.iter().map(|row| row.msg_id.0).collect()
    }

    /// The journal entries of a shard that are left.
    pub async fn journal(&self, shard: ShardId) -> Vec<Vec<u8>> {
        self.store.recover(shard, 0).await.unwrap().journal
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }
}

pub fn worker() -> WorkerId {
    WorkerId(Uuid::new_v4())
}

pub fn uid(n: u8) -> Uid {
    Uid([n; 20])
}

pub fn new_site(id: SiteId, domains: &[&str]) -> CreateSite {
    CreateSite {
        id,
        name: "A site".into(),
        domains: domains.iter().map(|&domain| domain.into()).collect(),
        registration: Registration::Open,
    }
}

/// The commit that would be next, with progress and nothing else.
pub fn part(shard: &OwnedShard) -> ShardCommit {
    ShardCommit {
        shard: shard.shard,
        epoch: shard.epoch,
        commits: shard.commits,
        last_entry: (shard.last_entry.0 + 1, 7),
        last_msg_id: MsgId(shard.last_msg_id.0 + 1),
        entry: None,
        changes: Vec::new(),
    }
}

pub fn is_fenced<T>(result: &Result<T, CommitError>) -> bool {
    matches!(result, Err(CommitError::Fenced))
}

/// A node whose password is made of its number and its user's.
pub fn node(site: SiteId, uid: Uid, num: i16, label: &str) -> Change {
    Change::Node { site, uid, num: NodeNum(num), secret: secret(uid, num), label: label.into() }
}

pub fn secret(uid: Uid, num: i16) -> tmtp_domain::SecretHash {
    let mut octets = [uid.0[0]; 32];
    octets[..2].copy_from_slice(&num.to_be_bytes());
    tmtp_domain::SecretHash(octets)
}

/// A message whose header is its id as text.
pub fn message(site: SiteId, id: u64, owed: u32) -> MessageRow {
    let header = id.to_string().into_bytes();
    MessageRow { site, msg_id: MsgId(id), owed, header, body: None, body_id: None }
}

pub fn inbox(site: SiteId, uid: Uid, num: i16, urgency: i16, id: u64) -> InboxRow {
    InboxRow { site, uid, node: NodeNum(num), urgency, msg_id: MsgId(id) }
}

pub fn ack(site: SiteId, uid: Uid, num: i16, id: u64) -> RowAck {
    RowAck { site, uid, node: NodeNum(num), msg_id: MsgId(id) }
}

pub fn acks(acks: Vec<RowAck>) -> Spill {
    Spill { acks, ..Spill::default() }
}

pub fn page(site: SiteId, uid: Uid, num: i16, after: (i16, u64), limit: u32) -> PageRequest {
    PageRequest { site, uid, node: NodeNum(num), after: (after.0, MsgId(after.1)), limit, octets: u64::MAX }
}

pub fn stored(n: u128) -> StoredBody {
    StoredBody { id: BodyId(Uuid::from_u128(n)), len: 100_000, chunk: 65_536 }
}

/// The same shard as its owner before the last one saw it.
pub fn under_older_epoch(shard: OwnedShard) -> OwnedShard {
    OwnedShard { epoch: Epoch(shard.epoch.0 - 1), ..shard }
}
