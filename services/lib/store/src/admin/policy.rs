//! Policies of sites, and what they were before. A policy is kept as it was set, as JSON; what is not set is not there.

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::SiteId;
use uuid::Uuid;

use super::{AdminTx, Reader};
use crate::Error;

/// A policy as it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Counts the changes; 0: as the site was made.
    pub version: i64,
    /// What is set, as JSON.
    pub document: String,
}

/// A policy that a site has or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEntry {
    /// What was set.
    pub policy: PolicyRecord,
    /// When (ms since 1970).
    pub changed_at: i64,
    /// With which API key.
    pub key: Option<Uuid>,
}

impl Reader {
    /// The policy of a site; `None` when there is no such site.
    pub async fn site_policy(&mut self, site: SiteId) -> Result<Option<PolicyRecord>, Error> {
        let row = sqlx::query("SELECT policy_version AS version, policy::text FROM site WHERE site_id = $1")
            .bind(site.0)
            .fetch_optional(&mut *self.tx)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// The policies that a site has had, the newest first, those older than version `before` only.
    pub async fn site_policies(
        &mut self,
        site: SiteId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<PolicyEntry>, Error> {
        let rows = sqlx::query(
            "SELECT version, policy::text, (extract(epoch FROM changed_at) * 1000)::bigint AS changed_ms, key_id
             FROM site_policy_history
             WHERE site_id = $1 AND ($2::bigint IS NULL OR version < $2)
             ORDER BY version DESC LIMIT $3",
        )
        .bind(site.0)
        .bind(before)
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        let entry = |row: &PgRow| {
            Ok(PolicyEntry {
                policy: record(row)?,
                changed_at: row.try_get("changed_ms")?,
                key: row.try_get("key_id")?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

impl AdminTx {
    /// The policy of a site, which nobody else changes until the end of this.
    pub async fn lock_site_policy(&mut self, site: SiteId) -> Result<Option<PolicyRecord>, Error> {
        let row = sqlx::query(
            "SELECT policy_version AS version, policy::text FROM site WHERE site_id = $1 FOR UPDATE",
        )
        .bind(site.0)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(record).transpose()
    }

    /// What was set at a site with this version; `None` when its history has none of this number.
    pub async fn earlier_policy(
        &mut self,
        site: SiteId,
        version: i64,
    ) -> Result<Option<PolicyRecord>, Error> {
        let row = sqlx::query(
            "SELECT version, policy::text FROM site_policy_history WHERE site_id = $1 AND version = $2",
        )
        .bind(site.0)
        .bind(version)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(record).transpose()
    }

    /// Gives a site that is locked another policy, which has been validated; who may register is part of it. Workers hear
    /// of it within seconds.
    pub async fn set_site_policy(
        &mut self,
        site: SiteId,
        document: &str,
        key: Option<Uuid>,
    ) -> Result<PolicyRecord, Error> {
        let row = sqlx::query(
            "WITH changed AS (
                 UPDATE site SET policy = $2::jsonb, registration = coalesce($2::jsonb->>'registration', 'closed'),
                     policy_version = policy_version + 1, changed_at = now()
                 WHERE site_id = $1
                 RETURNING policy_version, policy
             )
             INSERT INTO site_policy_history (site_id, version, policy, key_id)
             SELECT $1, policy_version, policy, $3 FROM changed
             RETURNING version, policy::text",
        )
        .bind(site.0)
        .bind(document)
        .bind(key)
        .fetch_one(&mut *self.tx)
        .await?;
        record(&row)
    }
}

fn record(row: &PgRow) -> Result<PolicyRecord, Error> {
    Ok(PolicyRecord { version: row.try_get("version")?, document: row.try_get("policy")? })
}
