//! The schema as a whole: rules that every table keeps (invariant I7), and how a release finds out what it runs on.

use std::collections::BTreeSet;

use tmtp_store::{Error, Store};

use crate::rig::{DEADLINE, Rig, SHARDS};

/// Every table, so that a new one is looked at here once.
const TABLES: &[&str] = &[
    "acme_account",
    "acme_domain",
    "acquaintance",
    "api_key",
    "audit",
    "body",
    "body_chunk",
    "deployment",
    "group_member",
    "group_rule",
    "idempotency",
    "identity",
    "inbox",
    "invite",
    "invite_use",
    "issuer_key",
    "job",
    "journal",
    "member",
    "message",
    "message_parked",
    "name",
    "name_look",
    "node",
    "oidc_provider",
    "receipts",
    "shard",
    "sign_in_code",
    "sign_in_token",
    "site",
    "site_certificate",
    "site_domain",
    "site_policy_history",
    "trace_drop",
    "trace_pack",
    "usage_day",
    "worker",
];
/// Tables that belong to no site: the bookkeeping of shards and of the deployment, and what may concern several sites.
const OF_NO_SITE: &[&str] = &[
    "acme_account",
    "api_key",
    "audit",
    "deployment",
    "idempotency",
    "issuer_key",
    "job",
    "journal",
    "receipts",
    "shard",
    "worker",
];

async fn names(rig: &Rig, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(&rig.pool).await.unwrap()
}

/// Goal: every table is accounted for, and all but the bookkeeping belong to a site; method: the catalogue.
#[tokio::test]
async fn every_table_is_known() {
    let rig = Rig::new().await;
    let tables = names(
        &rig,
        "SELECT relname::text FROM pg_class
         WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND relname <> '_sqlx_migrations'
         ORDER BY relname",
    )
    .await;
    assert_eq!(tables, TABLES);
    let with_site: BTreeSet<String> = names(
        &rig,
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = 'site_id' AND a.attnotnull",
    )
    .await
    .into_iter()
    .collect();
    let expected = TABLES.iter().filter(|table| !OF_NO_SITE.contains(table)).map(|&table| table.to_owned());
    assert_eq!(with_site, expected.collect());
}

/// Goal: every table has a primary key, and where there is a site it comes first; method: the catalogue.
#[tokio::test]
async fn keys_start_with_the_site() {
    let rig = Rig::new().await;
    let keyless = names(
        &rig,
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')",
    )
    .await;
    assert!(keyless.is_empty(), "without a primary key: {keyless:?}");
    let first_columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text
         FROM pg_constraint k
         JOIN pg_class c ON c.oid = k.conrelid AND c.relnamespace = 'public'::regnamespace
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
         WHERE k.contype = 'p'
           AND EXISTS (SELECT 1 FROM pg_attribute s
                       WHERE s.attrelid = k.conrelid AND s.attname = 'site_id' AND s.attnotnull)",
    )
    .fetch_all(&rig.pool)
    .await
    .unwrap();
    assert_eq!(first_columns.len(), TABLES.len() - OF_NO_SITE.len());
    for (table, column) in first_columns {
        assert_eq!(column, "site_id", "first column of the key of {table}");
    }
}

/// Goal: no foreign key makes a removal scan a table; method: each one's columns are the beginning of some index.
#[tokio::test]
async fn foreign_keys_are_indexed() {
    let rig = Rig::new().await;
    let all =
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace";
    assert!(rig.count(all).await >= 4);
    let bare = names(
        &rig,
        "SELECT k.conrelid::regclass::text || '.' || k.conname FROM pg_constraint k
         WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND NOT EXISTS (
             SELECT 1 FROM pg_index i
             WHERE i.indrelid = k.conrelid AND i.indpred IS NULL
               AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
               AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] <@ k.conkey)",
    )
    .await;
    assert!(bare.is_empty(), "without an index: {bare:?}");
}

/// Goal: the number of shards is fixed by the first migration, and migrating again is harmless; method: twice, with
/// another number.
#[tokio::test]
async fn the_number_of_shards_is_for_good() {
    let rig = Rig::new().await;
    rig.store.migrate(SHARDS * 2).await.unwrap();
    assert_eq!(rig.store.shards().await.unwrap(), SHARDS);
    assert_eq!(rig.count("SELECT count(*) FROM shard").await, i64::from(SHARDS));
}

/// Goal: a release refuses an older schema by saying what to do, and runs on its own and on a newer one; method: an
/// empty database, a migrated one, one with its last migration undone, and one from the future.
#[tokio::test]
async fn an_old_schema_is_refused() {
    let empty = Store::connect(&tmtp_testkit::fresh_database(), 1, DEADLINE).await.unwrap();
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Schema(text)) => assert!(text.contains("tmtpctl migrate"), "{text}"),
        other => panic!("{other:?}"),
    };
    refused(empty.check_schema().await);

    let rig = Rig::new().await;
    rig.store.check_schema().await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 99991231000000, 'of the future', true, checksum, 0 FROM _sqlx_migrations LIMIT 1",
    )
    .execute(&rig.pool)
    .await
    .unwrap();
    rig.store.check_schema().await.unwrap();
    sqlx::raw_sql("DELETE FROM _sqlx_migrations WHERE version > 20261123000100")
        .execute(&rig.pool)
        .await
        .unwrap();
    refused(rig.store.check_schema().await);
}
