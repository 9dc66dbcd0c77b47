//! The OpenAPI document: as checked in, and true about who may do what.

use serde_json::{Value, json};
use tmtp_domain::{Role, Scope};
use tmtp_store::NewJob;

use super::world::{World, site_id};

/// Goal: the document that is checked in is the one that the code makes, so that changes of the API are seen in reviews;
/// method: compare. With POSTERN_RENEW=1 in the environment the file is renewed instead.
#[test]
fn as_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let document = tmtp_admin::document();
    if std::env::var_os("POSTERN_RENEW").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == document, "services/admin/openapi.json is old: run this test with POSTERN_RENEW=1");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

/// Goal: the document and its page are served without a key and without an outside host; method: ask, and look.
#[tokio::test]
async fn served() {
    let world = World::new().await;
    let served = world.call("GET", "/v1/openapi.json", "", None, &[]).await;
    served.expect(200);
    assert_eq!(served.text, tmtp_admin::document());
    let page = world.call("GET", "/docs/", "", None, &[]).await;
    assert_eq!(
        (page.status.as_u16(), page.text.contains("//unpkg") || page.text.contains("https://")),
        (200, false)
    );
}

/// An operation of the document that needs a key.
struct Operation {
    method: String,
    path: String,
    /// `None`: any key will do.
    scope: Option<Scope>,
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&tmtp_admin::document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(security) = operation.get("security") else { continue };
            let scopes = security[0]["key"].as_array().unwrap();
            assert!(scopes.len() <= 1, "{method} {path}");
            let scope = scopes.first().map(|scope| scope.as_str().unwrap().parse().unwrap());
            found.push(Operation { method: method.to_uppercase(), path: path.clone(), scope });
        }
    }
    found
}

/// Goal: every operation asks for exactly the permission that the document says, and knows of no other site; method:
/// every operation, with no key, with a key of every role for the site, and with one for another site. Bodies say
/// little, so whoever is let in is refused for another reason or succeeds, but never with 401 or 403.
#[tokio::test]
async fn authorisation() {
    let operations = operations();
    assert!(operations.len() >= 20);
    // One of them shows that the job is there for its own site.
    let mut jobs_shown = 0;
    for operation in &operations {
        // What one operation does must not be seen by the next.
        let world = World::new().await;
        let (here, there) = (world.site("here.example").await, world.site("there.example").await);
        let key = json!({ "name": "K", "role": "readonly", "sites": [here["id"]] });
        let key = world.post("/v1/keys", &key).await.expect(201);
        let job = job_of(&world, &here).await;
        let path = operation
            .path
            .replace("{site}", here["id"].as_str().unwrap())
            .replace("{key}", key["id"].as_str().unwrap())
            .replace("{job}", &job)
            .replace("{domain}", "here.example")
            .replace("{invite}", "inv_00000000000000000000000000000001")
            .replace("{certificate}", "cert_00000000000000000000000000000001")
            .replace("{uid}", "11111111111111111111111111111111")
            .replace("{provider}", "corp")
            .replace("{gateway}", "gw_00000000000000000000000000000001")
            .replace("{msgid}", "18d75b8423f30000")
            .replace("{num}", "1")
            .replace("{alias}", "Some%20Alias")
            .replace("{name}", "Some%20Name")
            .replace("{gid}", "Some%20Group");
        // The site is looked for only when there is a code.
        let path = if path.ends_with("/qr.svg") { path + "?code=7K4M-Q2XD-9TRA" } else { path };
        assert!(!path.contains('{'), "tell this test what to put into {path}");
        let is_placed = path != operation.path;
        let is_changing = operation.method != "GET";
        // The site is looked for only when the body is good.
        let body = is_changing.then(|| match operation.path.as_str() {
            "/v1/sites/{site}/suspend" | "/v1/sites/{site}/members/{uid}/suspend" => json!({ "reason": "r" }),
            "/v1/sites/{site}/aliases/check" | "/v1/sites/{site}/members/{uid}/aliases" => {
                json!({ "alias": "Some Alias" })
            }
            "/v1/sites/{site}/groups" => json!({ "gid": "Some Group", "members": [] }),
            "/v1/sites/{site}/certificates" => json!({ "certificate": "c", "private_key": "k" }),
            "/v1/sites/{site}/policy/rollback" => json!({ "version": 0 }),
            "/v1/sites/{site}/invites/bulk" => json!([{}]),
            "/v1/sites/{site}/domains" => json!({ "domain": "new.example" }),
            "/v1/sites/{site}/oidc-providers" => {
                json!({ "id": "corp", "label": "Corp", "issuer": "https://192.0.2.1", "client_id": "1" })
            }
            _ => json!({}),
        });
        let call = async |key: &str| world.call(&operation.method, &path, key, body.as_ref(), &[]).await;
        let name = format!("{} {}", operation.method, operation.path);
        assert_eq!(call("").await.status, 401, "{name} without a key");
        for role in Role::ALL {
            let may = operation.scope.is_none_or(|scope| role.allows(scope));
            let other = world.key(role, Some(vec![site_id(&there)])).await;
            let status = call(&other).await.status.as_u16();
            match (may, is_placed) {
                (false, _) => assert_eq!(status, 403, "{name} as {role} of another site"),
                (true, true) => assert_eq!(status, 404, "{name} as {role} of another site"),
                (true, false) => assert_ne!(status, 401, "{name} as {role} of another site"),
            }
            // The operator is of no site; making sites is for nobody else.
            let own_sites = (role != Role::Operator).then(|| vec![site_id(&here)]);
            let own = world.key(role, own_sites).await;
            let status = call(&own).await.status.as_u16();
            if operation.path.contains("{job}") && may {
                // The first one to cancel it ends it.
                assert!([200, 409].contains(&status), "{name} as {role}: {status}");
                jobs_shown += 1;
            }
            if may {
                // Here nobody answers for the homes of sites, which some ask: 503.
                assert!(![401, 403, 500].contains(&status), "{name} as {role}: {status}");
            } else {
                assert_eq!(status, 403, "{name} as {role}");
            }
        }
    }
    assert!(jobs_shown >= 2, "{jobs_shown}");
}

