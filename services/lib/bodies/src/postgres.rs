//! Bodies as rows of `body_chunk`, over a pool of connections of their own.
//!
//! Must never hold a transaction open between two chunks: uploads are as slow as their clients.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool, Row};
use tmtp_domain::{BodyId, SiteId};
use uuid::Uuid;

use crate::{Error, Postgres, StaleBody, StalePage};

/// How long a call waits for a free connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tried before it is used: the server may have restarted meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

pub(crate) struct PostgresBodies {
    pool: PgPool,
    chunk_octets: u32,
}

impl PostgresBodies {
    pub(crate) fn open(config: &Postgres) -> Result<Self, Error> {
        let mut options = PgConnectOptions::from_str(config.url.expose())
            // Not quoted: it may hold a password.
            .map_err(|_| Error::Config("bodies.postgres.url is not a usable URL".to_owned()))?
            .application_name("tmtp-bodies");
        if !config.flush {
            // Chunks need no flush of their own: the commit of the command that refers to them comes later in the
            // same log, so it cannot survive without them.
            options = options.options([("synchronous_commit", "off")]);
        }
        let pool = PgPoolOptions::new()
            .max_connections(config.connections_max)
            .acquire_timeout(ACQUIRE_MAX)
            .test_before_acquire(false)
            .before_acquire(|connection, state| {
                Box::pin(async move {
                    if state.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, chunk_octets: config.chunk_octets })
    }

    pub(crate) fn chunk_octets(&self) -> u32 {
        self.chunk_octets
    }

    pub(crate) async fn put_chunk(
        &self,
        site: SiteId,
        body: BodyId,
        seq: u64,
        octets: Bytes,
    ) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO body_chunk (site_id, body_id, seq, octets)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (site_id, body_id, seq)
             DO UPDATE SET octets = excluded.octets, written_at = now()",
        )
        .bind(site.0)
        .bind(body.0)
        .bind(bigint(seq))
        .bind(octets.as_ref())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub(crate) async fn get_chunk(
        &self,
        site: SiteId,
        body: BodyId,
        seq: u64,
    ) -> Result<Option<Bytes>, Error> {
        let octets: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT octets FROM body_chunk WHERE site_id = $1 AND body_id = $2 AND seq = $3",
        )
        .bind(site.0)
        .bind(body.0)
        .bind(bigint(seq))
        .fetch_optional(&self.pool)
        .await?;
        Ok(octets.map(Bytes::from))
    }

    /// The counts of chunks are for the other back end: here the key's front is enough.
    pub(crate) async fn remove(&self, site: SiteId, bodies: &[(BodyId, u64)]) -> Result<(), Error> {
        let ids: Vec<Uuid> = bodies.iter().map(|(body, _)| body.0).collect();
        sqlx::query("DELETE FROM body_chunk WHERE site_id = $1 AND body_id = ANY($2)")
            .bind(site.0)
            .bind(&ids)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn stale(
        &self,
        older_than: Duration,
        after: Option<(SiteId, BodyId)>,
        examined_max: u32,
    ) -> Result<StalePage, Error> {
        let (site, body) = after.map_or((Uuid::nil(), Uuid::nil()), |(site, body)| (site.0, body.0));
        // From body to body with one look into the key each, and one for its newest chunk, however many it has.
        let rows = sqlx::query(
            "WITH RECURSIVE walk AS (
                 (SELECT c.site_id, c.body_id, 1::bigint AS examined
                  FROM body_chunk c
                  WHERE (c.site_id, c.body_id, c.seq) > ($1, $2, 9223372036854775807)
                  ORDER BY c.site_id, c.body_id, c.seq
                  LIMIT 1)
                 UNION ALL
                 SELECT n.site_id, n.body_id, walk.examined + 1
                 FROM walk CROSS JOIN LATERAL (
                     SELECT c.site_id, c.body_id
                     FROM body_chunk c
                     WHERE (c.site_id, c.body_id, c.seq) > (walk.site_id, walk.body_id, 9223372036854775807)
                     ORDER BY c.site_id, c.body_id, c.seq
                     LIMIT 1) n
                 WHERE walk.examined < $3
             )
             SELECT walk.site_id, walk.body_id, newest.seq,
                    newest.written_at <= now() - make_interval(secs => $4) AS is_stale
             FROM walk CROSS JOIN LATERAL (
                 SELECT c.seq, c.written_at
                 FROM body_chunk c
                 WHERE c.site_id = walk.site_id AND c.body_id = walk.body_id
                 ORDER BY c.seq DESC
                 LIMIT 1) newest
             ORDER BY walk.examined",
        )
        .bind(site)
        .bind(body)
        .bind(i64::from(examined_max))
        .bind(older_than.as_secs_f64())
        .fetch_all(&self.pool)
        .await?;
        let mut page = StalePage { bodies: Vec::new(), next: None };
        for row in &rows {
            let (site, body) = (SiteId(row.try_get(0)?), BodyId(row.try_get(1)?));
            let last: i64 = row.try_get(2)?;
            if row.try_get(3)? {
                page.bodies.push(StaleBody { site, body, chunks: last.unsigned_abs() + 1 });
            }
            page.next = Some((site, body));
        }
        if rows.len() < examined_max as usize {
            page.next = None;
        }
        Ok(page)
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        // Touches the table, so that a missing migration shows.
        sqlx::query("SELECT FROM body_chunk LIMIT 0").execute(&self.pool).await?;
        Ok(())
    }
}

/// Chunks are counted from 0, and nobody has as many as do not fit.
fn bigint(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
