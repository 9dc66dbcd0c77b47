//! TLS: who is trusted, who is refused, and files that change.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use tmtp_bus::{Bus, Error};
use tmtp_testkit::{Authority, Redis};

/// Why it did not connect, with all causes.
async fn refusal(url: &str) -> (Error, String) {
    let error = Bus::connect(url).await.err().unwrap();
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    (error, text)
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Goal: a server is believed only with a certificate of the authority that the URL names, and only for its name; method:
/// a server with TLS, with its authority, without any, with another one, under another name, and files that are not there.
#[tokio::test]
async fn who_is_believed() {
    let (redis, authority, other) =
        (Redis::start().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    let port = redis.use_tls(&authority, false).unwrap();
    let with = |host: &str, ca: &Path| format!("rediss://{host}:{port}/0?sslrootcert={}", shown(ca));
    let bus = Bus::connect(&with("127.0.0.1", &authority.certificate())).await.unwrap();
    bus.ping().await.unwrap();

    let refused = [
        (format!("rediss://127.0.0.1:{port}/0"), "UnknownIssuer"),
        (with("127.0.0.1", &other.certificate()), "UnknownIssuer"),
        (with("localhost", &authority.certificate()), "not valid for name"),
    ];
    // Each is tried for as long as a server is that starts late.
    let refusals = join_all(refused.iter().map(|(url, _)| refusal(url))).await;
    for ((url, why), (error, text)) in refused.iter().zip(refusals) {
        assert!(error.is_transient() && text.contains(why), "{url}: {text}");
    }
    for (ca, why) in [
        ("/nowhere/ca.crt", "cannot read /nowhere/ca.crt, the sslrootcert of the URL"),
        ("/dev/null", "/dev/null, the sslrootcert of the URL, is no PEM"),
    ] {
        let (error, text) = refusal(&with("127.0.0.1", Path::new(ca))).await;
        assert!(matches!(error, Error::Url(_)) && text.contains(why), "{text}");
    }
}

/// Goal: a server that asks clients who they are is shown the certificate that the URL names, and a renewed one at the next
/// connection, also when its two files are not replaced at once; method: a certificate that nobody knows, then another's key,
/// then the right one.
#[tokio::test]
async fn a_renewed_certificate() {
    let (redis, authority, other) =
        (Redis::start().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    let port = redis.use_tls(&authority, true).unwrap();
    let ca = authority.certificate();
    let bare = format!("rediss://127.0.0.1:{port}/0?sslrootcert={}", shown(&ca));
    assert!(refusal(&bare).await.0.is_transient());

    let (certificate, key) = other.issue("worker").unwrap();
    let url = format!("{bare}&sslcert={}&sslkey={}", shown(&certificate), shown(&key));
    let mut connecting = tokio::spawn(async move { Bus::connect(&url).await });
    let early = tokio::time::timeout(Duration::from_secs(1), &mut connecting).await;
    assert!(early.is_err(), "nobody vouches for it");
    let (new_certificate, new_key) = authority.issue("worker").unwrap();
    fs::rename(new_key, key).unwrap();
    let half = tokio::time::timeout(Duration::from_secs(1), &mut connecting).await;
    assert!(half.is_err(), "a key of another certificate is no reason to give up");
    fs::rename(new_certificate, certificate).unwrap();
    let bus = connecting.await.unwrap().unwrap();
    bus.ping().await.unwrap();
}
