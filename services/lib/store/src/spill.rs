//! The spill: what is still owed becomes rows, what was acked leaves the rows, and the journal becomes empty.

mod careful;

use bytes::Bytes;
use sqlx::{PgConnection, Postgres, Row, Transaction};
use tmtp_domain::{BodyId, Epoch, MsgId, NodeNum, ShardId, SiteId, Uid};
use uuid::Uuid;

use crate::trace::write_traces;
use crate::{CommitError, Error, Store, StoredBody, TraceRow};

/// What one spill of one shard does.
#[derive(Debug, Clone, Default)]
pub struct Spill {
    /// Messages that are still owed to somebody.
    pub messages: Vec<MessageRow>,
    /// To which nodes.
    pub inbox: Vec<InboxRow>,
    /// Acks of messages that were spilled before.
    pub acks: Vec<RowAck>,
    /// Receipts of the period, packed, with the time of the youngest (ms since 1970).
    pub receipts: Option<(i64, Vec<u8>)>,
    /// Receipts that are older than this are forgotten (ms since 1970).
    pub forget_receipts_before_ms: i64,
    /// How much sites were used since the last spill, by day.
    pub usage: Vec<DayUse>,
    /// Steps of messages since the last spill.
    pub traces: Vec<TraceRow>,
}

/// How much a site was used on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUse {
    /// Which.
    pub site: SiteId,
    /// Days since 1970, in UTC.
    pub day: i32,
    /// Posts that were queued for at least one device.
    pub messages: i64,
    /// The octets of their data, each post once.
    pub octets: i64,
}

/// A message that becomes a row.
#[derive(Debug, Clone)]
pub struct MessageRow {
    /// Where.
    pub site: SiteId,
    /// Its id.
    pub msg_id: MsgId,
    /// To how many nodes it is owed.
    pub owed: u32,
    /// All but an inline body, encoded.
    pub header: Vec<u8>,
    /// The inline body, if it has one.
    pub body: Option<Bytes>,
    /// The body of the body store that it refers to, if any.
    pub body_id: Option<BodyId>,
}

/// A node that is owed a message.
#[derive(Debug, Clone, Copy)]
pub struct InboxRow {
    /// Where.
    pub site: SiteId,
    /// Whose.
    pub uid: Uid,
    /// Which node.
    pub node: NodeNum,
    /// 0 overtakes, 1 waits its turn.
    pub urgency: i16,
    /// What.
    pub msg_id: MsgId,
}

/// A node's ack of a spilled message.
#[derive(Debug, Clone, Copy)]
pub struct RowAck {
    /// Where.
    pub site: SiteId,
    /// Whose.
    pub uid: Uid,
    /// Which node.
    pub node: NodeNum,
    /// What.
    pub msg_id: MsgId,
}

/// What a spill has freed.
#[derive(Debug, Default)]
pub struct Spilled {
    /// Bodies that nobody refers to any more; to be removed from the body store, and then forgotten
    /// ([`Store::forget_freed`]).
    pub free: Vec<(SiteId, StoredBody)>,
    /// What the database did not take, when it was asked to take the rest.
    pub refused: Vec<Refused>,
}

/// A part of a spill that the database does not take.
#[derive(Debug)]
pub struct Refused {
    /// Which.
    pub part: Part,
    /// Why.
    pub error: Error,
}

/// What parts a spill has, for [`Refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A message. It is in `message_parked` instead, with its places.
    Message(SiteId, MsgId),
    /// An ack of a message in rows. The row stays, so the message comes again.
    Ack(SiteId, MsgId),
    /// The receipts. Requests of the period, sent again, are not recognised.
    Receipts,
    /// The steps of messages. Traces lack those of the period.
    Traces,
}

