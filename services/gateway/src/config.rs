//! The gateway's configuration. Every limit of the gateway is here, with its unit and the reason of its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tmtp_chassis::config::{Humantime, Log, Monitor, Process, Redis, Runtime, Secrets, Tracing, unverified};
use tmtp_chassis::schemars::JsonSchema;
use tmtp_seal::{KeyError, Sealer};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "tmtp_chassis::schemars")]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is logged, and how.
    pub log: Log,
    /// The internal port for health, readiness and metrics.
    pub monitor: Monitor,
    /// Export of traces.
    pub tracing: Tracing,
    /// Threads, and the time a stop may take.
    pub runtime: Runtime,
    /// The connection to Redis.
    pub redis: Redis,
    /// Where bodies above the inline limit are stored.
    pub bodies: tmtp_bodies::Config,
    /// Where and how clients connect.
    pub listen: Listen,
    /// Load balancers that say whose connection they pass on.
    pub proxy_protocol: ProxyProtocol,
    /// Certificates.
    pub tls: TlsConfig,
    /// The key under which private keys of sites' certificates are sealed. Without it only the files serve.
    pub secrets: Secrets,
    /// Which site a client gets.
    pub sites: SitesConfig,
    /// Sign-in of people who register.
    pub sign_in: SignIn,
    /// How much of what a client, or all of them, may use; and how long things may take.
    pub limits: Limits,
}

/// Where and how clients connect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "tmtp_chassis::schemars")]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Where TMTP clients connect. Port 0 picks a free port, which the log then names.
    pub address: SocketAddr,
    /// Over how long a stop spreads the ends of its links: clients come back after two minutes, and should not all
    /// come at once. `0s` ends them at once. Has to end well before `runtime.shutdown_grace`.
    #[serde(with = "Humantime")]
    pub drain_over: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)), drain_over: Duration::from_secs(20) }
    }
}

/// Load balancers that say whose connection they pass on, by the PROXY protocol, version 1 or 2.
///
/// Whatever passes connections on, with this protocol or without, must leave quiet ones open for longer than 130
/// seconds: clients say something every 115 seconds, and a link is given up after 120.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "tmtp_chassis::schemars")]
#[serde(default, deny_unknown_fields)]
pub struct ProxyProtocol {
    /// The networks that load balancers connect from, in CIDR form: `["10.0.0.0/8", "2001:db8::/32"]`. Every connection
    /// from there must begin with a PROXY header, and the address in it is taken for the client's; nobody else may send
    /// one. Never name networks that clients connect from themselves: they could then claim any address. Empty: off.
    pub trusted: Vec<String>,
    /// Octets that a header may have. Load balancers that tell much of TLS sessions send some hundred.
    pub header_octets_max: usize,
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self { trusted: Vec::new(), header_octets_max: 4_096 }
    }
}

impl ProxyProtocol {
    /// The networks, or what is wrong with them, one sentence per problem.
    pub(crate) fn networks(&self) -> Result<Vec<IpNet>, Vec<String>> {
        let (mut networks, mut problems) = (Vec::new(), Vec::new());
        for text in &self.trusted {
            match text.parse::<IpNet>() {
                Ok(network) => networks.push(network.trunc()),
                Err(_) => problems.push(format!(
                    "proxy_protocol.trusted: {text:?} is not a network in CIDR form, such as 10.0.0.0/8, 192.0.2.1/32 \
                     or 2001:db8::/32"
                )),
            }
        }
        if problems.is_empty() { Ok(networks) } else { Err(problems) }
    }
}

/// Certificates.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "tmtp_chassis::schemars")]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Required. A directory of pairs `NAME.crt` and `NAME.key` (PEM), or of directories that hold `tls.crt` and
    /// `tls.key`. Which names a certificate serves is read from the certificate; the pair `default` also serves
    /// clients that name no host, or one that no certificate is for.
    pub certificates: PathBuf,
    /// How often the directory is looked at for changes.
    #[serde(with = "Humantime")]
    pub reload_every: Duration,
    /// Certificates of sites that are kept ready for use, about 30 KiB each; others are made ready when a client asks
    /// for them, which takes a millisecond or two.
    pub ready_max: usize,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { certificates: PathBuf::new(), reload_every: Duration::from_secs(5), ready_max: 2_000 }
    }
}

/// Which site a client gets.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "tmtp_chassis::schemars")]
#[serde(default, deny_unknown_fields)]
pub struct SitesConfig {
    /// A domain of the site for clients that name no host (they dialled an address), or a host that is no site's.
    /// Without it such clients are refused.
    pub default: Option<String>,
}

