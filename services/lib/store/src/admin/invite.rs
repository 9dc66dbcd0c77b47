//! Invites of a site. Whoever joins with one does so in the registration's transaction, which is the worker's; here is
//! what admins and the built-in issuer do with them.

use std::collections::HashSet;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{InviteId, InviteState, InviteUse, SiteId, Uid};
use uuid::Uuid;

use super::{AdminTx, Reader};
use crate::{Error, Store};

/// An invite, without its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRecord {
    /// Its site.
    pub site: SiteId,
    /// Uses, end and revocation: what its state follows from.
    pub usage: InviteUse,
    /// The alias that whoever joins gets.
    pub alias: Option<String>,
    /// Who it is for, to the inviting organisation's own system.
    pub external_id: Option<String>,
    /// The groups that whoever joins becomes a member of.
    pub groups: Vec<String>,
    /// What whoever joins is to be.
    pub role: Option<String>,
    /// For the site's admins.
    pub note: Option<String>,
    /// Whether whoever joins has to wait for approval.
    pub requires_approval: bool,
    /// The key with which it was made.
    pub created_by: Option<Uuid>,
    /// When it was made (ms since 1970).
    pub created_at: i64,
}

impl InviteRecord {
    /// Which one.
    pub fn id(&self) -> InviteId {
        self.usage.id
    }
}

/// An invite to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewInvite {
    /// Its id, the caller's random choice.
    pub id: InviteId,
    /// [`tmtp_domain::InviteCode::hash`].
    pub code_hash: [u8; 32],
    /// The alias that whoever joins gets; only with one use.
    pub alias: Option<String>,
    /// Who it is for.
    pub external_id: Option<String>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// What whoever joins is to be.
    pub role: Option<String>,
    /// For the site's admins.
    pub note: Option<String>,
    /// How many may join with it, at least one.
    pub max_uses: i32,
    /// Whether whoever joins has to wait for approval.
    pub requires_approval: bool,
    /// When it ends (ms since 1970).
    pub expires_at: Option<i64>,
}

impl NewInvite {
    /// An invite for one person, with nothing else to it.
    pub fn for_one(id: InviteId, code_hash: [u8; 32]) -> Self {
        Self {
            id,
            code_hash,
            alias: None,
            external_id: None,
            groups: Vec::new(),
            role: None,
            note: None,
            max_uses: 1,
            requires_approval: false,
            expires_at: None,
        }
    }
}

/// Which invites are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct InviteFilter<'a> {
    /// In this state now.
    pub state: Option<InviteState>,
    /// For this person of the organisation's own system.
    pub external_id: Option<&'a str>,
    /// Older than this one.
    pub after: Option<InviteId>,
}

/// Somebody who joined with an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Who.
    pub uid: Uid,
    /// `pending`, `completed` or `denied`.
    pub state: String,
    /// When (ms since 1970).
    pub at: i64,
}

/// A row of the JSON in which many invites go into one statement.
#[derive(Serialize)]
struct InviteRow<'a> {
    id: Uuid,
    code: String,
    alias: Option<&'a str>,
    external_id: Option<&'a str>,
    groups: &'a [String],
    role: Option<&'a str>,
    note: Option<&'a str>,
    max_uses: i32,
    requires_approval: bool,
    expires_ms: Option<i64>,
}

/// The columns of [`InviteRecord`].
macro_rules! columns {
    () => {
        "site_id, invite_id, alias, external_id, groups, role, note, max_uses, pending, completed, requires_approval,
         created_by, (extract(epoch FROM expires_at) * 1000)::bigint AS expires_ms,
         (extract(epoch FROM revoked_at) * 1000)::bigint AS revoked_ms,
         (extract(epoch FROM created_at) * 1000)::bigint AS created_ms"
    };
}

