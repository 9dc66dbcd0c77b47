//! Which tokens are taken, given the keys.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD as B64;
use serde_json::{Value, json};
use tmtp_domain::Identity;
use tmtp_domain::{ClaimRules, InviteId, Provider, ProviderKind, SiteId};
use tmtp_oidc::{Error, KeySet, check};
use uuid::Uuid;

use crate::provider::{NOW, Pair, claims, claims_with, document, provider, unsigned};

struct Rig {
    pair: Pair,
    keys: KeySet,
}

impl Rig {
    fn new() -> Self {
        let pair = Pair::p256();
        let keys = KeySet::parse(document(&[pair.jwk("k1")]).as_bytes()).unwrap();
        Self { pair, keys }
    }

    fn check(&self, provider: Provider, token: &str) -> Result<Identity, Error> {
        check(token, &[provider], &self.keys, NOW)
    }

    /// What becomes of a token that is good but for these claims.
    fn with(&self, other: &Value) -> Result<Identity, Error> {
        self.check(provider(), &self.pair.token("k1", &claims_with(other)))
    }

    /// The same, with a provider that has these rules.
    fn ruled(&self, rules: ClaimRules, other: &Value) -> Result<Identity, Error> {
        let provider = Provider { claims: rules, ..provider() };
        self.check(provider, &self.pair.token("k1", &claims_with(other)))
    }
}

/// Goal: a good token of each kind of key is taken, and tells who it is of; method: one each.
#[test]
fn good_ones() {
    let pairs = [Pair::rsa(), Pair::p256(), Pair::p384(), Pair::ed()];
    let jwks: Vec<Value> = pairs.iter().zip(["a", "b", "c", "d"]).map(|(pair, kid)| pair.jwk(kid)).collect();
    let keys = KeySet::parse(document(&jwks).as_bytes()).unwrap();
    assert_eq!(keys.len(), 4);
    for (pair, kid) in pairs.iter().zip(["a", "b", "c", "d"]) {
        let identity = check(&pair.token(kid, &claims()), &[provider()], &keys, NOW).unwrap();
        assert_eq!((identity.provider.as_str(), identity.subject.as_str()), ("corp", "ann"));
        assert_eq!(
            (identity.issuer.as_str(), identity.audience.as_str()),
            ("https://id.example", "client-1")
        );
        assert_eq!((identity.expires_at, identity.alias, identity.invite), (NOW + 600, None, None));
    }
}

/// Goal: a token is for one of our client ids, alone or among others with a word whose it is; method: each way.
#[test]
fn audiences() {
    let rig = Rig::new();
    assert!(rig.with(&json!({ "aud": ["client-1"] })).is_ok());
    assert!(rig.with(&json!({ "aud": ["other", "client-1"], "azp": "client-1" })).is_ok());
    for other in [
        json!({ "aud": "client-2" }),
        json!({ "aud": [] }),
        json!({ "aud": ["other", "client-1"] }),
        json!({ "aud": ["other", "client-1"], "azp": "other" }),
        json!({ "aud": ["client-1 "] }),
    ] {
        assert_eq!(rig.with(&other), Err(Error::Audience), "{other}");
    }
    assert_eq!(rig.with(&json!({ "aud": 1 })).unwrap_err(), Error::Audience);
    assert_eq!(rig.with(&json!({ "iss": "https://id.example/" })), Err(Error::Issuer));
    // Two client ids at one issuer may be two providers.
    let two = Provider { id: "two".into(), audiences: vec!["client-2".into()], ..provider() };
    let token = rig.pair.token("k1", &claims_with(&json!({ "aud": "client-2" })));
    assert_eq!(check(&token, &[provider(), two], &rig.keys, NOW).unwrap().provider, "two");
}

