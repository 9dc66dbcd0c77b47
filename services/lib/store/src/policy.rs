//! What the policy of a site asks of the rows, and what it writes.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};
use tmtp_domain::policy::Backlog;
use tmtp_domain::{Away, GroupRule, MemberFlags, MsgId, NodeNum, SiteId, Uid};
use uuid::Uuid;

use crate::{Error, Store, uid};

/// A member (first), and another one (second).
type Pair = (SiteId, Uid, Uid);

/// A row that changes because of a site's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChange {
    /// A member may post to another one, who has written to it.
    Acquainted {
        /// Where.
        site: SiteId,
        /// Who may.
        uid: Uid,
        /// To whom.
        with: Uid,
    },
    /// A group has another rule.
    GroupRule {
        /// Where.
        site: SiteId,
        /// The group.
        gid: String,
        /// Its rule.
        rule: GroupRule,
    },
    /// Something else is set of a member.
    MemberFlags {
        /// Where.
        site: SiteId,
        /// Who.
        uid: Uid,
        /// All of it.
        flags: MemberFlags,
    },
    /// The user of a quiet device was warned.
    QuietWarned {
        /// Where.
        site: SiteId,
        /// Whose.
        uid: Uid,
        /// Which device.
        node: NodeNum,
    },
}

/// A place of the inbox whose message is too old.
#[derive(Debug, Clone)]
pub struct OldRow {
    /// Where.
    pub site: SiteId,
    /// Whose.
    pub uid: Uid,
    /// Which node.
    pub node: NodeNum,
    /// All of the message but an inline body, encoded.
    pub header: Vec<u8>,
}

/// A device that was not used for long.
#[derive(Debug, Clone)]
pub struct QuietDevice {
    /// Where.
    pub site: SiteId,
    /// Whose.
    pub uid: Uid,
    /// Which.
    pub node: NodeNum,
    /// What its user calls it.
    pub label: String,
    /// The user was warned long enough ago, and something waits; else the user is to be warned.
    pub is_over: bool,
}

/// How long devices of a site may be quiet.
#[derive(Debug, Clone, Copy)]
pub struct QuietLimit {
    /// Where.
    pub site: SiteId,
    /// Then the user is warned.
    pub days: u16,
    /// So long after that it is over.
    pub grace_days: u16,
}

impl Store {
    /// The oldest aliases of these members, of those that have one.
    pub async fn own_aliases(
        &self,
        wanted: &[(SiteId, Uid)],
    ) -> Result<HashMap<(SiteId, Uid), String>, Error> {
        let (sites, uids) = columns(wanted);
        let rows = sqlx::query(
            "SELECT w.site_id, w.uid, o.name
             FROM unnest($1::uuid[], $2::bytea[]) AS w (site_id, uid),
             LATERAL (SELECT n.name FROM name n WHERE n.site_id = w.site_id AND n.uid = w.uid
                      ORDER BY n.created_at, n.name LIMIT 1) o",
        )
        .bind(&sites)
        .bind(&uids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok(((SiteId(row.try_get(0)?), uid(row.try_get(1)?)?), row.try_get(2)?)))
            .collect()
    }

    /// To how many groups these members belong, of those that belong to one.
    pub async fn group_counts(&self, wanted: &[(SiteId, Uid)]) -> Result<HashMap<(SiteId, Uid), u32>, Error> {
        let (sites, uids) = columns(wanted);
        let rows = sqlx::query(
            "SELECT w.site_id, w.uid, count(*)
             FROM unnest($1::uuid[], $2::bytea[]) AS w (site_id, uid)
             JOIN group_member g ON g.site_id = w.site_id AND g.uid = w.uid AND g.status = 'joined'
             GROUP BY w.site_id, w.uid",
        )
        .bind(&sites)
        .bind(&uids)
        .fetch_all(&self.pool)
        .await?;
        let mut counts = HashMap::with_capacity(rows.len());
        for row in rows {
            let count: i64 = row.try_get(2)?;
            let who = (SiteId(row.try_get(0)?), uid(row.try_get(1)?)?);
            counts.insert(who, u32::try_from(count).unwrap_or(u32::MAX));
        }
        Ok(counts)
    }

