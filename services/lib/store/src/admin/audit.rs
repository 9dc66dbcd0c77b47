//! The audit log. Only ever added to, which the schema sees to.

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::SiteId;
use uuid::Uuid;

use super::{AdminTx, Reader};
use crate::Error;

/// Something that somebody did.
#[derive(Debug, Clone)]
pub struct NewAudit<'a> {
    /// The site; `None` for what concerns the deployment.
    pub site: Option<SiteId>,
    /// With which key; `None` for the database's own password.
    pub key: Option<Uuid>,
    /// What, such as `site.suspend`.
    pub action: &'a str,
    /// To what: its id as the API shows it.
    pub target: &'a str,
    /// The address that the request came from.
    pub from: &'a str,
    /// The request.
    pub request: Uuid,
    /// What it was before, as JSON.
    pub before: Option<String>,
    /// What it is now, as JSON.
    pub after: Option<String>,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Higher than those before.
    pub id: i64,
    /// When (ms since 1970).
    pub at: i64,
    /// The site.
    pub site: Option<SiteId>,
    /// With which key.
    pub key: Option<Uuid>,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// From where.
    pub from: String,
    /// The request.
    pub request: Uuid,
    /// Before, as JSON.
    pub before: Option<String>,
    /// After, as JSON.
    pub after: Option<String>,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter<'a> {
    /// Of these sites only; `None` for everything.
    pub sites: Option<&'a [SiteId]>,
    /// Of this action only.
    pub action: Option<&'a str>,
    /// By this key only.
    pub key: Option<Uuid>,
    /// About this target only.
    pub target: Option<&'a str>,
    /// Not before that (ms since 1970).
    pub since: Option<i64>,
    /// Before that (ms since 1970).
    pub until: Option<i64>,
    /// Older than this one.
    pub before: Option<i64>,
}

impl Reader {
    /// Entries of the log, the newest first.
    pub async fn audit(&mut self, filter: AuditFilter<'_>, limit: i64) -> Result<Vec<AuditEntry>, Error> {
        let sites: Option<Vec<Uuid>> = filter.sites.map(|sites| sites.iter().map(|site| site.0).collect());
        let rows = sqlx::query(
            "SELECT audit_id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, site_id, key_id, action, target,
                    from_address, request_id, before::text, after::text
             FROM audit
             WHERE ($1::uuid[] IS NULL OR site_id = ANY($1)) AND ($2::text IS NULL OR action = $2)
               AND ($3::bigint IS NULL OR audit_id < $3) AND ($5::uuid IS NULL OR key_id = $5)
               AND ($6::text IS NULL OR target = $6)
               AND ($7::bigint IS NULL OR at >= to_timestamp($7::double precision / 1000))
               AND ($8::bigint IS NULL OR at < to_timestamp($8::double precision / 1000))
             ORDER BY audit_id DESC LIMIT $4",
        )
        .bind(sites)
        .bind(filter.action)
        .bind(filter.before)
        .bind(limit)
        .bind(filter.key)
        .bind(filter.target)
        .bind(filter.since)
        .bind(filter.until)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(entry).collect()
    }
}

fn entry(row: &PgRow) -> Result<AuditEntry, Error> {
    Ok(AuditEntry {
        id: row.try_get("audit_id")?,
        at: row.try_get("at_ms")?,
        site: row.try_get::<Option<Uuid>, _>("site_id")?.map(SiteId),
        key: row.try_get("key_id")?,
        action: row.try_get("action")?,
        target: row.try_get("target")?,
        from: row.try_get("from_address")?,
        request: row.try_get("request_id")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
    })
}

impl AdminTx {
    /// Adds to the log.
    pub async fn note(&mut self, audit: &NewAudit<'_>) -> Result<(), Error> {
        self.note_all(std::slice::from_ref(audit)).await
    }

    /// Adds to the log what happened at once, with one statement and in this order.
    pub async fn note_all(&mut self, audits: &[NewAudit<'_>]) -> Result<(), Error> {
        let texts =
            |pick: for<'a> fn(&'a NewAudit<'_>) -> &'a str| audits.iter().map(pick).collect::<Vec<&str>>();
        let json = |pick: for<'a> fn(&'a NewAudit<'_>) -> Option<&'a str>| {
            audits.iter().map(pick).collect::<Vec<_>>()
        };
        sqlx::query(
            "INSERT INTO audit (site_id, key_id, action, target, from_address, request_id, before, after)
             SELECT site_id, key_id, action, target, from_address, request_id, before::jsonb, after::jsonb
             FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[])
                  WITH ORDINALITY
                  AS a (site_id, key_id, action, target, from_address, request_id, before, after, place)
             ORDER BY place",
        )
        .bind(audits.iter().map(|audit| audit.site.map(|site| site.0)).collect::<Vec<_>>())
        .bind(audits.iter().map(|audit| audit.key).collect::<Vec<_>>())
        .bind(texts(|audit| audit.action))
        .bind(texts(|audit| audit.target))
        .bind(texts(|audit| audit.from))
        .bind(audits.iter().map(|audit| audit.request).collect::<Vec<_>>())
        .bind(json(|audit| audit.before.as_deref()))
        .bind(json(|audit| audit.after.as_deref()))
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}
