//! How keys are fetched and kept, over HTTP.

use std::time::Duration;

use serde_json::json;
use tmtp_domain::Provider;
use tmtp_oidc::{Error, FetchError, Keys, Limits, Reach, Verifier};

use crate::provider::{NOW, Pair, Server, claims, document, provider};

fn keys(limits: Limits) -> Keys {
    Keys::new(Limits { reach: Reach::Anywhere, ..limits }).unwrap()
}

fn eager() -> Limits {
    Limits { pause: Duration::ZERO, ..Limits::default() }
}

fn at(server: &Server) -> [Provider; 1] {
    [Provider { jwks_uri: server.url("/keys"), ..provider() }]
}

/// Goal: keys are fetched when one is unknown, and only then; method: rotate the key of a provider, count.
#[tokio::test]
async fn rotation() {
    let (old, new) = (Pair::p256(), Pair::ed());
    let server = Server::start(document(&[old.jwk("old")])).await;
    let verifier = Verifier::new(keys(eager()));
    for _ in 0..3 {
        let identity = verifier.verify(&old.token("old", &claims()), &at(&server), NOW).await.unwrap();
        assert_eq!(identity.subject, "ann");
    }
    assert_eq!(server.asked(), 1);
    server.answer(200, document(&[new.jwk("new")]));
    assert!(verifier.verify(&new.token("new", &claims()), &at(&server), NOW).await.is_ok());
    assert_eq!(server.asked(), 2);
    let gone = verifier.verify(&old.token("old", &claims()), &at(&server), NOW).await;
    assert_eq!(gone, Err(Error::UnknownKey));
}

/// Goal: a key that a provider has withdrawn ends when somebody asks for that, with one fetch, and without asking at the
/// latest after the usual age; method: a provider of the site that wants keys newer than those that are there.
#[tokio::test]
async fn withdrawn() {
    let (old, new) = (Pair::p256(), Pair::ed());
    let server = Server::start(document(&[old.jwk("old"), new.jwk("new")])).await;
    let verifier = Verifier::new(keys(eager()));
    let verify = async |pair: &Pair, kid: &str, keys_since: i64| {
        let [provider] = at(&server);
        let providers = [Provider { keys_since, ..provider }];
        verifier.verify(&pair.token(kid, &claims()), &providers, NOW).await.map(|identity| identity.subject)
    };
    assert!(verify(&old, "old", 0).await.is_ok());
    server.answer(200, document(&[new.jwk("new")]));
    assert!(verify(&old, "old", 1).await.is_ok(), "they were fetched after that");
    assert_eq!(server.asked(), 1);
    let later = std::time::SystemTime::now() + Duration::from_secs(2);
    let later = later.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    assert_eq!(verify(&old, "old", later).await, Err(Error::UnknownKey));
    assert!(verify(&new, "new", 0).await.is_ok());
}

/// Goal: made-up keys cost a provider next to nothing, and tokens that are wrong in other ways nothing at all; method:
/// many at once, with the usual pause.
#[tokio::test]
async fn made_up_keys() {
    let pair = Pair::p256();
    let server = Server::start(document(&[pair.jwk("k")])).await;
    let verifier = Verifier::new(keys(Limits::default()));
    let expired =
        pair.token("k", &json!({ "iss": "https://id.example", "aud": "client-1", "sub": "a", "exp": 1 }));
    assert_eq!(verifier.verify(&expired, &at(&server), NOW).await, Err(Error::Expired));
    assert_eq!(server.asked(), 0);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (verifier, providers) = (verifier.clone(), at(&server));
            let token = pair.token(&format!("made-up-{n}"), &claims());
            tokio::spawn(async move { verifier.verify(&token, &providers, NOW).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Err(Error::UnknownKey));
    }
    assert_eq!(server.asked(), 1);
    assert!(verifier.verify(&pair.token("k", &claims()), &at(&server), NOW).await.is_ok());
}

