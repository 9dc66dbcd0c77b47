//! The way from an invite to a token.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tmtp_domain::Provider;
use tmtp_oidc::{Keys, Limits, Reach};

use super::rig::{Rig, VERIFIER, WEB_CLIENT};

/// Goal: who has the code of an invite gets a token that stands for it, as the ordinary client needs it; method: the
/// whole way, twice for two people, with the discovery of a provider.
#[tokio::test]
async fn the_whole_way() {
    let rig = Rig::new().await;
    let (invite, code) = rig.invite(1, |new| new.alias = Some("ann of acme".into())).await;
    let mut identities = Vec::new();
    for typed in [code.clone(), code.to_lowercase().replace('-', " ")] {
        let code = rig.code(&typed).await;
        let tokens = rig.token(&code, VERIFIER).await.unwrap();
        assert_eq!((&tokens["scope"], &tokens["token_type"]), (&"openid".into(), &"Bearer".into()));
        assert!(tokens["expires_in"].is_u64() && tokens["access_token"].is_string());
        identities.push(rig.verify(tokens["id_token"].as_str().unwrap()).await.unwrap());
    }
    let [first, second] = &identities[..] else { panic!() };
    assert_eq!((first.invite, first.alias.as_deref()), (Some(invite), Some("ann of acme")));
    assert_eq!(first.audience, rig.site.to_string());
    assert_ne!(first.subject, second.subject, "two people, whatever the invite");
    assert_ne!(first.token_digest, second.token_digest);
    let unused = rig.all().await.invite(rig.site, invite).await.unwrap().unwrap();
    assert_eq!((unused.usage.uses_pending, unused.usage.uses_completed), (0, 0), "only joining uses it up");

    let keys = Keys::new(Limits { reach: Reach::Anywhere, ..Limits::default() }).unwrap();
    let provider = Provider::invitation(rig.site, "Acme", &rig.url);
    let found = keys.discover(&provider.issuer).await.unwrap();
    assert_eq!(
        (found.authorization_endpoint, found.token_endpoint, found.jwks_uri),
        (provider.authorize.url, provider.token.url, provider.jwks_uri)
    );
}

/// Goal: a code is for the client that began, and for once; method: another client's proof, the code again, a made-up
/// one, no proof.
#[tokio::test]
async fn codes_are_for_one_client_once() {
    let rig = Rig::new().await;
    let (_, invite_code) = rig.invite(1, |_| ()).await;
    let refused = || Err("invalid_grant".to_owned());
    let code = rig.code(&invite_code).await;
    assert_eq!(rig.token(&code, "another-client-tries-to-fetch-it-with-this-one").await, refused());
    assert_eq!(rig.token(&code, VERIFIER).await, refused(), "it has been tried");
    let code = rig.code(&invite_code).await;
    assert!(rig.token(&code, VERIFIER).await.is_ok());
    assert_eq!(rig.token(&code, VERIFIER).await, refused());
    assert_eq!(rig.token("made-up", VERIFIER).await, refused());
    assert_eq!(rig.token(&rig.code(&invite_code).await, "").await, Err("invalid_request".to_owned()));

    let code = rig.code(&invite_code).await;
    let other_address = [("code", code.as_str()), ("code_verifier", VERIFIER), ("redirect_uri", WEB_CLIENT)];
    let answer = rig.ask(Method::POST, "token", &[], Some(&other_address)).await;
    assert_eq!((answer.status, answer.body.contains("invalid_grant")), (StatusCode::BAD_REQUEST, true));
}

/// Goal: an invite that was taken back while somebody was on the way is no longer good; method: revoke it in between.
#[tokio::test]
async fn revoked_on_the_way() {
    let rig = Rig::new().await;
    let (invite, invite_code) = rig.invite(1, |_| ()).await;
    let code = rig.code(&invite_code).await;
    rig.revoke(invite).await;
    assert_eq!(rig.token(&code, VERIFIER).await, Err("invalid_grant".to_owned()));
}

/// Goal: a client that asks in a wrong way is told on the page, and nobody is sent anywhere; method: each parameter
/// wrong, missing, or twice.
#[tokio::test]
async fn wrong_clients() {
    let rig = Rig::new().await;
    let (_, code) = rig.invite(1, |_| ()).await;
    let with = |name: &str, values: &[&str]| -> Vec<(String, String)> {
        let others = rig.sign_in().into_iter().filter(|(other, _)| other != name);
        others.chain(values.iter().map(|value| (name.to_owned(), (*value).to_owned()))).collect()
    };
    for (name, values) in [
        ("client_id", vec!["00000000-0000-0000-0000-000000000000"]),
        ("client_id", vec![]),
        ("redirect_uri", vec!["https://evil.example/u"]),
        ("redirect_uri", vec!["http://localhost:8123/u", "https://evil.example/u"]),
        ("response_type", vec!["token"]),
        ("code_challenge_method", vec!["plain"]),
        ("code_challenge_method", vec![]),
        ("code_challenge", vec!["short"]),
        ("code_challenge", vec![]),
    ] {
        let sign_in = with(name, &values);
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&sign_in).finish();
        let shown = rig.get(&format!("authorize?{query}")).await;
        let submitted = rig.submit(&sign_in, &code).await;
        for answer in [shown, submitted] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name} {values:?}");
            assert!(answer.body.contains("Begin again in your client."), "{}", answer.body);
            assert!(!answer.headers.contains_key("location"));
        }
    }
    // What has a default may be missing, and a registered client on the web is sent back to.
    for (sign_in, target) in [
        (with("redirect_uri", &[]), "http://localhost:8123/u?"),
        (with("response_type", &[]), "http://localhost:8123/u?"),
        (with("redirect_uri", &[WEB_CLIENT]), "https://chat.example/u?"),
    ] {
        let answer = rig.submit(&sign_in, &code).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        assert!(answer.headers["location"].to_str().unwrap().starts_with(target));
    }
}

/// Goal: pages of clients may read tokens, others' pages may not; method: what a browser asks beforehand, from each.
#[tokio::test]
async fn origins() {
    let rig = Rig::new().await;
    for (origin, allowed) in [
        ("http://localhost:8123", true),
        ("http://127.0.0.1:9000", false),
        ("https://chat.example", true),
        ("https://evil.example", false),
        ("http://localhost.evil.example:8123", false),
        ("null", false),
    ] {
        let answer = rig.ask(Method::OPTIONS, "token", &[("origin", origin)], None).await;
        let told = answer.headers.get("access-control-allow-origin");
        assert_eq!(told.is_some_and(|told| told == origin), allowed, "{origin}");
        assert_eq!(
            (answer.status, &answer.headers["vary"]),
            (StatusCode::NO_CONTENT, &"origin".parse().unwrap())
        );
    }
    assert_eq!(rig.keys().await.headers["access-control-allow-origin"], "*");
}

/// Goal: the keys that are shown are public ones; method: look at them.
#[tokio::test]
async fn keys_are_public() {
    let rig = Rig::new().await;
    let jwks: Value = serde_json::from_str(&rig.keys().await.body).unwrap();
    let [key] = &jwks["keys"].as_array().unwrap()[..] else { panic!("{jwks}") };
    let names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert_eq!(rig.store.issuer_keys().await.unwrap()[0].id, key["kid"].as_str().unwrap());
}
