//! Requests that may come twice.

use std::time::Duration;

use sqlx::Row;
use uuid::Uuid;

use super::AdminTx;
use crate::{Error, Store};

/// What is known of a request with this idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing. Others with the same key wait until this transaction ends.
    New,
    /// It was carried out: HTTP status and body of its answer.
    Done {
        /// The status.
        status: u16,
        /// The body.
        answer: String,
        /// The header `ETag`, if it had one.
        etag: Option<String>,
    },
    /// Another request had this key.
    Other,
}

/// The answer of a request, for its repetitions.
#[derive(Debug, Clone, Copy)]
pub struct SettledAnswer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub answer: &'a str,
    /// The header `ETag`, if it has one.
    pub etag: Option<&'a str>,
}

impl Store {
    /// Forgets requests that are older than this; a repetition of one of them is a new request. Says how many.
    pub async fn forget_requests(&self, age: Duration) -> Result<u64, Error> {
        let done =
            sqlx::query("DELETE FROM idempotency WHERE created_at < now() - make_interval(secs => $1)")
                .bind(age.as_secs_f64())
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected())
    }
}

impl AdminTx {
    /// Looks whether a request was carried out before; `request` is the SHA-256 of what it says.
    pub async fn claim(
        &mut self,
        key: Uuid,
        idempotency_key: &str,
        request: &[u8; 32],
    ) -> Result<Claim, Error> {
        // Of several at the same moment one goes first.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1::text || ' ' || $2, 7345102))")
            .bind(key)
            .bind(idempotency_key)
            .execute(&mut *self.tx)
            .await?;
        let row = sqlx::query(
            "SELECT request, status, answer, etag FROM idempotency WHERE key_id = $1 AND idempotency_key = $2",
        )
        .bind(key)
        .bind(idempotency_key)
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(row) = row else { return Ok(Claim::New) };
        if row.try_get::<&[u8], _>("request")? != request {
            return Ok(Claim::Other);
        }
        let status: i16 = row.try_get("status")?;
        let status = u16::try_from(status).map_err(|_| Error::Unreadable("idempotency.status".into()))?;
        Ok(Claim::Done { status, answer: row.try_get("answer")?, etag: row.try_get("etag")? })
    }

    /// Notes the answer of a request, for its repetitions.
    pub async fn settle(
        &mut self,
        key: Uuid,
        idempotency_key: &str,
        request: &[u8; 32],
        settled: SettledAnswer<'_>,
    ) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO idempotency (key_id, idempotency_key, request, status, answer, etag)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key)
        .bind(idempotency_key)
        .bind(request.as_slice())
        .bind(settled.status.cast_signed())
        .bind(settled.answer)
        .bind(settled.etag)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}
