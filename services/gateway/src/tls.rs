//! TLS: which certificate a client gets, chosen by the host name that it asks for: the site's own, or else one of the
//! files. A client whose host is no site's must not get through the handshake, and only a certificate authority that is
//! expected may ever negotiate the protocol of its challenge.

mod certificates;
mod challenge;
mod directory;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tmtp_bus::Bus;
use tmtp_chassis::Health;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::sites::Sites;

pub use certificates::Certificates;
pub use directory::SiteCertificates;

/// What the widely used client speaks, and its successor.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Chooses how to shake hands.
pub struct Tls {
    /// With the certificates of the files.
    base: Arc<ServerConfig>,
    sites: Arc<Sites>,
    of_sites: Arc<SiteCertificates>,
    bus: Bus,
}

/// What a client asks for before it can be shaken hands with.
pub struct Asked {
    host: Option<String>,
    /// It is a certificate authority that wants to see who has the name.
    proof: bool,
}

/// How to shake hands with a client.
pub enum Choice {
    /// As a client of ours.
    Serve(Arc<ServerConfig>),
    /// As a certificate authority: nothing follows.
    Prove(Arc<ServerConfig>),
    /// Not at all.
    Refuse,
}

impl Tls {
    /// Chooses between the files of `base` and the certificates of sites.
    pub fn new(
        base: Arc<ServerConfig>,
        sites: Arc<Sites>,
        of_sites: Arc<SiteCertificates>,
        bus: Bus,
    ) -> Self {
        Self { base, sites, of_sites, bus }
    }

    /// Reads what is asked for.
    pub fn asked(hello: &ClientHello<'_>) -> Asked {
        let host = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let mut protocols = hello.alpn().into_iter().flatten();
        // The only one that is offered (RFC 8737, section 3): a client with others is none that checks a name.
        let proof = protocols.next() == Some(challenge::PROTOCOL) && protocols.next().is_none();
        Asked { host, proof }
    }

    /// Chooses.
    pub async fn choose(&self, asked: Asked) -> Choice {
        let host = asked.host.as_deref();
        let site = self.sites.find(host);
        if asked.proof {
            // Only for names that are a site's: nobody else makes us ask the bus.
            return match (site, host) {
                (Some(site), Some(host)) if site.domains.iter().any(|name| name == host) => {
                    self.prove(host).await
                }
                _ => Choice::Refuse,
            };
        }
        let own = match (site, host) {
            (Some(site), Some(host)) => self.of_sites.find(site.id, host).await,
            _ => None,
        };
        // Without a site, the files' resolver refuses the handshake.
        Choice::Serve(own.unwrap_or_else(|| Arc::clone(&self.base)))
    }

    async fn prove(&self, host: &str) -> Choice {
        let answer = match self.bus.challenge(host).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Choice::Refuse,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot look a challenge up");
                return Choice::Refuse;
            }
        };
        match challenge::config(host, &answer, VERSIONS) {
            Ok(config) => Choice::Prove(Arc::new(config)),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot answer a challenge");
                Choice::Refuse
            }
        }
    }
}

/// How this gateway shakes hands, with the certificates of the files.
pub fn server_config(
    certificates: Arc<Certificates>,
    sites: Arc<Sites>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver { certificates, sites }));
    Ok(Arc::new(config))
}

/// Looks for changes of the certificates until it is stopped.
pub async fn watch(
    certificates: Arc<Certificates>,
    every: Duration,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut clock = tokio::time::interval(every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => certificates.load(&metrics, &health).await,
            () = stop.cancelled() => return Ok(()),
        }
    }
}

struct Resolver {
    certificates: Arc<Certificates>,
    sites: Arc<Sites>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        let site = self.sites.find(host)?;
        self.certificates.find(host, &site.domains)
    }
}