impl Reader {
    /// Invites of a site, the newest first.
    pub async fn invites(
        &mut self,
        site: SiteId,
        filter: InviteFilter<'_>,
        limit: i64,
    ) -> Result<Vec<InviteRecord>, Error> {
        // The state as `InviteUse::state` has it.
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM invite WHERE site_id = $1
              AND ($2::uuid IS NULL OR (created_at, invite_id) <
                   (SELECT created_at, invite_id FROM invite WHERE site_id = $1 AND invite_id = $2))
              AND ($3::text IS NULL OR external_id = $3)
              AND ($4::text IS NULL OR $4 = CASE
                   WHEN revoked_at IS NOT NULL THEN 'revoked'
                   WHEN pending + completed >= max_uses THEN 'used'
                   WHEN expires_at <= now() THEN 'expired'
                   WHEN pending + completed > 0 THEN 'active'
                   ELSE 'pending' END)
              ORDER BY created_at DESC, invite_id DESC LIMIT $5"
        ))
        .bind(site.0)
        .bind(filter.after.map(|invite| invite.0))
        .bind(filter.external_id)
        .bind(filter.state.map(InviteState::as_str))
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(record).collect()
    }

    /// One invite.
    pub async fn invite(&mut self, site: SiteId, id: InviteId) -> Result<Option<InviteRecord>, Error> {
        let row =
            sqlx::query(concat!("SELECT ", columns!(), " FROM invite WHERE site_id = $1 AND invite_id = $2"))
                .bind(site.0)
                .bind(id.0)
                .fetch_optional(&mut *self.tx)
                .await?;
        row.as_ref().map(record).transpose()
    }

    /// Who joined with an invite, the first one first, behind `after`.
    pub async fn joined(
        &mut self,
        site: SiteId,
        id: InviteId,
        after: Option<Uid>,
        limit: i64,
    ) -> Result<Vec<Joined>, Error> {
        let rows = sqlx::query(
            "SELECT uid, state, (extract(epoch FROM at) * 1000)::bigint AS at_ms FROM invite_use
             WHERE site_id = $1 AND invite_id = $2
               AND ($3::bytea IS NULL OR (at, uid) > (SELECT a.at, a.uid FROM invite_use a
                    WHERE a.site_id = $1 AND a.invite_id = $2 AND a.uid = $3))
             ORDER BY at, uid LIMIT $4",
        )
        .bind(site.0)
        .bind(id.0)
        .bind(after.as_ref().map(|uid| uid.0.as_slice()))
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        let joined = |row: &PgRow| {
            Ok(Joined {
                uid: crate::uid(row.try_get("uid")?)?,
                state: row.try_get("state")?,
                at: row.try_get("at_ms")?,
            })
        };
        rows.iter().map(joined).collect()
    }

    /// The groups of the invites with which a member waits for approval.
    pub async fn awaited_groups(&mut self, site: SiteId, uid: Uid) -> Result<Vec<String>, Error> {
        let groups: Vec<Vec<String>> = sqlx::query_scalar(
            "SELECT i.groups FROM invite_use u JOIN invite i USING (site_id, invite_id)
             WHERE u.site_id = $1 AND u.uid = $2 AND u.state = 'pending' ORDER BY u.at",
        )
        .bind(site.0)
        .bind(uid.0.as_slice())
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(groups.concat())
    }
}

impl Store {
    /// The invite of the code with this hash, whatever its state.
    pub async fn invite_by_code(&self, site: SiteId, hash: &[u8; 32]) -> Result<Option<InviteRecord>, Error> {
        let row =
            sqlx::query(concat!("SELECT ", columns!(), " FROM invite WHERE site_id = $1 AND code_hash = $2"))
                .bind(site.0)
                .bind(hash.as_slice())
                .fetch_optional(&self.pool)
                .await?;
        row.as_ref().map(record).transpose()
    }

    /// Which of these invites are there.
    pub async fn invites_there(&self, site: SiteId, ids: &[InviteId]) -> Result<HashSet<InviteId>, Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let query = "SELECT invite_id FROM invite WHERE site_id = $1 AND invite_id = ANY($2)";
        let there: Vec<Uuid> = sqlx::query_scalar(query).bind(site.0).bind(ids).fetch_all(&self.pool).await?;
        Ok(there.into_iter().map(InviteId).collect())
    }
}

