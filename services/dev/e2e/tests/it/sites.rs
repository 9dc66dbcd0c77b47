//! Several sites on one port: nothing crosses from one to another, and the host name chooses.

use anyhow::Result;
use tmtp_client::Error;
use tmtp_domain::Registration;
use tmtp_e2e::{End, Setup, post};

/// Goal: sites know nothing of each other. Method: ann and eve have the same alias at two sites; each looks for the other
/// by uid, and eve tries ann's password at her own site.
#[tokio::test]
async fn sites_stay_apart() -> Result<()> {
    let cluster = Setup::new().start().await?;
    cluster.add_site("Second", &["second.test"], Registration::Open).await?;
    let first = cluster.gateway(0);
    let second = cluster.gateway(1).at("second.test");
    let mut ann = first.connect_as("ann", "the same alias").await?;
    let mut eve = second.connect_as("eve", "the same alias").await?;
    for link in [&ann, &eve] {
        assert_eq!(link.account().alias_error, None);
    }
    let (ann_uid, eve_uid) = (ann.uid().to_owned(), eve.uid().to_owned());
    for (link, stranger) in [(&mut ann, &eve_uid), (&mut eve, &ann_uid)] {
        let refusal = link.refused(&post("over there", &[stranger], b"x"), b"x").await?;
        assert_eq!(refusal, format!("OpenNodes: iUid {stranger} not found"));
        link.expect_nothing_else().await?;
    }
    let account = ann.account().clone();
    ann.quit().await?;
    assert_quit(second.try_login(&account).await, "login failed");
    first.login("ann", &account).await?;
    cluster.passed()
}

/// Goal: the host name chooses the site, and clients without a known one get the default site. Method: the greeting of
/// every kind of name.
#[tokio::test]
async fn host_names_choose_the_site() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    cluster.add_site("Second", &["second.test", "*.second.test"], Registration::Open).await?;
    let gateway = cluster.gateway(0);
    for (client, expected) in [
        (gateway.clone().at("second.test"), "Second"),
        (gateway.clone().at("deep.second.test"), "Second"),
        (gateway.clone().at("too.deep.second.test"), "First"),
        (gateway.clone().at("elsewhere.example"), "First"),
        (gateway.clone().unnamed(), "First"),
        (gateway.clone(), "First"),
    ] {
        let greeting = client.greeting().await?;
        assert_eq!((greeting.name.as_str(), greeting.auth, greeting.auth_by), (expected, None, None));
    }
    cluster.passed()
}

/// Goal: without a default site, a client that names no site is refused before TMTP begins. Method: no name, and a name
/// of no site; and one of a site, for comparison.
#[tokio::test]
async fn without_default_site_strangers_are_refused() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).without_default_site().start().await?;
    let gateway = cluster.gateway(0);
    for stranger in [gateway.clone().unnamed(), gateway.clone().at("elsewhere.example")] {
        let refused = stranger.dial().await;
        assert!(matches!(refused, Err(Error::Handshake { .. })), "{refused:?}");
    }
    assert_eq!(gateway.greeting().await?.name, "First");
    cluster.passed()
}

/// Goal: nobody registers where registration is closed. Method: try it, and look at the text.
#[tokio::test]
async fn closed_registration_is_refused() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    cluster.add_site("Closed", &["closed.test"], Registration::Closed).await?;
    let refused = cluster.gateway(0).at("closed.test").try_register("_").await;
    assert_quit(refused, "authentication required");
    cluster.passed()
}

/// Goal: a suspended site is not served any more, and others are. Method: suspend one of two sites, look at the links of
/// both, and try to come back.
#[tokio::test]
async fn a_suspended_site_is_closed() -> Result<()> {
    let cluster = Setup::new().start().await?;
    cluster.add_site("Second", &["second.test"], Registration::Open).await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut eve = cluster.gateway(0).at("second.test").connect("eve").await?;
    cluster.suspend_site("second.test").await?;
    assert!(matches!(eve.end().await?, End::Quit(_)));
    let again = cluster.gateway(0).at("second.test").try_login(eve.account()).await;
    assert!(again.is_err(), "a suspended site lets users in");
    ann.expect_nothing_else().await?;
    cluster.passed()
}

/// The server has to have ended the link with this text.
pub fn assert_quit<T>(outcome: Result<T, Error>, expected: &str) {
    match outcome {
        Err(Error::Quit(text)) if text == expected => {}
        Err(other) => panic!("{other:?} in place of quit {expected:?}"),
        Ok(_) => panic!("success in place of quit {expected:?}"),
    }
}