/// Sign-in of people who register.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "tmtp_chassis::schemars")]
#[serde(default, deny_unknown_fields)]
pub struct SignIn {
    /// Where the public reaches the pages for invited people: exactly the `public.url` of the admin server. Without it
    /// clients are not offered to join by invitation.
    pub public_url: Option<String>,
    /// Where this gateway fetches the keys of the built-in issuer, for instance inside the cluster:
    /// `http://postern-admin-public:8080/jwks`. The `public_url` followed by `/jwks`, if not set.
    pub keys_url: Option<String>,
    /// Whether keys of the sites' own providers may be fetched from private networks. Sites' admins choose these addresses.
    pub private_providers: bool,
}

/// How much of what may be used, and how long things may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "tmtp_chassis::schemars")]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections; the rest are refused at accept. An idle one takes about 10 KiB.
    pub links_max: usize,
    /// From accept to the end of the login, TLS handshake included. Clients know 5 seconds.
    #[serde(with = "Humantime")]
    pub login_within: Duration,
    /// A client that is logged in and sends nothing for this long is taken for gone. Clients send something every 115
    /// seconds.
    #[serde(with = "Humantime")]
    pub silence_max: Duration,
    /// A client that accepts nothing for this long, while something waits for it, is cut off.
    #[serde(with = "Humantime")]
    pub write_wait: Duration,
    /// Messages that a client has not acked are sent again when it has acked nothing for this long.
    #[serde(with = "Humantime")]
    pub redeliver_after: Duration,
    /// Commands that are not answered are published again after this time, then after twice that, up to a minute; but
    /// never while the stream still holds them. Shorter than the 15 seconds after which clients send again.
    #[serde(with = "Humantime")]
    pub republish_after: Duration,
    /// How long a client that is to get `quit` waits for its node to be free.
    #[serde(with = "Humantime")]
    pub detach_wait: Duration,
    /// How long it waits for answers to requests that it sent before.
    #[serde(with = "Humantime")]
    pub answers_wait: Duration,
    /// How long a session whose client is gone tries to finish what the client has asked for. After that only its
    /// goodbye is left, a few hundred octets, until the home has heard it.
    #[serde(with = "Humantime")]
    pub linger_max: Duration,
    /// Without a renewal of its lease for this long, the gateway delivers nothing until it has opened its sessions
    /// again. At most what the workers allow.
    #[serde(with = "Humantime")]
    pub lease: Duration,
    /// Unanswered commands of one client beyond which it is not read.
    pub unanswered_max: usize,
    /// Octets of unanswered commands of one client beyond which it is not read.
    pub unanswered_octets_max: usize,
    /// Octets of answers that one client has not taken beyond which it is not read.
    pub replies_octets_max: usize,
    /// Octets of unanswered commands of all clients together; beyond, requests are refused as `overloaded`.
    pub unanswered_octets: usize,
    /// Entries in the command stream of a shard, of all gateways together, from which on the clients of its sites are
    /// not read, and logins wait until their time is over. An entry has 256 KiB at most, or one command.
    pub stream_entries_max: u64,
    /// Octets of data up to which a request travels inside its command; larger data goes to the body store.
    pub inline_max: u64,
    /// Octets of data beyond which a request is refused.
    pub body_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links_max: 50_000,
            login_within: Duration::from_secs(5),
            silence_max: Duration::from_mins(2),
            write_wait: Duration::from_mins(1),
            redeliver_after: Duration::from_secs(30),
            republish_after: Duration::from_secs(5),
            detach_wait: Duration::from_secs(2),
            answers_wait: Duration::from_secs(15),
            linger_max: Duration::from_mins(1),
            lease: Duration::from_secs(3),
            unanswered_max: 32,
            unanswered_octets_max: 256 << 10,
            replies_octets_max: 64 << 10,
            unanswered_octets: 64 << 20,
            stream_entries_max: 10_000,
            inline_max: 32 << 10,
            body_max: 10 << 30,
        }
    }
}

