//! A provider as a site knows it, and claims that are good.

use serde_json::{Value, json};
use tmtp_domain::{ClaimRules, Endpoint, Provider, ProviderKind};

pub use tmtp_testkit::oidc::{Pair, Server, document, unsigned};

/// The time of all tests that give the time (seconds since 1970).
pub const NOW: i64 = 1_800_000_000;

/// The claims of a good token.
pub fn claims() -> Value {
    json!({ "iss": "https://id.example", "sub": "ann", "aud": "client-1", "exp": NOW + 600, "iat": NOW - 1 })
}

/// Good claims, but for these.
pub fn claims_with(other: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// The provider as a site knows it.
pub fn provider() -> Provider {
    let endpoint = |url: &str| Endpoint { url: url.into(), params: Vec::new() };
    Provider {
        id: "corp".into(),
        label: "Corp".into(),
        kind: ProviderKind::Foreign,
        issuer: "https://id.example".into(),
        authorize: endpoint("https://id.example/authorize"),
        token: endpoint("https://id.example/token"),
        jwks_uri: "https://id.example/keys".into(),
        audiences: vec!["client-1".into()],
        claims: ClaimRules::default(),
        nonce: None,
        keys_since: 0,
    }
}
