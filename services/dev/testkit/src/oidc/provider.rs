//! A whole provider: its configuration, the page where people sign in, the token for the code that comes back from there,
//! and its keys. It knows one client and lets one person in, without asking for a password.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::BASE64URL_NOPAD as B64;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Pair;

/// Seconds for which its tokens are good.
const TOKEN_LIFE: u64 = 600;
const OWN: &str = "a test's own server";

type Params = HashMap<String, String>;

/// A provider that runs until the test ends.
#[derive(Clone)]
pub struct Provider {
    address: SocketAddr,
    /// The only one that it knows.
    client: Arc<str>,
    desk: Arc<Mutex<Desk>>,
}

struct Desk {
    keys: (String, Pair),
    /// The claims about whoever signs in.
    person: Value,
    /// Sign-ins that have begun, by their number.
    begun: Vec<Params>,
    /// Who has signed in, by the code, until it is redeemed.
    codes: HashMap<String, (Params, Value)>,
}

impl Provider {
    /// Starts one for this client.
    pub async fn start(client: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect(OWN);
        let desk = Desk {
            keys: ("one".to_owned(), Pair::p256()),
            person: json!({}),
            begun: Vec::new(),
            codes: HashMap::new(),
        };
        let provider = Self {
            address: listener.local_addr().expect(OWN),
            client: client.into(),
            desk: Arc::new(Mutex::new(desk)),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/authorize", get(authorize))
            .route("/login", get(login))
            .route("/token", post(token))
            .route("/keys", get(keys))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect(OWN) });
        provider
    }

    /// Its issuer, which is where it is.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it is this person who signs in: claims such as `sub` and `nickname`.
    pub fn person(&self, claims: Value) {
        self.desk.lock().person = claims;
    }

    /// From now on it signs with another key.
    pub fn rotate(&self, kid: &str, pair: Pair) {
        self.desk.lock().keys = (kid.to_owned(), pair);
    }

    /// The claims of a token for somebody, as they are now.
    pub fn claims(&self, person: &Value) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let mut claims =
            json!({ "iss": self.issuer(), "aud": [&*self.client], "iat": now, "exp": now + TOKEN_LIFE });
        for (name, value) in person.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    }

    /// A token that it would sign.
    pub fn sign(&self, claims: &Value) -> String {
        let desk = self.desk.lock();
        desk.keys.1.token(&desk.keys.0, claims)
    }
}

async fn configuration(State(provider): State<Provider>) -> Json<Value> {
    let issuer = provider.issuer();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "EdDSA"],
    }))
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    let desk = provider.desk.lock();
    Json(json!({ "keys": [desk.keys.1.jwk(&desk.keys.0)] }))
}

/// The page that a person sees.
async fn authorize(State(provider): State<Provider>, Query(asked): Query<Params>) -> Response {
    let is = |name: &str, value: &str| asked.get(name).is_some_and(|given| given == value);
    let is_right = is("client_id", &provider.client)
        && is("response_type", "code")
        && is("code_challenge_method", "S256")
        && asked.get("scope").is_some_and(|scope| scope.split(' ').any(|one| one == "openid"))
        && ["code_challenge", "redirect_uri", "state"].iter().all(|name| asked.contains_key(*name));
    if !is_right {
        return (StatusCode::BAD_REQUEST, format!("not a sign-in: {asked:?}")).into_response();
    }
    let mut desk = provider.desk.lock();
    desk.begun.push(asked);
    Html(format!(
        "<!DOCTYPE html><title>Sign in</title><h1>Sign in at the provider</h1>
         <form action=\"/login\"><input type=\"hidden\" name=\"number\" value=\"{}\">
         <button type=\"submit\">Sign in</button></form>",
        desk.begun.len() - 1
    ))
    .into_response()
}

/// The person has signed in, and goes back to the client.
async fn login(State(provider): State<Provider>, Query(form): Query<Params>) -> Response {
    let mut desk = provider.desk.lock();
    let number = form.get("number").and_then(|number| number.parse::<usize>().ok());
    let Some(asked) = number.and_then(|number| desk.begun.get(number).cloned()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let code = format!("code-{}", desk.codes.len());
    let back = format!("{}?code={code}&state={}", asked["redirect_uri"], encoded(&asked["state"]));
    let person = desk.person.clone();
    desk.codes.insert(code, (asked, person));
    Redirect::to(&back).into_response()
}

/// The client gets its token, once, if it is the one that began.
async fn token(State(provider): State<Provider>, form: String) -> Response {
    let refusal = |why: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response();
    let uri = format!("/?{form}").parse::<Uri>().ok();
    let Some(Query(form)) = uri.and_then(|uri| Query::<Params>::try_from_uri(&uri).ok()) else {
        return refusal("invalid_request");
    };
    let given = |name: &str| form.get(name).map_or("", String::as_str);
    if given("grant_type") != "authorization_code" || given("client_id") != &*provider.client {
        return refusal("invalid_client");
    }
    let Some((asked, person)) = provider.desk.lock().codes.remove(given("code")) else {
        return refusal("invalid_grant");
    };
    let challenge = B64.encode(digest(&SHA256, given("code_verifier").as_bytes()).as_ref());
    if challenge != asked["code_challenge"] || given("redirect_uri") != asked["redirect_uri"] {
        return refusal("invalid_grant");
    }
    let id_token = provider.sign(&provider.claims(&person));
    Json(json!({
        "access_token": "nothing to access", "token_type": "Bearer", "expires_in": TOKEN_LIFE, "scope": asked["scope"],
        "id_token": id_token,
    }))
    .into_response()
}

/// A text in a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() {
            out.push(octet.into());
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}
