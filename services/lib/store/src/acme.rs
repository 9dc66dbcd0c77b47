//! What is to be ordered from a certificate authority: accounts, and the state of each domain.

use std::str::FromStr;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use tmtp_domain::SiteId;
use uuid::Uuid;

use crate::certificate::insert;
use crate::{AdminTx, CertificateRecord, Error, NewCertificate, Reader, Store};

/// How the ordering for a domain goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeState {
    /// Nothing was ordered yet, or it is to be done again at once.
    Waiting,
    /// There is a certificate; it is renewed in time.
    Issued,
    /// The last attempt failed; there will be another.
    Failed,
}

impl AcmeState {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Issued => "issued",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for AcmeState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "waiting" => Ok(Self::Waiting),
            "issued" => Ok(Self::Issued),
            "failed" => Ok(Self::Failed),
            other => Err(format!("unknown state of a domain {other:?}")),
        }
    }
}

/// A domain whose certificate is ordered and renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeDomain {
    /// Whose.
    pub site: SiteId,
    /// Lower case, no wildcard.
    pub domain: String,
    /// How it goes.
    pub state: AcmeState,
    /// When it is tried next (ms since 1970).
    pub next_at: i64,
    /// Failures since the last success.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the state changed (ms since 1970).
    pub changed_at: i64,
}

/// Why a domain cannot be ordered for.
#[derive(Debug, thiserror::Error)]
pub enum AcmeEnableError {
    /// The site does not have it.
    #[error("the site has no such domain")]
    NoSuchDomain,
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The columns of [`AcmeDomain`].
macro_rules! columns {
    () => {
        "a.site_id, a.domain, a.state, a.attempts, a.last_error,
         (extract(epoch FROM a.next_at) * 1000)::bigint AS next_ms,
         (extract(epoch FROM a.changed_at) * 1000)::bigint AS changed_ms"
    };
}

impl Reader {
    /// The domains of a site that are ordered for, by name.
    pub async fn acme_domains(&mut self, site: SiteId) -> Result<Vec<AcmeDomain>, Error> {
        let query =
            concat!("SELECT ", columns!(), " FROM acme_domain a WHERE a.site_id = $1 ORDER BY a.domain");
        let rows = sqlx::query(query).bind(site.0).fetch_all(&mut *self.tx).await?;
        rows.iter().map(domain).collect()
    }
}

impl Store {
    /// Takes domains that are due, those that wait longest first, for nobody else to work on while the lease lasts.
    /// Domains of sites that are not served are left alone: no authority could reach them.
    pub async fn acme_claim(
        &self,
        owner: Uuid,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<AcmeDomain>, Error> {
        let rows = sqlx::query(concat!(
            "UPDATE acme_domain a
             SET lease_owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2)
             WHERE (a.site_id, a.domain) IN (
                 SELECT d.site_id, d.domain FROM acme_domain d JOIN site s ON s.site_id = d.site_id
                 WHERE d.next_at <= now() AND (d.lease_until IS NULL OR d.lease_until <= now())
                   AND s.status = 'active'
                 ORDER BY d.next_at LIMIT $3 FOR UPDATE OF d SKIP LOCKED)
             RETURNING ",
            columns!()
        ))
        .bind(owner)
        .bind(lease.as_secs_f64())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(domain).collect()
    }

    /// Adds the certificate that was issued for a domain, in the place of those that were issued for it before, and
    /// says when it is due again. The audit log has it, under the address `acme`. Nothing happens, and none is said, when the
    /// domain is not this owner's any more.
    pub async fn acme_issued(
        &self,
        owner: Uuid,
        domain: &str,
        certificate: &NewCertificate,
        renew_at: i64,
    ) -> Result<Option<CertificateRecord>, Error> {
        let mut tx = self.pool.begin().await?;
        let kept = sqlx::query(
            "UPDATE acme_domain SET state = 'issued', attempts = 0, last_error = NULL, lease_owner = NULL,
                 lease_until = NULL, next_at = to_timestamp($4 / 1000.0), changed_at = now()
             WHERE site_id = $1 AND domain = $2 AND lease_owner = $3",
        )
        .bind(certificate.site.0)
        .bind(domain)
        .bind(owner)
        .bind(renew_at)
        .execute(&mut *tx)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(None);
        }
        let replaced: Vec<String> = sqlx::query_scalar(
            "UPDATE site_certificate SET removed_at = now(), chain = '{}', sealed_key = ''
             WHERE site_id = $1 AND source = 'acme' AND names = $2 AND removed_at IS NULL
             RETURNING 'cert_' || certificate_id",
        )
        .bind(certificate.site.0)
        .bind(&certificate.names)
        .fetch_all(&mut *tx)
        .await?;
        let record = insert(&mut tx, certificate).await?;
        note_issued(&record, domain, &replaced, &mut tx).await?;
        tx.commit().await?;
        Ok(Some(record))
    }

