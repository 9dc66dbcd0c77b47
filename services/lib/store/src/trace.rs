//! The delivery trace: packs of steps, which spills write, and queues that were dropped whole. What is in a pack is not
//! known here.

use std::time::Duration;

use sqlx::{PgConnection, Postgres, Row, Transaction};
use tmtp_domain::{MsgId, NodeNum, SiteId, Uid};
use uuid::Uuid;

use crate::admin::Reader;
use crate::spill::portions;
use crate::{Error, Store};

/// Steps of messages of one span of time, as a spill writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRow {
    /// Where.
    pub site: SiteId,
    /// The span of time that the messages' ids are of.
    pub span: i64,
    /// When they were packed (ms since 1970).
    pub until_ms: i64,
    /// The lowest id in the pack, and the highest.
    pub ids: (MsgId, MsgId),
    /// Encoded as the contract has it.
    pub pack: Vec<u8>,
}

/// A pack that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePage {
    /// Names it: commits of its shard until it was packed, and when that was (ms since 1970). Packs are in this order.
    pub key: (i64, i64),
    /// Encoded as the contract has it.
    pub pack: Vec<u8>,
}

/// Why a device's queue was dropped whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// An admin asked for it.
    Admin,
    /// The device was revoked.
    Revoked,
    /// Its member was deactivated, or not let in.
    Deactivated,
    /// It was quiet for longer than the site's policy allows.
    Quiet,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Revoked, Self::Deactivated, Self::Quiet];

    /// As the row has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Revoked => "revoked",
            Self::Deactivated => "deactivated",
            Self::Quiet => "quiet",
        }
    }

    /// `None` for a reason of a later release.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A queue that is dropped whole, for the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceDrop {
    /// Messages with this id or a lower one waited there, if they did.
    pub last_id: MsgId,
    /// Why.
    pub reason: DropReason,
}

/// A queue that was dropped whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedQueue {
    /// Whose.
    pub uid: Uid,
    /// Of which node.
    pub node: NodeNum,
    /// When (ms since 1970).
    pub at_ms: i64,
    /// Why.
    pub reason: DropReason,
}

/// Writes what a spill packs. The same rows may be written again.
pub(crate) async fn write_traces(traces: &[TraceRow], seq: i64, db: &mut PgConnection) -> Result<(), Error> {
    for portion in portions(traces, |row| row.pack.len()) {
        write_some(portion, seq, db).await?;
    }
    Ok(())
}

