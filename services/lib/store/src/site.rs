//! Sites and their domains.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{PgExecutor, Row};
use tmtp_domain::{Provider, Registration, ShardId, Site, SiteId, SiteStatus, shard_of};
use uuid::Uuid;

use crate::{Error, Reader, Store};

/// What a new site is to be.
#[derive(Debug, Clone)]
pub struct CreateSite {
    /// Its id, the caller's random choice.
    pub id: SiteId,
    /// What clients show; not empty.
    pub name: String,
    /// Host names, any case; at least one.
    pub domains: Vec<String>,
    /// Who may register.
    pub registration: Registration,
}

/// Why a site was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateSiteError {
    /// Another site has this domain, or one that covers it or that it covers.
    #[error("a domain of this list belongs to another site")]
    DomainTaken,
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The columns of a [`Site`].
macro_rules! columns {
    () => {
        "SELECT s.site_id, s.shard_id, s.revision, s.name, s.registration, s.status, s.policy::text,
                ARRAY(SELECT domain FROM site_domain d WHERE d.site_id = s.site_id ORDER BY domain) AS domains,
                ARRAY(SELECT p.config::text FROM oidc_provider p WHERE p.site_id = s.site_id
                      ORDER BY p.created_at, p.provider_id) AS providers,
                CASE WHEN s.status = 'suspended' THEN s.suspended_notice END AS notice
         FROM site s "
    };
}

impl Store {
    /// Makes a site. Workers tell the gateways within seconds.
    pub async fn create_site(&self, site: &CreateSite) -> Result<ShardId, CreateSiteError> {
        let shards = self.shards().await?;
        let mut tx = self.pool.begin().await.map_err(Error::from)?;
        let shard = insert_site(&mut tx, site, "live", shards).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(shard)
    }

    /// The site that has this domain.
    pub async fn site_by_domain(&self, domain: &str) -> Result<Option<Site>, Error> {
        let row = sqlx::query(concat!(
            columns!(),
            "WHERE s.site_id = (SELECT site_id FROM site_domain WHERE domain = $1)"
        ))
        .bind(domain.to_lowercase())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(site).transpose()
    }

    /// Sites changed after `revision`, oldest change first, at most `limit`.
    pub async fn sites_since(&self, revision: i64, limit: i64) -> Result<Vec<Site>, Error> {
        let rows = sqlx::query(concat!(columns!(), "WHERE s.revision > $1 ORDER BY s.revision LIMIT $2"))
            .bind(revision)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(site).collect()
    }

    /// These sites, those that exist.
    pub async fn sites(&self, ids: &[SiteId]) -> Result<Vec<Site>, Error> {
        sites(&self.pool, ids).await
    }
}

impl Reader {
    /// A site as its home knows it.
    pub async fn site(&mut self, id: SiteId) -> Result<Option<Site>, Error> {
        Ok(sites(&mut *self.tx, &[id]).await?.pop())
    }
}

async fn sites(from: impl PgExecutor<'_>, ids: &[SiteId]) -> Result<Vec<Site>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows =
        sqlx::query(concat!(columns!(), "WHERE s.site_id = ANY($1)")).bind(&ids).fetch_all(from).await?;
    rows.iter().map(site).collect()
}

/// Writes the rows of a new site. Who may register becomes part of its policy, and the first entry of its history.
pub(crate) async fn insert_site(
    connection: &mut PgConnection,
    site: &CreateSite,
    kind: &'static str,
    shards: u16,
) -> Result<ShardId, CreateSiteError> {
    let shard = shard_of(site.id, shards);
    let domains: Vec<String> = site.domains.iter().map(|domain| domain.to_lowercase()).collect();
    sqlx::query(
        "WITH made AS (
             INSERT INTO site (site_id, shard_id, name, registration, kind) VALUES ($1, $2, $3, $4, $5)
             RETURNING site_id, policy)
         INSERT INTO site_policy_history (site_id, version, policy)
         SELECT site_id, 0, policy FROM made WHERE policy <> '{}'",
    )
    .bind(site.id.0)
    .bind(shard.0.cast_signed())
    .bind(&site.name)
    .bind(site.registration.as_str())
    .bind(kind)
    .execute(&mut *connection)
    .await
    .map_err(Error::from)?;
    insert_domains(connection, site.id, &domains).await?;
    Ok(shard)
}

/// Writes host names of a site, in lower case. None may be another site's, nor lie under a wildcard of another site or be
/// the wildcard above a name of it: the schema sees to that, also between transactions that run at the same time.
pub(crate) async fn insert_domains(
    connection: &mut PgConnection,
    site: SiteId,
    domains: &[String],
) -> Result<(), CreateSiteError> {
    // All in one order, wildcards first, so that two sites that are made at the same time do not wait for each other.
    let inserted = sqlx::query(
        "INSERT INTO site_domain (site_id, domain)
         SELECT $1, d.domain FROM unnest($2::text[]) AS d (domain)
         ORDER BY substr(d.domain, strpos(d.domain, '.')) COLLATE \"C\", d.domain COLLATE \"C\"",
    )
    .bind(site.0)
    .bind(domains)
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Err(CreateSiteError::DomainTaken),
        Err(error) => Err(CreateSiteError::Store(error.into())),
    }
}

fn site(row: &PgRow) -> Result<Site, Error> {
    let parse = |column: &str| -> Result<String, Error> { Ok(row.try_get(column)?) };
    let providers: Vec<String> = row.try_get("providers")?;
    Ok(Site {
        id: SiteId(row.try_get("site_id")?),
        revision: row.try_get("revision")?,
        shard: ShardId(row.try_get::<i16, _>("shard_id")?.cast_unsigned()),
        name: parse("name")?,
        domains: row.try_get("domains")?,
        registration: parse("registration")?.parse::<Registration>().map_err(Error::Unreadable)?,
        status: parse("status")?.parse::<SiteStatus>().map_err(Error::Unreadable)?,
        policy: serde_json::from_str(&parse("policy")?)
            .map_err(|error| Error::Unreadable(error.to_string()))?,
        providers: providers.iter().filter_map(|config| provider(config)).collect(),
        notice: row.try_get("notice")?,
    })
}

/// A provider that this release cannot read is left out: its site's other members, and other sites, must not suffer for it.
fn provider(config: &str) -> Option<Provider> {
    serde_json::from_str(config)
        .inspect_err(|error| tracing::error!(%error, "cannot read a provider in oidc_provider"))
        .ok()
}
