//! What a new owner of shards reads: journal entries that are not spilled, and the receipts of the dedupe window.

use sqlx::Row;
use tmtp_domain::ShardId;

use crate::{Error, Store};

/// What is left of one shard.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Journal entries, oldest first.
    pub journal: Vec<Vec<u8>>,
    /// Packs of receipts, oldest first.
    pub receipts: Vec<Vec<u8>>,
}

/// Which receipts a new owner of shards reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptsFrom {
    /// Those in packs whose youngest is younger than this (ms since 1970).
    pub after_ms: i64,
    /// There are older ones within the window, and they are too many.
    pub is_cut: bool,
}

impl Store {
    /// From when on the receipts of these shards have at most so many octets together: the youngest count most.
    /// `after_ms` (ms since 1970) is where the dedupe window begins.
    pub async fn receipts_from(
        &self,
        shards: &[ShardId],
        after_ms: i64,
        octets_max: u64,
    ) -> Result<ReceiptsFrom, Error> {
        let ids: Vec<i16> = shards.iter().map(|shard| shard.0.cast_signed()).collect();
        // The length of a pack is known without reading it. Packs of one time are read all or not at all.
        let cut: Option<i64> = sqlx::query_scalar(
            "SELECT max(until_ms) FROM (
                 SELECT until_ms, sum(octet_length(pack)) OVER (ORDER BY until_ms DESC) AS octets
                 FROM receipts WHERE shard_id = ANY($1) AND until_ms > $2) packs
             WHERE octets > $3",
        )
        .bind(&ids)
        .bind(after_ms)
        .bind(i64::try_from(octets_max).unwrap_or(i64::MAX))
        .fetch_one(&self.pool)
        .await?;
        Ok(ReceiptsFrom { after_ms: cut.unwrap_or(after_ms), is_cut: cut.is_some() })
    }

    /// Reads what is left of a shard. Receipts in packs younger than `receipts_after_ms` (ms since 1970) count. The
    /// journal has what was committed within a spill period; so one shard at a time.
    pub async fn recover(&self, shard: ShardId, receipts_after_ms: i64) -> Result<Recovery, Error> {
        // One snapshot for both: a spill between two reads would hide what it moves.
        let rows = sqlx::query(
            "SELECT false AS is_receipts, seq, 0::int8 AS until_ms, entry AS octets
             FROM journal WHERE shard_id = $1
             UNION ALL
             SELECT true, seq, until_ms, pack
             FROM receipts WHERE shard_id = $1 AND until_ms > $2
             ORDER BY 1, 3, 2",
        )
        .bind(shard.0.cast_signed())
        .bind(receipts_after_ms)
        .fetch_all(&self.pool)
        .await?;
        let mut left = Recovery::default();
        for row in rows {
            let list = if row.try_get(0)? { &mut left.receipts } else { &mut left.journal };
            list.push(row.try_get(3)?);
        }
        Ok(left)
    }
}
