//! OIDC providers of sites over HTTP, with a provider of the test's own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tmtp_admin::{Config, Oidc, OidcReach};
use tmtp_domain::Role;

use super::world::{World, site_id};

/// A provider: its configuration and its keys.
#[derive(Clone)]
struct Issuer {
    url: String,
    documents: Arc<Mutex<(Value, Value)>>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let configuration = json!({
            "issuer": url, "authorization_endpoint": format!("{url}/login"), "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
        });
        // The example of RFC 8037.
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k",
                          "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        let issuer = Self { url, documents: Arc::new(Mutex::new((configuration, json!({ "keys": [key] })))) };
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async |State(issuer): State<Self>| issuer.documents.lock().0.to_string()),
            )
            .route("/keys", get(async |State(issuer): State<Self>| issuer.documents.lock().1.to_string()))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        issuer
    }
}

async fn world() -> (World, Value, String, Issuer) {
    let oidc = Oidc { reach: OidcReach::Anywhere };
    let world = World::with(Config { oidc, ..Config::default() }).await;
    let site = world.site("chat.example").await;
    let path = format!("/v1/sites/{}/oidc-providers", site["id"].as_str().unwrap());
    (world, site, path, Issuer::start().await)
}

fn corp(issuer: &Issuer) -> Value {
    json!({ "id": "corp", "label": "Sign in with Corp", "issuer": issuer.url, "client_id": "client 1" })
}

/// Goal: issuer, client id and label are enough, what was made is what gateways are told, it is changed field by field and
/// removed, and the audit log has each step; method: one life, with an idempotency key that comes twice, the second time
/// while the provider is away.
#[tokio::test]
async fn one_life() {
    let (world, site, path, issuer) = world().await;
    let once = [("idempotency-key", "one")];
    let make = async || world.call("POST", &path, &world.operator, Some(&corp(&issuer)), &once).await;
    let made = make().await.expect(201);
    assert_eq!(made["jwks_uri"], format!("{}/keys", issuer.url));
    assert_eq!(made["authorize"]["url"], format!("{}/login", issuer.url));
    let params = json!([
        "response_type=code",
        "scope=openid%20email%20profile",
        "code_challenge_method=S256",
        "client_id=client%201"
    ]);
    assert_eq!(made["authorize"]["params"], params);
    assert_eq!(made["token"]["params"], json!(["grant_type=authorization_code", "client_id=client%201"]));
    assert_eq!(made["audiences"], json!(["client 1"]));
    *issuer.documents.lock() = (Value::Null, Value::Null);
    let again = make().await;
    assert_eq!((again.expect(201), again.header("idempotent-replayed")), (made.clone(), "true"));
    assert_eq!(world.post(&path, &corp(&issuer)).await.problem(422), "discovery_failed");

    let one = format!("{path}/corp");
    assert_eq!(world.get(&one).await.expect(200), made);
    assert_eq!(world.get(&path).await.expect(200)["data"], json!([made]));
    let patch = json!({ "label": "Corp", "claims": { "alias": "email", "required": { "team": "a" } } });
    let changed = world.patch(&one, &patch).await.expect(200);
    assert_eq!((&changed["label"], &changed["issuer"]), (&json!("Corp"), &made["issuer"]));
    let patch = json!({ "claims": { "alias": null, "domains": ["corp.example"] } });
    let changed = world.patch(&one, &patch).await.expect(200);
    assert_eq!(
        changed["claims"],
        json!({ "alias": null, "domains": ["corp.example"], "required": { "team": "a" } })
    );
    assert_eq!(world.patch(&one, &json!({})).await.expect(200), changed);
    let kept = world.all().await.providers(site_id(&site)).await.unwrap().remove(0).provider;
    assert_eq!((kept.label.as_str(), kept.claims.domains), ("Corp", vec!["corp.example".to_owned()]));

    world.delete(&one).await.expect(204);
    assert_eq!(world.delete(&one).await.problem(404), "not_found");
    let log = world.get("/v1/audit?target=corp").await.expect(200);
    let actions: Vec<&Value> = log["data"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["provider.remove", "provider.update", "provider.update", "provider.create"]);
}

