//! Certificates that are ordered from an authority: Pebble, the test server of Let's Encrypt, which connects to the
//! gateways as the real one does.

mod pebble;

use anyhow::{Context as _, Result};
use tmtp_domain::{CertificateId, Registration, SiteId};
use tmtp_e2e::{Cluster, Setup, WAIT};
use tmtp_store::{AcmeDomain, AcmeState, CertificateSource, Sights};
use tmtp_testkit::eventually;

use pebble::Pebble;

/// 32 octets in base64.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// The names that lead to the gateways.
const DOMAIN: &str = "chat.acme.test";
/// A name that leads nowhere.
const LOST: &str = "lost.acme.test";

async fn enable(cluster: &Cluster, site: SiteId, domain: &str) -> Result<()> {
    let mut tx = cluster.store.admin().await?;
    tx.enable_acme(site, domain).await?;
    Ok(tx.commit().await?)
}

/// Waits until the domain is in this state.
async fn wait_for_state(
    cluster: &Cluster,
    site: SiteId,
    domain: &str,
    state: AcmeState,
) -> Result<AcmeDomain> {
    let is_there = async || {
        let domains = cluster.store.read(&Sights::All).await.ok()?.acme_domains(site).await.ok()?;
        domains.into_iter().find(|one| one.domain == domain && one.state == state)
    };
    eventually(WAIT * 3, &format!("{domain} to be {state:?}"), is_there).await
}

/// The one certificate that was issued for the domain.
async fn issued(cluster: &Cluster, site: SiteId, domain: &str) -> Result<CertificateId> {
    let all = cluster.store.read(&Sights::All).await?.certificates(site).await?;
    let mut of_domain =
        all.iter().filter(|one| one.names == [domain] && one.source == CertificateSource::Acme);
    let one = of_domain.next().context("no certificate")?;
    anyhow::ensure!(of_domain.next().is_none(), "more than one certificate");
    Ok(one.id)
}

/// Goal: a domain gets a certificate that clients trust at every gateway, is renewed, and what the authority says against
/// another domain can be read, which hinders nothing. Method: a real authority that looks names up at a server of the
/// test's own, one domain that leads to a gateway and one that does not, then does; clients that trust that authority
/// only.
#[tokio::test]
async fn certificates_are_ordered_and_renewed() -> Result<()> {
    let pebble = Pebble::prepare()?;
    let cluster = Setup::new()
        .workers(1)
        .with_admin()
        .gateway_setting("secrets.key", KEY)
        .admin_setting("secrets.key", KEY)
        .admin_setting("acme.enabled", "true")
        .admin_setting("acme.terms_agreed", "true")
        .admin_setting("acme.contact", "operator@postern.test")
        .admin_setting("acme.directory", &pebble.directory())
        .admin_setting("acme.root", &pebble.root_path()?)
        .admin_setting("acme.look_every", "200ms")
        .admin_setting("acme.retry_min", "1s")
        .start()
        .await?;
    cluster.add_site("Acme", &[DOMAIN, LOST], Registration::Open).await?;
    let site = cluster.store.site_by_domain(DOMAIN).await?.context("the site")?.id;

    // Nobody is there yet.
    enable(&cluster, site, DOMAIN).await?;
    let failed = wait_for_state(&cluster, site, DOMAIN, AcmeState::Failed).await?;
    assert_eq!(failed.last_error.as_deref(), Some(UNREACHABLE));
    let pebble = pebble.start(cluster.gateway(0).address().port(), &[DOMAIN]).await?;
    let roots = pebble.roots().await?;
    let done = wait_for_state(&cluster, site, DOMAIN, AcmeState::Issued).await?;
    assert_eq!((done.attempts, done.last_error), (0, None));
    for number in 0..2 {
        let gateway = cluster.gateway(number).at(DOMAIN).trusting(roots.clone());
        eventually(WAIT, "a trusted certificate", async || gateway.greeting().await.ok()).await?;
        let other = cluster.gateway(number).trusting(roots.clone());
        assert!(other.greeting().await.is_err(), "the default site has its own");
    }

    // The authority looks, and is not convinced; its words are kept.
    enable(&cluster, site, LOST).await?;
    let failed = wait_for_state(&cluster, site, LOST, AcmeState::Failed).await?;
    let said = failed.last_error.unwrap_or_default();
    assert!(said.starts_with("the certificate authority could not verify the domain: "), "{said}");
    pebble.lead_to_gateways(LOST);
    wait_for_state(&cluster, site, LOST, AcmeState::Issued).await?;

    // Renewed after two thirds of its life; here at once.
    let first = issued(&cluster, site, DOMAIN).await?;
    let life = cluster
        .store
        .read(&Sights::All)
        .await?
        .certificates(site)
        .await?
        .into_iter()
        .find(|one| one.id == first)
        .context("it")?;
    // Two thirds, but for what is rounded.
    let off = (done.next_at - life.not_before) * 3 - (life.not_after - life.not_before) * 2;
    assert!(off.abs() < 10, "{off}");
    let mut tx = cluster.store.admin().await?;
    tx.retry_acme(site, DOMAIN).await?;
    tx.commit().await?;
    let renewed = async || issued(&cluster, site, DOMAIN).await.ok().filter(|&id| id != first);
    eventually(WAIT * 3, "another certificate in its place", renewed).await?;
    cluster.gateway(1).at(DOMAIN).trusting(roots).greeting().await?;
    pebble.passed();
    cluster.passed()
}

const UNREACHABLE: &str = "the certificate authority cannot be reached, or does not speak ACME";