impl Config {
    /// What opens private keys; `None` without a key.
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
        let mut problems = self.redis.problems();
        problems.extend(self.bodies.problems("bodies"));
        problems.extend(unverified("bodies.postgres.url", self.bodies.postgres.url.expose()));
        problems.extend(self.proxy_protocol.networks().err().unwrap_or_default());
        problems.extend(self.sealer().err().map(|error| format!("secrets.key: {error}")));
        let mut demand = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        demand(
            self.sign_in.keys_url.is_none() || self.sign_in.public_url.is_some(),
            "sign_in.keys_url needs sign_in.public_url",
        );
        demand(!self.tls.certificates.as_os_str().is_empty(), "tls.certificates is required");
        demand(!self.tls.reload_every.is_zero(), "tls.reload_every must be longer than nothing");
        demand(self.tls.ready_max > 0, "tls.ready_max must be at least 1");
        demand(
            self.listen.drain_over < self.runtime.shutdown_grace,
            "listen.drain_over must be shorter than runtime.shutdown_grace",
        );
        demand(
            // The fixed part of a header of version 2, with the addresses of a client with IPv6.
            (52..=16 << 10).contains(&self.proxy_protocol.header_octets_max),
            "proxy_protocol.header_octets_max must be from 52 to 16384",
        );
        let limits = &self.limits;
        demand(limits.links_max > 0, "limits.links_max must be at least 1");
        demand(limits.unanswered_max > 1, "limits.unanswered_max must be at least 2");
        demand(limits.stream_entries_max > 1, "limits.stream_entries_max must be at least 2");
        demand(
            // An entry of the command stream has to hold it, with room for a header.
            limits.inline_max <= 1 << 20,
            "limits.inline_max must be at most 1048576",
        );
        demand(
            limits.unanswered_octets >= limits.unanswered_octets_max,
            "limits.unanswered_octets must not be less than limits.unanswered_octets_max",
        );
        demand(
            limits.lease > 2 * crate::hub::BEAT_EVERY,
            "limits.lease must be longer than two beats (2s), else one late beat loses it",
        );
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl Limits {
    /// What concerns a single session.
    pub(crate) fn for_sessions(&self, chunk_octets: u32, sign_in: &SignIn) -> crate::session::Limits {
        crate::session::Limits {
            public_url: sign_in.public_url.clone(),
            login_within: self.login_within,
            silence_max: self.silence_max,
            write_wait: self.write_wait,
            redeliver_after: self.redeliver_after,
            republish_after: self.republish_after,
            detach_wait: self.detach_wait,
            answers_wait: self.answers_wait,
            linger_max: self.linger_max,
            unanswered_max: self.unanswered_max,
            unanswered_octets_max: self.unanswered_octets_max,
            replies_octets_max: self.replies_octets_max,
            inline_max: self.inline_max,
            body_max: self.body_max,
            chunk_octets,
        }
    }
}

#[cfg(test)]
mod tests {
    use tmtp_chassis::Config as _;

    use super::*;

    /// Goal: the defaults lack only what nobody can guess; method: validate them, then with the required settings.
    #[test]
    fn defaults_need_three_settings() {
        let mut config = Config::default();
        assert_eq!(config.validate().unwrap_err().len(), 3);
        config.redis.url = "redis://localhost/".into();
        config.bodies.postgres.url = "postgres://localhost/".into();
        config.tls.certificates = "certificates".into();
        assert_eq!(config.validate(), Ok(()));
        config.bodies.postgres.url = "postgres://localhost/?sslrootcert=ca".into();
        assert!(config.validate().unwrap_err()[0].starts_with("bodies.postgres.url names sslrootcert"));
        config.bodies.postgres.url = "postgres://localhost/".into();
        config.listen.drain_over = Duration::from_secs(30);
        config.secrets.key = "too short".into();
        assert_eq!(config.validate().unwrap_err().len(), 2);
    }

    /// Goal: networks are read as they are written, and what is none is refused in words; method: some of each, from a
    /// variable, which is how a chart sets them.
    #[test]
    fn trusted_networks() {
        let load = |text: &str| {
            let variables = [
                ("TMTP_REDIS__URL", "redis://localhost/"),
                ("TMTP_BODIES__POSTGRES__URL", "postgres://localhost/"),
                ("TMTP_TLS__CERTIFICATES", "certificates"),
                ("TMTP_PROXY_PROTOCOL__TRUSTED", text),
            ];
            tmtp_chassis::config::load::<Config>(
                None,
                variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
            )
        };
        let config = load("[10.0.0.0/8, 2001:db8::/32, 192.0.2.77/24]").unwrap();
        let networks: Vec<_> =
            config.proxy_protocol.networks().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.0/24"]);
        for wrong in ["10.0.0.0/33", "10.0.0.1", "balancer.example", "10.0.0.0/8/8", "::/129", ""] {
            let problems = load(&format!("[\"{wrong}\", 10.0.0.0/8]")).unwrap_err().problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(wrong) && problems[0].contains("CIDR form"), "{problems:?}");
        }
    }

    /// Goal: a bound that no header fits, or that bounds nothing, is refused; method: both sides of both ends.
    #[test]
    fn header_bounds() {
        for (octets, holds) in [(51, false), (52, true), (16 << 10, true), ((16 << 10) + 1, false)] {
            let mut config = Config::default();
            config.proxy_protocol.header_octets_max = octets;
            let refused =
                config.validate().unwrap_err().iter().any(|text| text.contains("header_octets_max"));
            assert_eq!(refused, !holds, "{octets}");
        }
    }
}