/// Goal: a token is good in its time, give or take a minute; method: times on both sides of each limit.
#[test]
fn times() {
    let rig = Rig::new();
    for good in [
        json!({ "exp": NOW - 59 }),
        json!({ "exp": 1_800_000_010.5 }),
        json!({ "nbf": NOW + 60 }),
        json!({ "iat": NOW + 60 }),
    ] {
        assert!(rig.with(&good).is_ok(), "{good}");
    }
    for (bad, error) in [
        (json!({ "exp": NOW - 60 }), Error::Expired),
        (json!({ "exp": -5 }), Error::Expired),
        (json!({ "exp": i64::MIN }), Error::Expired),
        (json!({ "exp": i64::MAX }), Error::LivesTooLong),
        (json!({ "exp": u64::MAX }), Error::Claim("exp")),
        (json!({ "exp": 1e300 }), Error::Claim("exp")),
        (json!({ "exp": "1800000600" }), Error::Claim("exp")),
        (json!({ "exp": null }), Error::Claim("exp")),
        (json!({ "nbf": NOW + 61 }), Error::Future),
        (json!({ "iat": NOW + 61 }), Error::Future),
        (json!({ "iat": "now" }), Error::Claim("iat")),
    ] {
        assert_eq!(rig.with(&bad), Err(error), "{bad}");
    }
}

