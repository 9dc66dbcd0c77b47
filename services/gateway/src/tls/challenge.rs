//! Answers to certificate authorities that ask who has a name, over TLS itself (tls-alpn-01, RFC 8737): a certificate
//! made on the spot, that no client would ever accept, in a handshake of a protocol that nothing else speaks.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tmtp_bus::CHALLENGE_LEN;

/// The protocol of such a handshake.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// A handshake that proves that we have the name.
pub fn config(
    host: &str,
    answer: &[u8; CHALLENGE_LEN],
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<ServerConfig> {
    let pair = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::new(vec![host.to_owned()]).context("name the certificate")?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(answer)];
    let certificate = params.self_signed(&pair).context("sign the certificate")?;
    let key = PrivateKeyDer::try_from(pair.serialize_der()).map_err(anyhow::Error::msg)?;
    let key = aws_lc_rs::sign::any_supported_type(&key).context("use the key")?;
    // Not by way of the checks for certificates of servers: they know nothing of this extension, which is critical.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Nothing of it may be resumed as something else.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
