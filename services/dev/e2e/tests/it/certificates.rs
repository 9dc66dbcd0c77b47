//! Certificates that change while the gateway serves.

use anyhow::Result;
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
