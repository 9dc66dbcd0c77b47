//! Sites as the admin API sees them.

use std::str::FromStr;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{Registration, SiteId, SiteStatus};
use uuid::Uuid;

use super::AdminTx;
use crate::site::insert_site;
use crate::{CreateSite, CreateSiteError, Error, Store};

/// What a site is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    /// The real thing.
    Live,
    /// To try things out.
    Sandbox,
}

impl SiteKind {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sandbox => "sandbox",
        }
    }
}

impl FromStr for SiteKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "live" => Ok(Self::Live),
            "sandbox" => Ok(Self::Sandbox),
            other => Err(format!("unknown kind of site {other:?}: use live or sandbox")),
        }
    }
}

/// A site with what only its admins see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRecord {
    /// Its id.
    pub id: SiteId,
    /// What clients show.
    pub name: String,
    /// What it is for.
    pub kind: SiteKind,
    /// Who may register.
    pub registration: Registration,
    /// Whether it is served.
    pub status: SiteStatus,
    /// Why it is suspended, if somebody said so.
    pub suspended_reason: Option<String>,
    /// Host names, sorted.
    pub domains: Vec<String>,
    /// When it was made (ms since 1970).
    pub created_at: i64,
    /// When it was changed (ms since 1970).
    pub changed_at: i64,
}

/// What is to be different about a site; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct SiteChange {
    /// What clients show; not empty.
    pub name: Option<String>,
    /// Who may register.
    pub registration: Option<Registration>,
    /// Whether it is served, and why not.
    pub status: Option<(SiteStatus, Option<String>)>,
}

/// The columns of [`SiteRecord`], of `site AS s`.
macro_rules! columns {
    () => {
        "s.site_id, s.name, s.kind, s.registration, s.status, s.suspended_reason,
         ARRAY(SELECT domain FROM site_domain d WHERE d.site_id = s.site_id ORDER BY domain) AS domains,
         (extract(epoch FROM s.created_at) * 1000)::bigint AS created_ms,
         (extract(epoch FROM s.changed_at) * 1000)::bigint AS changed_ms"
    };
}

impl Store {
    /// Sites, of these only if some are named; the newest first, behind `after`.
    pub async fn site_records(
        &self,
        only: Option<&[SiteId]>,
        after: Option<SiteId>,
        limit: i64,
    ) -> Result<Vec<SiteRecord>, Error> {
        let only: Option<Vec<Uuid>> = only.map(|sites| sites.iter().map(|site| site.0).collect());
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM site s WHERE ($1::uuid[] IS NULL OR s.site_id = ANY($1))
              AND ($2::uuid IS NULL
                   OR (s.created_at, s.site_id) < (SELECT created_at, site_id FROM site WHERE site_id = $2))
              ORDER BY s.created_at DESC, s.site_id DESC LIMIT $3"
        ))
        .bind(only)
        .bind(after.map(|site| site.0))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(record).collect()
    }

    /// One site.
    pub async fn site_record(&self, id: SiteId) -> Result<Option<SiteRecord>, Error> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM site s WHERE s.site_id = $1"))
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(record).transpose()
    }
}

impl AdminTx {
    /// Makes a site. Workers tell the gateways within seconds.
    pub async fn create_site(
        &mut self,
        site: &CreateSite,
        kind: SiteKind,
        shards: u16,
    ) -> Result<SiteRecord, CreateSiteError> {
        insert_site(&mut self.tx, site, kind.as_str(), shards).await?;
        let record = self.lock_site(site.id).await?;
        record.ok_or_else(|| CreateSiteError::Store(Error::Unreadable("a site that was just made".into())))
    }

    /// One site, which nobody else changes until the end of this.
    pub async fn lock_site(&mut self, id: SiteId) -> Result<Option<SiteRecord>, Error> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM site s WHERE s.site_id = $1 FOR UPDATE"))
            .bind(id.0)
            .fetch_optional(&mut *self.tx)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// Changes a site that is locked. Workers tell the gateways within seconds.
    pub async fn change_site(
        &mut self,
        id: SiteId,
        change: &SiteChange,
    ) -> Result<Option<SiteRecord>, Error> {
        let (status, reason) = match &change.status {
            Some((status, reason)) => (Some(status.as_str()), reason.as_deref()),
            None => (None, None),
        };
        sqlx::query(
            "UPDATE site SET name = coalesce($2, name), registration = coalesce($3, registration),
                 suspended_reason = CASE WHEN $4::text IS NULL THEN suspended_reason ELSE $5 END,
                 status = coalesce($4, status), changed_at = now()
             WHERE site_id = $1",
        )
        .bind(id.0)
        .bind(&change.name)
        .bind(change.registration.map(Registration::as_str))
        .bind(status)
        .bind(reason)
        .execute(&mut *self.tx)
        .await?;
        self.lock_site(id).await
    }
}

fn record(row: &PgRow) -> Result<SiteRecord, Error> {
    let text = |column: &str| -> Result<&str, Error> { Ok(row.try_get(column)?) };
    Ok(SiteRecord {
        id: SiteId(row.try_get("site_id")?),
        name: row.try_get("name")?,
        kind: text("kind")?.parse().map_err(Error::Unreadable)?,
        registration: text("registration")?.parse().map_err(Error::Unreadable)?,
        status: text("status")?.parse().map_err(Error::Unreadable)?,
        suspended_reason: row.try_get("suspended_reason")?,
        domains: row.try_get("domains")?,
        created_at: row.try_get("created_ms")?,
        changed_at: row.try_get("changed_ms")?,
    })
}
