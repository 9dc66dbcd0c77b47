//! How much sites are used, as their admins see it.

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::SiteId;
use uuid::Uuid;

use super::Reader;
use crate::Error;

/// A day of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// Which.
    pub site: SiteId,
    /// As in `2026-12-31`.
    pub day: String,
    /// Members at its end: those that are still there.
    pub members: i64,
    /// Posts.
    pub messages: i64,
    /// The octets of their data.
    pub octets: i64,
}

impl Reader {
    /// The days of these sites (`None`: of all) on which something was posted, from `from` to `to`, each as in
    /// `2026-12-31`; in the order of days and sites, behind `after`.
    pub async fn usage(
        &mut self,
        sites: Option<&[SiteId]>,
        (from, to): (&str, &str),
        after: Option<(&str, SiteId)>,
        limit: i64,
    ) -> Result<Vec<UsageRecord>, Error> {
        let sites: Option<Vec<Uuid>> = sites.map(|sites| sites.iter().map(|site| site.0).collect());
        let rows = sqlx::query(
            "SELECT u.site_id, u.day::text AS day, u.messages, u.octets,
                    (SELECT count(*) FROM member m WHERE m.site_id = u.site_id
                     AND m.created_at < (u.day + 1)::timestamp AT TIME ZONE 'UTC') AS members
             FROM usage_day u
             WHERE ($1::uuid[] IS NULL OR u.site_id = ANY($1)) AND u.day BETWEEN $2::text::date AND $3::text::date
               AND ($4::text IS NULL OR (u.day, u.site_id) > ($4::text::date, $5::uuid))
             ORDER BY u.day, u.site_id LIMIT $6",
        )
        .bind(sites)
        .bind(from)
        .bind(to)
        .bind(after.map(|(day, _)| day))
        .bind(after.map(|(_, site)| site.0))
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        let record = |row: &PgRow| {
            Ok(UsageRecord {
                site: SiteId(row.try_get("site_id")?),
                day: row.try_get("day")?,
                members: row.try_get("members")?,
                messages: row.try_get("messages")?,
                octets: row.try_get("octets")?,
            })
        };
        rows.iter().map(record).collect()
    }
}
