//! What the admin server can be told. The doc comments here are the comments of its sample file.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tmtp_chassis::config::{Log, Monitor, Postgres, Process, Redis, Runtime, Tracing};

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
}

/// Where the API is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Plain HTTP; TLS ends before it. Port 0 picks a free port, which the log then names.
    pub address: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)) }
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
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
