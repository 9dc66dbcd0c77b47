//! Tests of the chassis from outside, as a program uses it: configuration, monitor port, start and stop.
//!
//! Nothing here may touch the environment of the process or a fixed port.

mod config;
mod http;
mod monitor;
mod run;

use std::{net::SocketAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tmtp_chassis::{
    Config,
    config::{Humantime, Log, Monitor, Postgres, Process, Runtime, Tracing},
};

/// No wait in these tests may be longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program's configuration with a bit of everything.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    log: Log,
    monitor: Monitor,
    tracing: Tracing,
    runtime: Runtime,
    postgres: Postgres,
    /// Where and how it listens.
    listen: Listen,
}

/// A section of the program's own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Listen {
    /// Where clients connect.
    address: SocketAddr,
    /// Open links at most.
    links_max: u32,
    /// A link silent for longer is closed.
    #[serde(with = "Humantime")]
    silence_max: Duration,
    /// Certificate chain (PEM).
    certificate_file: String,
    /// Names served here.
    names: Vec<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([0, 0, 0, 0], 4443)),
            links_max: 1000,
            silence_max: Duration::from_mins(2),
            certificate_file: String::new(),
            names: Vec::new(),
        }
    }
}

impl Config for Settings {
    fn process(&self) -> Process<'_> {
        Process { log: &self.log, monitor: &self.monitor, tracing: &self.tracing, runtime: &self.runtime }
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        if self.listen.links_max == 0 {
            return Err(vec!["listen.links_max must be at least 1".to_owned()]);
        }
        Ok(())
    }
}
