//! What can be set for a worker.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tmtp_chassis::config::{Humantime, Log, Monitor, Postgres, Process, Redis, Runtime, Tracing, unverified};
use tmtp_chassis::schemars::{self, JsonSchema};

use crate::home::{Limits, SpillPolicy, Window};

/// The configuration of a worker.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is logged, and how.
    pub log: Log,
    /// Health, readiness and metrics.
    pub monitor: Monitor,
    /// Export of traces.
    pub tracing: Tracing,
    /// Threads and the time to stop.
    pub runtime: Runtime,
    /// The database.
    pub postgres: Postgres,
    /// The streams.
    pub redis: Redis,
    /// Where large bodies are; unset, in the database of `postgres`.
    pub bodies: tmtp_bodies::Config,
    /// Ownership of shards.
    pub shards: Shards,
    /// Delivery to devices.
    pub delivery: Delivery,
    /// The journal and its spill.
    pub journal: Journal,
    /// Bodies that nobody refers to.
    pub sweep: Sweep,
    /// The delivery trace.
    pub trace: Trace,
}

/// Ownership of shards.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shards {
    /// How long this worker's shards stay its own after its last heartbeat. Others take them then.
    #[serde(with = "Humantime")]
    pub lease: Duration,
    /// How often it beats.
    #[serde(with = "Humantime")]
    pub heartbeat: Duration,
    /// How long a gateway may go without a beat before its sessions end. The gateways' own lease must not be longer.
    /// Clearly shorter than the five seconds that a login may take: a new owner of a shard lets logins wait for a gateway
    /// that is lost as well for so long.
    #[serde(with = "Humantime")]
    pub gateway_lease: Duration,
    /// Entries of command streams that are decided together at most.
    pub batch_entries: usize,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            heartbeat: Duration::from_secs(1),
            gateway_lease: Duration::from_secs(3),
            batch_entries: 1_000,
        }
    }
}

/// Delivery to devices.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Messages in flight to one device: sent and not acked. 1 is as the reference server does it.
    pub window_count: usize,
    /// Octets in flight to one device; one message always may.
    pub window_bytes: usize,
    /// How long a request that succeeded is recognised when it is sent again.
    #[serde(with = "Humantime")]
    pub dedupe_window: Duration,
    /// Requests that this worker remembers, all its shards together; beyond, the oldest of the shards with most are
    /// forgotten early. Each takes about 100 octets.
    pub receipts_max: usize,
    /// Members that stay cached per shard.
    pub members_max: usize,
    /// How often messages are looked for that have waited too long, and devices that are quiet, at sites whose policy has
    /// a rule for that.
    #[serde(with = "Humantime")]
    pub expiry_every: Duration,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            // Measured (loadtest/RESULTS.md, "drain"): a backlog costs a quarter of the CPU time at 16 of what it costs at 4,
            // and half of that at 64. What it can cost, repeats after a lost connection, is bounded by the octets.
            window_count: 64,
            window_bytes: 256 * 1024,
            // A client waits two minutes after a lost connection before it dials again, and up to six between
            // attempts: a quarter of an hour sees it through an outage of some minutes.
            dedupe_window: Duration::from_mins(15),
            receipts_max: 4_000_000,
            members_max: 20_000,
            expiry_every: Duration::from_mins(1),
        }
    }
}

/// The journal and its spill.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// What is not delivered by then becomes rows.
    #[serde(with = "Humantime")]
    pub spill_after: Duration,
    /// Octets of undelivered messages, and of steps for the delivery trace, that this worker keeps in memory, all its
    /// shards together; beyond, the shards that hold most become rows.
    pub spill_bytes: usize,
    /// Acks per shard that wait for the removal of their rows at most.
    pub spill_acks: usize,
}

impl Default for Journal {
    fn default() -> Self {
        Self { spill_after: Duration::from_secs(5), spill_bytes: 64 * 1024 * 1024, spill_acks: 2_000 }
    }
}

/// Bodies that nobody refers to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// How often the body store is searched for them.
    #[serde(with = "Humantime")]
    pub every: Duration,
    /// How old the newest part of a body must be. Longer than uploads take for a part, and than they may wait for their
    /// commit: a message whose body was removed meanwhile is refused.
    #[serde(with = "Humantime")]
    pub older_than: Duration,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { every: Duration::from_mins(1), older_than: Duration::from_hours(1) }
    }
}

