//! Handlers that forget to ask which sites the key is for: the database shows them nothing of others all the same.
//!
//! Every handler asks with [`Caller::site`](super::caller::Caller::site) and filters with the key's sites. Here these
//! say yes to everything, because the key that they look at is an operator's; only what may be *read* is one site.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::middleware::from_fn_with_state;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tmtp_chassis::Health;
use tmtp_domain::{Role, SiteId, Uid};
use tmtp_store::{ApiKey, Sights, Store};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::authenticate::Identity;
use super::id::{CertificateRef, InviteRef, JobRef, KeyRef, SiteRef};
use super::{Api, document, request, with_key};
use crate::{AdminMetrics, Config};

const HERE: SiteId = SiteId(Uuid::from_u128(1));
const THERE: SiteId = SiteId(Uuid::from_u128(2));
const UID: Uid = Uid([7; 20]);

/// One of everything that answers tell of; `SITE` and `NAME` are the site's id and name.
const ROWS: &str = r#"
    INSERT INTO site (site_id, shard_id, name, registration) VALUES ('SITE', 0, 'NAME', 'open');
    INSERT INTO site_domain VALUES ('SITE', 'NAME.example');
    INSERT INTO site_policy_history (site_id, version, policy) VALUES ('SITE', 1, '{}');
    INSERT INTO member (site_id, uid) VALUES ('SITE', UID);
    INSERT INTO node (site_id, uid, num, secret, label) VALUES ('SITE', UID, 1, HASH, 'first');
    INSERT INTO name (site_id, name, uid) VALUES ('SITE', 'Some Alias', UID), ('SITE', 'Some Group', NULL);
    INSERT INTO group_member VALUES ('SITE', 'Some Group', UID, 'joined', 'Some Alias');
    INSERT INTO name (site_id, name, reserved_at) VALUES ('SITE', 'Some Reserved', now());
    INSERT INTO message (site_id, msg_id, owed, header) VALUES ('SITE', 1, 1, 'header');
    INSERT INTO usage_day VALUES ('SITE', '2026-11-26', 1, 2);
    INSERT INTO invite (site_id, invite_id, code_hash) VALUES ('SITE', 'SITE', HASH);
    INSERT INTO invite_use (site_id, invite_id, uid, state) VALUES ('SITE', 'SITE', UID, 'completed');
    INSERT INTO oidc_provider (site_id, provider_id, config) VALUES ('SITE', 'corp', '{"id": "corp", "label": "Corp",
        "issuer": "https://id.example", "authorize": {"url": "https://id.example/a"},
        "token": {"url": "https://id.example/t"}, "jwks_uri": "https://id.example/j", "audiences": ["1"]}');
    INSERT INTO site_certificate (site_id, certificate_id, source, names, issuer, chain, sealed_key, not_before, not_after)
        VALUES ('SITE', 'SITE', 'upload', '{NAME.example}', 'CN=Test', '{x}', 'sealed', now(), now());
    INSERT INTO acme_domain (site_id, domain) VALUES ('SITE', 'NAME.example');
    INSERT INTO job (job_id, site_id, kind, input) VALUES ('SITE', 'SITE', 'test', '{}');
    INSERT INTO audit (site_id, action, target, from_address, request_id) VALUES ('SITE', 'test', 'NAME', 'x', 'SITE');
    INSERT INTO api_key (key_id, hash, name, role, site_ids) VALUES ('SITE', HASH, 'NAME', 'owner', '{SITE}');
"#;

/// The API without its check of keys: whoever asks has an operator's key, and sees what is told here.
struct Careless {
    api: Api,
}

impl Careless {
    async fn new() -> Self {
        let url = tmtp_testkit::fresh_database();
        let store = Store::connect(&url, 5, Duration::from_secs(20)).await.unwrap();
        store.migrate(4).await.unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        for (site, name) in [(HERE, "here"), (THERE, "there")] {
            let hash = format!("decode(repeat('{:02}', 32), 'hex')", site.0.as_u128());
            let rows = ROWS
                .replace("SITE", &site.0.to_string())
                .replace("NAME", name)
                .replace("HASH", &hash)
                .replace("UID", "decode(repeat('07', 20), 'hex')");
            sqlx::raw_sql(AssertSqlSafe(rows)).execute(&pool).await.unwrap();
        }
        let metrics = AdminMetrics::register(&tmtp_chassis::prometheus::Registry::new()).unwrap();
        Self { api: Api::new(Arc::new(Config::default()), store, Health::new(), metrics) }
    }

    fn router(&self, sights: Sights) -> Router {
        let key = ApiKey {
            id: Uuid::from_u128(9),
            name: "careless".to_owned(),
            role: Role::Operator,
            scopes: None,
            sites: None,
            created_at: 0,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        let identity = Arc::new(Identity { key, sights, seal: [0; 32] });
        let (keyed, _) = with_key().split_for_parts();
        keyed
            .layer(axum::Extension(identity))
            .layer(from_fn_with_state(self.api.clone(), request::surround))
            .with_state(self.api.clone())
    }

    async fn ask(
        &self,
        sights: Sights,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request =
            request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap();
        let answer = self.router(sights).oneshot(request).await.unwrap();
        let status = answer.status();
        let octets = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(octets.to_vec()).unwrap())
    }
}

