//! Certificates of sites.

use std::str::FromStr;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use tmtp_domain::{CertificateContent, CertificateId, SiteCertificate, SiteId};

use crate::{AdminTx, Error, Reader, Store};

/// Where a certificate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateSource {
    /// Somebody brought it.
    Upload,
    /// It was ordered.
    Acme,
}

impl CertificateSource {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Acme => "acme",
        }
    }
}

impl FromStr for CertificateSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "upload" => Ok(Self::Upload),
            "acme" => Ok(Self::Acme),
            other => Err(format!("unknown source of a certificate {other:?}")),
        }
    }
}

/// A certificate to be, checked.
#[derive(Debug, Clone)]
pub struct NewCertificate {
    /// Its id, the caller's random choice.
    pub id: CertificateId,
    /// Whose.
    pub site: SiteId,
    /// Where it came from.
    pub source: CertificateSource,
    /// The host names that it is for; lower case.
    pub names: Vec<String>,
    /// Who issued it, for people.
    pub issuer: String,
    /// Itself, and its sealed key.
    pub content: CertificateContent,
    /// From when (ms since 1970).
    pub not_before: i64,
    /// Until when (ms since 1970).
    pub not_after: i64,
}

/// A certificate as the site's admins see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRecord {
    /// Which one.
    pub id: CertificateId,
    /// Whose.
    pub site: SiteId,
    /// Where it came from.
    pub source: CertificateSource,
    /// The host names that it is for.
    pub names: Vec<String>,
    /// Who issued it, for people.
    pub issuer: String,
    /// From when (ms since 1970).
    pub not_before: i64,
    /// Until when (ms since 1970).
    pub not_after: i64,
    /// When it was added (ms since 1970).
    pub created_at: i64,
}

/// The columns of [`CertificateRecord`].
macro_rules! columns {
    () => {
        "c.site_id, c.certificate_id, c.source, c.names, c.issuer,
         (extract(epoch FROM c.not_before) * 1000)::bigint AS from_ms,
         (extract(epoch FROM c.not_after) * 1000)::bigint AS until_ms,
         (extract(epoch FROM c.created_at) * 1000)::bigint AS created_ms"
    };
}

impl Reader {
    /// The certificates of a site, the newest first.
    pub async fn certificates(&mut self, site: SiteId) -> Result<Vec<CertificateRecord>, Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM site_certificate c WHERE c.site_id = $1 AND c.removed_at IS NULL
              ORDER BY c.created_at DESC, c.certificate_id DESC"
        ))
        .bind(site.0)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(record).collect()
    }
}

impl Store {
    /// Certificates changed after `revision`, removed ones included, oldest change first, at most `limit`.
    pub async fn certificates_since(
        &self,
        revision: i64,
        limit: i64,
    ) -> Result<Vec<(SiteCertificate, CertificateContent)>, Error> {
        let rows = sqlx::query(
            "SELECT site_id, certificate_id, revision, names, chain, sealed_key, removed_at IS NOT NULL AS removed,
                    (extract(epoch FROM not_after) * 1000)::bigint AS until_ms
             FROM site_certificate WHERE revision > $1 ORDER BY revision LIMIT $2",
        )
        .bind(revision)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let certificate = |row: &PgRow| {
            let content =
                CertificateContent { chain: row.try_get("chain")?, sealed_key: row.try_get("sealed_key")? };
            let certificate = SiteCertificate {
                id: CertificateId(row.try_get("certificate_id")?),
                site: SiteId(row.try_get("site_id")?),
                revision: row.try_get("revision")?,
                names: row.try_get("names")?,
                not_after: row.try_get("until_ms")?,
                removed: row.try_get("removed")?,
            };
            Ok((certificate, content))
        };
        rows.iter().map(certificate).collect()
    }