/// The delivery trace: what became of messages, and never what they say.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// How long the steps of messages are kept; 0 keeps none. A message between two devices takes some 70 octets.
    #[serde(with = "Humantime")]
    pub keep: Duration,
    /// How often steps that are older are removed.
    #[serde(with = "Humantime")]
    pub sweep_every: Duration,
}

impl Default for Trace {
    fn default() -> Self {
        Self { keep: Duration::from_hours(72), sweep_every: Duration::from_mins(1) }
    }
}

impl Config {
    /// The bounds of a home.
    pub fn limits(&self) -> Limits {
        Limits {
            window: Window { count: self.delivery.window_count, bytes: self.delivery.window_bytes },
            dedupe_window: self.delivery.dedupe_window,
            receipts_max: self.delivery.receipts_max,
            members_max: self.delivery.members_max,
            traces: !self.trace.keep.is_zero(),
        }
    }

    /// The body store. In Postgres it is in the worker's own database unless the configuration says otherwise.
    pub fn bodies(&self) -> tmtp_bodies::Config {
        let mut bodies = self.bodies.clone();
        if !bodies.postgres.url.is_set() {
            bodies.postgres.url = self.postgres.url.expose().into();
            bodies.postgres.flush = false;
        }
        bodies
    }

    /// When a home spills.
    pub fn spill_policy(&self) -> SpillPolicy {
        SpillPolicy {
            after: self.journal.spill_after,
            bytes: self.journal.spill_bytes,
            acks: self.journal.spill_acks,
        }
    }
}

impl tmtp_chassis::Config for Config {
    fn process(&self) -> Process<'_> {
        Process { log: &self.log, monitor: &self.monitor, tracing: &self.tracing, runtime: &self.runtime }
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = [self.postgres.problems(), self.redis.problems()].concat();
        problems.extend(self.bodies().problems("bodies"));
        problems.extend(unverified("bodies.postgres.url", self.bodies.postgres.url.expose()));
        let rules = [
            (
                self.shards.heartbeat * 2 <= self.shards.lease,
                "shards.heartbeat must be at most half of shards.lease",
            ),
            (!self.shards.heartbeat.is_zero(), "shards.heartbeat must be longer than nothing"),
            (self.shards.batch_entries >= 1, "shards.batch_entries must be at least 1"),
            (self.delivery.window_count >= 1, "delivery.window_count must be at least 1"),
            (self.delivery.window_bytes >= 1, "delivery.window_bytes must be at least 1"),
            (self.delivery.receipts_max >= 1, "delivery.receipts_max must be at least 1"),
            (
                self.postgres.connections_max >= 3,
                "postgres.connections_max must be at least 3: for commits, heartbeats and housekeeping",
            ),
            (!self.delivery.expiry_every.is_zero(), "delivery.expiry_every must be longer than nothing"),
            (!self.sweep.every.is_zero(), "sweep.every must be longer than nothing"),
            (!self.trace.sweep_every.is_zero(), "trace.sweep_every must be longer than nothing"),
        ];
        problems.extend(rules.iter().filter(|(holds, _)| !holds).map(|(_, text)| (*text).to_owned()));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use tmtp_chassis::Config as _;

    use super::*;

    /// Goal: the defaults lack only what nobody can guess, and a database whose authority would not be checked is refused;
    /// method: validate them, with the required settings, and with such a URL for bodies of their own.
    #[test]
    fn defaults_need_the_stores() {
        let mut config = Config::default();
        let missing = config.validate().unwrap_err();
        assert!(missing.iter().any(|problem| problem.starts_with("redis.url is required")), "{missing:?}");
        config.postgres.url = "postgres://localhost/".into();
        config.redis.url = "redis://localhost/".into();
        assert_eq!(config.validate(), Ok(()));
        config.bodies.postgres.url = "postgres://localhost/?sslrootcert=ca".into();
        let problems = config.validate().unwrap_err();
        assert!(problems[0].starts_with("bodies.postgres.url names sslrootcert"), "{problems:?}");
    }
}
