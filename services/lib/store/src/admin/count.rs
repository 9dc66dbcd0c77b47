//! What goes with a site when it is erased.

use sqlx::Row;
use tmtp_domain::SiteId;

use super::AdminTx;
use crate::Error;

/// What belongs to a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteHoldings {
    /// Members, whatever their state.
    pub members: i64,
    /// Their devices, revoked ones included.
    pub devices: i64,
    /// Their aliases.
    pub aliases: i64,
    /// Groups.
    pub groups: i64,
    /// Messages in rows, each once.
    pub messages: i64,
    /// Invites, whatever their state.
    pub invites: i64,
    /// Certificates that serve.
    pub certificates: i64,
    /// Host names.
    pub domains: i64,
    /// API keys that are for no other site.
    pub keys: i64,
}

impl AdminTx {
    /// Counts what belongs to a site.
    pub async fn site_holdings(&mut self, site: SiteId) -> Result<SiteHoldings, Error> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM member WHERE site_id = $1) AS members,
                    (SELECT count(*) FROM node WHERE site_id = $1) AS devices,
                    (SELECT count(*) FROM name WHERE site_id = $1 AND uid IS NOT NULL) AS aliases,
                    (SELECT count(*) FROM name
                     WHERE site_id = $1 AND uid IS NULL AND reserved_at IS NULL) AS groups,
                    (SELECT count(*) FROM message WHERE site_id = $1) AS messages,
                    (SELECT count(*) FROM invite WHERE site_id = $1) AS invites,
                    (SELECT count(*) FROM site_certificate WHERE site_id = $1 AND removed_at IS NULL) AS certificates,
                    (SELECT count(*) FROM site_domain WHERE site_id = $1) AS domains,
                    (SELECT count(*) FROM api_key WHERE site_ids = ARRAY[$1] AND revoked_at IS NULL) AS keys",
        )
        .bind(site.0)
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(SiteHoldings {
            members: row.try_get("members")?,
            devices: row.try_get("devices")?,
            aliases: row.try_get("aliases")?,
            groups: row.try_get("groups")?,
            messages: row.try_get("messages")?,
            invites: row.try_get("invites")?,
            certificates: row.try_get("certificates")?,
            domains: row.try_get("domains")?,
            keys: row.try_get("keys")?,
        })
    }
}
