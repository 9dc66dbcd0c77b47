//! The back end in Postgres: its hand behind the store, and its settings.

use std::time::Duration;

use sqlx::PgPool;
use tmtp_bodies::{Bodies, Config, Postgres};
use tmtp_domain::{BodyId, SiteId};

use crate::suite::{Backend, body, site, write};

pub const MIGRATION: &str = include_str!("../../../../../migrations/20261123000200_body_chunk.sql");

pub struct Rig {
    bodies: Bodies,
    pool: PgPool,
    url: String,
}

pub fn config(url: &str) -> Config {
    Config { postgres: Postgres { url: url.into(), ..Postgres::default() }, ..Config::default() }
}

/// Makes the table.
pub async fn migrate(url: &str) -> PgPool {
    let pool = PgPool::connect(url).await.unwrap();
    sqlx::raw_sql(MIGRATION).execute(&pool).await.unwrap();
    pool
}

impl Rig {
    pub async fn new() -> Self {
        let url = tmtp_testkit::fresh_database();
        let pool = migrate(&url).await;
        Self { bodies: Bodies::open(&config(&url)).unwrap(), pool, url }
    }
}

impl Backend for Rig {
    fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    async fn age(&self, site: SiteId, body: BodyId, seq: u64, by: Duration) {
        let done = sqlx::query(
            "UPDATE body_chunk SET written_at = written_at - make_interval(secs => $4)
             WHERE site_id = $1 AND body_id = $2 AND seq = $3",
        )
        .bind(site.0)
        .bind(body.0)
        .bind(i64::try_from(seq).unwrap())
        .bind(by.as_secs_f64())
        .execute(&self.pool)
        .await
        .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    async fn damage(&self, site: SiteId, body: BodyId, seq: u64) {
        let done = sqlx::query(
            "UPDATE body_chunk SET octets = substr(octets, 1, 1) WHERE site_id = $1 AND body_id = $2 AND seq = $3",
        )
        .bind(site.0)
        .bind(body.0)
        .bind(i64::try_from(seq).unwrap())
        .execute(&self.pool)
        .await
        .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
}

/// Goal: chunks wait for the disk unless another commit will, are not compressed, and hold no transaction open; method:
/// ask the server what the store's sessions are doing after a write, with a trigger that notes the setting.
#[tokio::test]
async fn writes_are_cheap() {
    let rig = Rig::new().await;
    sqlx::raw_sql(
        "CREATE TABLE noted (body_id uuid, setting text);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO noted VALUES (NEW.body_id, current_setting('synchronous_commit')); RETURN NEW; END $$;
         CREATE TRIGGER note AFTER INSERT ON body_chunk FOR EACH ROW EXECUTE FUNCTION note();",
    )
    .execute(&rig.pool)
    .await
    .unwrap();
    write(&rig.bodies, site(1), body(1), 3, 200_000).await;
    let postgres = Postgres { flush: false, ..config(&rig.url).postgres };
    let cheap = Bodies::open(&Config { postgres, ..Config::default() }).unwrap();
    write(&cheap, site(1), body(2), 3, 200_000).await;
    for (n, setting) in [(1, "on"), (2, "off")] {
        let noted: Vec<String> = sqlx::query_scalar("SELECT DISTINCT setting FROM noted WHERE body_id = $1")
            .bind(body(n).0)
            .fetch_all(&rig.pool)
            .await
            .unwrap();
        assert_eq!(noted, [setting]);
    }
    let storage: String = sqlx::query_scalar(
        "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'body_chunk'::regclass AND attname = 'octets'",
    )
    .fetch_one(&rig.pool)
    .await
    .unwrap();
    assert_eq!(storage, "e");
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'tmtp-bodies' AND state <> 'idle'",
    )
    .fetch_one(&rig.pool)
    .await
    .unwrap();
    assert_eq!(open, 0);
}

/// Goal: the walk of the sweeper costs a few looks into the key per body, not one per chunk; method: many chunks, and
/// the server's count of index entries read.
#[tokio::test]
async fn the_sweeper_skips_chunks() {
    let rig = Rig::new().await;
    sqlx::raw_sql(
        "INSERT INTO body_chunk (site_id, body_id, seq, octets)
         SELECT gen_random_uuid(), gen_random_uuid(), 0, 'x' FROM generate_series(1, 20);
         INSERT INTO body_chunk (site_id, body_id, seq, octets)
         SELECT c.site_id, c.body_id, n.seq, 'x' FROM body_chunk c, generate_series(1, 2000) n (seq);",
    )
    .execute(&rig.pool)
    .await
    .unwrap();
    sqlx::raw_sql("VACUUM ANALYZE body_chunk").execute(&rig.pool).await.unwrap();
    let entries_read = async || -> i64 {
        sqlx::query_scalar("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'body_chunk'")
            .fetch_one(&rig.pool)
            .await
            .unwrap()
    };
    let before = entries_read().await;
    let page = rig.bodies.stale(Duration::ZERO, None, 1_000).await.unwrap();
    assert_eq!(page.bodies.len(), 20);
    assert!(page.bodies.iter().all(|found| found.chunks == 2_001));
    // A session hands its statistics in with some delay, those of one statement together, when it is done with one.
    let after = tmtp_testkit::eventually(Duration::from_secs(30), "the store's statistics", async || {
        rig.bodies.ping().await.unwrap();
        let now = entries_read().await;
        (now > before).then_some(now)
    })
    .await
    .unwrap();
    assert!(after - before < 200, "{} index entries read", after - before);
}

/// Goal: a missing migration is told as what it is, at the first ping; method: an empty database.
#[tokio::test]
async fn a_missing_table_is_not_transient() {
    let bodies = Bodies::open(&config(&tmtp_testkit::fresh_database())).unwrap();
    let error = bodies.ping().await.unwrap_err();
    assert!(matches!(error, tmtp_bodies::Error::Refused(_)), "{error:?}");
}