async fn write_some(traces: &[TraceRow], seq: i64, db: &mut PgConnection) -> Result<(), Error> {
    let sites: Vec<Uuid> = traces.iter().map(|row| row.site.0).collect();
    let numbers = |pick: fn(&TraceRow) -> i64| traces.iter().map(pick).collect::<Vec<i64>>();
    let packs: Vec<&[u8]> = traces.iter().map(|row| row.pack.as_slice()).collect();
    sqlx::query(
        "INSERT INTO trace_pack (site_id, span, until_ms, seq, first_id, last_id, pack)
         SELECT site_id, span, until_ms, $6, first_id, last_id, pack
         FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $7::bytea[])
             AS t (site_id, span, until_ms, first_id, last_id, pack)
         ON CONFLICT DO NOTHING",
    )
    .bind(&sites)
    .bind(numbers(|row| row.span))
    .bind(numbers(|row| row.until_ms))
    .bind(numbers(|row| row.ids.0.to_i64()))
    .bind(numbers(|row| row.ids.1.to_i64()))
    .bind(seq)
    .bind(&packs)
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// Notes that a queue is dropped, as part of the commit that drops it.
pub(crate) async fn note_drop(
    (site, uid, node): (SiteId, Uid, NodeNum),
    dropped: TraceDrop,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO trace_drop (site_id, uid, node, msg_id, reason) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(site.0)
    .bind(uid.0.as_slice())
    .bind(node.0)
    .bind(dropped.last_id.to_i64())
    .bind(dropped.reason.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// Forgets steps that were packed, and drops that were noted, longer than `keep` ago: at most so many rows of each.
    /// Says how many are gone; several workers may do it at once.
    pub async fn forget_traces(&self, keep: Duration, rows_max: i64) -> Result<u64, Error> {
        let packs = sqlx::query(
            "DELETE FROM trace_pack WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM trace_pack
                 WHERE until_ms < (extract(epoch FROM now() - make_interval(secs => $1)) * 1000)::int8
                 ORDER BY until_ms LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind(keep.as_secs_f64())
        .bind(rows_max)
        .execute(&self.pool)
        .await?;
        let drops = sqlx::query(
            "DELETE FROM trace_drop WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM trace_drop WHERE dropped_at < now() - make_interval(secs => $1)
                 ORDER BY dropped_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind(keep.as_secs_f64())
        .bind(rows_max)
        .execute(&self.pool)
        .await?;
        Ok(packs.rows_affected() + drops.rows_affected())
    }
}

impl Reader {
    /// The packs that may have steps of a message, the oldest first, behind the one of the key `after`; at most `limit`.
    pub async fn trace_pages(
        &mut self,
        site: SiteId,
        (span, id): (i64, MsgId),
        after: (i64, i64),
        limit: i64,
    ) -> Result<Vec<TracePage>, Error> {
        let rows = sqlx::query(
            "SELECT seq, until_ms, pack FROM trace_pack
             WHERE site_id = $1 AND span = $2 AND (seq, until_ms) > ($4, $5) AND $3 BETWEEN first_id AND last_id
             ORDER BY seq, until_ms LIMIT $6",
        )
        .bind(site.0)
        .bind(span)
        .bind(id.to_i64())
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .fetch_all(&mut *self.tx)
        .await?;
        let page = |row: &sqlx::postgres::PgRow| {
            Ok(TracePage { key: (row.try_get(0)?, row.try_get(1)?), pack: row.try_get(2)? })
        };
        rows.iter().map(page).collect()
    }

    /// The first drops behind a message of the queues of these nodes: if it waited there still, it went with one of them.
    /// Those for a reason that this release does not know are left out, as unknown steps are.
    pub async fn dropped_queues(
        &mut self,
        site: SiteId,
        id: MsgId,
        nodes: &[(Uid, NodeNum)],
    ) -> Result<Vec<DroppedQueue>, Error> {
        let uids: Vec<&[u8]> = nodes.iter().map(|(uid, _)| uid.0.as_slice()).collect();
        let nums: Vec<i16> = nodes.iter().map(|(_, node)| node.0).collect();
        let rows = sqlx::query(
            "SELECT d.uid, d.node, (extract(epoch FROM d.dropped_at) * 1000)::int8, d.reason
             FROM unnest($2::bytea[], $3::int2[]) AS n (uid, node)
             CROSS JOIN LATERAL (
                 SELECT t.uid, t.node, t.dropped_at, t.reason FROM trace_drop t
                 WHERE t.site_id = $1 AND t.uid = n.uid AND t.node = n.node AND t.msg_id >= $4
                 ORDER BY t.msg_id LIMIT 1) d",
        )
        .bind(site.0)
        .bind(&uids)
        .bind(&nums)
        .bind(id.to_i64())
        .fetch_all(&mut *self.tx)
        .await?;
        let dropped = |row: &sqlx::postgres::PgRow| {
            let Some(reason) = DropReason::parse(row.try_get(3)?) else { return Ok(None) };
            let (uid, node) = (crate::uid(row.try_get(0)?)?, NodeNum(row.try_get(1)?));
            Ok(Some(DroppedQueue { uid, node, at_ms: row.try_get(2)?, reason }))
        };
        rows.iter().map(dropped).filter_map(Result::transpose).collect()
    }

    /// To how many nodes a message is owed that waits in rows, as of the last spill; `None` when it does not.
    pub async fn owed_in_rows(&mut self, site: SiteId, id: MsgId) -> Result<Option<i32>, Error> {
        let owed = sqlx::query_scalar("SELECT owed FROM message WHERE site_id = $1 AND msg_id = $2")
            .bind(site.0)
            .bind(id.to_i64())
            .fetch_optional(&mut *self.tx)
            .await?;
        Ok(owed)
    }

    /// Those of these users who are members.
    pub async fn members_among(&mut self, site: SiteId, uids: &[Uid]) -> Result<Vec<Uid>, Error> {
        let wanted: Vec<&[u8]> = uids.iter().map(|uid| uid.0.as_slice()).collect();
        let found: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT uid FROM member WHERE site_id = $1 AND uid = ANY($2::bytea[])")
                .bind(site.0)
                .bind(&wanted)
                .fetch_all(&mut *self.tx)
                .await?;
        found.iter().map(|octets| crate::uid(octets)).collect()
    }
}
