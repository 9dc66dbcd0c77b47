//! What tests of connections share: a hub, one site, and both ends of TLS. Nothing here has a port or a bus, so that time
//! may stand still in between: no octet is ever on its way while all tasks wait.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tmtp_domain::{Policy, Registration, ShardId, Site, SiteId, SiteStatus};
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::hub::{Hub, sweep};
use crate::link::Socket;
use crate::sites::Sites;
use crate::tls::{Certificates, server_config};

/// The name of the one site.
pub const HOST: &str = "example.org";
/// Where a client is.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A gateway without its ports.
pub struct Rig {
    pub config: Config,
    pub hub: Arc<Hub>,
    pub sites: Arc<Sites>,
    /// How the gateway shakes hands.
    pub server: Arc<ServerConfig>,
    /// How its clients do.
    pub client: Arc<ClientConfig>,
    _certificates: TempDir,
}

impl Rig {
    /// With settings as they are by default. Has to be made within a runtime, on whose time its sessions then live.
    pub fn new() -> Self {
        let mut config = Config::default();
        // Nothing here connects to it.
        config.bodies.postgres.url = "postgres://localhost/none".into();
        let sites = Arc::new(Sites::new(None));
        sites.apply(vec![site()], 1);
        let hub = Hub::alone(&config, Arc::clone(&sites));
        tokio::spawn(sweep(Arc::clone(&hub), CancellationToken::new()));

        let folder = TempDir::new().expect("a folder");
        let pair = KeyPair::generate().expect("a key");
        let names = CertificateParams::new(vec![HOST.to_owned()]).expect("a name");
        let certificate = names.self_signed(&pair).expect("a certificate");
        fs::write(folder.path().join("default.crt"), certificate.pem()).expect("a file");
        fs::write(folder.path().join("default.key"), pair.serialize_pem()).expect("a file");
        let certificates = Arc::new(Certificates::new(folder.path().to_owned()));
        certificates.look().expect("certificates");
        let server = server_config(certificates, Arc::clone(&sites)).expect("a way to shake hands");

        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config, hub, sites, server, client: Arc::new(client), _certificates: folder }
    }
}

/// The one site.
pub fn site() -> Site {
    Site {
        id: SiteId(Uuid::from_u128(7)),
        revision: 1,
        shard: ShardId(3),
        name: "Example".into(),
        domains: vec![HOST.into()],
        registration: Registration::Open,
        status: SiteStatus::Active,
        policy: Policy::default(),
        providers: Vec::new(),
        notice: None,
    }
}

/// The name that clients ask for.
pub fn name() -> ServerName<'static> {
    ServerName::try_from(HOST).expect("a name")
}

impl Socket for DuplexStream {
    fn probe(&self, _: bool) {}

    fn reset_at_close(&self) -> io::Result<()> {
        Ok(())
    }
}
