//! Members and groups that end for good, as part of a worker's commit, and what a member has until then.

use sqlx::{Postgres, Row, Transaction};
use tmtp_domain::{SiteId, Uid};

use super::Reader;
use crate::{Change, Error, PolicyChange, Store};

/// What a member has: how many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Devices, revoked ones included.
    pub devices: i64,
    /// Aliases.
    pub aliases: i64,
    /// Groups that it belongs to or is invited to.
    pub groups: i64,
    /// Messages that wait for it in rows, each as often as devices wait for it.
    pub queued: i64,
    /// Accounts of sign-in providers.
    pub identities: i64,
}

impl Change {
    /// Whether it is a row of this member, or of something that it has. Bodies and what was noted of admins are not.
    pub fn is_about_member(&self, site: SiteId, uid: Uid) -> bool {
        let of = match self {
            Self::Member { site, uid }
            | Self::Node { site, uid, .. }
            | Self::Name { site, uid, .. }
            | Self::Place { site, uid, .. }
            | Self::CopyInbox { site, uid, .. }
            | Self::MemberStatus { site, uid, .. }
            | Self::Suspended { site, uid, .. }
            | Self::NodeRevoked { site, uid, .. }
            | Self::NodeSeen { site, uid, .. }
            | Self::DropInbox { site, uid, .. } => (*site, *uid),
            Self::Joined(joining) => (joining.site, joining.uid),
            Self::Policy(PolicyChange::Acquainted { site: place, uid: who, with }) => {
                return *place == site && [*who, *with].contains(&uid);
            }
            _ => return false,
        };
        of == (site, uid)
    }

    /// Whether it is a row of this group.
    pub fn is_about_group(&self, site: SiteId, gid: &str) -> bool {
        match self {
            Self::Group { site: place, gid: name }
            | Self::Place { site: place, gid: name, .. }
            | Self::Policy(PolicyChange::GroupRule { site: place, gid: name, .. }) => {
                (*place, name.as_str()) == (site, gid)
            }
            _ => false,
        }
    }
}

impl Reader {
    /// What a member has. Nothing when there is no such member.
    pub async fn holdings(&mut self, site: SiteId, uid: Uid) -> Result<Holdings, Error> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM node WHERE site_id = $1 AND uid = $2) AS devices,
                    (SELECT count(*) FROM name WHERE site_id = $1 AND uid = $2) AS aliases,
                    (SELECT count(*) FROM group_member WHERE site_id = $1 AND uid = $2 AND status <> 'barred') AS groups,
                    (SELECT count(*) FROM inbox WHERE site_id = $1 AND uid = $2) AS queued,
                    (SELECT count(*) FROM identity WHERE site_id = $1 AND uid = $2) AS identities",
        )
        .bind(site.0)
        .bind(uid.0.as_slice())
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(Holdings {
            devices: row.try_get("devices")?,
            aliases: row.try_get("aliases")?,
            groups: row.try_get("groups")?,
            queued: row.try_get("queued")?,
            identities: row.try_get("identities")?,
        })
    }
}

impl Store {
    /// The groups that a member belongs to or is invited to, by name, behind `after`.
    pub async fn groups_of(
        &self,
        site: SiteId,
        uid: Uid,
        after: &str,
        limit: i64,
    ) -> Result<Vec<String>, Error> {
        let groups = sqlx::query_scalar(
            "SELECT gid FROM group_member WHERE site_id = $1 AND uid = $2 AND status <> 'barred' AND gid > $3
             ORDER BY gid LIMIT $4",
        )
        .bind(site.0)
        .bind(uid.0.as_slice())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(groups)
    }
}

/// Removes the rows of a member or group that is gone; does nothing for other changes.
pub(crate) async fn erase_gone(
    change: &Change,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    match change {
        Change::MemberGone { site, uid } => {
            // Those first that refer to others; the rest goes with the member's own row.
            for statement in [
                "DELETE FROM group_member WHERE site_id = $1 AND uid = $2",
                "DELETE FROM name WHERE site_id = $1 AND uid = $2",
                "DELETE FROM node WHERE site_id = $1 AND uid = $2",
                "DELETE FROM trace_drop WHERE site_id = $1 AND uid = $2",
                "DELETE FROM member WHERE site_id = $1 AND uid = $2",
            ] {
                sqlx::query(statement).bind(site.0).bind(uid.0.as_slice()).execute(&mut **tx).await?;
            }
        }
        Change::GroupGone { site, gid } => {
            for statement in [
                "DELETE FROM group_member WHERE site_id = $1 AND gid = $2",
                "DELETE FROM name WHERE site_id = $1 AND name = $2 AND uid IS NULL AND reserved_at IS NULL",
            ] {
                sqlx::query(statement).bind(site.0).bind(gid).execute(&mut **tx).await?;
            }
        }
        _ => {}
    }
    Ok(())
}