/// Goal: no token is taken that somebody without the key has made; method: forgeries.
#[test]
fn forgeries() {
    let rig = Rig::new();
    let good = rig.pair.token("k1", &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    // Other claims under the signature of the good ones; another key; a key that is not there.
    let other = unsigned(&json!({ "alg": "ES256", "kid": "k1" }), &claims_with(&json!({ "sub": "bob" })));
    assert_eq!(rig.check(provider(), &format!("{other}.{signature}")), Err(Error::Signature));
    assert_eq!(rig.check(provider(), &Pair::p256().token("k1", &claims())), Err(Error::Signature));
    assert_eq!(rig.check(provider(), &rig.pair.token("k2", &claims())), Err(Error::UnknownKey));
    assert_eq!(rig.check(provider(), &format!("{signed}.")), Err(Error::Signature));
    // Unsigned, and by a secret that everybody knows: the public key.
    for name in ["none", "None", "HS256", "HS384", "RS1", "ES256K"] {
        let header = json!({ "alg": name, "kid": "k1" });
        let signed = unsigned(&header, &claims());
        let public = rig.pair.jwk("k1").to_string();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), signed.as_bytes());
        for signature in ["", &B64.encode(tag.as_ref())] {
            assert_eq!(
                rig.check(provider(), &format!("{signed}.{signature}")),
                Err(Error::Algorithm),
                "{name}"
            );
        }
    }
    // An algorithm that is good for other keys only.
    for name in ["RS256", "PS256", "ES384", "EdDSA"] {
        let token = rig.pair.token_with(&json!({ "alg": name, "kid": "k1" }), &claims());
        assert_eq!(rig.check(provider(), &token), Err(Error::UnknownKey), "{name}");
    }
    let no_kid = rig.pair.token_with(&json!({ "alg": "ES256" }), &claims());
    assert_eq!(rig.check(provider(), &no_kid), Err(Error::NoKeyId));
    let critical = json!({ "alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false });
    assert_eq!(rig.check(provider(), &rig.pair.token_with(&critical, &claims())), Err(Error::Critical));
}

/// Goal: a token is recognised when it comes again, even if its signature is written in another way; method: sign the
/// same text twice.
#[test]
fn digests() {
    let rig = Rig::new();
    let [first, again] = [0, 1].map(|_| rig.pair.token("k1", &claims()));
    assert_ne!(first, again, "signatures of elliptic curves are random");
    let digest = |token: &str| rig.check(provider(), token).unwrap().token_digest;
    assert_eq!(digest(&first), digest(&again));
    let another = rig.pair.token("k1", &claims_with(&json!({ "jti": "2" })));
    assert_ne!(digest(&first), digest(&another));
}

/// Goal: the claims of a provider are taken for what its rules say; method: with and without what each asks for.
#[test]
fn rules() {
    let rig = Rig::new();
    let alias = ClaimRules { alias: Some("nickname".into()), ..ClaimRules::default() };
    let identity = rig.ruled(alias.clone(), &json!({ "nickname": "ann of corp" })).unwrap();
    assert_eq!(identity.alias.as_deref(), Some("ann of corp"));
    for lacking in [json!({}), json!({ "nickname": "" }), json!({ "nickname": 1 })] {
        assert_eq!(rig.ruled(alias.clone(), &lacking), Err(Error::Alias), "{lacking}");
    }
    let domains = ClaimRules { domains: vec!["corp.example".into()], ..ClaimRules::default() };
    for good in [
        json!({ "hd": "corp.example" }),
        json!({ "email": "ann@Corp.example", "email_verified": true }),
        json!({ "email": "ann@corp.example", "email_verified": "true" }),
    ] {
        assert!(rig.ruled(domains.clone(), &good).is_ok(), "{good}");
    }
    for bad in [
        json!({}),
        json!({ "hd": "sub.corp.example" }),
        json!({ "email": "ann@corp.example" }),
        json!({ "email": "ann@corp.example", "email_verified": false }),
        json!({ "email": "ann@corp.example@evil.example", "email_verified": true }),
        json!({ "email": "corp.example", "email_verified": true }),
    ] {
        assert_eq!(rig.ruled(domains.clone(), &bad), Err(Error::Domain), "{bad}");
    }
    let mut required = ClaimRules::default();
    required.required.insert("tid".into(), "t1".into());
    assert!(rig.ruled(required.clone(), &json!({ "tid": "t1" })).is_ok());
    assert_eq!(rig.ruled(required, &json!({ "tid": "t2" })), Err(Error::Required));
    for bad in [json!({ "sub": "" }), json!({ "sub": 7 }), json!({ "sub": "x".repeat(256) })] {
        assert_eq!(rig.with(&bad), Err(Error::Claim("sub")), "{bad}");
    }
}

/// Goal: a nonce has to be repeated where the provider asks for one; method: the right one, another, none.
#[test]
fn nonces() {
    let rig = Rig::new();
    let asking = || Provider { nonce: Some("n1".into()), ..provider() };
    let with = |other: &Value| rig.check(asking(), &rig.pair.token("k1", &claims_with(other))).map(|_| ());
    assert_eq!(with(&json!({ "nonce": "n1" })), Ok(()));
    assert_eq!(with(&json!({ "nonce": "n2" })), Err(Error::Nonce));
    assert_eq!(with(&json!({})), Err(Error::Nonce));
    assert!(rig.with(&json!({ "nonce": "any" })).is_ok(), "not asked for");
}

/// Goal: only our own issuer's tokens stand for invites; method: the same claims by it and by another.
#[test]
fn invites() {
    let rig = Rig::new();
    let (site, invite) = (SiteId(Uuid::from_u128(1)), Uuid::from_u128(9));
    let own = Provider::invitation(site, "Acme", "http://127.0.0.1:8081");
    let claims = claims_with(&json!({
        "iss": own.issuer, "aud": site.to_string(), "invite": invite.to_string(), "alias": "ann of acme",
    }));
    let identity = rig.check(own.clone(), &rig.pair.token("k1", &claims)).unwrap();
    assert_eq!((identity.invite, identity.alias.as_deref()), (Some(InviteId(invite)), Some("ann of acme")));
    let foreign = Provider { kind: ProviderKind::Foreign, ..own.clone() };
    let identity = rig.check(foreign, &rig.pair.token("k1", &claims)).unwrap();
    assert_eq!((identity.invite, identity.alias), (None, None));
    for bad in [json!(null), json!("x")] {
        let mut claims = claims.clone();
        claims["invite"] = bad;
        assert_eq!(rig.check(own.clone(), &rig.pair.token("k1", &claims)), Err(Error::Claim("invite")));
    }
}