    /// Those of these pairs of whom the second has written to the first, or belongs to a group into which the first is
    /// at least invited.
    pub async fn acquainted(&self, wanted: &[Pair]) -> Result<HashSet<Pair>, Error> {
        let sites: Vec<Uuid> = wanted.iter().map(|(site, ..)| site.0).collect();
        let firsts: Vec<&[u8]> = wanted.iter().map(|(_, first, _)| first.0.as_slice()).collect();
        let seconds: Vec<&[u8]> = wanted.iter().map(|(.., second)| second.0.as_slice()).collect();
        let rows = sqlx::query(
            "SELECT w.site_id, w.uid, w.with_uid
             FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS w (site_id, uid, with_uid)
             WHERE EXISTS (SELECT 1 FROM acquaintance a
                           WHERE a.site_id = w.site_id AND a.uid = w.uid AND a.with_uid = w.with_uid)
                OR EXISTS (SELECT 1 FROM group_member a JOIN group_member b USING (site_id, gid)
                           WHERE a.site_id = w.site_id AND a.uid = w.uid AND a.status IN ('invited', 'joined')
                             AND b.uid = w.with_uid AND b.status = 'joined')",
        )
        .bind(&sites)
        .bind(&firsts)
        .bind(&seconds)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((SiteId(row.try_get(0)?), uid(row.try_get(1)?)?, uid(row.try_get(2)?)?)))
            .collect()
    }

    /// What waits for these members in rows, at any of their devices: each message once.
    pub async fn member_backlogs(
        &self,
        wanted: &[(SiteId, Uid)],
    ) -> Result<Vec<(SiteId, Uid, Backlog)>, Error> {
        let (sites, uids) = columns(wanted);
        let rows = sqlx::query(
            "SELECT w.site_id, w.uid, c.messages, c.octets
             FROM unnest($1::uuid[], $2::bytea[]) AS w (site_id, uid),
             LATERAL (SELECT count(*) AS messages,
                             coalesce(sum(coalesce(b.len, octet_length(m.body))), 0)::bigint AS octets
                      FROM (SELECT DISTINCT i.msg_id FROM inbox i WHERE i.site_id = w.site_id AND i.uid = w.uid) d
                      JOIN message m ON m.site_id = w.site_id AND m.msg_id = d.msg_id
                      LEFT JOIN body b ON b.site_id = m.site_id AND b.body_id = m.body_id) c",
        )
        .bind(&sites)
        .bind(&uids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((SiteId(row.try_get(0)?), uid(row.try_get(1)?)?, backlog(row, 2)?)))
            .collect()
    }

    /// What waits at these sites in rows.
    pub async fn site_backlogs(&self, wanted: &[SiteId]) -> Result<Vec<(SiteId, Backlog)>, Error> {
        let sites: Vec<Uuid> = wanted.iter().map(|site| site.0).collect();
        let rows = sqlx::query(
            "SELECT w.site_id, c.messages, c.octets
             FROM unnest($1::uuid[]) AS w (site_id),
             LATERAL (SELECT count(*) AS messages,
                             coalesce(sum(coalesce(b.len, octet_length(m.body))), 0)::bigint AS octets
                      FROM message m LEFT JOIN body b ON b.site_id = m.site_id AND b.body_id = m.body_id
                      WHERE m.site_id = w.site_id) c",
        )
        .bind(&sites)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((SiteId(row.try_get(0)?), backlog(row, 1)?))).collect()
    }

    /// The oldest messages of each of these sites up to this id, `limit` at most, each with all of its places.
    pub async fn old_rows(&self, sites: &[(SiteId, MsgId)], limit: i64) -> Result<Vec<OldRow>, Error> {
        let ids: Vec<i64> = sites.iter().map(|(_, id)| id.to_i64()).collect();
        let sites: Vec<Uuid> = sites.iter().map(|(site, _)| site.0).collect();
        let rows = sqlx::query(
            "WITH old AS MATERIALIZED (
                 SELECT o.site_id, o.msg_id, o.header
                 FROM unnest($1::uuid[], $2::int8[]) AS w (site_id, msg_id),
                 LATERAL (SELECT m.site_id, m.msg_id, m.header FROM message m
                          WHERE m.site_id = w.site_id AND m.msg_id <= w.msg_id ORDER BY m.msg_id LIMIT $3) o
             )
             SELECT i.site_id, i.uid, i.node, o.header FROM old o
             JOIN inbox i ON i.site_id = o.site_id AND i.msg_id = o.msg_id",
        )
        .bind(&sites)
        .bind(&ids)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(OldRow {
                    site: SiteId(row.try_get(0)?),
                    uid: uid(row.try_get(1)?)?,
                    node: NodeNum(row.try_get(2)?),
                    header: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// Devices of these sites that were not used for so long that something is to be done, `limit` at most of each site.
    pub async fn quiet_devices(&self, limits: &[QuietLimit], limit: i64) -> Result<Vec<QuietDevice>, Error> {
        let sites: Vec<Uuid> = limits.iter().map(|limit| limit.site.0).collect();
        let days: Vec<i32> = limits.iter().map(|limit| limit.days.into()).collect();
        let graces: Vec<i32> = limits.iter().map(|limit| limit.grace_days.into()).collect();
        let rows = sqlx::query(
            "SELECT q.site_id, q.uid, q.num, q.label, q.is_over
             FROM unnest($1::uuid[], $2::int4[], $3::int4[]) AS w (site_id, days, grace_days),
             LATERAL (
                 SELECT d.* FROM (
                     SELECT n.site_id, n.uid, n.num, n.label,
                            coalesce(n.last_seen_at, n.created_at) AS seen_at,
                            coalesce(n.quiet_warned_at > coalesce(n.last_seen_at, n.created_at), false) AS is_over,
                            n.quiet_warned_at
                     FROM node n WHERE n.site_id = w.site_id AND n.revoked_at IS NULL
                 ) d
                 WHERE d.seen_at <= now() - make_interval(days => w.days)
                   AND (NOT d.is_over
                        OR d.quiet_warned_at <= now() - make_interval(days => w.grace_days)
                           AND EXISTS (SELECT 1 FROM inbox i
                                       WHERE i.site_id = d.site_id AND i.uid = d.uid AND i.node = d.num))
                 ORDER BY d.uid, d.num LIMIT $4
             ) q",
        )
        .bind(&sites)
        .bind(&days)
        .bind(&graces)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(QuietDevice {
                    site: SiteId(row.try_get(0)?),
                    uid: uid(row.try_get(1)?)?,
                    node: NodeNum(row.try_get(2)?),
                    label: row.try_get(3)?,
                    is_over: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// The rules of these groups, of those that have one.
    pub(crate) async fn group_rules(
        &self,
        wanted: &[(SiteId, String)],
    ) -> Result<Vec<((SiteId, String), GroupRule)>, Error> {
        let (sites, gids): (Vec<Uuid>, Vec<&str>) =
            wanted.iter().map(|(site, gid)| (site.0, gid.as_str())).unzip();
        let rows = sqlx::query(
            "SELECT r.site_id, r.gid, r.mode, r.posters
             FROM unnest($1::uuid[], $2::text[]) AS w (site_id, gid)
             JOIN group_rule r ON r.site_id = w.site_id AND r.gid = w.gid",
        )
        .bind(&sites)
        .bind(&gids)
        .fetch_all(&self.pool)
        .await?;
        let mut rules = Vec::with_capacity(rows.len());
        for row in rows {
            let rule = group_rule(row.try_get(2)?, row.try_get(3)?)?;
            rules.push(((SiteId(row.try_get(0)?), row.try_get(1)?), rule));
        }
        Ok(rules)
    }
}

fn backlog(row: &PgRow, from: usize) -> Result<Backlog, Error> {
    let count = |index| row.try_get::<i64, _>(index).map(i64::cast_unsigned);
    Ok(Backlog { messages: count(from)?, octets: count(from + 1)? })
}

/// A rule as its row has it.
pub(crate) fn group_rule(mode: &str, posters: Vec<Vec<u8>>) -> Result<GroupRule, Error> {
    let posters = posters.iter().map(|octets| uid(octets)).collect::<Result<_, _>>()?;
    Ok(GroupRule { mode: mode.parse().map_err(Error::Unreadable)?, posters })
}

/// What is set of a member, in the columns of that name, the time as `away_ms`.
pub(crate) fn member_flags(row: &PgRow) -> Result<MemberFlags, Error> {
    let away = match row.try_get::<Option<String>, _>("away_text")? {
        None => None,
        Some(text) => {
            let delegate = row.try_get::<Option<&[u8]>, _>("away_delegate")?.map(uid).transpose()?;
            Some(Away { text, until: row.try_get("away_ms")?, delegate })
        }
    };
    Ok(MemberFlags { receive_only: row.try_get("receive_only")?, away })
}

fn columns(wanted: &[(SiteId, Uid)]) -> (Vec<Uuid>, Vec<&[u8]>) {
    wanted.iter().map(|(site, uid)| (site.0, uid.0.as_slice())).unzip()
}

/// Makes one change.
pub(crate) async fn change_policy_row(
    change: &PolicyChange,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    match change {
        PolicyChange::Acquainted { site, uid, with } => {
            let query = "INSERT INTO acquaintance (site_id, uid, with_uid) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let (uid, with) = (uid.0.as_slice(), with.0.as_slice());
            sqlx::query(query).bind(site.0).bind(uid).bind(with).execute(&mut **tx).await?;
        }
        PolicyChange::GroupRule { site, gid, rule } => {
            let posters: Vec<&[u8]> = rule.posters.iter().map(|uid| uid.0.as_slice()).collect();
            sqlx::query(
                "INSERT INTO group_rule (site_id, gid, mode, posters) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (site_id, gid) DO UPDATE SET mode = excluded.mode, posters = excluded.posters",
            )
            .bind(site.0)
            .bind(gid)
            .bind(rule.mode.as_str())
            .bind(&posters)
            .execute(&mut **tx)
            .await?;
        }
        PolicyChange::QuietWarned { site, uid, node } => {
            let query =
                "UPDATE node SET quiet_warned_at = now() WHERE site_id = $1 AND uid = $2 AND num = $3";
            let uid = uid.0.as_slice();
            sqlx::query(query).bind(site.0).bind(uid).bind(node.0).execute(&mut **tx).await?;
        }
        PolicyChange::MemberFlags { site, uid, flags } => {
            let away = flags.away.as_ref();
            sqlx::query(
                "UPDATE member SET receive_only = $3, away_text = $4,
                     away_until = to_timestamp($5::bigint / 1000.0), away_delegate = $6
                 WHERE site_id = $1 AND uid = $2",
            )
            .bind(site.0)
            .bind(uid.0.as_slice())
            .bind(flags.receive_only)
            .bind(away.map(|away| away.text.as_str()))
            .bind(away.and_then(|away| away.until))
            .bind(away.and_then(|away| away.delegate.as_ref()).map(|uid| uid.0.as_slice()))
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}