impl AdminTx {
    /// Makes invites, all or none, with one statement. In the order of `invites`.
    pub async fn create_invites(
        &mut self,
        site: SiteId,
        created_by: Option<Uuid>,
        invites: &[NewInvite],
    ) -> Result<Vec<InviteRecord>, Error> {
        let rows: Vec<InviteRow<'_>> = invites.iter().map(row).collect();
        let rows = serde_json::to_string(&rows).map_err(|error| Error::Unreadable(error.to_string()))?;
        let made = sqlx::query(concat!(
            "INSERT INTO invite (site_id, invite_id, code_hash, alias, external_id, groups, role, note, max_uses,
                                 requires_approval, expires_at, created_by)
             SELECT $1, id, decode(code, 'hex'), alias, external_id, groups, role, note, max_uses,
                    requires_approval, to_timestamp(expires_ms::double precision / 1000), $2
             FROM jsonb_to_recordset($3::jsonb) AS r(id uuid, code text, alias text, external_id text, groups text[],
                  role text, note text, max_uses integer, requires_approval boolean, expires_ms bigint)
             RETURNING ",
            columns!()
        ))
        .bind(site.0)
        .bind(created_by)
        .bind(rows)
        .fetch_all(&mut *self.tx)
        .await?;
        made.iter().map(record).collect()
    }

    /// One invite, which nobody else changes or uses until the end of this.
    pub async fn lock_invite(&mut self, site: SiteId, id: InviteId) -> Result<Option<InviteRecord>, Error> {
        let row = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM invite WHERE site_id = $1 AND invite_id = $2 FOR UPDATE"
        ))
        .bind(site.0)
        .bind(id.0)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(record).transpose()
    }

    /// Ends an invite at once. `None`: there is none that has not been revoked.
    pub async fn revoke_invite(&mut self, site: SiteId, id: InviteId) -> Result<Option<InviteRecord>, Error> {
        let row = sqlx::query(concat!(
            "UPDATE invite SET revoked_at = now()
             WHERE site_id = $1 AND invite_id = $2 AND revoked_at IS NULL RETURNING ",
            columns!()
        ))
        .bind(site.0)
        .bind(id.0)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(record).transpose()
    }

    /// Gives an invite a new code and a new end; the old code is no longer good. `None`: there is none that has not
    /// been revoked.
    pub async fn recode_invite(
        &mut self,
        site: SiteId,
        id: InviteId,
        hash: &[u8; 32],
        expires_at: Option<i64>,
    ) -> Result<Option<InviteRecord>, Error> {
        let row = sqlx::query(concat!(
            "UPDATE invite SET code_hash = $3, expires_at = to_timestamp($4::double precision / 1000)
             WHERE site_id = $1 AND invite_id = $2 AND revoked_at IS NULL RETURNING ",
            columns!()
        ))
        .bind(site.0)
        .bind(id.0)
        .bind(hash.as_slice())
        .bind(expires_at)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(record).transpose()
    }
}

fn row(invite: &NewInvite) -> InviteRow<'_> {
    InviteRow {
        id: invite.id.0,
        code: HEXLOWER.encode(&invite.code_hash),
        alias: invite.alias.as_deref(),
        external_id: invite.external_id.as_deref(),
        groups: &invite.groups,
        role: invite.role.as_deref(),
        note: invite.note.as_deref(),
        max_uses: invite.max_uses,
        requires_approval: invite.requires_approval,
        expires_ms: invite.expires_at,
    }
}

fn record(row: &PgRow) -> Result<InviteRecord, Error> {
    Ok(InviteRecord {
        site: SiteId(row.try_get("site_id")?),
        usage: invite_usage(row)?,
        alias: row.try_get("alias")?,
        external_id: row.try_get("external_id")?,
        groups: row.try_get("groups")?,
        role: row.try_get("role")?,
        note: row.try_get("note")?,
        requires_approval: row.try_get("requires_approval")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_ms")?,
    })
}

/// What decides whether an invite can be used, in the columns of these names.
pub(crate) fn invite_usage(row: &PgRow) -> Result<InviteUse, Error> {
    Ok(InviteUse {
        id: InviteId(row.try_get("invite_id")?),
        uses_allowed: row.try_get("max_uses")?,
        uses_pending: row.try_get("pending")?,
        uses_completed: row.try_get("completed")?,
        expires_at: row.try_get("expires_ms")?,
        revoked_at: row.try_get("revoked_ms")?,
    })
}
