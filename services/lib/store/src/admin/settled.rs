//! Changes of admins that workers make: each is committed with its audit entry and with what it came to.

use std::collections::HashMap;

use sqlx::{Postgres, Row, Transaction};
use tmtp_domain::{KeyId, RequestId, SiteId};
use uuid::Uuid;

use crate::{Error, Store};

/// The status under which a worker keeps an answer: no HTTP status, because the worker knows none.
pub const SETTLED_BY_WORKER: u16 = 0;

/// The field of [`AdminRecord::before`] that counts messages which are not in rows: the rows that go with the change are
/// added to it.
pub const WAITING: &str = "waiting";

/// A change of an admin as it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRecord {
    /// Where.
    pub site: SiteId,
    /// The API key it came with.
    pub key: KeyId,
    /// With the key: how the request is recognised when it comes again.
    pub once: String,
    /// SHA-256 of what the request says.
    pub digest: [u8; 32],
    /// What it came to, in the worker's own form.
    pub answer: String,
    /// The request.
    pub request: RequestId,
    /// What was done, such as `member.suspend`.
    pub action: String,
    /// To what.
    pub target: String,
    /// The address that the request came from.
    pub from: String,
    /// What was before, as JSON.
    pub before: Option<String>,
    /// What is now, as JSON.
    pub after: Option<String>,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// SHA-256 of what it says.
    pub digest: [u8; 32],
    /// What it came to, in the form of whoever carried it out.
    pub answer: String,
}

impl Store {
    /// Which of these requests were carried out, and what they came to.
    pub async fn settled(
        &self,
        wanted: &[(KeyId, String)],
    ) -> Result<HashMap<(KeyId, String), Settled>, Error> {
        let keys: Vec<Uuid> = wanted.iter().map(|(key, _)| key.0).collect();
        let texts: Vec<&str> = wanted.iter().map(|(_, text)| text.as_str()).collect();
        let rows = sqlx::query(
            "SELECT i.key_id, i.idempotency_key, i.request, i.answer
             FROM unnest($1::uuid[], $2::text[]) AS w (key_id, idempotency_key)
             JOIN idempotency i USING (key_id, idempotency_key)",
        )
        .bind(&keys)
        .bind(&texts)
        .fetch_all(&self.pool)
        .await?;
        let settled = |row: &sqlx::postgres::PgRow| {
            let digest: &[u8] = row.try_get(2)?;
            let digest = digest.try_into().map_err(|_| Error::Unreadable("idempotency.request".into()))?;
            Ok(((KeyId(row.try_get(0)?), row.try_get(1)?), Settled { digest, answer: row.try_get(3)? }))
        };
        rows.iter().map(settled).collect()
    }
}

/// Writes what a change came to, and its audit entry. `rows` of inboxes went with it.
pub(crate) async fn settle_admin(
    record: &AdminRecord,
    rows: u64,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    sqlx::query(
        "WITH settled AS (
             INSERT INTO idempotency (key_id, idempotency_key, request, status, answer) VALUES ($1, $2, $3, $4, $5)
         )
         INSERT INTO audit (site_id, key_id, action, target, from_address, request_id, before, after)
         SELECT $6, $1, $7, $8, $9, $10,
                CASE WHEN b ? $13::text THEN jsonb_set(b, ARRAY[$13::text], to_jsonb((b->>$13::text)::bigint + $14)) ELSE b END,
                $12::jsonb
         FROM (SELECT $11::jsonb) AS before (b)",
    )
    .bind(record.key.0)
    .bind(&record.once)
    .bind(record.digest.as_slice())
    .bind(SETTLED_BY_WORKER.cast_signed())
    .bind(&record.answer)
    .bind(record.site.0)
    .bind(&record.action)
    .bind(&record.target)
    .bind(&record.from)
    .bind(record.request.0)
    .bind(&record.before)
    .bind(&record.after)
    .bind(WAITING)
    .bind(rows.cast_signed())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
