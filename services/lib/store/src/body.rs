//! Which bodies of the body store are referred to, and which may not be any more.
//!
//! A row of `body` says one or the other, so that its key decides between a commit that begins to refer to a body and
//! a sweep that removes it at the same moment: one of the two finds the other's row. And it says which bodies are to be
//! removed because their message is delivered, so that this outlives whoever was about to do it.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{BodyId, SiteId};
use uuid::Uuid;

use crate::{Error, Store};

/// A body of the body store, as rows name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredBody {
    /// Which one.
    pub id: BodyId,
    /// Octets in all.
    pub len: u64,
    /// Octets of each chunk but the last.
    pub chunk: u32,
}

impl Store {
    /// Condemns those of these bodies that no queued message refers to, and returns them: they may be removed now,
    /// because no commit will refer to them any more ([`crate::CommitError::BodyGone`]).
    pub async fn condemn_bodies(
        &self,
        bodies: &[(SiteId, BodyId)],
    ) -> Result<HashSet<(SiteId, BodyId)>, Error> {
        if bodies.is_empty() {
            return Ok(HashSet::new());
        }
        let (sites, ids) = columns(bodies);
        let rows = sqlx::query(
            "INSERT INTO body (site_id, body_id, len, chunk, swept_at)
             SELECT DISTINCT w.site_id, w.body_id, 0, 0, now()
             FROM unnest($1::uuid[], $2::uuid[]) AS w (site_id, body_id)
             ORDER BY w.site_id, w.body_id
             ON CONFLICT (site_id, body_id) DO UPDATE SET swept_at = now() WHERE body.swept_at IS NOT NULL
             RETURNING site_id, body_id",
        )
        .bind(&sites)
        .bind(&ids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(name).collect()
    }

    /// Those of these bodies that no message may refer to any more: condemned, or freed.
    pub async fn bodies_condemned(
        &self,
        bodies: &[(SiteId, BodyId)],
    ) -> Result<HashSet<(SiteId, BodyId)>, Error> {
        if bodies.is_empty() {
            return Ok(HashSet::new());
        }
        let (sites, ids) = columns(bodies);
        let rows = sqlx::query(
            "SELECT b.site_id, b.body_id FROM unnest($1::uuid[], $2::uuid[]) AS w (site_id, body_id)
             JOIN body b ON b.site_id = w.site_id AND b.body_id = w.body_id
             WHERE b.swept_at IS NOT NULL OR b.freed_at IS NOT NULL",
        )
        .bind(&sites)
        .bind(&ids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(name).collect()
    }

    /// Up to `limit` bodies that were freed longer ago than `since` and that nobody has removed yet; the oldest first.
    pub async fn bodies_freed(
        &self,
        since: Duration,
        limit: u32,
    ) -> Result<Vec<(SiteId, StoredBody)>, Error> {
        let rows = sqlx::query(
            "SELECT site_id, body_id, len, chunk FROM body
             WHERE freed_at <= now() - $1 * interval '1 ms' ORDER BY freed_at LIMIT $2",
        )
        .bind(since.as_secs_f64() * 1_000.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(stored).collect()
    }

    /// Forgets bodies that were freed, and have been removed from the body store by now.
    pub async fn forget_freed(&self, bodies: &[(SiteId, BodyId)]) -> Result<(), Error> {
        let (sites, ids) = columns(bodies);
        sqlx::query(
            "DELETE FROM body b USING unnest($1::uuid[], $2::uuid[]) AS w (site_id, body_id)
             WHERE b.site_id = w.site_id AND b.body_id = w.body_id AND b.freed_at IS NOT NULL",
        )
        .bind(&sites)
        .bind(&ids)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets bodies that were condemned a month ago: no upload takes so long. Reads the whole table.
    pub async fn forget_condemned(&self) -> Result<(), Error> {
        sqlx::query("DELETE FROM body WHERE swept_at < now() - interval '30 days'")
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn columns(bodies: &[(SiteId, BodyId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    bodies.iter().map(|(site, body)| (site.0, body.0)).unzip()
}

/// A site and a body, from the columns of `body` in the order of its table.
pub(crate) fn stored(row: &PgRow) -> Result<(SiteId, StoredBody), Error> {
    let body = StoredBody {
        id: BodyId(row.try_get(1)?),
        len: row.try_get::<i64, _>(2)?.cast_unsigned(),
        chunk: row.try_get::<i32, _>(3)?.cast_unsigned(),
    };
    Ok((SiteId(row.try_get(0)?), body))
}

fn name(row: &PgRow) -> Result<(SiteId, BodyId), Error> {
    Ok((SiteId(row.try_get(0)?), BodyId(row.try_get(1)?)))
}
