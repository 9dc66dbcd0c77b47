//! One connection of the database is enough for many requests at once: none asks for a second one while it holds one.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tmtp_admin::{Config, Sites};

use super::world::World;

/// Requests at once.
const MANY: usize = 8;

fn config() -> Config {
    let mut config = Config { sites: Sites { tombstone: Duration::ZERO }, ..Config::default() };
    config.secrets.key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into();
    config
}

/// The same request many times at once; each succeeds, with an idempotency key of its own and without.
async fn many(world: &World, method: &str, path: &str, body: impl Fn(usize) -> Value, status: u16) {
    let ask = async |number: usize| {
        let key = format!("{method} {path} {number}").replace([' ', '?'], "-");
        let once = [("idempotency-key", key.as_str())];
        let headers: &[(&str, &str)] = if number.is_multiple_of(2) { &once } else { &[] };
        let answer = world.call(method, path, &world.operator, Some(&body(number)), headers).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
    };
    join_all((0..MANY).map(ask)).await;
}

/// Goal: requests that change something never wait for one another's connections; method: a pool of one connection, and
/// each such request many times at once, those first that once needed two.
#[tokio::test]
async fn one_connection_is_enough() {
    let world = World::with(config()).await;
    let site = world.site("a.example").await;
    let id = site["id"].clone();
    let path = format!("/v1/sites/{}", id.as_str().unwrap());
    let new = |number| json!({ "name": "N", "domains": [format!("s{number}.example")] });
    many(&world, "POST", "/v1/sites", new, 201).await;
    many(&world, "POST", "/v1/keys", |_| json!({ "name": "K", "role": "owner", "sites": [id] }), 201).await;
    let key = KeyPair::generate().unwrap();
    let pem = CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let certificate = |_| json!({ "certificate": pem, "private_key": key.serialize_pem() });
    many(&world, "POST", &format!("{path}/certificates"), certificate, 201).await;
    let policy = |number| json!({ "posts": { "per_minute": number + 1 } });
    many(&world, "PATCH", &format!("{path}/policy"), policy, 200).await;
    many(&world, "POST", &format!("{path}/policy/rollback"), |_| json!({ "version": 1 }), 200).await;
    let invites = format!("{path}/invites");
    many(&world, "POST", &invites, |_| json!({ "alias": "ann of acme" }), 201).await;
    let listed = world.get(&invites).await.expect(200);
    let invite = format!("{invites}/{}", listed["data"][0]["id"].as_str().unwrap());
    many(&world, "POST", &format!("{invite}/resend"), |_| json!({}), 200).await;
    many(&world, "POST", &format!("{invites}/bulk"), |_| json!([{ "alias": "ben of acme" }]), 202).await;
    many(&world, "POST", &format!("{invites}/bulk?dry_run=true"), |_| json!([{}]), 200).await;
    many(&world, "DELETE", &invite, |_| json!({}), 204).await;
    many(&world, "POST", &format!("{path}/domains"), |_| json!({ "domain": "a.example" }), 409).await;
    many(&world, "POST", &format!("{path}/suspend"), |_| json!({ "reason": "r" }), 200).await;
    many(&world, "PATCH", &path, |_| json!({ "name": "M" }), 200).await;
    many(&world, "POST", &format!("{path}/aliases/check"), |_| json!({ "alias": "ann of acme" }), 200).await;
    many(&world, "DELETE", &format!("{path}?dry_run=true"), |_| json!({}), 200).await;
    many(&world, "DELETE", &path, |_| json!({}), 200).await;
    // The job that erases a site has one, too.
    tmtp_admin::work_off(Arc::new(config()), world.store.clone(), None).await.unwrap();
    assert_eq!(world.get(&path).await.problem(404), "not_found");
}