/// Goal: while a provider is away or talks nonsense its keys stay, and the reason can be seen; method: answers of all
/// kinds after a good one.
#[tokio::test]
async fn a_provider_that_is_away() {
    let pair = Pair::p256();
    let good = document(&[pair.jwk("k")]);
    let server = Server::start(good.clone()).await;
    let url = server.url("/keys");
    let verifier = Verifier::new(keys(Limits { age_max: Duration::ZERO, ..eager() }));
    let token = pair.token("k", &claims());
    assert_eq!(verifier.keys().status(&url), None);
    assert!(verifier.verify(&token, &at(&server), NOW).await.is_ok());
    let fetched_at = verifier.keys().status(&url).unwrap().fetched_at;
    for (status, document, error) in [
        (503, good.clone(), FetchError::Status(503)),
        (302, good.clone(), FetchError::Status(302)),
        (200, "<html>".into(), FetchError::Content("the answer is not a set of keys")),
        (200, "x".repeat(300_000), FetchError::TooLarge(256 * 1024)),
        (200, document(&[]), FetchError::Content("there is no key that tokens could be checked with")),
    ] {
        server.answer(status, document);
        assert!(verifier.verify(&token, &at(&server), NOW).await.is_ok());
        let status = verifier.keys().status(&url).unwrap();
        assert_eq!((status.keys, status.error, status.fetched_at), (1, Some(error), fetched_at));
        assert!(status.tried_at > fetched_at);
    }
    server.answer(200, good);
    let status = verifier.keys().refresh(&url).await;
    assert_eq!((status.keys, status.error), (1, None));
}

/// Goal: a provider that was never there lets nobody in, nor does one that does not answer; method: a port where nobody
/// listens, and one where nobody speaks.
#[tokio::test]
async fn a_provider_that_never_was() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free_port();
    let keys = keys(Limits { wait_max: Duration::from_millis(200), ..eager() });
    let verifier = Verifier::new(keys.clone());
    let token = Pair::p256().token("k", &claims());
    for (port, timed_out) in [(silent.local_addr().unwrap().port(), true), (nobody, false)] {
        let url = format!("http://127.0.0.1:{port}/keys");
        let providers = [Provider { jwks_uri: url.clone(), ..provider() }];
        assert_eq!(verifier.verify(&token, &providers, NOW).await, Err(Error::NoKeys));
        let error = keys.status(&url).unwrap().error.unwrap();
        assert_eq!(error == FetchError::TimedOut, timed_out, "{error}");
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Goal: the number of sets is bounded, and a site's admins reach no private addresses; method: one set at most, and
/// the usual reach.
#[tokio::test]
async fn bounds() {
    let pair = Pair::p256();
    let server = Server::start(document(&[pair.jwk("k")])).await;
    let keys = keys(Limits { sets_max: 1, ..eager() });
    for path in ["/a", "/b"] {
        assert!(keys.with(&server.url(path), "k").await.is_some());
    }
    assert_eq!((keys.status(&server.url("/a")), server.asked()), (None, 2));

    let public = Keys::new(eager()).unwrap();
    assert_eq!(public.refresh(&server.url("/a")).await.error, Some(FetchError::Private));
    assert_eq!(server.asked(), 2);
}

/// Goal: a provider tells its addresses, and only its own; method: its configuration, another's, and none.
#[tokio::test]
async fn discovery() {
    let server = Server::start(String::new()).await;
    let keys = keys(eager());
    let issuer = server.url("");
    assert!(matches!(keys.discover(&issuer).await, Err(FetchError::Content(_))));
    let mut configuration = json!({
        "issuer": issuer, "authorization_endpoint": "https://a/", "token_endpoint": "https://t/", "jwks_uri": "https://k/",
    });
    server.answer(200, configuration.to_string());
    assert_eq!(keys.discover(&issuer).await.unwrap().jwks_uri, "https://k/");
    configuration["issuer"] = "https://id.example".into();
    server.answer(200, configuration.to_string());
    assert!(matches!(keys.discover(&issuer).await, Err(FetchError::Content(_))));
}
