//! The catalogue about the reader: what is opened to it is what [`OPENED`] says, and nothing that is new is overlooked.

use std::collections::BTreeSet;

use sqlx::PgPool;

use super::opened::{NEVER_READ, OPENED, SECRETS};
use crate::rig::Rig;

/// What is wrong, a sentence each.
async fn faults(pool: &PgPool) -> Vec<String> {
    [forgotten(pool).await, open_rows(pool).await, open_columns(pool).await, rights(pool).await].concat()
}

/// Tables with a site of which nobody has said whether the API reads them.
async fn forgotten(pool: &PgPool) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace = 'public'::regnamespace
           AND a.attname = 'site_id' AND NOT a.attisdropped ORDER BY c.relname",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let is_known = |table: &String| {
        OPENED.iter().any(|(opened, _)| opened == table) || NEVER_READ.contains(&table.as_str())
    };
    tables
        .iter()
        .filter(|table| !is_known(table))
        .map(|table| format!("{table}: neither opened to the reader nor never read"))
        .collect()
}

/// Tables that the reader sees without a policy, or with another one than all have.
async fn open_rows(pool: &PgPool) -> Vec<String> {
    let rows: Vec<(String, bool, Option<String>, i64)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity, min(p.qual), count(p.policyname)
         FROM pg_class c LEFT JOIN pg_policies p ON p.tablename = c.relname AND p.schemaname = 'public'
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
           AND has_any_column_privilege('postern_reader', c.oid, 'SELECT')
         GROUP BY c.oid, c.relname, c.relrowsecurity ORDER BY c.relname",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    // As it is for a table of which there is no doubt: see the tests of what is seen.
    let usual =
        rows.iter().find(|(table, ..)| table == "member").and_then(|(_, _, policy, _)| policy.clone());
    let mut faults = Vec::new();
    for (table, is_secured, policy, policies) in rows {
        let has_own = ["api_key", "shard", "worker"].contains(&table.as_str());
        if !is_secured || policies != 1 || !has_own && policy != usual {
            faults.push(format!("{table}: rows are not secured as usual: {policy:?}"));
        }
    }
    faults
}

/// Columns that the reader sees and nobody has listed, or the other way round.
async fn open_columns(pool: &PgPool) -> Vec<String> {
    let seen: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace = 'public'::regnamespace
           AND a.attnum > 0 AND NOT a.attisdropped
           AND has_column_privilege('postern_reader', c.oid, a.attnum, 'SELECT')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let seen: BTreeSet<(&str, &str)> =
        seen.iter().map(|(table, column)| (table.as_str(), column.as_str())).collect();
    let listed: BTreeSet<(&str, &str)> = OPENED
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(move |column| (*table, *column)))
        .collect();
    let secrets = SECRETS.iter().filter(|secret| seen.contains(secret));
    let secrets = secrets.map(|(table, column)| format!("{table}.{column}: the reader sees a secret"));
    let others = seen.symmetric_difference(&listed);
    let others = others.map(|(table, column)| format!("{table}.{column}: opened or listed, but not both"));
    secrets.chain(others).collect()
}

/// What else the reader must not be able to do.
async fn rights(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT c.relname || ': the reader may ' || p
         FROM pg_class c, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
           AND has_table_privilege('postern_reader', c.oid, p)
         UNION ALL
         SELECT 'the reader is more than a reader' FROM pg_roles
         WHERE rolname = 'postern_reader'
           AND (rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR rolcreatedb
                OR EXISTS (SELECT 1 FROM pg_auth_members WHERE member = pg_roles.oid))",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Goal: every table with a site is opened to the reader row by row and column by column, or is never read; and no secret
/// is open; method: the catalogue, compared with the lists.
#[tokio::test]
async fn what_is_open_is_listed() {
    let rig = Rig::new().await;
    assert_eq!(faults(&rig.pool).await, Vec::<String>::new());
    for (table, column) in SECRETS {
        let exists: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = $2)",
        )
        .bind(table)
        .bind(column)
        .fetch_one(&rig.pool)
        .await
        .unwrap();
        assert!(exists, "{table}.{column}");
    }
}

/// Goal: the look into the catalogue sees what it is for; method: what a careless migration may do, one after the other.
#[tokio::test]
async fn carelessness_is_seen() {
    for (careless, fault) in [
        ("CREATE TABLE more (site_id uuid PRIMARY KEY)", "more: neither opened to the reader nor never read"),
        ("ALTER TABLE site_domain DISABLE ROW LEVEL SECURITY", "site_domain: rows are not secured as usual"),
        ("DROP POLICY reader_sees_its_sites ON invite", "invite: rows are not secured as usual: None"),
        ("ALTER POLICY reader_sees_its_sites ON node USING (true)", "node: rows are not secured as usual"),
        ("CREATE POLICY more ON job FOR SELECT USING (true)", "job: rows are not secured as usual"),
        ("GRANT SELECT (secret) ON node TO postern_reader", "node.secret: the reader sees a secret"),
        ("GRANT SELECT ON invite TO postern_reader", "invite.code_hash: the reader sees a secret"),
        ("GRANT SELECT ON sign_in_token TO PUBLIC", "sign_in_token.digest: the reader sees a secret"),
        ("ALTER TABLE member ADD more text; CALL open_to_reader('member')", "member.more: opened or listed"),
        ("REVOKE SELECT (note) ON invite FROM postern_reader", "invite.note: opened or listed"),
        ("GRANT DELETE ON inbox TO postern_reader", "inbox: the reader may DELETE"),
    ] {
        let rig = Rig::new().await;
        sqlx::raw_sql(careless).execute(&rig.pool).await.unwrap();
        let faults = faults(&rig.pool).await;
        assert!(faults.iter().any(|found| found.starts_with(fault)), "{careless}: {faults:?}");
    }
}