impl Store {
    /// Spills one shard: everything its journal holds up to now is in `spill` or done with. `Fenced` when the shard
    /// has another owner; then nothing was changed. The same spill may be made again when its answer was lost: it
    /// changes nothing then. (What it freed is not told again; [`Store::bodies_freed`] tells.)
    pub async fn spill(
        &self,
        shard: ShardId,
        epoch: Epoch,
        commits: i64,
        spill: &Spill,
    ) -> Result<Spilled, CommitError> {
        let mut tx = self.begin_spill(shard, epoch, commits).await?;
        write_messages(&spill.messages, &mut tx).await?;
        write_inbox(&spill.inbox, &mut tx).await?;
        let free = apply_acks(&spill.acks, &mut tx).await?;
        write_receipts(shard, commits, spill, &mut tx).await?;
        write_traces(&spill.traces, commits, &mut tx).await?;
        end_spill(shard, commits, &spill.usage, tx).await?;
        Ok(Spilled { free, refused: Vec::new() })
    }

    /// [`Store::spill`] after that was refused because of what it holds ([`Error::is_about_data`]): finds what the
    /// database does not take, and does without it. Messages among that are parked, with the places they are owed to.
    pub async fn spill_carefully(
        &self,
        shard: ShardId,
        epoch: Epoch,
        commits: i64,
        spill: &Spill,
    ) -> Result<Spilled, CommitError> {
        let mut tx = self.begin_spill(shard, epoch, commits).await?;
        let spilled = careful::write(shard, commits, spill, &mut tx).await?;
        end_spill(shard, commits, &spill.usage, tx).await?;
        Ok(spilled)
    }

    async fn begin_spill(
        &self,
        shard: ShardId,
        epoch: Epoch,
        commits: i64,
    ) -> Result<Transaction<'static, Postgres>, CommitError> {
        let mut tx = self.pool.begin().await.map_err(Error::from)?;
        let held =
            sqlx::query("SELECT 1 FROM shard WHERE shard_id = $1 AND epoch = $2 AND commits = $3 FOR UPDATE")
                .bind(shard.0.cast_signed())
                .bind(epoch.0)
                .bind(commits)
                .fetch_optional(&mut *tx)
                .await
                .map_err(Error::from)?;
        if held.is_some() { Ok(tx) } else { Err(CommitError::Fenced) }
    }
}

