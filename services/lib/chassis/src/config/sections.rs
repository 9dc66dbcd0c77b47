//! Sections that several programs have in common, with the checks that belong to them.
//!
//! A field here must state its unit, its limit and what its absence means; the text reaches the sample file.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Humantime, Secret};
use crate::logs;

/// What is logged, and how. Logs go to standard error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `human` for people, `json` for one JSON object a line.
    pub format: LogFormat,
    /// What is logged, as comma separated `target=level` directives, for example `info,tmtp_bus=debug`.
    /// `PUT /log-filter` on the monitor port changes it while the program runs.
    pub filter: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".to_owned() }
    }
}

impl Log {
    pub(super) fn problems(&self) -> Vec<String> {
        let parsed = logs::parse_filter(&self.filter);
        parsed.err().map(|error| format!("log.filter is not a filter: {error}")).into_iter().collect()
    }
}

/// The internal port for health, readiness, metrics and the log filter. Plain HTTP: keep it inside.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Monitor {
    /// Where it listens. Port 0 picks a free port, which the log then names.
    pub address: SocketAddr,
}

impl Default for Monitor {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9464)) }
    }
}

/// Export of traces as OTLP over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// Base URL of the collector, for example `http://collector:4318`; traces go to `/v1/traces` below it.
    /// Only plain HTTP. Nothing is traced when it is absent.
    pub otlp_endpoint: Option<String>,
    /// Share of the traces begun here that are kept, from 0 to 1. A trace begun elsewhere keeps its decision.
    pub sample_ratio: f64,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 0.01 }
    }
}

impl Tracing {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.otlp_endpoint.as_ref().is_some_and(|endpoint| !endpoint.starts_with("http://")) {
            problems.push("tracing.otlp_endpoint must start with http://".to_owned());
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            problems.push(format!("tracing.sample_ratio must be from 0 to 1, not {}", self.sample_ratio));
        }
        problems
    }
}

/// Threads, and the time a stop may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// Worker threads, 1 to 1024; one per available CPU when absent.
    pub threads: Option<usize>,
    /// How long after the request to stop unfinished work is broken off.
    #[serde(with = "Humantime")]
    pub shutdown_grace: Duration,
}

impl Default for Runtime {
    fn default() -> Self {
        // Kubernetes kills after 30 s unless told otherwise; this leaves it a margin.
        Self { threads: None, shutdown_grace: Duration::from_secs(25) }
    }
}

impl Runtime {
    pub(super) fn problems(&self) -> Vec<String> {
        let out_of_range = self.threads.filter(|threads| !(1..=1024).contains(threads));
        out_of_range
            .map(|threads| format!("runtime.threads must be from 1 to 1024, not {threads}"))
            .into_iter()
            .collect()
    }
}

/// The connection to Postgres.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// Required. `postgres://user:password@host:port/database`; or set `url_file` to a file that holds it.
    /// `?sslmode=verify-full` demands TLS from a server for which a public authority vouches, or with `&sslrootcert=FILE`
    /// one of your own; `&sslcert=FILE&sslkey=FILE` show it a certificate. Without `sslmode`, a server that has TLS is
    /// talked to with TLS, and believed.
    pub url: Secret,
    /// Connections this process opens at most.
    pub connections_max: u32,
    /// How long a request waits for a free connection before it fails.
    #[serde(with = "Humantime")]
    pub acquire_timeout: Duration,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: Secret::default(), connections_max: 8, acquire_timeout: Duration::from_secs(5) }
    }
}

impl Postgres {
    /// What is wrong with this section, one sentence per problem; for the program's `validate`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = url_problems("postgres", &self.url, &["postgres://", "postgresql://"]);
        problems.extend(unverified("postgres.url", self.url.expose()));
        if self.connections_max == 0 {
            problems.push("postgres.connections_max must be at least 1".to_owned());
        }
        if self.acquire_timeout.is_zero() {
            problems.push("postgres.acquire_timeout must be longer than nothing".to_owned());
        }
        problems
    }
}

/// The connection to Redis.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Required. `redis://user:password@host:port/`, or `rediss://` for TLS; or set `url_file` to a file that holds it. With
    /// TLS, `?sslrootcert=FILE` names the authority that vouches for the server, if it is none that the machine trusts, and
    /// `&sslcert=FILE&sslkey=FILE` a certificate for a server that asks who comes.
    pub url: Secret,
}

impl Redis {
    /// What is wrong with this section, one sentence per problem; for the program's `validate`.
    pub fn problems(&self) -> Vec<String> {
        url_problems("redis", &self.url, &["redis://", "rediss://", "redis+unix://", "unix://"])
    }
}

/// The key of the deployment, under which private keys of certificates lie in Postgres and Redis. All gateways and admin
/// servers need the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Secrets {
    /// 32 random octets in base64, as `openssl rand -base64 32` makes them; or set `key_file` to a file that holds it.
    /// To change it, put the new key in front of the old one, with white space between, everywhere, and remove the old
    /// one when nothing is sealed with it any more. Without a key there are no certificates per site and no ACME.
    pub key: Secret,
}

/// What is wrong with a URL of Postgres that names an authority without having it checked: but for `verify-full` the driver
/// believes everybody, or whatever name any public authority vouches for. Never quotes the URL.
pub fn unverified(key: &str, url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let has = |begin: &str| query.split('&').any(|parameter| parameter.starts_with(begin));
    let checked = !has("sslrootcert=") || has("sslmode=verify-full");
    (!checked)
        .then(|| format!("{key} names sslrootcert and has to say sslmode=verify-full, or nobody is checked"))
}

/// Checks that a URL is there and of a known kind, without ever quoting it.
fn url_problems(section: &str, url: &Secret, schemes: &[&str]) -> Vec<String> {
    if !url.is_set() {
        return vec![format!("{section}.url is required (or {section}.url_file)")];
    }
    if !schemes.iter().any(|scheme| url.expose().starts_with(scheme)) {
        return vec![format!("{section}.url must start with {}", schemes.join(" or "))];
    }
    Vec::new()
}
