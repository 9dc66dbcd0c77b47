//! What the admin server can be told. The doc comments here are the comments of its sample file.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tmtp_chassis::config::{Humantime, Log, Monitor, Postgres, Process, Redis, Runtime, Tracing};

/// The configuration of the admin server.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Logs, on standard error.
    pub log: Log,
    /// The internal port: health, readiness, metrics, log filter.
    pub monitor: Monitor,
    /// Export of traces; off by default.
    pub tracing: Tracing,
    /// Threads, and the time a stop may take.
    pub runtime: Runtime,
    /// The database.
    pub postgres: Postgres,
    /// The streams and the directory.
    pub redis: Redis,
    /// Where the API is.
    pub listen: Listen,
    /// How much one may ask for.
    pub limits: Limits,
    /// What becomes of sites.
    pub sites: Sites,
}

/// Where the API is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Plain HTTP; TLS ends before it. Port 0 picks a free port, which the log then names.
    pub address: SocketAddr,
    /// Take the client's address from the last entry of `X-Forwarded-For`. Only behind a proxy that adds it: otherwise
    /// clients choose what the audit log says about them.
    pub trust_forwarded_for: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)), trust_forwarded_for: false }
    }
}

/// How much one may ask for. Each admin server counts for itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute and API key; so many may also come at once.
    pub requests_per_minute: NonZeroU32,
    /// Requests per minute and address with a key that is none, before they are answered with 429.
    pub failures_per_minute: NonZeroU32,
    /// A request that takes longer is broken off.
    #[serde(with = "Humantime")]
    pub request_timeout: Duration,
    /// Octets of a body.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 10,000 sites in some minutes.
            requests_per_minute: NonZeroU32::MIN.saturating_add(2_999),
            failures_per_minute: NonZeroU32::MIN.saturating_add(29),
            request_timeout: Duration::from_secs(30),
            body_bytes: 1024 * 1024,
        }
    }
}

/// What becomes of sites.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sites {
    /// For so long a deleted site can be restored; then its rows are erased. The same for all admin servers.
    #[serde(with = "Humantime")]
    pub tombstone: Duration,
}

impl Default for Sites {
    fn default() -> Self {
        Self { tombstone: Duration::from_hours(30 * 24) }
    }
}

impl tmtp_chassis::Config for Config {
    fn process(&self) -> Process<'_> {
        Process { log: &self.log, monitor: &self.monitor, tracing: &self.tracing, runtime: &self.runtime }
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = [self.postgres.problems(), self.redis.problems()].concat();
        let (api, monitor) = (self.listen.address, self.monitor.address);
        // Two free ports differ by themselves; two fixed ones must.
        if api == monitor && api.port() != 0 {
            problems.push("listen.address and monitor.address must differ".to_owned());
        }
        if self.limits.request_timeout.is_zero() {
            problems.push("limits.request_timeout must be longer than nothing".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
