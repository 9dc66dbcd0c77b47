//! Members, their devices and groups as the admin API sees them. Read only: workers own them, but for what the site's own
//! systems call a member.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{GroupRule, KeyId, MemberFlags, MemberStatus, NodeNum, SiteId, Uid};
use uuid::Uuid;

use super::{AdminTx, Reader};
use crate::policy::{group_rule, member_flags};
use crate::{Error, Store, uid};

/// A member with what only admins see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// Who.
    pub uid: Uid,
    /// Whether it may log in.
    pub status: MemberStatus,
    /// What the site's own systems call it.
    pub external_id: Option<String>,
    /// Why it is suspended.
    pub suspended_reason: Option<String>,
    /// Since when (ms since 1970).
    pub suspended_at: Option<i64>,
    /// Until when (ms since 1970).
    pub suspended_until: Option<i64>,
    /// When it registered (ms since 1970).
    pub created_at: i64,
    /// When a session of it began or ended last (ms since 1970).
    pub last_seen_at: Option<i64>,
    /// Its aliases, the oldest first.
    pub aliases: Vec<String>,
    /// How many devices it has.
    pub devices: i64,
    /// What its admins have set.
    pub flags: MemberFlags,
}

/// Which members are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemberFilter<'a> {
    /// In this state.
    pub status: Option<MemberStatus>,
    /// With this alias.
    pub alias: Option<&'a str>,
    /// With an alias that begins like this.
    pub alias_prefix: Option<&'a str>,
    /// Called this by the site's own systems.
    pub external_id: Option<&'a str>,
    /// With this in an alias or in the external id, in any case.
    pub contains: Option<&'a str>,
    /// Not seen since then (ms since 1970), or never.
    pub seen_before: Option<i64>,
    /// Seen then or later (ms since 1970).
    pub seen_since: Option<i64>,
}

/// A device of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its number within the member.
    pub num: NodeNum,
    /// What its user calls it.
    pub label: String,
    /// When it was added (ms since 1970).
    pub created_at: i64,
    /// When it was revoked (ms since 1970).
    pub revoked_at: Option<i64>,
    /// When a session there began or ended last (ms since 1970).
    pub last_seen_at: Option<i64>,
    /// Messages that wait for it in rows.
    pub queued: i64,
    /// Since when the oldest of them is in rows (ms since 1970).
    pub oldest_at: Option<i64>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// Its name.
    pub gid: String,
    /// When it was made (ms since 1970).
    pub created_at: i64,
    /// How many belong to it.
    pub joined: i64,
    /// How many are invited.
    pub invited: i64,
    /// What its admins have set.
    pub rule: GroupRule,
}

/// Somebody's place in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlace {
    /// Whose.
    pub uid: Uid,
    /// `invited`, `joined` or `barred`.
    pub status: String,
    /// Under which alias the group knows the member.
    pub alias: String,
}

/// A suspension that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueResume {
    /// Where.
    pub site: SiteId,
    /// Whose.
    pub uid: Uid,
    /// When it ended (ms since 1970).
    pub until: i64,
    /// The key it was done with.
    pub by: KeyId,
}

/// The columns of [`MemberRecord`], of `member AS m`.
macro_rules! columns {
    () => {
        "m.uid, m.status, m.external_id, m.suspended_reason,
         (extract(epoch FROM m.suspended_at) * 1000)::bigint AS suspended_ms,
         (extract(epoch FROM m.suspended_until) * 1000)::bigint AS until_ms,
         (extract(epoch FROM m.created_at) * 1000)::bigint AS created_ms,
         (SELECT (extract(epoch FROM max(d.last_seen_at)) * 1000)::bigint FROM node d
          WHERE d.site_id = m.site_id AND d.uid = m.uid) AS seen_ms,
         ARRAY(SELECT n.name FROM name n WHERE n.site_id = m.site_id AND n.uid = m.uid
               ORDER BY n.created_at, n.name) AS aliases,
         (SELECT count(*) FROM node d
          WHERE d.site_id = m.site_id AND d.uid = m.uid AND d.revoked_at IS NULL) AS devices,
         m.receive_only, m.away_text, (extract(epoch FROM m.away_until) * 1000)::bigint AS away_ms, m.away_delegate"
    };
}

