//! What names look like, and whose they are.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{PgExecutor, Row};
use tmtp_domain::policy::skeletons;
use tmtp_domain::{NameHolder, SiteId};
use uuid::Uuid;

use crate::admin::Reader;
use crate::{Error, Store, uid};

/// Whose the names of a look are.
pub type Looks = HashMap<(SiteId, String), Vec<NameHolder>>;

impl Store {
    /// Whose the names are that look like this, those that exist.
    pub async fn looks(&self, wanted: &[(SiteId, String)]) -> Result<Looks, Error> {
        looks(&self.pool, wanted).await
    }

    /// Writes the looks of names that have none, because an earlier release has made them: looks at so many names behind
    /// `after`, and says where the next step begins; `None` at the end.
    pub async fn look_at_names(
        &self,
        after: Option<&(SiteId, String)>,
        limit: i64,
    ) -> Result<Option<(SiteId, String)>, Error> {
        let (site, name) = after.map_or((Uuid::nil(), ""), |(site, name)| (site.0, name.as_str()));
        let mut tx = self.pool.begin().await?;
        // Nobody may remove them before their looks are there.
        let rows = sqlx::query(
            "SELECT n.site_id, n.name,
                    EXISTS (SELECT 1 FROM name_look l WHERE l.site_id = n.site_id AND l.name = n.name)
             FROM name n
             WHERE (n.site_id, n.name) > ($1, $2)
             ORDER BY n.site_id, n.name LIMIT $3
             FOR KEY SHARE OF n",
        )
        .bind(site)
        .bind(name)
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        let (mut sites, mut names): (Vec<Uuid>, Vec<&str>) = (Vec::new(), Vec::new());
        for row in &rows {
            if !row.try_get::<bool, _>(2)? {
                sites.push(row.try_get(0)?);
                names.push(row.try_get(1)?);
            }
        }
        write_looks(&mut tx, &sites, &names).await?;
        let last = |row: &PgRow| Ok::<_, Error>((SiteId(row.try_get(0)?), row.try_get(1)?));
        let next = rows.last().map(last).transpose()?;
        tx.commit().await?;
        Ok(next)
    }
}

impl Reader {
    /// Whose the names are that look like this, those that exist.
    pub async fn looks(&mut self, wanted: &[(SiteId, String)]) -> Result<Looks, Error> {
        looks(&mut *self.tx, wanted).await
    }
}

async fn looks(from: impl PgExecutor<'_>, wanted: &[(SiteId, String)]) -> Result<Looks, Error> {
    let (sites, looks): (Vec<Uuid>, Vec<&str>) =
        wanted.iter().map(|(site, look)| (site.0, look.as_str())).unzip();
    let rows = sqlx::query(
        "SELECT l.site_id, l.look, n.uid
         FROM unnest($1::uuid[], $2::text[]) AS w (site_id, look)
         JOIN name_look l ON l.site_id = w.site_id AND l.look = w.look
         JOIN name n ON n.site_id = l.site_id AND n.name = l.name",
    )
    .bind(&sites)
    .bind(&looks)
    .fetch_all(from)
    .await?;
    let mut found = Looks::new();
    for row in rows {
        let holder = match row.try_get::<Option<&[u8]>, _>(2)? {
            Some(octets) => NameHolder::Member(uid(octets)?),
            None => NameHolder::Group,
        };
        found.entry((SiteId(row.try_get(0)?), row.try_get(1)?)).or_default().push(holder);
    }
    Ok(found)
}

/// Writes what names look like; the names are there.
pub(crate) async fn write_looks(
    connection: &mut PgConnection,
    sites: &[Uuid],
    names: &[&str],
) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let mut columns: (Vec<Uuid>, Vec<String>, Vec<&str>) = (Vec::new(), Vec::new(), Vec::new());
    for (&site, &name) in sites.iter().zip(names) {
        for look in skeletons(name) {
            columns.0.push(site);
            columns.1.push(look);
            columns.2.push(name);
        }
    }
    sqlx::query(
        "INSERT INTO name_look (site_id, look, name)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(&columns.0)
    .bind(&columns.1)
    .bind(&columns.2)
    .execute(connection)
    .await?;
    Ok(())
}
