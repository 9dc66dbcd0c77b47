//! Certificates of sites, which come over the bus while the gateway serves, and the handshake of certificate authorities.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tmtp_contract::Body;
use tmtp_domain::{CertificateContent, CertificateId, SiteCertificate, SiteId, SiteStatus, seal_context};
use tmtp_seal::Sealer;
use tmtp_testkit::eventually;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::links::message;
use crate::rig::{Rig, WAIT, frame, site, soon};

/// 32 octets in base64, and others.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const OTHER_KEY: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";
/// In the year 2100.
const FAR: i64 = 4_102_444_800_000;

/// Believes everything: what is shown is for the test to look at.
#[derive(Debug)]
struct Believe;

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a handshake showed.
struct Shown {
    certificate: Vec<u8>,
    protocol: Option<Vec<u8>>,
    stream: tokio_rustls::client::TlsStream<TcpStream>,
}

/// Shakes hands, offering these protocols.
async fn shake(address: SocketAddr, host: &str, protocols: &[&[u8]]) -> io::Result<Shown> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believe))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let tcp = TcpStream::connect(address).await?;
    let stream = soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, tcp)).await?;
    let connection = stream.get_ref().1;
    Ok(Shown {
        certificate: connection.peer_certificates().expect("a certificate")[0].to_vec(),
        protocol: connection.alpn_protocol().map(<[u8]>::to_vec),
        stream,
    })
}

async fn shown(rig: &Rig, host: &str) -> Option<Vec<u8>> {
    shake(rig.connect.address, host, &[]).await.ok().map(|shown| shown.certificate)
}

/// A certificate of a site, sealed with this key, and its octets.
fn certificate(
    key: &str,
    site: SiteId,
    revision: i64,
    names: &[&str],
) -> ((SiteCertificate, CertificateContent), Vec<u8>) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let pair = KeyPair::generate().expect("a key");
    let made = CertificateParams::new(names.clone()).and_then(|params| params.self_signed(&pair));
    let octets = made.expect("a certificate").der().to_vec();
    let id = CertificateId(Uuid::new_v4());
    let sealer = Sealer::parse(key).expect("a key");
    let sealed_key = sealer.seal(&seal_context(site, id), &pair.serialize_der()).expect("sealed");
    let certificate = SiteCertificate { id, site, revision, names, not_after: FAR, removed: false };
    ((certificate, CertificateContent { chain: vec![octets.clone()], sealed_key }), octets)
}

async fn publish(rig: &Rig, certificate: &(SiteCertificate, CertificateContent)) {
    let revision = certificate.0.revision;
    rig.bus.publish_certificates(std::slice::from_ref(certificate), revision).await.expect("published");
}

async fn wait_for(rig: &Rig, host: &str, certificate: &[u8]) {
    let is_shown = async || (shown(rig, host).await? == certificate).then_some(());
    eventually(WAIT, "the certificate to be shown", is_shown).await.expect("shown");
}

/// Two sites, one of which nothing happens to.
async fn two_sites(key: &'static str) -> Rig {
    let rig = Rig::start(|config| config.secrets.key = key.into()).await;
    let mut other = site(SiteStatus::Active, 2);
    other.id = SiteId(Uuid::from_u128(8));
    other.domains = vec!["other.example".into()];
    rig.bus.publish_sites(&[other], 2).await.expect("a directory");
    let served = async || shown(&rig, "other.example").await;
    eventually(WAIT, "the other site", served).await.expect("served");
    rig
}