/// A job of the site that nobody has begun.
async fn job_of(world: &World, site: &serde_json::Value) -> String {
    let mut tx = world.store.admin().await.unwrap();
    let id = uuid::Uuid::from_u128(7);
    let site = Some(site_id(site));
    let new = NewJob { id, site, kind: "test", input: "{}", created_by: None, sealed: None };
    tx.create_job(&new).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    format!("job_{}", id.simple())
}

/// Goal: what is below a site that is not there is not there, also for those who may see all sites; method: every operation
/// that reads.
#[tokio::test]
async fn nothing_is_below_nowhere() {
    let world = World::new().await;
    for operation in operations().into_iter().filter(|one| one.method == "GET" && one.path.contains("{site}"))
    {
        let path = operation
            .path
            .replace("{site}", "site_00000000000000000000000000000001")
            .replace("{domain}", "here.example")
            .replace("{invite}", "inv_00000000000000000000000000000001")
            .replace("{certificate}", "cert_00000000000000000000000000000001")
            .replace("{uid}", "11111111111111111111111111111111")
            .replace("{provider}", "corp")
            .replace("{gid}", "Some%20Group");
        let path = if path.ends_with("/qr.svg") { path + "?code=7K4M-Q2XD-9TRA" } else { path };
        let path = if path.contains('{') { path.split('{').next().unwrap().to_owned() + "x" } else { path };
        assert_eq!(world.get(&path).await.problem(404), "not_found", "{}", operation.path);
    }
}

/// Goal: the headers that layers write are in the document; method: an operation with a key, and one without.
#[test]
fn headers() {
    let document: serde_json::Value = serde_json::from_str(&tmtp_admin::document()).unwrap();
    let headers = |path: &str, status: &str| -> Vec<String> {
        let response = &document["paths"][path]["get"]["responses"][status];
        response["headers"].as_object().unwrap().keys().cloned().collect()
    };
    let limits = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
    assert_eq!(headers("/v1/whoami", "200"), [&limits[..], &["X-Request-Id"]].concat());
    assert_eq!(headers("/v1/whoami", "429"), [&limits[..], &["Retry-After", "X-Request-Id"]].concat());
    assert_eq!(headers("/v1/whoami", "401"), ["X-Request-Id"]);
    assert_eq!(headers("/v1/health", "503"), ["Retry-After", "X-Request-Id"]);
}
