//! What the admin server can be told. The doc comments here are the comments of its sample file.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tmtp_chassis::config::{Humantime, Log, Monitor, Postgres, Process, Redis, Runtime, Secrets, Tracing};
use tmtp_seal::{KeyError, Sealer};

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
    /// The key under which private keys of sites' certificates are sealed.
    pub secrets: Secrets,
    /// Certificates ordered from an authority.
    pub acme: Acme,
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

/// Certificates ordered from an authority (ACME, RFC 8555), for the domains for which that is switched on by the API. The
/// authority proves a domain by connecting to it at port 443, which has to lead to the gateways (tls-alpn-01).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// Whether this server orders. Any number of them may; they share the work.
    pub enabled: bool,
    /// The authority.
    pub directory: String,
    /// A PEM file with the root certificate to check the authority's own against, for authorities that are not public.
    pub root: Option<PathBuf>,
    /// A mail address at which the authority reaches whoever runs this; none when empty.
    pub contact: String,
    /// That you agree to the authority's terms of service; without that it issues nothing.
    pub terms_agreed: bool,
    /// How often it is looked whether there is something to order.
    #[serde(with = "Humantime")]
    pub look_every: Duration,
    /// How long a domain waits after its first failure; twice as long after each further one. Authorities allow five
    /// failures an hour.
    #[serde(with = "Humantime")]
    pub retry_min: Duration,
    /// How long a domain waits at most.
    #[serde(with = "Humantime")]
    pub retry_max: Duration,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            root: None,
            contact: String::new(),
            terms_agreed: false,
            look_every: Duration::from_secs(10),
            retry_min: Duration::from_mins(15),
            retry_max: Duration::from_hours(12),
        }
    }
}

impl Acme {
    fn problems(&self, has_key: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        demand(self.directory.starts_with("https://"), "acme.directory must start with https://");
        demand(!self.contact.starts_with("mailto:"), "acme.contact must be an address without mailto:");
        demand(!self.look_every.is_zero(), "acme.look_every must be longer than nothing");
        demand(!self.retry_min.is_zero(), "acme.retry_min must be longer than nothing");
        demand(self.retry_min <= self.retry_max, "acme.retry_min must not be longer than acme.retry_max");
        if self.enabled {
            demand(
                self.terms_agreed,
                "acme.terms_agreed must be true for acme.enabled: read the authority's terms",
            );
            demand(has_key, "secrets.key is required for acme.enabled (or secrets.key_file)");
        }
        problems
    }
}

impl Config {
    /// What seals private keys; `None` without a key.
    pub(crate) fn sealer(&self) -> Result<Option<Sealer>, KeyError> {
        let key = &self.secrets.key;
        key.is_set().then(|| Sealer::parse(key.expose())).transpose()
    }
}

impl tmtp_chassis::Config for Config {
    fn process(&self) -> Process<'_> {
        Process { log: &self.log, monitor: &self.monitor, tracing: &self.tracing, runtime: &self.runtime }
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = [self.postgres.problems(), self.redis.problems()].concat();
        problems.extend(self.sealer().err().map(|error| format!("secrets.key: {error}")));
        problems.extend(self.acme.problems(self.secrets.key.is_set()));
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

#[cfg(test)]
mod tests {
    use tmtp_chassis::Config as _;

    use super::*;

    /// Goal: ordering is off unless what it needs is there; method: switch it on, and give what is asked for.
    #[test]
    fn ordering_needs_a_key_and_consent() {
        let mut config = Config::default();
        config.postgres.url = "postgres://localhost/".into();
        config.redis.url = "redis://localhost/".into();
        assert_eq!(config.validate(), Ok(()));
        config.acme.enabled = true;
        assert_eq!(config.validate().unwrap_err().len(), 2);
        config.acme.terms_agreed = true;
        config.secrets.key = "too short".into();
        assert_eq!(config.validate().unwrap_err().len(), 1);
        config.secrets.key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into();
        assert_eq!(config.validate(), Ok(()));
    }
}