/// Goal: a certificate of a site is served soon after it is in the directory, without a restart, replaced, and gone again,
/// and nobody else notices; method: so, with clients that are connected and another site; it serves no other site's
/// name, though it says so.
#[tokio::test]
async fn certificates_come_and_go() {
    let mut rig = two_sites(KEY).await;
    let (mut client, session) = rig.login(1).await;
    let file = shown(&rig, "example.org").await.expect("the file's");
    assert_eq!(shown(&rig, "other.example").await.as_ref(), Some(&file));

    let site_id = site(SiteStatus::Active, 1).id;
    let (first, first_octets) = certificate(KEY, site_id, 1, &["example.org", "other.example"]);
    publish(&rig, &first).await;
    wait_for(&rig, "Example.ORG", &first_octets).await;
    assert_eq!(shown(&rig, "other.example").await.as_ref(), Some(&file), "not its site");

    let (mut second, second_octets) = certificate(KEY, site_id, 2, &["example.org"]);
    publish(&rig, &second).await;
    wait_for(&rig, "example.org", &second_octets).await;
    second.0.revision = 3;
    second.0.removed = true;
    publish(&rig, &second).await;
    wait_for(&rig, "example.org", &first_octets).await;
    let removed = SiteCertificate { revision: 4, removed: true, ..first.0 };
    publish(&rig, &(removed, first.1)).await;
    wait_for(&rig, "example.org", &file).await;
    assert_eq!(rig.metric("tmtp_gateway_site_certificates").to_string(), "0");

    rig.home.deliver(session, 1, message(5, Body::Inline("still here".into()), 10)).await;
    frame(&mut client).await;
    rig.abort().await;
}

/// Goal: a certificate that cannot be used keeps nobody out; method: one whose key is sealed with another key, one that is
/// cut, then a good one.
#[tokio::test]
async fn unusable_certificates_do_no_harm() {
    let rig = two_sites(KEY).await;
    let file = shown(&rig, "example.org").await.expect("the file's");
    let site_id = site(SiteStatus::Active, 1).id;
    let (foreign, _) = certificate(OTHER_KEY, site_id, 1, &["example.org"]);
    publish(&rig, &foreign).await;
    let (mut cut, _) = certificate(KEY, SiteId(Uuid::from_u128(8)), 2, &["other.example"]);
    cut.1.chain[0].truncate(100);
    publish(&rig, &cut).await;
    for (host, failures) in [("example.org", 1.0), ("other.example", 2.0)] {
        let failed = async || {
            assert_eq!(shown(&rig, host).await.as_ref(), Some(&file), "{host}");
            (rig.metric("tmtp_gateway_site_certificate_failures_total") >= failures).then_some(())
        };
        eventually(WAIT, "the failure", failed).await.expect("counted");
    }
    let (good, octets) = certificate(KEY, site_id, 3, &["example.org"]);
    publish(&rig, &good).await;
    wait_for(&rig, "example.org", &octets).await;
    rig.abort().await;
}

/// Goal: a certificate authority that is expected gets its proof, in a protocol that nobody else gets, and nothing more;
/// method: ask before, during and after, for other names, and as a client that offers more than one protocol.
#[tokio::test]
async fn authorities_are_answered() {
    const PROOF: &[u8] = b"acme-tls/1";
    let rig = two_sites(KEY).await;
    let address = rig.connect.address;
    assert!(shake(address, "example.org", &[PROOF]).await.is_err(), "not expected");

    rig.bus.offer_challenge("example.org", &[0xab; 32], WAIT * 10).await.expect("offered");
    rig.bus.offer_challenge("foreign.example", &[0xcd; 32], WAIT * 10).await.expect("offered");
    let mut answered = shake(address, "example.org", &[PROOF]).await.expect("answered");
    assert_eq!(answered.protocol.as_deref(), Some(PROOF));
    // The extension, critical, with the digest in it (RFC 8737, section 3).
    let mut extension = vec![0x06, 8, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 1, 1, 0xff, 0x04, 34, 0x04, 32];
    extension.extend([0xab; 32]);
    let found = answered.certificate.windows(extension.len()).any(|part| part == extension);
    assert!(found, "{:02x?}", answered.certificate);
    assert_eq!(soon("the end", answered.stream.read(&mut [0; 1])).await.expect("a clean end"), 0);
    assert_eq!(rig.metric("tmtp_gateway_challenges_answered_total").to_string(), "1");

    assert!(shake(address, "foreign.example", &[PROOF]).await.is_err(), "no site's");
    assert!(shake(address, "other.example", &[PROOF]).await.is_err(), "another's");
    let client = shake(address, "example.org", &[PROOF, b"tmtp"]).await.expect("a client");
    assert_eq!(client.protocol, None);
    assert_ne!(client.certificate, answered.certificate);
    let client = shake(address, "example.org", &[b"h2"]).await.expect("a client");
    assert_eq!(client.protocol, None);

    rig.bus.withdraw_challenge("example.org").await.expect("withdrawn");
    assert!(shake(address, "example.org", &[PROOF]).await.is_err(), "over");
    rig.abort().await;
}