impl Reader {
    /// Members of a site; the newest first, behind `after`.
    pub async fn member_records(
        &mut self,
        site: SiteId,
        filter: MemberFilter<'_>,
        after: Option<Uid>,
        limit: i64,
    ) -> Result<Vec<MemberRecord>, Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM member m WHERE m.site_id = $1
              AND ($2::bytea IS NULL OR (m.created_at, m.uid)
                   < (SELECT a.created_at, a.uid FROM member a WHERE a.site_id = $1 AND a.uid = $2))
              AND ($4::text IS NULL OR m.status = $4) AND ($5::text IS NULL OR m.external_id = $5)
              AND ($6::text IS NULL OR m.uid = (SELECT n.uid FROM name n WHERE n.site_id = $1 AND n.name = $6))
              AND ($7::text IS NULL OR EXISTS (SELECT 1 FROM name n
                   WHERE n.site_id = $1 AND n.uid = m.uid AND starts_with(n.name, $7)))
              AND ($8::text IS NULL OR strpos(lower(m.external_id), lower($8)) > 0 OR EXISTS (SELECT 1 FROM name n
                   WHERE n.site_id = $1 AND n.uid = m.uid AND strpos(lower(n.name), lower($8)) > 0))
              AND ($9::bigint IS NULL OR NOT EXISTS (SELECT 1 FROM node d WHERE d.site_id = $1 AND d.uid = m.uid
                   AND d.last_seen_at >= to_timestamp($9::double precision / 1000)))
              AND ($10::bigint IS NULL OR EXISTS (SELECT 1 FROM node d WHERE d.site_id = $1 AND d.uid = m.uid
                   AND d.last_seen_at >= to_timestamp($10::double precision / 1000)))
              ORDER BY m.created_at DESC, m.uid DESC LIMIT $3"
        ))
        .bind(site.0)
        .bind(after.as_ref().map(|uid| uid.0.as_slice()))
        .bind(limit)
        .bind(filter.status.map(MemberStatus::as_str))
        .bind(filter.external_id)
        .bind(filter.alias)
        .bind(filter.alias_prefix)
        .bind(filter.contains)
        .bind(filter.seen_before)
        .bind(filter.seen_since)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(record).collect()
    }

    /// One member.
    pub async fn member_record(&mut self, site: SiteId, uid: Uid) -> Result<Option<MemberRecord>, Error> {
        let row =
            sqlx::query(concat!("SELECT ", columns!(), " FROM member m WHERE m.site_id = $1 AND m.uid = $2"))
                .bind(site.0)
                .bind(uid.0.as_slice())
                .fetch_optional(&mut *self.tx)
                .await?;
        row.as_ref().map(record).transpose()
    }

    /// Devices of a member, revoked ones included, in the order of their numbers.
    pub async fn device_records(&mut self, site: SiteId, uid: Uid) -> Result<Vec<DeviceRecord>, Error> {
        let rows = sqlx::query(
            "SELECT d.num, d.label, (extract(epoch FROM d.created_at) * 1000)::bigint AS created_ms,
                    (extract(epoch FROM d.revoked_at) * 1000)::bigint AS revoked_ms,
                    (extract(epoch FROM d.last_seen_at) * 1000)::bigint AS seen_ms,
                    q.queued, (extract(epoch FROM q.oldest) * 1000)::bigint AS oldest_ms
             FROM node d CROSS JOIN LATERAL (
                 SELECT count(*) AS queued, min(m.queued_at) AS oldest FROM inbox i
                 LEFT JOIN message m ON m.site_id = i.site_id AND m.msg_id = i.msg_id
                 WHERE i.site_id = d.site_id AND i.uid = d.uid AND i.node = d.num
             ) q
             WHERE d.site_id = $1 AND d.uid = $2 ORDER BY d.num",
        )
        .bind(site.0)
        .bind(uid.0.as_slice())
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(device).collect()
    }

    /// Groups of a site, by name, behind `after`.
    pub async fn group_records(
        &mut self,
        site: SiteId,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<GroupRecord>, Error> {
        let rows = sqlx::query(
            "SELECT g.name, (extract(epoch FROM g.created_at) * 1000)::bigint AS created_ms,
                    count(p.uid) FILTER (WHERE p.status = 'joined') AS joined,
                    count(p.uid) FILTER (WHERE p.status = 'invited') AS invited, r.mode, r.posters
             FROM (SELECT site_id, name, created_at FROM name WHERE site_id = $1 AND uid IS NULL AND reserved_at IS NULL
                       AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3) g
             LEFT JOIN group_member p ON p.site_id = g.site_id AND p.gid = g.name
             LEFT JOIN group_rule r ON r.site_id = g.site_id AND r.gid = g.name
             GROUP BY g.name, g.created_at, r.mode, r.posters ORDER BY g.name",
        )
        .bind(site.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(group).collect()
    }

    /// One group.
    pub async fn group_record(&mut self, site: SiteId, gid: &str) -> Result<Option<GroupRecord>, Error> {
        let row = sqlx::query(
            "SELECT g.name, (extract(epoch FROM g.created_at) * 1000)::bigint AS created_ms,
                    (SELECT count(*) FROM group_member p
                     WHERE p.site_id = $1 AND p.gid = $2 AND p.status = 'joined') AS joined,
                    (SELECT count(*) FROM group_member p
                     WHERE p.site_id = $1 AND p.gid = $2 AND p.status = 'invited') AS invited, r.mode, r.posters
             FROM name g LEFT JOIN group_rule r ON r.site_id = g.site_id AND r.gid = g.name
             WHERE g.site_id = $1 AND g.name = $2 AND g.uid IS NULL AND g.reserved_at IS NULL",
        )
        .bind(site.0)
        .bind(gid)
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(group).transpose()
    }

    /// Who is what to a group, behind `after`.
    pub async fn group_places(
        &mut self,
        site: SiteId,
        gid: &str,
        after: Option<Uid>,
        limit: i64,
    ) -> Result<Vec<GroupPlace>, Error> {
        let rows = sqlx::query(
            "SELECT uid, status, alias FROM group_member
             WHERE site_id = $1 AND gid = $2 AND ($3::bytea IS NULL OR uid > $3) ORDER BY uid LIMIT $4",
        )
        .bind(site.0)
        .bind(gid)
        .bind(after.as_ref().map(|uid| uid.0.as_slice()))
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        let place = |row: &PgRow| {
            Ok(GroupPlace { uid: uid(row.try_get(0)?)?, status: row.try_get(1)?, alias: row.try_get(2)? })
        };
        rows.iter().map(place).collect()
    }
}

impl Store {
    /// Suspensions that are over.
    pub async fn due_resumes(&self, limit: i64) -> Result<Vec<DueResume>, Error> {
        let rows = sqlx::query(
            "SELECT site_id, uid, (extract(epoch FROM suspended_until) * 1000)::bigint, suspended_by FROM member
             WHERE suspended_until <= now() AND status = 'suspended' AND suspended_by IS NOT NULL
             ORDER BY suspended_until LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let due = |row: &PgRow| {
            Ok(DueResume {
                site: SiteId(row.try_get(0)?),
                uid: uid(row.try_get(1)?)?,
                until: row.try_get(2)?,
                by: KeyId(row.try_get::<Uuid, _>(3)?),
            })
        };
        rows.iter().map(due).collect()
    }
}

impl Reader {
    /// Those of these members that have a place in a group, barred ones included.
    pub async fn places_of(&mut self, site: SiteId, gid: &str, uids: &[Uid]) -> Result<HashSet<Uid>, Error> {
        let uids: Vec<&[u8]> = uids.iter().map(|uid| uid.0.as_slice()).collect();
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT uid FROM group_member WHERE site_id = $1 AND gid = $2 AND uid = ANY($3)",
        )
        .bind(site.0)
        .bind(gid)
        .bind(uids)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(|octets| uid(octets)).collect()
    }

    /// The oldest aliases of these users, of those that have one.
    pub async fn oldest_aliases(
        &mut self,
        site: SiteId,
        uids: &[Uid],
    ) -> Result<HashMap<Uid, String>, Error> {
        let uids: Vec<&[u8]> = uids.iter().map(|uid| uid.0.as_slice()).collect();
        let rows = sqlx::query(
            "SELECT DISTINCT ON (uid) uid, name FROM name WHERE site_id = $1 AND uid = ANY($2)
             ORDER BY uid, created_at, name",
        )
        .bind(site.0)
        .bind(uids)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(|row| Ok((uid(row.try_get(0)?)?, row.try_get(1)?))).collect()
    }

    /// Names that nobody can have, with the time since when (ms since 1970), by name, behind `after`.
    pub async fn reserved_names(
        &mut self,
        site: SiteId,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<(String, i64)>, Error> {
        let rows = sqlx::query(
            "SELECT name, (extract(epoch FROM reserved_at) * 1000)::bigint FROM name
             WHERE site_id = $1 AND reserved_at IS NOT NULL AND ($2::text IS NULL OR name > $2)
             ORDER BY name LIMIT $3",
        )
        .bind(site.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

/// What came of giving a member an external id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternalId {
    /// It is called so.
    Set,
    /// Another member is called so. The transaction has failed.
    Taken,
    /// There is no such member (any more).
    NoMember,
}

impl AdminTx {
    /// Sets what the site's own systems call a member.
    pub async fn set_external_id(
        &mut self,
        site: SiteId,
        uid: Uid,
        external_id: Option<&str>,
    ) -> Result<ExternalId, Error> {
        let done = sqlx::query("UPDATE member SET external_id = $3 WHERE site_id = $1 AND uid = $2")
            .bind(site.0)
            .bind(uid.0.as_slice())
            .bind(external_id)
            .execute(&mut *self.tx)
            .await;
        match done {
            Ok(done) if done.rows_affected() == 0 => Ok(ExternalId::NoMember),
            Ok(_) => Ok(ExternalId::Set),
            Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(ExternalId::Taken),
            Err(error) => Err(error.into()),
        }
    }
}

fn record(row: &PgRow) -> Result<MemberRecord, Error> {
    Ok(MemberRecord {
        uid: uid(row.try_get("uid")?)?,
        status: row.try_get::<&str, _>("status")?.parse().map_err(Error::Unreadable)?,
        external_id: row.try_get("external_id")?,
        suspended_reason: row.try_get("suspended_reason")?,
        suspended_at: row.try_get("suspended_ms")?,
        suspended_until: row.try_get("until_ms")?,
        created_at: row.try_get("created_ms")?,
        last_seen_at: row.try_get("seen_ms")?,
        aliases: row.try_get("aliases")?,
        devices: row.try_get("devices")?,
        flags: member_flags(row)?,
    })
}

fn device(row: &PgRow) -> Result<DeviceRecord, Error> {
    Ok(DeviceRecord {
        num: NodeNum(row.try_get("num")?),
        label: row.try_get("label")?,
        created_at: row.try_get("created_ms")?,
        revoked_at: row.try_get("revoked_ms")?,
        last_seen_at: row.try_get("seen_ms")?,
        queued: row.try_get("queued")?,
        oldest_at: row.try_get("oldest_ms")?,
    })
}

fn group(row: &PgRow) -> Result<GroupRecord, Error> {
    Ok(GroupRecord {
        gid: row.try_get("name")?,
        created_at: row.try_get("created_ms")?,
        joined: row.try_get("joined")?,
        invited: row.try_get("invited")?,
        rule: match row.try_get::<Option<&str>, _>("mode")? {
            Some(mode) => group_rule(mode, row.try_get("posters")?)?,
            None => GroupRule::default(),
        },
    })
}
