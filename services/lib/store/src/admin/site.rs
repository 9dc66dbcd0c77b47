//! Sites as the admin API sees them.

use std::str::FromStr;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{Registration, SiteId, SiteStatus};
use uuid::Uuid;

use super::{AdminTx, Reader};
use crate::site::{insert_domains, insert_site};
use crate::{CreateSite, CreateSiteError, Error};

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
    /// Counts changes of all sites together: another one means that this has changed.
    pub revision: i64,
    /// Why it is suspended, if somebody said so.
    pub suspended_reason: Option<String>,
    /// What its members may be told about that.
    pub suspended_notice: Option<String>,
    /// Since when it is suspended (ms since 1970); kept while it is deleted.
    pub suspended_at: Option<i64>,
    /// Since when it is deleted (ms since 1970).
    pub deleted_at: Option<i64>,
    /// When it is deleted by itself (ms since 1970).
    pub expires_at: Option<i64>,
    /// Host names, sorted.
    pub domains: Vec<String>,
    /// When it was made (ms since 1970).
    pub created_at: i64,
    /// When it was changed (ms since 1970).
    pub changed_at: i64,
}

/// What is to be different about a site; `None` stays as it is. (Who may register is part of its policy.)
#[derive(Debug, Clone, Default)]
pub struct SiteChange {
    /// What clients show; not empty.
    pub name: Option<String>,
    /// When it is deleted by itself (ms since 1970); `Some(None)` for never.
    pub expires_at: Option<Option<i64>>,
}

/// A step in the life of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteTurn {
    /// Not served any longer.
    Suspend {
        /// Why, for its admins.
        reason: String,
        /// What its members may be told.
        notice: Option<String>,
    },
    /// Served again.
    Resume,
    /// Not served, and erased after a while.
    Delete,
    /// What it was before it was deleted. A sandbox whose time was over has no end after that.
    Restore,
}

/// Which sites are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct SiteFilter<'a> {
    /// These only; `None` for all.
    pub only: Option<&'a [SiteId]>,
    /// In this state only.
    pub status: Option<SiteStatus>,
    /// Of this kind only.
    pub kind: Option<SiteKind>,
    /// Whose name or one of whose domains has this in it, in any case.
    pub contains: Option<&'a str>,
}

/// The columns of [`SiteRecord`], of `site AS s`.
macro_rules! columns {
    () => {
        "s.site_id, s.name, s.kind, s.registration, s.status, s.revision, s.suspended_reason, s.suspended_notice,
         ARRAY(SELECT domain FROM site_domain d WHERE d.site_id = s.site_id ORDER BY domain) AS domains,
         (extract(epoch FROM s.suspended_at) * 1000)::bigint AS suspended_ms,
         (extract(epoch FROM s.deleted_at) * 1000)::bigint AS deleted_ms,
         (extract(epoch FROM s.expires_at) * 1000)::bigint AS expires_ms,
         (extract(epoch FROM s.created_at) * 1000)::bigint AS created_ms,
         (extract(epoch FROM s.changed_at) * 1000)::bigint AS changed_ms"
    };
}

