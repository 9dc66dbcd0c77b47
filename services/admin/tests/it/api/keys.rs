//! API keys over HTTP.

use serde_json::{Value, json};
use tmtp_domain::Role;

use super::world::{World, site_id};

/// Goal: a key works from the moment it is made until it is revoked, and is told once; method: one life.
#[tokio::test]
async fn one_life() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let new = json!({ "name": "CI", "role": "admin", "sites": [site["id"]], "scopes": ["sites:read"],
                      "expires_at": "2999-01-01T00:00:00Z" });
    let made = world.post("/v1/keys", &new).await.expect(201);
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("tmk_test_"), "a sandbox's: {key}");
    assert_eq!(
        (&made["scopes"], &made["expires_at"]),
        (&json!(["sites:read"]), &json!("2999-01-01T00:00:00.000Z"))
    );
    let me = world.call("GET", "/v1/whoami", key, None, &[]).await.expect(200);
    assert_eq!((&me["id"], me.get("key")), (&made["id"], None));
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let shown = world.get(&path).await.expect(200);
    assert!(shown.get("key").is_none() && shown["last_used_at"].is_string(), "{shown}");
    world
        .call("PATCH", &format!("/v1/sites/{}", site["id"].as_str().unwrap()), key, Some(&json!({})), &[])
        .await
        .problem(403);
    world.delete(&path).await.expect(204);
    world.delete(&path).await.expect(204);
    assert_eq!(world.call("GET", "/v1/whoami", key, None, &[]).await.problem(401), "unauthenticated");
    assert!(world.get(&path).await.expect(200)["revoked_at"].is_string());
}

/// Goal: nobody gives away what it does not have, and sees only keys of its own sites; method: an owner of one site, and
/// a key of an owner that may do little and ends.
#[tokio::test]
async fn nobody_gives_away_more() {
    let world = World::new().await;
    let (here, there) = (world.site("a.example").await, world.site("b.example").await);
    let owner = world.key(Role::Owner, Some(vec![site_id(&here)])).await;
    world.key(Role::Owner, Some(vec![site_id(&here), site_id(&there)])).await;
    let make = async |key: &str, body: &Value| world.call("POST", "/v1/keys", key, Some(body), &[]).await;
    let new = |role: &str, sites: Value| json!({ "name": "K", "role": role, "sites": sites });
    make(&owner, &new("owner", json!([here["id"]]))).await.expect(201);
    for (body, status, param) in [
        (new("operator", json!([here["id"]])), 403, "role"),
        (new("admin", json!([here["id"], there["id"]])), 422, "sites[1]"),
        (new("admin", Value::Null), 422, "sites"),
        (new("admin", json!([])), 422, "sites"),
        (
            json!({ "name": "K", "role": "readonly", "sites": [here["id"]], "scopes": ["keys:write"] }),
            422,
            "scopes[0]",
        ),
    ] {
        let refused = make(&owner, &body).await;
        refused.problem(status);
        assert_eq!(refused.json()["param"], param, "{body}");
    }
    let little = json!({ "name": "K", "role": "owner", "sites": [here["id"]],
                         "scopes": ["keys:write"], "expires_at": "2999-01-01T00:00:00Z" });
    let little = make(&owner, &little).await.expect(201);
    let little = little["key"].as_str().unwrap();
    let with = |scope: &str, ends: Value| json!({ "name": "K", "role": "owner", "sites": [here["id"]], "scopes": [scope], "expires_at": ends });
    assert_eq!(
        make(little, &with("sites:read", json!("2998-01-01T00:00:00Z"))).await.json()["param"],
        "role"
    );
    assert_eq!(make(little, &with("keys:write", Value::Null)).await.json()["param"], "expires_at");
    make(little, &with("keys:write", json!("2998-01-01T00:00:00Z"))).await.expect(201);

    let listed = world.call("GET", "/v1/keys", &owner, None, &[]).await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 4, "its own, and the three it has made: {listed}");
    let all = world.get("/v1/keys").await.expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 6);
    let of_there = world.get(&format!("/v1/keys?site={}", there["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(of_there["data"].as_array().unwrap().len(), 1);
    let operators = all["data"].as_array().unwrap().iter().find(|key| key["role"] == "operator").unwrap();
    let path = format!("/v1/keys/{}", operators["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, &owner, None, &[]).await.problem(404), "not_found");
    assert_eq!(world.call("DELETE", &path, &owner, None, &[]).await.problem(404), "not_found");
}

/// Goal: nobody ends a key that may do more than their own, nor one of the provider's; method: an owner and an operator's
/// key for the owner's site, a key of few permissions and the owner's.
#[tokio::test]
async fn nobody_revokes_more() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let make = async |key: &str, role: &str, scopes: Value| {
        let mut body = json!({ "name": "K", "role": role, "sites": [site["id"]] });
        if scopes.is_array() {
            body["scopes"] = scopes;
        }
        world.call("POST", "/v1/keys", key, Some(&body), &[]).await.expect(201)
    };
    let operators = make(&world.operator, "operator", Value::Null).await;
    let owners = make(&world.operator, "owner", Value::Null).await;
    let owner = owners["key"].as_str().unwrap();
    let little = make(owner, "owner", json!(["keys:write"])).await;
    let revoke = async |by: &str, key: &Value| {
        let path = format!("/v1/keys/{}", key["id"].as_str().unwrap());
        world.call("DELETE", &path, by, None, &[]).await
    };
    assert_eq!(revoke(owner, &operators).await.problem(403), "forbidden");
    assert_eq!(revoke(little["key"].as_str().unwrap(), &owners).await.problem(403), "forbidden");
    for key in [&operators, &owners] {
        world.call("GET", "/v1/whoami", key["key"].as_str().unwrap(), None, &[]).await.expect(200);
    }
    assert_eq!(revoke(owner, &little).await.status, 204);
    assert_eq!(revoke(owner, &owners).await.status, 204, "its own");
}