/// The operations that need a key and are about a place, with what of the site `there` stands in their paths.
fn operations() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("security").is_some() && path.contains('{') && !path.contains("{gateway}") {
                let path = path
                    .replace("{site}", &SiteRef::from(THERE).to_string())
                    .replace("{key}", &KeyRef::of(THERE.0).to_string())
                    .replace("{job}", &JobRef::of(THERE.0).to_string())
                    .replace("{invite}", &InviteRef::of(THERE.0).to_string())
                    .replace("{certificate}", &CertificateRef::of(THERE.0).to_string())
                    .replace("{domain}", "there.example")
                    .replace("{uid}", &UID.to_string().replace('%', "%25").replace('+', "%2B"))
                    .replace("{provider}", "corp")
                    .replace("{num}", "1")
                    .replace("{msgid}", "0000000000000001")
                    .replace("{alias}", "Some%20Alias")
                    .replace("{name}", "Some%20Name")
                    .replace("{gid}", "Some%20Group");
                assert!(!path.contains('{'), "tell this test what to put into {path}");
                found.push((method.to_uppercase(), path));
            }
        }
    }
    found
}

/// Goal: no answer to a GET tells of a site that the key is not for, even if its handler forgets to look; method: every
/// GET with ids of another site, of a caller whose handlers believe that it may see everything and whose reads may not,
/// and the same of one whose reads may.
#[tokio::test]
async fn reads_refuse_what_handlers_forget() {
    let careless = Careless::new().await;
    let mut asked = 0;
    for (method, path) in operations() {
        if method != "GET" || path.ends_with("/qr.svg") {
            continue;
        }
        asked += 1;
        let (status, text) = careless.ask(Sights::All, "GET", &path, None).await;
        assert_eq!(status, 200, "{path}: {text}");
        let is_empty = |text: &str| {
            let answer: Value = serde_json::from_str(text).unwrap();
            answer["data"].as_array().is_some_and(Vec::is_empty)
        };
        assert!(!is_empty(&text), "{path} has nothing to hide: {text}");
        let (status, text) = careless.ask(Sights::of(HERE), "GET", &path, None).await;
        assert!(status == 404 || status == 200 && is_empty(&text), "{path}: {status} {text}");
    }
    assert!(asked >= 20, "{asked} operations");
}

/// Goal: lists over several sites have none that the key is not for, even if their handlers forget to say which;
/// method: each of them, and with a filter that names the other site.
#[tokio::test]
async fn lists_leave_out_what_handlers_forget() {
    let careless = Careless::new().await;
    let [here, there] = [HERE, THERE].map(|site| SiteRef::from(site).to_string());
    for path in ["/v1/sites", "/v1/keys", "/v1/audit", "/v1/jobs", "/v1/usage"] {
        let (status, text) = careless.ask(Sights::All, "GET", path, None).await;
        assert_eq!(
            (status.as_u16(), text.contains(&here), text.contains(&there)),
            (200, true, true),
            "{path}"
        );
        let (status, text) = careless.ask(Sights::of(HERE), "GET", path, None).await;
        assert_eq!(
            (status.as_u16(), text.contains(&here), text.contains(&there)),
            (200, true, false),
            "{path}"
        );
        let (status, text) = careless.ask(Sights::Of(Vec::new()), "GET", path, None).await;
        assert_eq!((status.as_u16(), text.contains("site_")), (200, false), "{path}: {text}");
    }
    for path in [format!("/v1/keys?site={there}"), format!("/v1/jobs?site={there}")] {
        let (_, text) = careless.ask(Sights::of(HERE), "GET", &path, None).await;
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["data"], json!([]), "{path}");
    }
}

/// Goal: what the homes of sites are asked to do begins with a read of the site, so that nothing is asked of another one;
/// method: every change of members, devices, names and groups, of a caller as above. Where the site is seen there is no
/// home that answers: 503.
#[tokio::test]
async fn homes_are_not_asked_about_other_sites() {
    let careless = Careless::new().await;
    let mut asked = 0;
    let below = format!("/v1/sites/{}/", SiteRef::from(THERE));
    for (method, path) in operations() {
        let rest = path.strip_prefix(&below).unwrap_or_default();
        let is_home =
            ["members", "groups", "aliases", "reserved-names"].iter().any(|part| rest.starts_with(part));
        if method == "GET" || !is_home {
            continue;
        }
        asked += 1;
        let body = match rest.rsplit('/').next() {
            Some("suspend") => json!({ "reason": "r" }),
            Some("check" | "aliases") => json!({ "alias": "Some Alias" }),
            Some("groups") => json!({ "gid": "New Group", "members": [{ "uid": UID.to_string() }] }),
            Some("members") => json!({ "add": [{ "uid": UID.to_string() }] }),
            _ => json!({}),
        };
        let (status, text) = careless.ask(Sights::of(HERE), &method, &path, Some(&body)).await;
        assert_eq!(status, 404, "{method} {path}: {text}");
        let (status, text) = careless.ask(Sights::All, &method, &path, Some(&body)).await;
        assert_ne!(status, 404, "{method} {path}: {text}");
    }
    assert!(asked >= 15, "{asked} operations");
}
