//! What the built-in issuer of tokens for invites keeps: its keys, and its codes on their way from the page to the token.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{InviteId, SiteId};

use crate::{Error, Store};

/// A key with which the issuer signs.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuerKey {
    /// The `kid` of its tokens.
    pub id: String,
    /// PKCS #8.
    pub private_key: Vec<u8>,
    /// How long ago it was made.
    pub age: Duration,
}

/// A person who gave the code of an invite on the page, on the way back to their client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInCode {
    /// The invite.
    pub invite: InviteId,
    /// Where the browser was sent.
    pub redirect_uri: String,
    /// SHA-256 of what only the client knows, in base64url.
    pub challenge: String,
    /// What the token has to repeat.
    pub nonce: Option<String>,
}

impl Store {
    /// The issuer's keys, the newest first.
    pub async fn issuer_keys(&self) -> Result<Vec<IssuerKey>, Error> {
        let rows = sqlx::query(
            "SELECT key_id, private_key, (extract(epoch FROM now() - created_at) * 1000)::bigint AS age_ms
             FROM issuer_key ORDER BY created_at DESC, key_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(issuer_key).collect()
    }

    /// Adds a key, unless there is one that is younger than `life`: several servers may notice at once that it is
    /// time. Those that have been old for `grace` go.
    pub async fn rotate_issuer_key(
        &self,
        id: &str,
        private_key: &[u8],
        life: Duration,
        grace: Duration,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(7345103)").execute(&mut *tx).await?;
        sqlx::query(
            "INSERT INTO issuer_key (key_id, private_key, created_at)
             SELECT $1, $2, clock_timestamp()
             WHERE NOT EXISTS (SELECT FROM issuer_key
                               WHERE created_at > clock_timestamp() - make_interval(secs => $3))",
        )
        .bind(id)
        .bind(private_key)
        .bind(life.as_secs_f64())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM issuer_key WHERE created_at < clock_timestamp() - make_interval(secs => $1)",
        )
        .bind((life + grace).as_secs_f64())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps a code for `life`. Codes of the site that have ended go.
    pub async fn put_sign_in_code(
        &self,
        site: SiteId,
        hash: &[u8; 32],
        code: &SignInCode,
        life: Duration,
    ) -> Result<(), Error> {
        sqlx::query(
            "WITH ended AS (DELETE FROM sign_in_code WHERE site_id = $1 AND expires_at <= now())
             INSERT INTO sign_in_code (site_id, code_hash, invite_id, redirect_uri, challenge, nonce, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))",
        )
        .bind(site.0)
        .bind(hash.as_slice())
        .bind(code.invite.0)
        .bind(&code.redirect_uri)
        .bind(&code.challenge)
        .bind(&code.nonce)
        .bind(life.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes a code away: whoever gets it is the only one.
    pub async fn take_sign_in_code(
        &self,
        site: SiteId,
        hash: &[u8; 32],
    ) -> Result<Option<SignInCode>, Error> {
        let row = sqlx::query(
            "DELETE FROM sign_in_code WHERE site_id = $1 AND code_hash = $2
             RETURNING invite_id, redirect_uri, challenge, nonce, expires_at > now() AS is_good",
        )
        .bind(site.0)
        .bind(hash.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let code = SignInCode {
            invite: InviteId(row.try_get("invite_id")?),
            redirect_uri: row.try_get("redirect_uri")?,
            challenge: row.try_get("challenge")?,
            nonce: row.try_get("nonce")?,
        };
        Ok(row.try_get::<bool, _>("is_good")?.then_some(code))
    }
}

fn issuer_key(row: &PgRow) -> Result<IssuerKey, Error> {
    let age: i64 = row.try_get("age_ms")?;
    Ok(IssuerKey {
        id: row.try_get("key_id")?,
        private_key: row.try_get("private_key")?,
        // A clock that was set back makes a key new, not unreadable.
        age: Duration::from_millis(u64::try_from(age).unwrap_or_default()),
    })
}
