//! Ownership of shards: leases by heartbeat, epochs that fence. There is no other coordination service.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tmtp_domain::{Epoch, MsgId, ShardId, WorkerId};

use crate::{Error, Reader, Store};

/// What a heartbeat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// True when the lease had ended before this heartbeat: others may have taken shards meanwhile.
    pub lapsed: bool,
    /// Workers with a lease, this one included.
    pub workers: u32,
    /// Shards that this worker owns.
    pub owned: u32,
    /// Shards that nobody with a lease owns.
    pub free: u32,
    /// Shards in all.
    pub shards: u32,
    /// The highest revision of any site.
    pub sites_revision: i64,
}

/// A shard that a worker has, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedShard {
    /// Which.
    pub shard: ShardId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// How many commits it has seen.
    pub commits: i64,
    /// Id of the last applied entry of its command stream: milliseconds and number.
    pub last_entry: (u64, u64),
    /// The highest message id that it has given.
    pub last_msg_id: MsgId,
}

/// A shard as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardOwner {
    /// Which.
    pub shard: ShardId,
    /// Whose it is.
    pub owner: Option<WorkerId>,
    /// How often it has changed hands.
    pub epoch: Epoch,
    /// How many commits it has seen.
    pub commits: i64,
}

/// The lease of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLease {
    /// Whose.
    pub worker: WorkerId,
    /// Milliseconds until it ends; negative when it has.
    pub left_ms: i64,
}

impl Reader {
    /// Every shard with its owner, and every worker with what is left of its lease; for people.
    pub async fn cluster(&mut self) -> Result<(Vec<ShardOwner>, Vec<WorkerLease>), Error> {
        let shards = sqlx::query("SELECT shard_id, owner, epoch, commits FROM shard ORDER BY shard_id")
            .fetch_all(&mut *self.tx)
            .await?;
        let workers = sqlx::query(
            "SELECT worker_id, (extract(epoch FROM lease_until - now()) * 1000)::bigint AS left_ms FROM worker
             ORDER BY worker_id",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let shard = |row: &PgRow| {
            Ok(ShardOwner {
                shard: ShardId(row.try_get::<i16, _>("shard_id")?.cast_unsigned()),
                owner: row.try_get::<Option<uuid::Uuid>, _>("owner")?.map(WorkerId),
                epoch: Epoch(row.try_get("epoch")?),
                commits: row.try_get("commits")?,
            })
        };
        let worker = |row: &PgRow| {
            Ok(WorkerLease { worker: WorkerId(row.try_get("worker_id")?), left_ms: row.try_get("left_ms")? })
        };
        Ok((
            shards.iter().map(shard).collect::<Result<_, Error>>()?,
            workers.iter().map(worker).collect::<Result<_, Error>>()?,
        ))
    }
}

