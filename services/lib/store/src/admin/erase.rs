//! The end of sites: what is due, and how a site's rows go, a few at a time.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row};
use tmtp_domain::SiteId;

use super::AdminTx;
use crate::{Error, Store};

/// What a step of an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Nothing: the site is not deleted, or not for long enough.
    NotDue,
    /// So many rows are gone, and there may be more.
    Rows(u64),
    /// The site is gone with its last row.
    Done,
}

impl Store {
    /// Asks for the end of sandboxes whose time is over, and for the erasure of sites that were deleted `age` ago. What
    /// could not be done is asked for again after a day. Says how many jobs that makes.
    pub async fn schedule_ends(&self, age: Duration) -> Result<u64, Error> {
        let done = sqlx::query(
            "INSERT INTO job (job_id, site_id, kind, input)
             SELECT gen_random_uuid(), due.site_id, due.kind, '{}'
             FROM (SELECT site_id, 'site.expire' AS kind FROM site
                   WHERE expires_at <= now() AND expires_at IS NOT NULL AND status <> 'deleted'
                   UNION ALL
                   SELECT site_id, 'site.erase' FROM site
                   WHERE deleted_at <= now() - make_interval(secs => $1) AND deleted_at IS NOT NULL) AS due
             WHERE NOT EXISTS (
                 SELECT 1 FROM job j WHERE j.site_id = due.site_id AND j.kind = due.kind
                 AND j.state IN ('failed', 'cancelled') AND j.finished_at > now() - interval '1 day')
             ON CONFLICT DO NOTHING",
        )
        .bind(age.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

impl AdminTx {
    /// The tables whose rows belong to a site, those first that refer to others. The catalogue knows them all: a table
    /// that a later migration adds is erased too.
    async fn site_tables(&mut self) -> Result<Vec<String>, Error> {
        let rows = sqlx::query(
            "WITH RECURSIVE site_table AS (
                 SELECT c.oid, quote_ident(c.relname) AS name FROM pg_class c
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'site_id' AND a.attnotnull
                 WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
             ), depth AS (
                 SELECT oid, 0 AS depth FROM site_table
                 UNION
                 SELECT k.confrelid, d.depth + 1 FROM depth d
                 JOIN pg_constraint k ON k.conrelid = d.oid AND k.contype = 'f' AND k.confrelid <> k.conrelid
                 WHERE d.depth < 32
             )
             SELECT t.name FROM site_table t JOIN depth d USING (oid)
             WHERE t.name <> 'site' GROUP BY t.oid, t.name ORDER BY max(d.depth), t.name",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
    }

    /// Erases some rows of a site that was deleted `age` ago: about `rows_max` of each table. With the last ones goes
    /// the site itself. What happens is part of this change, so that it can be noted with it.
    pub async fn erase_some(&mut self, site: SiteId, age: Duration, rows_max: i64) -> Result<Erasure, Error> {
        let due: Option<bool> = sqlx::query_scalar(
            "SELECT deleted_at <= now() - make_interval(secs => $2) FROM site
             WHERE site_id = $1 AND status = 'deleted' FOR UPDATE",
        )
        .bind(site.0)
        .bind(age.as_secs_f64())
        .fetch_optional(&mut *self.tx)
        .await?;
        if due != Some(true) {
            return Ok(Erasure::NotDue);
        }
        for table in self.site_tables().await? {
            let statement = format!(
                "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE site_id = $1 LIMIT $2))"
            );
            let done = sqlx::query(AssertSqlSafe(statement))
                .bind(site.0)
                .bind(rows_max)
                .execute(&mut *self.tx)
                .await?;
            if done.rows_affected() > 0 {
                return Ok(Erasure::Rows(done.rows_affected()));
            }
        }
        self.end_keys_of(site).await?;
        sqlx::query("DELETE FROM site WHERE site_id = $1").bind(site.0).execute(&mut *self.tx).await?;
        Ok(Erasure::Done)
    }

    /// Keys for this site alone end; others are for one site less.
    async fn end_keys_of(&mut self, site: SiteId) -> Result<(), Error> {
        sqlx::query(
            "UPDATE api_key SET
                 revoked_at = CASE WHEN cardinality(site_ids) = 1 THEN coalesce(revoked_at, now()) ELSE revoked_at END,
                 site_ids = CASE WHEN cardinality(site_ids) = 1 THEN site_ids ELSE array_remove(site_ids, $1) END
             WHERE site_ids @> ARRAY[$1]",
        )
        .bind(site.0)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}
