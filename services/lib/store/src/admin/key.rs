//! API keys.

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{Role, Scope, SiteId};
use uuid::Uuid;

use super::{AdminTx, Reader, Sights};
use crate::{Error, Store};

/// A key as it is kept: without the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Only these of the role's permissions; `None` for all of them.
    pub scopes: Option<Vec<Scope>>,
    /// Only at these sites; `None` for all, which only operators have.
    pub sites: Option<Vec<SiteId>>,
    /// When it was made (ms since 1970).
    pub created_at: i64,
    /// When it ends (ms since 1970).
    pub expires_at: Option<i64>,
    /// When it was used last, to the minute (ms since 1970).
    pub last_used_at: Option<i64>,
    /// When it was revoked (ms since 1970).
    pub revoked_at: Option<i64>,
}

impl ApiKey {
    /// It has this permission.
    pub fn allows(&self, scope: Scope) -> bool {
        self.role.allows(scope) && self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&scope))
    }

    /// What may be read with it: all sites with an operator's key that names none, else those that it names.
    pub fn sights(&self) -> Sights {
        match (&self.sites, self.role) {
            (None, Role::Operator) => Sights::All,
            (sites, _) => Sights::Of(sites.clone().unwrap_or_default()),
        }
    }
}

/// A key to be.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its id, the caller's random choice.
    pub id: Uuid,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// For people; not empty.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Only these of the role's permissions.
    pub scopes: Option<Vec<Scope>>,
    /// Only at these sites; `None` for operators only.
    pub sites: Option<Vec<SiteId>>,
    /// The key with which it is made.
    pub created_by: Option<Uuid>,
    /// When it ends (ms since 1970).
    pub expires_at: Option<i64>,
}

/// The columns of [`ApiKey`].
macro_rules! columns {
    () => {
        "key_id, name, role, scopes, site_ids,
         (extract(epoch FROM created_at) * 1000)::bigint AS created_ms,
         (extract(epoch FROM expires_at) * 1000)::bigint AS expires_ms,
         (extract(epoch FROM last_used_at) * 1000)::bigint AS used_ms,
         (extract(epoch FROM revoked_at) * 1000)::bigint AS revoked_ms"
    };
}

impl Reader {
    /// Keys that are for some of these sites and for no others, or all keys; the newest first, behind `after`. With
    /// `site`, only those that name it.
    pub async fn keys(
        &mut self,
        sites: Option<&[SiteId]>,
        site: Option<SiteId>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<ApiKey>, Error> {
        let sites: Option<Vec<Uuid>> = sites.map(|sites| sites.iter().map(|site| site.0).collect());
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM api_key WHERE ($1::uuid[] IS NULL OR site_ids <@ $1)
              AND ($4::uuid IS NULL OR site_ids @> ARRAY[$4])
              AND ($2::uuid IS NULL OR (created_at, key_id) < (SELECT created_at, key_id FROM api_key WHERE key_id = $2))
              ORDER BY created_at DESC, key_id DESC LIMIT $3"
        ))
        .bind(sites)
        .bind(after)
        .bind(limit)
        .bind(site.map(|site| site.0))
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(api_key).collect()
    }

    /// One key.
    pub async fn key(&mut self, id: Uuid) -> Result<Option<ApiKey>, Error> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM api_key WHERE key_id = $1"))
            .bind(id)
            .fetch_optional(&mut *self.tx)
            .await?;
        row.as_ref().map(api_key).transpose()
    }
}

impl Store {
    /// The key with this hash, if it is neither revoked nor at its end. Its use is noted, once a minute at most.
    pub async fn use_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, Error> {
        let row = sqlx::query(concat!(
            "SELECT last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS is_news, ",
            columns!(),
            " FROM api_key WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
        ))
        .bind(hash.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let key = api_key(&row)?;
        if row.try_get("is_news")? {
            sqlx::query("UPDATE api_key SET last_used_at = date_trunc('minute', now()) WHERE key_id = $1")
                .bind(key.id)
                .execute(&self.pool)
                .await?;
        }
        Ok(Some(key))
    }

    /// Whether there is a valid key with this role and name.
    pub async fn has_key(&self, role: Role, name: &str) -> Result<bool, Error> {
        let exists = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM api_key WHERE role = $1 AND name = $2 AND revoked_at IS NULL
                            AND (expires_at IS NULL OR expires_at > now()))",
        )
        .bind(role.as_str())
        .bind(name)
        .fetch_one(&self.pool)
        .await?;
        Ok(exists)
    }

    /// The key with this hash, valid or not.
    pub async fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, Error> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM api_key WHERE hash = $1"))
            .bind(hash.as_slice())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(api_key).transpose()
    }
}

impl AdminTx {
    /// Makes a key.
    pub async fn create_key(&mut self, key: &NewApiKey) -> Result<ApiKey, Error> {
        let scopes: Option<Vec<&str>> =
            key.scopes.as_ref().map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect());
        let sites: Option<Vec<Uuid>> =
            key.sites.as_ref().map(|sites| sites.iter().map(|site| site.0).collect());
        let row = sqlx::query(concat!(
            "INSERT INTO api_key (key_id, hash, name, role, scopes, site_ids, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, to_timestamp($8::double precision / 1000)) RETURNING ",
            columns!()
        ))
        .bind(key.id)
        .bind(key.hash.as_slice())
        .bind(&key.name)
        .bind(key.role.as_str())
        .bind(scopes)
        .bind(sites)
        .bind(key.created_by)
        .bind(key.expires_at)
        .fetch_one(&mut *self.tx)
        .await?;
        api_key(&row)
    }

    /// Ends a key at once. `None`: there is none that has not been revoked.
    pub async fn revoke_key(&mut self, id: Uuid) -> Result<Option<ApiKey>, Error> {
        let row = sqlx::query(concat!(
            "UPDATE api_key SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL RETURNING ",
            columns!()
        ))
        .bind(id)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(api_key).transpose()
    }
}

fn api_key(row: &PgRow) -> Result<ApiKey, Error> {
    let scopes: Option<Vec<String>> = row.try_get("scopes")?;
    let scopes = scopes.map(|scopes| scopes.iter().map(|scope| scope.parse()).collect::<Result<_, _>>());
    let sites: Option<Vec<Uuid>> = row.try_get("site_ids")?;
    Ok(ApiKey {
        id: row.try_get("key_id")?,
        name: row.try_get("name")?,
        role: row.try_get::<&str, _>("role")?.parse().map_err(Error::Unreadable)?,
        scopes: scopes.transpose().map_err(Error::Unreadable)?,
        sites: sites.map(|sites| sites.into_iter().map(SiteId).collect()),
        created_at: row.try_get("created_ms")?,
        expires_at: row.try_get("expires_ms")?,
        last_used_at: row.try_get("used_ms")?,
        revoked_at: row.try_get("revoked_ms")?,
    })
}
