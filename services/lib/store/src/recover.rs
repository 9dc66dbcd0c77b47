//! What a new owner of shards reads: journal entries that are not spilled, and the receipts of the dedupe window.

use std::collections::HashMap;

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

impl Store {
    /// Reads what is left of these shards. Receipts younger than `receipts_after_ms` (ms since 1970) count.
    pub async fn recover(
        &self,
        shards: &[ShardId],
        receipts_after_ms: i64,
    ) -> Result<HashMap<ShardId, Recovery>, Error> {
        let ids: Vec<i16> = shards.iter().map(|shard| shard.0.cast_signed()).collect();
        let mut found: HashMap<ShardId, Recovery> =
            shards.iter().map(|shard| (*shard, Recovery::default())).collect();
        // One snapshot for both: a spill between two reads would hide what it moves.
        let rows = sqlx::query(
            "SELECT shard_id, false AS is_receipts, seq, 0::int8 AS until_ms, entry AS octets
             FROM journal WHERE shard_id = ANY($1)
             UNION ALL
             SELECT shard_id, true, seq, until_ms, pack
             FROM receipts WHERE shard_id = ANY($1) AND until_ms > $2
             ORDER BY 1, 2, 4, 3",
        )
        .bind(&ids)
        .bind(receipts_after_ms)
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let shard = ShardId(row.try_get::<i16, _>(0)?.cast_unsigned());
            let left = found.entry(shard).or_default();
            let list = if row.try_get(1)? { &mut left.receipts } else { &mut left.journal };
            list.push(row.try_get(4)?);
        }
        Ok(found)
    }
}
