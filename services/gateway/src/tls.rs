//! TLS: which certificate a client gets, chosen by the host name that it asks for. A client whose host is no site's
//! must not get through the handshake.

mod certificates;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tmtp_chassis::Health;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::sites::Sites;

pub use certificates::Certificates;

/// What the widely used client speaks, and its successor.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// How this gateway shakes hands.
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