impl Store {
    /// Renews the lease of a worker and looks around. Writes one row.
    pub async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Heartbeat, Error> {
        let row = sqlx::query(
            "WITH before AS (SELECT lease_until FROM worker WHERE worker_id = $1),
             beat AS (
                 INSERT INTO worker (worker_id, lease_until) VALUES ($1, now() + $2 * interval '1 ms')
                 ON CONFLICT (worker_id) DO UPDATE SET lease_until = excluded.lease_until
             ),
             others AS (SELECT worker_id FROM worker WHERE lease_until >= now() AND worker_id <> $1)
             SELECT coalesce((SELECT lease_until < now() FROM before), true),
                    (SELECT count(*) FROM others) + 1,
                    count(*) FILTER (WHERE owner = $1),
                    count(*) FILTER (WHERE owner IS NULL
                                     OR owner <> $1 AND owner NOT IN (SELECT worker_id FROM others)),
                    count(*),
                    (SELECT coalesce(max(revision), 0) FROM site)
             FROM shard",
        )
        .bind(worker.0)
        .bind(millis(lease))
        .fetch_one(&self.pool)
        .await?;
        let count = |column: usize| -> Result<u32, Error> {
            u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Unreadable("count".into()))
        };
        Ok(Heartbeat {
            lapsed: row.try_get(0)?,
            workers: count(1)?,
            owned: count(2)?,
            free: count(3)?,
            shards: count(4)?,
            sites_revision: row.try_get(5)?,
        })
    }

    /// Takes up to `most` shards that nobody with a lease owns. Taking a shard raises its epoch, so that whatever its
    /// last owner still decides cannot be committed.
    pub async fn claim(&self, worker: WorkerId, most: u32) -> Result<Vec<OwnedShard>, Error> {
        let rows = sqlx::query(
            "UPDATE shard SET owner = $1, epoch = epoch + 1
             WHERE shard_id IN (
                 SELECT shard_id FROM shard
                 WHERE owner IS NULL
                    OR owner <> $1 AND owner NOT IN (SELECT worker_id FROM worker WHERE lease_until >= now())
                 ORDER BY shard_id LIMIT $2
                 FOR UPDATE SKIP LOCKED)
             RETURNING shard_id, epoch, commits, last_entry_ms, last_entry_seq, last_msg_id",
        )
        .bind(worker.0)
        .bind(i64::from(most))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(owned).collect()
    }

    /// Ends the lease of a worker that cannot serve its shards: others may take them, and as long as nobody does they
    /// stay its own. The next heartbeat finds that the lease had lapsed.
    pub async fn end_lease(&self, worker: WorkerId) -> Result<(), Error> {
        sqlx::query(
            "UPDATE worker SET lease_until = now() - interval '1 ms' WHERE worker_id = $1 AND lease_until >= now()",
        )
        .bind(worker.0)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Raises the epoch of these shards, those that are still the worker's, and returns them: it takes them up anew,
    /// and everybody who talks to the shard notices.
    pub async fn renew(&self, worker: WorkerId, shards: &[ShardId]) -> Result<Vec<OwnedShard>, Error> {
        let ids: Vec<i16> = shards.iter().map(|shard| shard.0.cast_signed()).collect();
        let rows = sqlx::query(
            "UPDATE shard SET epoch = epoch + 1 WHERE owner = $1 AND shard_id = ANY($2)
             RETURNING shard_id, epoch, commits, last_entry_ms, last_entry_seq, last_msg_id",
        )
        .bind(worker.0)
        .bind(&ids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(owned).collect()
    }

    /// The shards that a worker has.
    pub async fn owned(&self, worker: WorkerId) -> Result<Vec<OwnedShard>, Error> {
        let rows = sqlx::query(
            "SELECT shard_id, epoch, commits, last_entry_ms, last_entry_seq, last_msg_id
             FROM shard WHERE owner = $1",
        )
        .bind(worker.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(owned).collect()
    }

    /// Gives shards back, those that are still the worker's; others may take them at once.
    pub async fn release(&self, worker: WorkerId, shards: &[ShardId]) -> Result<(), Error> {
        let ids: Vec<i16> = shards.iter().map(|shard| shard.0.cast_signed()).collect();
        sqlx::query("UPDATE shard SET owner = NULL WHERE owner = $1 AND shard_id = ANY($2)")
            .bind(worker.0)
            .bind(&ids)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a worker: gives back all its shards and its lease.
    pub async fn leave(&self, worker: WorkerId) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE shard SET owner = NULL WHERE owner = $1")
            .bind(worker.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM worker WHERE worker_id = $1").bind(worker.0).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets workers whose lease ended long ago; their shards have new owners.
    pub async fn forget_workers(&self) -> Result<(), Error> {
        sqlx::query(
            "DELETE FROM worker w WHERE lease_until < now() - interval '1 hour'
             AND NOT EXISTS (SELECT 1 FROM shard s WHERE s.owner = w.worker_id)",
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

fn owned(row: &PgRow) -> Result<OwnedShard, Error> {
    Ok(OwnedShard {
        shard: ShardId(row.try_get::<i16, _>(0)?.cast_unsigned()),
        epoch: Epoch(row.try_get(1)?),
        commits: row.try_get(2)?,
        last_entry: (row.try_get::<i64, _>(3)?.cast_unsigned(), row.try_get::<i64, _>(4)?.cast_unsigned()),
        last_msg_id: MsgId::from_i64(row.try_get(5)?),
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
