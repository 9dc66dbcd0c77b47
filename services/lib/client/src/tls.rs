//! Where to connect and whom to trust. No SNI is sent for bare addresses, as real clients do.
//! It must never install a process-wide crypto provider, and never resume sessions: real clients do full handshakes.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::Error;

/// Where to connect, and how.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The server.
    pub address: SocketAddr,
    /// The host name to send as SNI and to look for in the certificate; `None` for the bare address, without SNI.
    pub server_name: Option<String>,
    /// Which certificates will do.
    pub trust: Trust,
}

/// Which certificates a client believes.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Every certificate: anybody may be in between. Only for self-signed servers on the same machine.
    Any,
    /// Those that lead to one of these roots.
    Roots(RootCertStore),
}

impl Connect {
    /// A server on this machine, by its bare address, whatever its certificate.
    pub fn local(address: SocketAddr) -> Self {
        Self { address, server_name: None, trust: Trust::Any }
    }

    /// Connects and shakes hands; for tools that speak no TMTP, or their own.
    pub async fn dial(&self) -> Result<TlsStream<TcpStream>, Error> {
        let name = self.name()?;
        let config = self.trust.config()?;
        let address = self.address;
        let tcp = TcpStream::connect(address).await.map_err(|cause| Error::Connect { address, cause })?;
        // Requests are small, and each waits for its answer.
        tcp.set_nodelay(true).map_err(|cause| Error::Connect { address, cause })?;
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|cause| Error::Handshake { address, cause })
    }

    fn name(&self) -> Result<ServerName<'static>, Error> {
        match &self.server_name {
            None => Ok(ServerName::from(self.address.ip())),
            Some(name) => {
                ServerName::try_from(name.clone()).map_err(|_| Error::ServerName { name: name.clone() })
            }
        }
    }
}

impl Trust {
    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        // Made once, because load generators connect often.
        static PROVIDER: LazyLock<Arc<CryptoProvider>> =
            LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?;
        let builder = match self {
            Self::Roots(roots) => builder.with_root_certificates(roots.clone()),
            Self::Any => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(Arc::clone(&PROVIDER)))),
        };
        let mut config = builder.with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Believes every certificate, but still wants the server to hold its key.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