/// Goal: a test says in words what is wrong, and a refresh makes gateways fetch keys again, if there are any; method: a
/// provider as it should be, one that has moved, one without keys, and one that is gone.
#[tokio::test]
async fn tried_out() {
    let (world, site, path, issuer) = world().await;
    world.post(&path, &corp(&issuer)).await.expect(201);
    let one = format!("{path}/corp");
    let test = async || {
        let tested = world.post(&format!("{one}/test"), &json!({})).await.expect(200);
        let wrong: Vec<String> = tested["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["ok"] == json!(false))
            .map(|check| {
                format!("{}: {}", check["part"].as_str().unwrap(), check["message"].as_str().unwrap())
            })
            .collect();
        assert_eq!(tested["ok"].as_bool().unwrap(), wrong.is_empty());
        wrong
    };
    assert!(test().await.is_empty());
    let since = async || world.all().await.providers(site_id(&site)).await.unwrap()[0].provider.keys_since;
    let refresh = async || world.post(&format!("{one}/refresh"), &json!({})).await.expect(200);
    assert_eq!(refresh().await, json!({ "ok": true, "keys": 1, "error": null }));
    let refreshed = since().await;
    assert!(refreshed > 0);

    let once = [("idempotency-key", "one")];
    let path = format!("{one}/test");
    let test_once = async || world.call("POST", &path, &world.operator, None, &once).await;
    assert_eq!(test_once().await.expect(200)["ok"], json!(true));
    issuer.documents.lock().0["token_endpoint"] = json!("https://elsewhere.example/token");
    issuer.documents.lock().1 = json!({ "keys": [] });
    let said =
        format!("token: the provider says https://elsewhere.example/token, here is set {}/token", issuer.url);
    assert_eq!(test().await, [said.as_str(), "keys: there is no key that tokens could be checked with"]);
    let again = test_once().await;
    assert_eq!((&again.expect(200)["ok"], again.header("idempotent-replayed")), (&json!(true), "true"));
    let failed = refresh().await;
    assert_eq!((&failed["ok"], since().await), (&json!(false), refreshed));
    let patch = json!({ "issuer": "http://127.0.0.1:1", "jwks_uri": "http://127.0.0.1:1/keys" });
    world.patch(&one, &patch).await.expect(200);
    let wrong = test().await;
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().all(|text| text.contains("could not connect")), "{wrong:?}");
}

/// Goal: what cannot be used is refused by its field, private addresses are out of reach unless set otherwise, a site has
/// no more providers than may be, and other sites' keys see none; method: one mistake each, and keys of other sites.
#[tokio::test]
async fn refusals() {
    let (world, site, path, issuer) = world().await;
    world.post(&path, &corp(&issuer)).await.expect(201);
    let with = |field: &str, value: Value| {
        let mut body = corp(&issuer);
        body["id"] = json!("other");
        body[field] = value;
        body
    };
    let endpoint = json!({ "url": "https://id.example/x", "params": [] });
    for (body, code, param) in [
        (with("id", json!("Corp")), "invalid", "id"),
        (with("label", json!(" ")), "invalid", "label"),
        (with("issuer", json!("http://id.example")), "invalid", "issuer"),
        (with("colour", json!("red")), "invalid", "colour"),
        (with("claims", json!({ "domains": ["Corp.example"] })), "invalid", "claims.domains"),
        (with("authorize", json!({ "url": "ftp://x" })), "invalid", "authorize"),
        (with("nonce", json!("a b")), "invalid", "nonce"),
        (with("issuer", json!("http://127.0.0.1:1")), "discovery_failed", "issuer"),
    ] {
        let refused = world.post(&path, &body).await;
        assert_eq!(refused.problem(422), code, "{body}");
        assert_eq!(refused.json()["param"], param, "{body}: {}", refused.text);
    }
    let both = json!({ "id": "x", "label": "X", "issuer": "https://id.example", "client_id": "1", "scope": "openid",
                       "authorize": endpoint });
    assert_eq!(world.post(&path, &both).await.json()["param"], "scope");
    assert_eq!(world.post(&path, &corp(&issuer)).await.problem(409), "provider_exists");
    let one = format!("{path}/corp");
    assert_eq!(world.patch(&one, &json!({ "label": null })).await.problem(422), "invalid");
    assert_eq!(
        world.patch(&one, &json!({ "authorize": { "params": 5 } })).await.json()["param"],
        "authorize.params"
    );
    for number in 1..25 {
        let mut body = both.clone();
        body.as_object_mut().unwrap().remove("scope");
        (body["token"], body["jwks_uri"]) = (endpoint.clone(), json!("https://id.example/keys"));
        (body["id"], body["issuer"]) =
            (json!(format!("p{number}")), json!(format!("https://id{number}.example")));
        let made = world.post(&path, &body).await;
        made.expect(201);
    }
    assert_eq!(world.post(&path, &with("id", json!("q"))).await.problem(409), "too_many_providers");

    let there = world.site("there.example").await;
    let foreign = world.key(Role::Owner, Some(vec![site_id(&there)])).await;
    let reader = world.key(Role::Readonly, Some(vec![site_id(&site)])).await;
    for (method, path) in [
        ("GET", path.clone()),
        ("GET", one.clone()),
        ("POST", path.clone()),
        ("PATCH", one.clone()),
        ("DELETE", one.clone()),
        ("POST", format!("{one}/test")),
        ("POST", format!("{one}/refresh")),
    ] {
        let body = match (method, path.ends_with("providers")) {
            ("POST", true) => Some(corp(&issuer)),
            ("GET" | "DELETE", _) => None,
            _ => Some(json!({})),
        };
        let call = async |key: &str| world.call(method, &path, key, body.as_ref(), &[]).await;
        assert_eq!(call(&foreign).await.problem(404), "not_found", "{method} {path}");
        assert_eq!(call(&reader).await.status == 403, method != "GET", "{method} {path}");
    }
    let public = World::new().await;
    let site = public.site("a.example").await;
    let path = format!("/v1/sites/{}/oidc-providers", site["id"].as_str().unwrap());
    let refused = public.post(&path, &corp(&issuer)).await;
    assert_eq!(refused.problem(422), "discovery_failed");
    assert!(refused.text.contains("private network"), "{}", refused.text);
}
