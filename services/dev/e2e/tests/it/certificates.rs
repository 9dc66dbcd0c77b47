//! Certificates that change while the gateway serves.

use anyhow::{Context as _, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tmtp_client::{Connect, Trust};
use tmtp_domain::Registration;
use tmtp_e2e::{DEFAULT_SITE, Setup, WAIT};
use tmtp_testkit::eventually;

/// Goal: a replaced certificate is shown to new connections without a restart, and a broken file does no harm. Method:
/// clients that trust only the new certificate get in soon after it is put there, those that trust the old one do not;
/// a file of junk changes nothing, and nobody's connection is disturbed.
#[tokio::test]
async fn certificates_are_replaced_in_place() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    let gateway = cluster.gateway(0);
    let pid = gateway.pid()?;
    let mut ann = gateway.connect("ann").await?;

    let old = cluster.certificates.put("default", &[DEFAULT_SITE])?;
    let trusting_old = gateway.clone().trusting(old);
    eventually(WAIT, "the first certificate", async || trusting_old.greeting().await.ok()).await?;

    let new = cluster.certificates.put("default", &[DEFAULT_SITE])?;
    let trusting_new = gateway.clone().trusting(new);
    eventually(WAIT, "the new certificate", async || trusting_new.greeting().await.ok()).await?;
    assert!(trusting_old.greeting().await.is_err(), "the old certificate is still shown");

    cluster.certificates.replace("default.crt", "junk")?;
    let noticed = async || gateway.log().contains("WARN").then_some(());
    eventually(WAIT, "a warning about the broken file", noticed).await?;
    trusting_new.greeting().await?;
    ann.expect_nothing_else().await?;
    assert_eq!(gateway.pid()?, pid);
    cluster.passed()
}

/// Goal: each site shows its own certificate, to clients that name any of its domains, and the default site also to those
/// that name none. Method: two sites with a certificate each, for one of their two domains, and none called `default`;
/// over real TLS, the certificate that a client of each kind is shown.
#[tokio::test]
async fn each_site_shows_its_certificate() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    cluster.add_site("Second", &["second.test", "zweite.test"], Registration::Open).await?;
    let folder = cluster.certificates.folder();
    let put = |name: &str, domain: &str| -> Result<CertificateDer<'static>> {
        cluster.certificates.put(name, &[domain])?;
        CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).context("read a certificate")
    };
    let (first, second) = (put("one", DEFAULT_SITE)?, put("two", "second.test")?);
    for file in ["default.crt", "default.key"] {
        std::fs::remove_file(folder.join(file))?;
    }
    for (host, expected) in [
        (Some(DEFAULT_SITE), &first),
        (None, &first),
        (Some("elsewhere.example"), &first),
        (Some("second.test"), &second),
        (Some("zweite.test"), &second),
    ] {
        let address = cluster.gateway(0).address();
        let connect = Connect { address, server_name: host.map(str::to_owned), trust: Trust::Any };
        let shown = async || {
            let stream = connect.dial().await.ok()?;
            (stream.get_ref().1.peer_certificates()?.first()? == expected).then_some(())
        };
        eventually(WAIT, &format!("the site's certificate for {host:?}"), shown).await?;
    }
    cluster.passed()
}
