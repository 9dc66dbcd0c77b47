//! OpenID Connect providers of sites. A change is a change of the site, so that the gateways hear of it.

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{Provider, SiteId};

use super::{AdminTx, Reader};
use crate::Error;

/// A provider with what only admins see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRecord {
    /// The provider.
    pub provider: Provider,
    /// When it was made (ms since 1970).
    pub created_at: i64,
    /// When it was changed (ms since 1970).
    pub changed_at: i64,
}

/// The columns of [`ProviderRecord`].
macro_rules! columns {
    () => {
        "config::text AS config, (extract(epoch FROM created_at) * 1000)::bigint AS created_ms,
         (extract(epoch FROM changed_at) * 1000)::bigint AS changed_ms"
    };
}

impl Reader {
    /// The providers of a site, the oldest first: there are never more than a few.
    pub async fn providers(&mut self, site: SiteId) -> Result<Vec<ProviderRecord>, Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM oidc_provider WHERE site_id = $1 ORDER BY created_at, provider_id"
        ))
        .bind(site.0)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(record).collect()
    }

    /// One provider.
    pub async fn provider(&mut self, site: SiteId, id: &str) -> Result<Option<ProviderRecord>, Error> {
        let row = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM oidc_provider WHERE site_id = $1 AND provider_id = $2"
        ))
        .bind(site.0)
        .bind(id)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(record).transpose()
    }
}

impl AdminTx {
    /// The providers of a site that is locked, as they are in this transaction.
    pub async fn lock_providers(&mut self, site: SiteId) -> Result<Vec<ProviderRecord>, Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM oidc_provider WHERE site_id = $1 ORDER BY created_at, provider_id FOR UPDATE"
        ))
        .bind(site.0)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Adds a provider. `None`: there is one of this id.
    pub async fn create_provider(
        &mut self,
        site: SiteId,
        provider: &Provider,
    ) -> Result<Option<ProviderRecord>, Error> {
        let row = sqlx::query(concat!(
            "INSERT INTO oidc_provider (site_id, provider_id, config) VALUES ($1, $2, $3::jsonb)
             ON CONFLICT DO NOTHING RETURNING ",
            columns!()
        ))
        .bind(site.0)
        .bind(&provider.id)
        .bind(config(provider)?)
        .fetch_optional(&mut *self.tx)
        .await?;
        self.tell(site).await?;
        row.as_ref().map(record).transpose()
    }

    /// Changes the provider of this id. `None`: there is none.
    pub async fn change_provider(
        &mut self,
        site: SiteId,
        provider: &Provider,
    ) -> Result<Option<ProviderRecord>, Error> {
        let row = sqlx::query(concat!(
            "UPDATE oidc_provider SET config = $3::jsonb, changed_at = now()
             WHERE site_id = $1 AND provider_id = $2 RETURNING ",
            columns!()
        ))
        .bind(site.0)
        .bind(&provider.id)
        .bind(config(provider)?)
        .fetch_optional(&mut *self.tx)
        .await?;
        self.tell(site).await?;
        row.as_ref().map(record).transpose()
    }

    /// Removes a provider. `None`: there is none. Members who came through it stay.
    pub async fn delete_provider(&mut self, site: SiteId, id: &str) -> Result<Option<ProviderRecord>, Error> {
        let row = sqlx::query(concat!(
            "DELETE FROM oidc_provider WHERE site_id = $1 AND provider_id = $2 RETURNING ",
            columns!()
        ))
        .bind(site.0)
        .bind(id)
        .fetch_optional(&mut *self.tx)
        .await?;
        self.tell(site).await?;
        row.as_ref().map(record).transpose()
    }

    /// A new revision of the site, by which directories see that something about it is new.
    async fn tell(&mut self, site: SiteId) -> Result<(), Error> {
        sqlx::query("UPDATE site SET changed_at = now() WHERE site_id = $1")
            .bind(site.0)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

fn config(provider: &Provider) -> Result<String, Error> {
    serde_json::to_string(provider).map_err(|error| Error::Unreadable(error.to_string()))
}

fn provider(row: &PgRow) -> Result<Provider, Error> {
    let unreadable = |error: serde_json::Error| Error::Unreadable(format!("oidc_provider.config: {error}"));
    serde_json::from_str(row.try_get("config")?).map_err(unreadable)
}

fn record(row: &PgRow) -> Result<ProviderRecord, Error> {
    Ok(ProviderRecord {
        provider: provider(row)?,
        created_at: row.try_get("created_ms")?,
        changed_at: row.try_get("changed_ms")?,
    })
}