    /// Certificates in use that expire within this time, the first to expire first, at most `limit`. One whose names
    /// all have another certificate of the site that lives longer is not in use any more.
    pub async fn certificates_expiring(
        &self,
        within: Duration,
        limit: i64,
    ) -> Result<Vec<CertificateRecord>, Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM site_certificate c
              WHERE c.removed_at IS NULL AND c.not_after < now() + make_interval(secs => $1)
                AND NOT EXISTS (
                    SELECT 1 FROM site_certificate o
                    WHERE o.site_id = c.site_id AND o.removed_at IS NULL AND o.not_after > c.not_after
                      AND o.names @> c.names)
              ORDER BY c.not_after LIMIT $2"
        ))
        .bind(within.as_secs_f64())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Forgets certificates that were removed this long ago or longer: every directory has heard of it.
    pub async fn forget_removed_certificates(&self, since: Duration) -> Result<(), Error> {
        sqlx::query("DELETE FROM site_certificate WHERE removed_at <= now() - make_interval(secs => $1)")
            .bind(since.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Those of these that are not here, not even as removed: they were forgotten, or their site is gone.
    pub async fn unknown_certificates(&self, ids: &[CertificateId]) -> Result<Vec<CertificateId>, Error> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let unknown: Vec<uuid::Uuid> = sqlx::query_scalar(
            "SELECT id FROM unnest($1::uuid[]) AS id
             WHERE NOT EXISTS (SELECT 1 FROM site_certificate WHERE certificate_id = id)",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        Ok(unknown.into_iter().map(CertificateId).collect())
    }
}

impl AdminTx {
    /// How many certificates a site has.
    pub async fn count_certificates(&mut self, site: SiteId) -> Result<i64, Error> {
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM site_certificate WHERE site_id = $1 AND removed_at IS NULL",
        )
        .bind(site.0)
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(count)
    }

    /// Adds a certificate. Workers tell the gateways within seconds.
    pub async fn add_certificate(
        &mut self,
        certificate: &NewCertificate,
    ) -> Result<CertificateRecord, Error> {
        insert(&mut self.tx, certificate).await
    }

    /// Takes a certificate away, if the site has it; says what it was.
    pub async fn remove_certificate(
        &mut self,
        site: SiteId,
        id: CertificateId,
    ) -> Result<Option<CertificateRecord>, Error> {
        let row = sqlx::query(concat!(
            "UPDATE site_certificate c SET removed_at = now(), chain = '{}', sealed_key = ''
             WHERE c.site_id = $1 AND c.certificate_id = $2 AND c.removed_at IS NULL RETURNING ",
            columns!()
        ))
        .bind(site.0)
        .bind(id.0)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(record).transpose()
    }
}

/// Writes the row of a new certificate.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    new: &NewCertificate,
) -> Result<CertificateRecord, Error> {
    let row = sqlx::query(concat!(
        "INSERT INTO site_certificate AS c
             (site_id, certificate_id, revision, source, names, issuer, chain, sealed_key, not_before, not_after)
         VALUES ($1, $2, 0, $3, $4, $5, $6, $7, to_timestamp($8 / 1000.0), to_timestamp($9 / 1000.0)) RETURNING ",
        columns!()
    ))
    .bind(new.site.0)
    .bind(new.id.0)
    .bind(new.source.as_str())
    .bind(&new.names)
    .bind(&new.issuer)
    .bind(&new.content.chain)
    .bind(&new.content.sealed_key)
    .bind(new.not_before)
    .bind(new.not_after)
    .fetch_one(connection)
    .await?;
    record(&row)
}

fn record(row: &PgRow) -> Result<CertificateRecord, Error> {
    Ok(CertificateRecord {
        id: CertificateId(row.try_get("certificate_id")?),
        site: SiteId(row.try_get("site_id")?),
        source: row.try_get::<&str, _>("source")?.parse().map_err(Error::Unreadable)?,
        names: row.try_get("names")?,
        issuer: row.try_get("issuer")?,
        not_before: row.try_get("from_ms")?,
        not_after: row.try_get("until_ms")?,
        created_at: row.try_get("created_ms")?,
    })
}