impl Reader {
    /// Sites; the newest first, behind `after`.
    pub async fn site_records(
        &mut self,
        filter: SiteFilter<'_>,
        after: Option<SiteId>,
        limit: i64,
    ) -> Result<Vec<SiteRecord>, Error> {
        let only: Option<Vec<Uuid>> = filter.only.map(|sites| sites.iter().map(|site| site.0).collect());
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM site s WHERE ($1::uuid[] IS NULL OR s.site_id = ANY($1))
              AND ($2::uuid IS NULL
                   OR (s.created_at, s.site_id) < (SELECT created_at, site_id FROM site WHERE site_id = $2))
              AND ($4::text IS NULL OR s.status = $4) AND ($5::text IS NULL OR s.kind = $5)
              AND ($6::text IS NULL OR strpos(lower(s.name), lower($6)) > 0 OR EXISTS (
                   SELECT 1 FROM site_domain d WHERE d.site_id = s.site_id AND strpos(d.domain, lower($6)) > 0))
              ORDER BY s.created_at DESC, s.site_id DESC LIMIT $3"
        ))
        .bind(only)
        .bind(after.map(|site| site.0))
        .bind(limit)
        .bind(filter.status.map(SiteStatus::as_str))
        .bind(filter.kind.map(SiteKind::as_str))
        .bind(filter.contains)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(record).collect()
    }

    /// One site.
    pub async fn site_record(&mut self, id: SiteId) -> Result<Option<SiteRecord>, Error> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM site s WHERE s.site_id = $1"))
            .bind(id.0)
            .fetch_optional(&mut *self.tx)
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

    /// The number of shards of this deployment, as [`Store::shards`].
    pub async fn shards(&mut self) -> Result<u16, Error> {
        crate::shards(&mut *self.tx).await
    }

    /// Of these sites those that exist, and what they are for.
    pub async fn site_kinds(&mut self, ids: &[SiteId]) -> Result<Vec<(SiteId, SiteKind)>, Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query("SELECT site_id, kind FROM site WHERE site_id = ANY($1)")
            .bind(ids)
            .fetch_all(&mut *self.tx)
            .await?;
        let kind = |row: &PgRow| {
            let kind = row.try_get::<&str, _>("kind")?.parse().map_err(Error::Unreadable)?;
            Ok((SiteId(row.try_get("site_id")?), kind))
        };
        rows.iter().map(kind).collect()
    }

    /// One site, which nobody changes until the end of this; others may hold it, too.
    pub async fn hold_site(&mut self, id: SiteId) -> Result<Option<SiteRecord>, Error> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM site s WHERE s.site_id = $1 FOR SHARE"))
            .bind(id.0)
            .fetch_optional(&mut *self.tx)
            .await?;
        row.as_ref().map(record).transpose()
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
        sqlx::query(
            "UPDATE site SET name = coalesce($2, name),
                 expires_at = CASE WHEN $3 THEN to_timestamp($4::double precision / 1000) ELSE expires_at END,
                 changed_at = now()
             WHERE site_id = $1",
        )
        .bind(id.0)
        .bind(&change.name)
        .bind(change.expires_at.is_some())
        .bind(change.expires_at.flatten())
        .execute(&mut *self.tx)
        .await?;
        self.lock_site(id).await
    }

    /// Adds a host name, in lower case, to a site that is locked.
    pub async fn add_domain(&mut self, id: SiteId, domain: &str) -> Result<(), CreateSiteError> {
        // First what all changes of sites wait for one after the other, as when a site is made: two that took both in
        // different orders would wait for each other.
        self.revise(id).await?;
        insert_domains(&mut self.tx, id, &[domain.to_owned()]).await
    }

    /// Removes a host name from a site that is locked.
    pub async fn remove_domain(&mut self, id: SiteId, domain: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM site_domain WHERE site_id = $1 AND domain = $2")
            .bind(id.0)
            .bind(domain)
            .execute(&mut *self.tx)
            .await?;
        self.revise(id).await
    }

    /// Host names are no columns of the site, but directories have to hear of them.
    async fn revise(&mut self, id: SiteId) -> Result<(), Error> {
        sqlx::query("UPDATE site SET changed_at = now() WHERE site_id = $1")
            .bind(id.0)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Moves a site that is locked to the next step of its life. Workers tell the gateways within seconds.
    pub async fn turn_site(&mut self, id: SiteId, turn: &SiteTurn) -> Result<Option<SiteRecord>, Error> {
        let query = match turn {
            SiteTurn::Suspend { reason, notice } => sqlx::query(
                "UPDATE site SET status = 'suspended', suspended_at = now(), suspended_reason = $2,
                     suspended_notice = $3, changed_at = now()
                 WHERE site_id = $1",
            )
            .bind(id.0)
            .bind(reason)
            .bind(notice),
            SiteTurn::Resume => sqlx::query(
                "UPDATE site SET status = 'active', suspended_at = NULL, suspended_reason = NULL,
                     suspended_notice = NULL, changed_at = now()
                 WHERE site_id = $1",
            )
            .bind(id.0),
            SiteTurn::Delete => sqlx::query(
                "UPDATE site SET status = 'deleted', deleted_at = now(), changed_at = now() WHERE site_id = $1",
            )
            .bind(id.0),
            SiteTurn::Restore => sqlx::query(
                "UPDATE site SET status = CASE WHEN suspended_at IS NULL THEN 'active' ELSE 'suspended' END,
                     deleted_at = NULL, changed_at = now(),
                     expires_at = CASE WHEN expires_at > now() THEN expires_at END
                 WHERE site_id = $1",
            )
            .bind(id.0),
        };
        query.execute(&mut *self.tx).await?;
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
        revision: row.try_get("revision")?,
        suspended_reason: row.try_get("suspended_reason")?,
        suspended_notice: row.try_get("suspended_notice")?,
        suspended_at: row.try_get("suspended_ms")?,
        deleted_at: row.try_get("deleted_ms")?,
        expires_at: row.try_get("expires_ms")?,
        domains: row.try_get("domains")?,
        created_at: row.try_get("created_ms")?,
        changed_at: row.try_get("changed_ms")?,
    })
}
