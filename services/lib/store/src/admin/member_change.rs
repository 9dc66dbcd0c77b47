//! Rows of members that change at an admin's request, as part of a worker's commit.

use std::collections::BTreeSet;

use sqlx::{Postgres, Transaction};
use tmtp_domain::{KeyId, MemberStatus, NodeNum, SiteId, Uid};
use uuid::Uuid;

use crate::{Change, Error};

/// Why a member may not log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// For admins.
    pub reason: String,
    /// For the member.
    pub notice: Option<String>,
    /// When it is to end (ms since 1970).
    pub until: Option<i64>,
    /// The key it was done with.
    pub by: KeyId,
}

/// Makes one change, unless it is of another kind.
pub(crate) async fn change_member(
    change: &Change,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    match change {
        Change::MemberStatus { site, uid, status } => set_status(*site, *uid, *status, tx).await,
        Change::Suspended { site, uid, suspension } => suspend(*site, *uid, suspension, tx).await,
        Change::NodeRevoked { site, uid, num } => revoke(*site, *uid, *num, tx).await,
        Change::NameReserved { site, name } => {
            let query =
                "INSERT INTO name (site_id, name, reserved_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING";
            sqlx::query(query).bind(site.0).bind(name).execute(&mut **tx).await?;
            Ok(())
        }
        Change::NameGone { site, name } => {
            let query = "DELETE FROM name WHERE site_id = $1 AND name = $2";
            sqlx::query(query).bind(site.0).bind(name).execute(&mut **tx).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn set_status(
    site: SiteId,
    uid: Uid,
    status: MemberStatus,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE member SET status = $3, suspended_reason = NULL, suspended_notice = NULL, suspended_at = NULL,
             suspended_until = NULL, suspended_by = NULL
         WHERE site_id = $1 AND uid = $2",
    )
    .bind(site.0)
    .bind(uid.0.as_slice())
    .bind(status.as_str())
    .execute(&mut **tx)
    .await?;
    match status {
        MemberStatus::Active => settle_uses(site, uid, "completed", tx).await,
        MemberStatus::Deactivated => settle_uses(site, uid, "denied", tx).await,
        MemberStatus::Suspended | MemberStatus::Pending => Ok(()),
    }
}

/// What was decided about somebody who waited counts for the invite: a use that was denied is given back, and with it what
/// the site's own systems call the person.
async fn settle_uses(
    site: SiteId,
    uid: Uid,
    state: &str,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    sqlx::query(
        "WITH settled AS (
             UPDATE invite_use SET state = $3 WHERE site_id = $1 AND uid = $2 AND state = 'pending'
             RETURNING invite_id),
         freed AS (
             UPDATE member SET external_id = NULL
             WHERE site_id = $1 AND uid = $2 AND $3 = 'denied' AND EXISTS (SELECT 1 FROM settled))
         UPDATE invite i SET pending = i.pending - 1, completed = i.completed + ($3 = 'completed')::integer
         FROM settled s WHERE i.site_id = $1 AND i.invite_id = s.invite_id",
    )
    .bind(site.0)
    .bind(uid.0.as_slice())
    .bind(state)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that sessions at these nodes have begun or ended, each once a minute at most.
pub(crate) async fn see_nodes(
    seen: &BTreeSet<(Uuid, &[u8], i16)>,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    let sites: Vec<Uuid> = seen.iter().map(|(site, ..)| *site).collect();
    let uids: Vec<&[u8]> = seen.iter().map(|(_, uid, _)| *uid).collect();
    let nums: Vec<i16> = seen.iter().map(|(.., num)| *num).collect();
    sqlx::query(
        "UPDATE node n SET last_seen_at = now()
         FROM unnest($1::uuid[], $2::bytea[], $3::int2[]) AS s (site_id, uid, num)
         WHERE n.site_id = s.site_id AND n.uid = s.uid AND n.num = s.num
           AND (n.last_seen_at IS NULL OR n.last_seen_at < now() - interval '1 minute')",
    )
    .bind(&sites)
    .bind(&uids)
    .bind(&nums)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn suspend(
    site: SiteId,
    uid: Uid,
    suspension: &Suspension,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE member SET status = 'suspended', suspended_reason = $3, suspended_at = now(),
             suspended_until = to_timestamp($4::double precision / 1000), suspended_by = $5, suspended_notice = $6
         WHERE site_id = $1 AND uid = $2",
    )
    .bind(site.0)
    .bind(uid.0.as_slice())
    .bind(&suspension.reason)
    .bind(suspension.until)
    .bind(suspension.by.0)
    .bind(&suspension.notice)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn revoke(
    site: SiteId,
    uid: Uid,
    num: NodeNum,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE node SET revoked_at = now()
         WHERE site_id = $1 AND uid = $2 AND num = $3 AND revoked_at IS NULL",
    )
    .bind(site.0)
    .bind(uid.0.as_slice())
    .bind(num.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes the rows of a node, and messages with their last one. Their chunks in the body store are left to the sweep,
/// which finds that nobody refers to them. Says how many rows the node had.
pub(crate) async fn drop_inbox(
    site: SiteId,
    uid: Uid,
    node: NodeNum,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<u64, Error> {
    let (rows, emptied): (i64, Vec<i64>) = sqlx::query_as(
        "WITH gone AS (
             DELETE FROM inbox WHERE site_id = $1 AND uid = $2 AND node = $3 RETURNING msg_id
         ),
         counted AS (
             UPDATE message m SET owed = m.owed - 1 FROM gone g
             WHERE m.site_id = $1 AND m.msg_id = g.msg_id
             RETURNING m.msg_id, m.owed
         )
         SELECT (SELECT count(*) FROM gone), ARRAY(SELECT msg_id FROM counted WHERE owed <= 0)",
    )
    .bind(site.0)
    .bind(uid.0.as_slice())
    .bind(node.0)
    .fetch_one(&mut **tx)
    .await?;
    let rows = rows.unsigned_abs();
    if emptied.is_empty() {
        return Ok(rows);
    }
    sqlx::query(
        "WITH gone AS (
             DELETE FROM message WHERE site_id = $1 AND msg_id = ANY($2) RETURNING body_id
         )
         DELETE FROM body b USING gone g
         WHERE g.body_id IS NOT NULL AND b.site_id = $1 AND b.body_id = g.body_id",
    )
    .bind(site.0)
    .bind(&emptied)
    .execute(&mut **tx)
    .await?;
    Ok(rows)
}
