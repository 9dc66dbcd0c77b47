//! What the admin server can be told. The doc comments here are the comments of its sample file.

mod acme;
mod public;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tmtp_chassis::config::{Humantime, Log, Monitor, Postgres, Process, Redis, Runtime, Secrets, Tracing};
use tmtp_seal::{KeyError, Sealer};

pub use acme::Acme;
pub use public::Public;

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
    /// The pages for invited people. There are none unless `address` and `url` are set.
    pub public: Public,
    /// How much one may ask for.
    pub limits: Limits,
    /// What becomes of sites.
    pub sites: Sites,
    /// The key under which private keys of sites' certificates are sealed.
    pub secrets: Secrets,
    /// Certificates ordered from an authority.
    pub acme: Acme,
    /// Sign-in providers of sites.
    pub oidc: Oidc,
}

/// Sign-in providers of sites.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// From where documents of providers are fetched: `public` for public addresses only, `anywhere` for deployments whose
    /// providers are in their own network. Sites' admins choose the addresses, so `anywhere` lets them call what only this
    /// server can reach.
    pub reach: OidcReach,
}

/// From where documents of providers are fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OidcReach {
    /// From public addresses.
    #[default]
    Public,
    /// From everywhere.
    Anywhere,
}

/// Where the API is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Plain HTTP; TLS ends before it. Port 0 picks a free port, which the log then names.
    pub address: SocketAddr,
    /// How many proxies of ours are before it, each of which adds to `X-Forwarded-For`. With too many here, clients choose
    /// what the audit log says about them, and by which address their failures are counted.
    pub proxies: u8,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)), proxies: 0 }
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
    /// A request that takes longer is broken off, to the pages for invited people, too.
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
        let mut problems = [self.postgres.problems(), self.redis.problems(), self.public.problems()].concat();
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
        if let Some(public) = self.public.address
            && public.port() != 0
            && (public == api || public == monitor)
        {
            problems.push("public.address must differ from listen.address and monitor.address".to_owned());
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
