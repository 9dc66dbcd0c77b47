//! The one database of all cases: made empty for each of them, and looked into beside the store. It must never write
//! anything while a case runs.

use std::time::Duration;

use sqlx::{PgPool, Row};
use tmtp_domain::{KeyId, MsgId, Registration, Role, Site, SiteId, WorkerId};
use tmtp_store::{CreateSite, NewApiKey, OwnedShard, Store};
use uuid::Uuid;

use super::reference::Node;

/// A lease that no case outlives.
const LEASE: Duration = Duration::from_hours(1);
/// The key of an admin.
pub const KEY: KeyId = KeyId(Uuid::from_u128(0xC));
/// For a connection.
const DEADLINE: Duration = Duration::from_secs(20);

/// A store with one shard, and a second way in.
pub struct Database {
    pub store: Store,
    pool: PgPool,
}

impl Database {
    pub async fn new() -> Self {
        let url = tmtp_testkit::fresh_database();
        let store = Store::connect(&url, 4, DEADLINE).await.unwrap();
        store.migrate(1).await.unwrap();
        let mut tx = store.admin().await.unwrap();
        let key = NewApiKey {
            id: KEY.0,
            hash: [0; 32],
            name: "of the test".into(),
            role: Role::Operator,
            scopes: None,
            sites: None,
            created_by: None,
            expires_at: None,
        };
        tx.create_key(&key).await.unwrap();
        tx.commit().await.unwrap();
        Self { store, pool: PgPool::connect(&url).await.unwrap() }
    }

    /// Forgets all earlier cases, also those that failed half-way, and makes an open site.
    pub async fn begin(&self) -> Site {
        sqlx::raw_sql(
            "TRUNCATE journal, receipts, message, inbox, body, name, member, site, worker, idempotency CASCADE;
             UPDATE shard SET owner = NULL, last_entry_ms = 0, last_entry_seq = 0, last_msg_id = 0",
        )
        .execute(&self.pool)
        .await
        .unwrap();
        let id = SiteId(Uuid::from_u128(1));
        let create = CreateSite {
            id,
            name: "A site".into(),
            domains: vec!["site.example".into()],
            registration: Registration::Open,
        };
        self.store.create_site(&create).await.unwrap();
        self.store.sites(&[id]).await.unwrap().remove(0)
    }

    /// A live worker takes the shard, which must be free.
    pub async fn claim(&self, worker: WorkerId) -> OwnedShard {
        self.store.heartbeat(worker, LEASE).await.unwrap();
        let [shard] = self.store.claim(worker, 1).await.unwrap()[..] else { panic!("the shard is not free") };
        shard
    }

    /// The worker stops: its lease ends, and its shard is free.
    pub async fn end(&self, worker: WorkerId) {
        self.store.heartbeat(worker, Duration::ZERO).await.unwrap();
    }

    /// Which node is owed what, as far as rows say: node, urgency, id.
    pub async fn inbox(&self) -> Vec<(Node, (i16, MsgId))> {
        let rows =
            sqlx::query("SELECT uid, node, urgency, msg_id FROM inbox").fetch_all(&self.pool).await.unwrap();
        let uid = |octets: &[u8]| tmtp_domain::Uid(octets.try_into().unwrap());
        rows.iter()
            .map(|row| ((uid(row.get(0)), row.get(1)), (row.get(2), MsgId::from_i64(row.get(3)))))
            .collect()
    }

    /// Messages whose count of owed nodes is not that of their rows.
    pub async fn miscounted(&self) -> i64 {
        let query = "SELECT count(*) FROM message m
                     WHERE owed <> (SELECT count(*) FROM inbox i WHERE i.site_id = m.site_id AND i.msg_id = m.msg_id)";
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }
}
