//! The audit log over HTTP.

use serde_json::{Value, json};
use tmtp_domain::Role;

use super::world::{World, site_id};

/// Goal: each change is in the log once, with what was and what is, and each site's admins see their own; method: a few
/// changes, filters, an owner of one site, and an export.
#[tokio::test]
async fn changes_are_noted() {
    let world = World::new().await;
    let (here, there) = (world.site("a.example").await, world.site("b.example").await);
    let path = format!("/v1/sites/{}", here["id"].as_str().unwrap());
    let renamed = world.patch(&path, &json!({ "name": "New" })).await;
    renamed.expect(200);
    world.patch(&path, &json!({ "name": "" })).await.expect(422);
    let log = world.get("/v1/audit").await.expect(200);
    let actions: Vec<&str> =
        log["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["site.update", "site.create", "site.create"]);
    let newest = &log["data"][0];
    assert_eq!((&newest["before"]["name"], &newest["after"]["name"]), (&json!("A site"), &json!("New")));
    assert_eq!((&newest["from"], &newest["target"]), (&json!("192.0.2.7"), &here["id"]));
    assert_eq!(newest["request_id"], renamed.header("x-request-id"));

    let owner = world.key(Role::Owner, Some(vec![site_id(&there)])).await;
    let get = async |path: &str| world.call("GET", path, &owner, None, &[]).await;
    let own = get("/v1/audit").await.expect(200);
    assert_eq!((own["data"].as_array().unwrap().len(), &own["data"][0]["site"]), (1, &there["id"]));
    assert_eq!(get(&format!("{path}/audit")).await.problem(404), "not_found");

    let count = async |query: &str| {
        let answer = world.get(&format!("{path}/audit?{query}")).await.expect(200);
        answer["data"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 2);
    assert_eq!(count("action=site.update").await, 1);
    assert_eq!(count("since=2999-01-01T00:00:00Z").await, 0);
    assert_eq!(count("until=2999-01-01T00:00:00Z").await, 2);
    assert_eq!(count(&format!("key={}", newest["key"].as_str().unwrap())).await, 2);
    assert_eq!(count("target=nothing").await, 0);

    let lines = [("accept", "application/x-ndjson")];
    let export = world.call("GET", "/v1/audit", &world.operator, None, &lines).await;
    export.expect(200);
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    let entries: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(entries), log["data"]);
}