async fn end_spill(
    shard: ShardId,
    commits: i64,
    usage: &[DayUse],
    mut tx: Transaction<'static, Postgres>,
) -> Result<(), Error> {
    let emptied = sqlx::query("DELETE FROM journal WHERE shard_id = $1 AND seq <= $2")
        .bind(shard.0.cast_signed())
        .bind(commits)
        .execute(&mut *tx)
        .await?;
    // What is counted is in the journal. Without any of it this spill has happened before.
    if emptied.rows_affected() > 0 && !usage.is_empty() {
        write_usage(usage, &mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn write_usage(usage: &[DayUse], db: &mut PgConnection) -> Result<(), Error> {
    // In the same order in all spills, or two of them could wait for each other.
    let mut usage = usage.to_vec();
    usage.sort_unstable_by_key(|day| (day.site, day.day));
    let sites: Vec<Uuid> = usage.iter().map(|day| day.site.0).collect();
    let days: Vec<i32> = usage.iter().map(|day| day.day).collect();
    let messages: Vec<i64> = usage.iter().map(|day| day.messages).collect();
    let octets: Vec<i64> = usage.iter().map(|day| day.octets).collect();
    sqlx::query(
        "INSERT INTO usage_day (site_id, day, messages, octets)
         SELECT site_id, '1970-01-01'::date + day, messages, octets
         FROM unnest($1::uuid[], $2::int4[], $3::int8[], $4::int8[]) AS u (site_id, day, messages, octets)
         ON CONFLICT (site_id, day) DO UPDATE
             SET messages = usage_day.messages + excluded.messages, octets = usage_day.octets + excluded.octets",
    )
    .bind(&sites)
    .bind(&days)
    .bind(&messages)
    .bind(&octets)
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// Octets that one statement writes, more or less: what it sends is copied twice on its way, and a spill must
/// not cost a multiple of what it spills.
const STATEMENT_OCTETS: usize = 512 * 1024;
/// Places or acks that one statement writes: one message may be owed to thousands of nodes.
const STATEMENT_ROWS: usize = 5_000;

/// Rows in portions for a statement each, with so many octets in a row.
pub(crate) fn portions<T>(rows: &[T], octets: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut left = rows;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let is_full = |row| {
            sum += octets(row);
            sum >= STATEMENT_OCTETS
        };
        let len = left.iter().position(is_full).map_or(left.len(), |last| last + 1);
        let portion;
        (portion, left) = left.split_at(len);
        (!portion.is_empty()).then_some(portion)
    })
}

async fn write_messages(messages: &[MessageRow], db: &mut PgConnection) -> Result<(), Error> {
    for portion in portions(messages, |row| row.header.len() + row.body.as_ref().map_or(0, Bytes::len)) {
        write_some_messages(portion, db).await?;
    }
    Ok(())
}

async fn write_some_messages(messages: &[MessageRow], db: &mut PgConnection) -> Result<(), Error> {
    let sites: Vec<Uuid> = messages.iter().map(|row| row.site.0).collect();
    let ids: Vec<i64> = messages.iter().map(|row| row.msg_id.to_i64()).collect();
    let owed: Vec<i32> = messages.iter().map(|row| row.owed.cast_signed()).collect();
    let headers: Vec<&[u8]> = messages.iter().map(|row| row.header.as_slice()).collect();
    let bodies: Vec<Option<&[u8]>> = messages.iter().map(|row| row.body.as_deref()).collect();
    let body_ids: Vec<Option<Uuid>> = messages.iter().map(|row| row.body_id.map(|id| id.0)).collect();
    sqlx::query(
        "INSERT INTO message (site_id, msg_id, owed, header, body, body_id)
         SELECT * FROM unnest($1::uuid[], $2::int8[], $3::int4[], $4::bytea[], $5::bytea[], $6::uuid[])
         ON CONFLICT DO NOTHING",
    )
    .bind(&sites)
    .bind(&ids)
    .bind(&owed)
    .bind(&headers)
    .bind(&bodies)
    .bind(&body_ids)
    .execute(&mut *db)
    .await?;
    Ok(())
}

async fn write_inbox(inbox: &[InboxRow], db: &mut PgConnection) -> Result<(), Error> {
    for piece in inbox.chunks(STATEMENT_ROWS) {
        write_some_places(piece, db).await?;
    }
    Ok(())
}

async fn write_some_places(inbox: &[InboxRow], db: &mut PgConnection) -> Result<(), Error> {
    let sites: Vec<Uuid> = inbox.iter().map(|row| row.site.0).collect();
    let uids: Vec<&[u8]> = inbox.iter().map(|row| row.uid.0.as_slice()).collect();
    let nodes: Vec<i16> = inbox.iter().map(|row| row.node.0).collect();
    let urgencies: Vec<i16> = inbox.iter().map(|row| row.urgency).collect();
    let ids: Vec<i64> = inbox.iter().map(|row| row.msg_id.to_i64()).collect();
    sqlx::query(
        "INSERT INTO inbox (site_id, uid, node, urgency, msg_id)
         SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int2[], $4::int2[], $5::int8[])
         ON CONFLICT DO NOTHING",
    )
    .bind(&sites)
    .bind(&uids)
    .bind(&nodes)
    .bind(&urgencies)
    .bind(&ids)
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// Removes acked rows, and messages with their last one; returns the bodies that this frees.
async fn apply_acks(acks: &[RowAck], db: &mut PgConnection) -> Result<Vec<(SiteId, StoredBody)>, Error> {
    let mut free = Vec::new();
    for piece in acks.chunks(STATEMENT_ROWS) {
        free.extend(apply_some_acks(piece, db).await?);
    }
    Ok(free)
}

/// The look-ups are by row address from an index scan per ack,
/// which no statistics can turn into a scan of the table.
async fn apply_some_acks(acks: &[RowAck], db: &mut PgConnection) -> Result<Vec<(SiteId, StoredBody)>, Error> {
    let sites: Vec<Uuid> = acks.iter().map(|ack| ack.site.0).collect();
    let uids: Vec<&[u8]> = acks.iter().map(|ack| ack.uid.0.as_slice()).collect();
    let nodes: Vec<i16> = acks.iter().map(|ack| ack.node.0).collect();
    let ids: Vec<i64> = acks.iter().map(|ack| ack.msg_id.to_i64()).collect();
    let emptied = sqlx::query(
        "WITH gone AS (
             DELETE FROM inbox WHERE ctid = ANY(ARRAY(
                 SELECT found.ctid FROM unnest($1::uuid[], $2::bytea[], $3::int2[], $4::int8[])
                     AS a (site_id, uid, node, msg_id),
                 LATERAL (SELECT i.ctid FROM inbox i
                          WHERE i.site_id = a.site_id AND i.uid = a.uid AND i.node = a.node
                            AND i.urgency IN (0, 1) AND i.msg_id = a.msg_id OFFSET 0) found))
             RETURNING site_id, msg_id
         ),
         counts AS (SELECT site_id, msg_id, count(*)::int4 AS acked FROM gone GROUP BY site_id, msg_id)
         UPDATE message m SET owed = m.owed - c.acked FROM counts c
         WHERE m.site_id = c.site_id AND m.msg_id = c.msg_id
         RETURNING m.site_id, m.msg_id, m.owed",
    )
    .bind(&sites)
    .bind(&uids)
    .bind(&nodes)
    .bind(&ids)
    .fetch_all(&mut *db)
    .await?;

    let (mut done_sites, mut done_ids) = (Vec::new(), Vec::new());
    for row in emptied {
        if row.try_get::<i32, _>(2)? <= 0 {
            done_sites.push(row.try_get::<Uuid, _>(0)?);
            done_ids.push(row.try_get::<i64, _>(1)?);
        }
    }
    if done_ids.is_empty() {
        return Ok(Vec::new());
    }
    let freed = sqlx::query(
        "WITH gone AS (
             DELETE FROM message WHERE ctid = ANY(ARRAY(
                 SELECT found.ctid FROM unnest($1::uuid[], $2::int8[]) AS d (site_id, msg_id),
                 LATERAL (SELECT m.ctid FROM message m
                          WHERE m.site_id = d.site_id AND m.msg_id = d.msg_id OFFSET 0) found))
             RETURNING site_id, body_id
         )
         UPDATE body b SET freed_at = now() FROM gone g
         WHERE g.body_id IS NOT NULL AND b.site_id = g.site_id AND b.body_id = g.body_id
         RETURNING b.site_id, b.body_id, b.len, b.chunk",
    )
    .bind(&done_sites)
    .bind(&done_ids)
    .fetch_all(&mut *db)
    .await?;
    freed.iter().map(crate::body::stored).collect()
}

async fn write_receipts(
    shard: ShardId,
    commits: i64,
    spill: &Spill,
    db: &mut PgConnection,
) -> Result<(), Error> {
    let id = shard.0.cast_signed();
    if let Some((until_ms, pack)) = &spill.receipts {
        sqlx::query(
            "INSERT INTO receipts (shard_id, until_ms, seq, pack) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
            .bind(id)
            .bind(until_ms)
            .bind(commits)
            .bind(pack)
            .execute(&mut *db)
            .await?;
    }
    sqlx::query("DELETE FROM receipts WHERE shard_id = $1 AND until_ms < $2")
        .bind(id)
        .bind(spill.forget_receipts_before_ms)
        .execute(&mut *db)
        .await?;
    Ok(())
}