    /// Notes that an attempt failed, why, and how long to wait before the next.
    pub async fn acme_failed(
        &self,
        owner: Uuid,
        of: &AcmeDomain,
        error: &str,
        pause: Duration,
    ) -> Result<(), Error> {
        sqlx::query(
            "UPDATE acme_domain SET state = 'failed', attempts = attempts + 1, last_error = $4, lease_owner = NULL,
                 lease_until = NULL, next_at = clock_timestamp() + make_interval(secs => $5), changed_at = now()
             WHERE site_id = $1 AND domain = $2 AND lease_owner = $3",
        )
        .bind(of.site.0)
        .bind(&of.domain)
        .bind(owner)
        .bind(error)
        .bind(pause.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many domains are in each state.
    pub async fn acme_states(&self) -> Result<Vec<(AcmeState, i64)>, Error> {
        let rows = sqlx::query("SELECT state, count(*) FROM acme_domain GROUP BY state")
            .fetch_all(&self.pool)
            .await?;
        let count = |row: &PgRow| {
            Ok((row.try_get::<&str, _>(0)?.parse().map_err(Error::Unreadable)?, row.try_get(1)?))
        };
        rows.iter().map(count).collect()
    }

    /// The sealed credentials of the account at an authority.
    pub async fn acme_account(&self, directory: &str) -> Result<Option<Vec<u8>>, Error> {
        let row = sqlx::query_scalar("SELECT sealed_credentials FROM acme_account WHERE directory = $1");
        Ok(row.bind(directory).fetch_optional(&self.pool).await?)
    }

    /// Keeps the credentials of a new account, unless somebody else was faster; says whose are kept.
    pub async fn keep_acme_account(&self, directory: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        sqlx::query(
            "INSERT INTO acme_account (directory, sealed_credentials) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(directory)
        .bind(sealed)
        .execute(&self.pool)
        .await?;
        let kept = self.acme_account(directory).await?;
        kept.ok_or_else(|| Error::Unreadable("an account that was just kept".into()))
    }

    /// Forgets an account that the authority does not know any more.
    pub async fn forget_acme_account(&self, directory: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM acme_account WHERE directory = $1")
            .bind(directory)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

impl AdminTx {
    /// Orders certificates for a domain from now on; harmless when that is so already.
    pub async fn enable_acme(&mut self, site: SiteId, domain: &str) -> Result<AcmeDomain, AcmeEnableError> {
        let done =
            sqlx::query("INSERT INTO acme_domain (site_id, domain) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(site.0)
                .bind(domain)
                .execute(&mut *self.tx)
                .await;
        if let Err(sqlx::Error::Database(cause)) = &done
            && cause.constraint() == Some("acme_domain_of_site")
        {
            return Err(AcmeEnableError::NoSuchDomain);
        }
        done.map_err(Error::from)?;
        self.acme_domain(site, domain).await?.ok_or(AcmeEnableError::NoSuchDomain)
    }

    /// Orders none any more; the certificates that were issued stay until they are removed. Says how it was.
    pub async fn disable_acme(&mut self, site: SiteId, domain: &str) -> Result<Option<AcmeDomain>, Error> {
        let was = self.acme_domain(site, domain).await?;
        sqlx::query("DELETE FROM acme_domain WHERE site_id = $1 AND domain = $2")
            .bind(site.0)
            .bind(domain)
            .execute(&mut *self.tx)
            .await?;
        Ok(was)
    }

    /// Has it tried at once, whatever was planned.
    pub async fn retry_acme(&mut self, site: SiteId, domain: &str) -> Result<Option<AcmeDomain>, Error> {
        sqlx::query(
            "UPDATE acme_domain SET state = 'waiting', next_at = now(), changed_at = now()
             WHERE site_id = $1 AND domain = $2",
        )
        .bind(site.0)
        .bind(domain)
        .execute(&mut *self.tx)
        .await?;
        self.acme_domain(site, domain).await
    }

    /// How it goes with a domain.
    pub async fn acme_domain(&mut self, site: SiteId, name: &str) -> Result<Option<AcmeDomain>, Error> {
        let query =
            concat!("SELECT ", columns!(), " FROM acme_domain a WHERE a.site_id = $1 AND a.domain = $2");
        let row = sqlx::query(query).bind(site.0).bind(name).fetch_optional(&mut *self.tx).await?;
        row.as_ref().map(domain).transpose()
    }
}

/// Adds to the audit log what an order has led to: nobody's key is behind it.
async fn note_issued(
    record: &CertificateRecord,
    domain: &str,
    replaced: &[String],
    tx: &mut PgConnection,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (site_id, action, target, from_address, request_id, before, after)
         VALUES ($1, 'certificate.issue', $2::text, 'acme', gen_random_uuid(),
                 jsonb_build_object('domain', $3::text, 'certificates', $4::text[]),
                 jsonb_build_object('domain', $3::text, 'certificates', ARRAY[$2::text], 'names', $5::text[],
                                    'issuer', $6::text, 'not_after', to_timestamp($7 / 1000.0)))",
    )
    .bind(record.site.0)
    .bind(format!("cert_{}", record.id))
    .bind(domain)
    .bind(replaced)
    .bind(&record.names)
    .bind(&record.issuer)
    .bind(record.not_after)
    .execute(tx)
    .await?;
    Ok(())
}

fn domain(row: &PgRow) -> Result<AcmeDomain, Error> {
    Ok(AcmeDomain {
        site: SiteId(row.try_get("site_id")?),
        domain: row.try_get("domain")?,
        state: row.try_get::<&str, _>("state")?.parse().map_err(Error::Unreadable)?,
        next_at: row.try_get("next_ms")?,
        attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
        last_error: row.try_get("last_error")?,
        changed_at: row.try_get("changed_ms")?,
    })
}
