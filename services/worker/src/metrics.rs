//! What a worker counts.

use tmtp_chassis::metrics::SECONDS;

tmtp_chassis::metrics! {
    pub struct WorkerMetrics in "tmtp_worker" {
        /// Shards that this worker owns.
        shards_owned: IntGauge,
        /// Shards taken over.
        takeovers_total: IntCounter,
        /// Shards lost to another worker, noticed at a commit or a heartbeat.
        shards_lost_total: IntCounter,
        /// Commits that were refused because a shard had moved on.
        commits_fenced_total: IntCounter,
        /// Sessions open at this worker's shards.
        sessions_open: IntGauge,
        /// Octets of messages that are owed and held in memory.
        owed_bytes: IntGauge,
        /// Requests that are remembered, to recognise them when they are sent again.
        receipts: IntGauge,
        /// Times that requests were forgotten before the dedupe window was over, because there were too many.
        dedupe_cut_total: IntCounter,
        /// Commands decided, by kind.
        commands_total: IntCounterVec["kind" = crate::engine::KINDS],
        /// Entries of this worker's command streams that are not committed yet.
        commands_waiting: IntGauge,
        /// The same for the stream that has most of them.
        commands_waiting_most: IntGauge,
        /// Age of the oldest entry that is not committed yet, in whole seconds.
        commands_oldest_seconds: IntGauge,
        /// Commands refused because the database does not take what comes of them. Each is a bug, or a foreign hand.
        commands_poisoned_total: IntCounter,
        /// Commands committed together.
        batch_commands: Histogram[BATCH],
        /// Time of a commit, in seconds.
        commit_seconds: Histogram[SECONDS],
        /// Messages given to gateways for delivery, repetitions included.
        deliveries_total: IntCounter,
        /// Spills, and messages that became rows by them.
        spills_total: IntCounter,
        /// Messages that became rows.
        spilled_messages_total: IntCounter,
        /// Messages that were dropped for somebody because they had waited too long.
        messages_expired_total: IntCounter,
        /// Parts of spills that the database did not take; messages among them are parked. Each is a bug, or a foreign
        /// hand.
        spill_refused_total: IntCounter,
        /// Time of a spill, in seconds.
        spill_seconds: Histogram[SECONDS],
        /// 1 when Redis throws keys away as soon as its memory is full, looked at every ten seconds.
        redis_evicts: IntGauge,
        /// Calls of Postgres or Redis that failed and were tried again, by which.
        retries_total: IntCounterVec["of" = &["postgres", "redis"]],
        /// Rows of the delivery trace that were removed because they were old.
        trace_rows_forgotten_total: IntCounter,
        /// Bodies removed from the body store, by why.
        bodies_removed_total: IntCounterVec["why" = &["delivered", "unreferenced"]],
    }
}

/// Buckets for commands per batch.
const BATCH: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0];
