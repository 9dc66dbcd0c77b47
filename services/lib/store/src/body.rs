//! Which bodies of the body store are referred to.

use std::collections::HashSet;

use sqlx::Row;
use tmtp_domain::{BodyId, SiteId};
use uuid::Uuid;

use crate::{Error, Store};

/// A body of the body store, as rows name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredBody {
    /// Which one.
    pub id: BodyId,
    /// Octets in all.
    pub len: u64,
    /// Octets of each chunk but the last.
    pub chunk: u32,
}

impl Store {
    /// Those of these bodies that a queued message refers to; the sweeper removes the others.
    pub async fn bodies_held(&self, bodies: &[(SiteId, BodyId)]) -> Result<HashSet<(SiteId, BodyId)>, Error> {
        let sites: Vec<Uuid> = bodies.iter().map(|(site, _)| site.0).collect();
        let ids: Vec<Uuid> = bodies.iter().map(|(_, body)| body.0).collect();
        let rows = sqlx::query(
            "SELECT b.site_id, b.body_id FROM unnest($1::uuid[], $2::uuid[]) AS w (site_id, body_id)
             JOIN body b ON b.site_id = w.site_id AND b.body_id = w.body_id",
        )
        .bind(&sites)
        .bind(&ids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((SiteId(row.try_get(0)?), BodyId(row.try_get(1)?)))).collect()
    }
}
