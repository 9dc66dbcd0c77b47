//! How clients are told of a site's providers, octet by octet.

use tmtp_domain::{Endpoint, PROVIDERS_MAX, Provider, SiteId, sign_ins, validate_providers};
use tmtp_wire::{AuthBy, Response};
use uuid::Uuid;

use crate::provider::provider;

fn greeting(name: &str, providers: &[Provider]) -> Result<String, tmtp_wire::TooLong> {
    let entries = sign_ins(providers).into_iter().map(|entry| AuthBy {
        label: entry.label.into(),
        login: entry.login.map(Into::into),
        token: entry.token.map(Into::into),
    });
    let response = Response::TmtpRev { name: name.into(), auth: Some(1), auth_by: Some(entries.collect()) };
    let mut octets = Vec::new();
    response.encode(&mut octets)?;
    Ok(String::from_utf8(octets).unwrap())
}

/// Goal: both arrays have two texts, always, and `&` goes out as an escape; method: an invitation, and a provider
/// without parameters.
#[test]
fn two_texts_each() {
    let site = SiteId(Uuid::from_u128(1));
    let id = "00000000-0000-0000-0000-000000000001";
    let invitation = Provider::invitation(site, "A & B", "https://j.example");
    let expected = format!(
        r#"{{"auth":1,"authby":[{{"label":"A \u0026 B invitation","login":["https://j.example/{id}/authorize","response_type=code\u0026scope=openid\u0026code_challenge_method=S256\u0026client_id={id}"],"token":["https://j.example/{id}/token","grant_type=authorization_code\u0026client_id={id}"]}},{{"label":"Corp","login":["https://id.example/authorize",""],"token":["https://id.example/token",""]}}],"id":"1","name":"A \u0026 B","op":"tmtprev"}}"#
    );
    let greeting = greeting("A & B", &[invitation, provider()]).unwrap();
    assert_eq!(greeting, format!("{:04x}{expected}", expected.len()));
}

/// Goal: as many providers as a site may have, as large as they may be, fit into one header; method: the largest, of
/// letters that take most room.
#[test]
fn the_largest() {
    let params = |octets: usize| vec![format!("a={}", "b".repeat(octets))];
    let endpoint = |url: &str, octets| Endpoint { url: url.into(), params: params(octets) };
    let largest = |number: usize| Provider {
        id: format!("p{number}"),
        label: "&".repeat(100),
        authorize: endpoint("https://id.example/authorize", 1_000),
        token: endpoint("https://id.example/token", 644),
        ..provider()
    };
    let mut providers: Vec<Provider> = (0..PROVIDERS_MAX).map(largest).collect();
    assert_eq!(validate_providers(&providers), Ok(()));
    let mut larger = largest(0);
    larger.label.push('&');
    assert!(larger.validate().is_err(), "it is the largest");
    providers.insert(0, Provider::invitation(SiteId(Uuid::nil()), "Acme", "https://join.example"));
    assert!(greeting(&"n".repeat(255), &providers).is_ok());
}
