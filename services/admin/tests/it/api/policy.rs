//! Policies over HTTP: what is set, what holds, what it was, and what is refused.

use serde_json::{Value, json};
use tmtp_domain::Role;
use tmtp_store::AuditFilter;

use super::world::{World, site_id};

fn path(site: &Value) -> String {
    format!("/v1/sites/{}/policy", site["id"].as_str().unwrap())
}

/// Goal: a site has the defaults until something is set, a merge patch sets and takes back, and workers read the same;
/// method: patches, each followed by all views.
#[tokio::test]
async fn set_and_taken_back() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let (path, id) = (path(&site), site_id(&site));
    let shown = world.get(&path).await;
    assert_eq!((shown.expect(200), shown.header("etag")), (json!({}), "\"0\""));
    let defaults = world.get(&format!("{path}/effective")).await.expect(200);
    assert_eq!(
        (&defaults["pings"]["allowed"], &defaults["posts"]["per_minute"]),
        (&json!(true), &json!(null))
    );

    let revision = world.store.sites(&[id]).await.unwrap()[0].revision;
    let set = json!({ "pings": { "per_day": 5 }, "groups": { "create": "nobody" } });
    let changed = world.patch(&path, &set).await.expect(200);
    assert_eq!((&changed["set"], &changed["effective"]["pings"]["per_day"]), (&set, &json!(5)));
    let read = &world.store.sites(&[id]).await.unwrap()[0];
    assert!(read.revision > revision, "directories hear of it");
    assert_eq!(read.policy.pings.per_day, Some(5));
    let holds = world.get(&format!("{path}/effective")).await.expect(200);
    assert_eq!((&holds["pings"]["per_day"], &holds["pings"]["allowed"]), (&json!(5), &json!(true)));

    let back = world.patch(&path, &json!({ "pings": { "per_day": null } })).await;
    assert_eq!(back.expect(200)["set"], json!({ "pings": {}, "groups": { "create": "nobody" } }));
    let replaced = world.call("PUT", &path, &world.operator, Some(&json!({})), &[]).await;
    assert_eq!((&replaced.expect(200)["set"], replaced.header("etag")), (&json!({}), "\"3\""));
    assert_eq!(world.get(&format!("{path}/effective")).await.expect(200), defaults);
    assert!(world.store.sites(&[id]).await.unwrap()[0].policy.is_default());
}

/// Goal: what is wrong is named and changes nothing, and a change meets the version that was seen; method: mistakes, and
/// an old ETag.
#[tokio::test]
async fn refused() {
    let world = World::new().await;
    let path = path(&world.site("a.example").await);
    for (body, param) in [
        (json!({ "pings": { "per_week": 5 } }), "pings.per_week"),
        (json!({ "pings": { "per_day": "5" } }), "pings.per_day"),
        (json!({ "names": { "characters_min": 100 } }), "names.characters_min"),
        (json!({ "members": { "receive_only": ["?"] } }), "members.receive_only[0]"),
    ] {
        for method in ["PATCH", "PUT"] {
            let refused = world.call(method, &path, &world.operator, Some(&body), &[]).await;
            assert_eq!((refused.problem(422).as_str(), &refused.json()["param"]), ("invalid", &json!(param)));
        }
        let tried = world.patch(&format!("{path}?dry_run=true"), &body).await.expect(200);
        assert_eq!((&tried["effective"], &tried["problems"][0]["param"]), (&json!(null), &json!(param)));
    }
    assert_eq!(
        world.patch(&path, &json!({ "presence": { "allowed": false } })).await.header("etag"),
        "\"1\""
    );
    let old = [("if-match", "\"0\"")];
    let late = world.call("PATCH", &path, &world.operator, Some(&json!({ "presence": null })), &old).await;
    assert_eq!(late.problem(412), "precondition_failed");
    assert_eq!(world.get(&path).await.expect(200), json!({ "presence": { "allowed": false } }));
    let unknown = "/v1/sites/site_00000000-0000-4000-8000-000000000000/policy";
    assert_eq!(world.get(unknown).await.problem(404), "not_found");
    assert_eq!(world.patch(unknown, &json!({})).await.problem(404), "not_found");
}

/// Goal: a trial says what would hold and leaves everything as it is; method: a trial, and all views after it.
#[tokio::test]
async fn tried() {
    let world = World::new().await;
    let path = path(&world.site("a.example").await);
    let body = json!({ "posts": { "per_minute": 7 } });
    let tried = world.patch(&format!("{path}?dry_run=true"), &body).await.expect(200);
    assert_eq!((&tried["effective"]["posts"]["per_minute"], &tried["problems"]), (&json!(7), &json!([])));
    assert_eq!(world.get(&path).await.header("etag"), "\"0\"");
    let history = world.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(history["data"], json!([]));
}

/// Goal: every policy that a site had is kept, with who set it, and the audit log has before and after; what changes
/// nothing is no change; method: three changes and a repetition, read by pages.
#[tokio::test]
async fn history() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let (path, id) = (path(&site), site_id(&site));
    let key = world.key(Role::Admin, Some(vec![id])).await;
    for most in [1, 2, 3, 3] {
        let body = json!({ "posts": { "per_minute": most } });
        world.call("PATCH", &path, &key, Some(&body), &[]).await.expect(200);
    }
    let first = world.get(&format!("{path}/history?limit=2")).await.expect(200);
    let versions: Vec<&Value> = first["data"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, [3, 2]);
    assert!(first["data"][0]["changed_by"].as_str().unwrap().starts_with("key_"));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = world.get(&format!("{path}/history?cursor={cursor}&limit=2")).await.expect(200);
    assert_eq!(second["data"][0]["policy"], json!({ "posts": { "per_minute": 1 } }));
    assert_eq!((second["data"].as_array().unwrap().len(), &second["has_more"]), (1, &json!(false)));

    let filter = AuditFilter { action: Some("policy.update"), ..AuditFilter::default() };
    let noted = world.all().await.audit(filter, 10).await.unwrap();
    assert_eq!(noted.len(), 3);
    let before: Value = serde_json::from_str(noted[0].before.as_deref().unwrap()).unwrap();
    assert_eq!((noted[0].site, before), (Some(id), json!({ "posts": { "per_minute": 2 } })));
}

/// Goal: only who may read or write the policy of this site does; method: keys of roles, and of another site.
#[tokio::test]
async fn authorised() {
    let world = World::new().await;
    let (site, other) = (world.site("a.example").await, world.site("b.example").await);
    let (path, id) = (path(&site), site_id(&site));
    let readonly = world.key(Role::Readonly, Some(vec![id])).await;
    let foreign = world.key(Role::Owner, Some(vec![site_id(&other)])).await;
    for view in ["", "/effective", "/history"] {
        let path = format!("{path}{view}");
        world.call("GET", &path, &readonly, None, &[]).await.expect(200);
        assert_eq!(world.call("GET", &path, &foreign, None, &[]).await.problem(404), "not_found");
    }
    for method in ["PATCH", "PUT"] {
        let body = json!({ "posts": { "forwarding": false } });
        let refused = world.call(method, &path, &readonly, Some(&body), &[]).await;
        assert_eq!(refused.status.as_u16(), 403);
        assert_eq!(world.call(method, &path, &foreign, Some(&body), &[]).await.problem(404), "not_found");
    }
}

/// Goal: any policy of the history holds again when it is asked for, as a new version that the log knows, once for each
/// idempotency key, and only of the site's own history; method: two versions and back, to the first, to none and to one
/// that there never was, tried before, with an old ETag, and by others.
#[tokio::test]
async fn rolled_back() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let (path, id) = (path(&site), site_id(&site));
    let first = json!({ "posts": { "per_minute": 7 } });
    world.patch(&path, &first).await.expect(200);
    world
        .patch(&path, &json!({ "posts": { "per_minute": 9 }, "pings": { "allowed": false } }))
        .await
        .expect(200);
    let back = format!("{path}/rollback");
    let tried = world.post(&format!("{back}?dry_run=true"), &json!({ "version": 1 })).await.expect(200);
    assert_eq!((&tried["set"], world.get(&path).await.header("etag")), (&first, "\"2\""));
    let once = [("idempotency-key", "one")];
    for replayed in ["", "true"] {
        let body = json!({ "version": 1 });
        let done = world.call("POST", &back, &world.operator, Some(&body), &once).await;
        assert_eq!((&done.expect(200)["set"], done.header("idempotent-replayed")), (&first, replayed));
        assert_eq!(done.header("etag"), "\"3\"", "also when it is said again");
    }
    assert_eq!(world.get(&path).await.header("etag"), "\"3\"");
    assert_eq!(world.store.sites(&[id]).await.unwrap()[0].policy.posts.per_minute, Some(7));
    let old = [("if-match", "\"2\"")];
    let late = world.call("POST", &back, &world.operator, Some(&json!({ "version": 0 })), &old).await;
    assert_eq!(late.problem(412), "precondition_failed");
    assert_eq!(world.post(&back, &json!({ "version": 0 })).await.expect(200)["set"], json!({}));
    for wrong in [json!({ "version": 9 }), json!({ "version": -1 }), json!({ "version": i64::MAX })] {
        let refused = world.post(&back, &wrong).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["param"]), ("invalid", &json!("version")));
    }
    let filter = AuditFilter { action: Some("policy.update"), ..AuditFilter::default() };
    assert_eq!(world.all().await.audit(filter, 9).await.unwrap().len(), 4);
    let there = world.site("b.example").await;
    let foreign = world.key(Role::Owner, Some(vec![site_id(&there)])).await;
    let reader = world.key(Role::Readonly, Some(vec![id])).await;
    let call = async |key: &str| world.call("POST", &back, key, Some(&json!({ "version": 1 })), &[]).await;
    assert_eq!(call(&foreign).await.problem(404), "not_found");
    assert_eq!(call(&reader).await.problem(403), "forbidden");
}

/// Goal: who may register is a field of the policy like the others, and the site's own field is the same; every way to
/// change it is in the history and in both logs. Method: made open, tried, set by the policy, by the site, taken back, and
/// by a word that there is not; all views after each.
#[tokio::test]
async fn registration_is_a_part() {
    let world = World::new().await;
    let new = json!({ "name": "A", "domains": ["a.example"], "registration": "open" });
    let site = world.post("/v1/sites", &new).await.expect(201);
    let (path, id) = (path(&site), site_id(&site));
    let of_site = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    let views = async |mode: &str| {
        assert_eq!(world.get(&of_site).await.expect(200)["registration"], mode);
        assert_eq!(world.get(&format!("{path}/effective")).await.expect(200)["registration"], mode);
        let read = &world.store.sites(&[id]).await.unwrap()[0];
        assert_eq!(
            (read.registration.as_str(), read.policy.is_default()),
            (mode, true),
            "as gateways have it"
        );
    };
    views("open").await;
    assert_eq!(world.get(&path).await.expect(200), json!({ "registration": "open" }));
    let invite = json!({ "registration": "invite" });
    let tried = world.patch(&format!("{path}?dry_run=true"), &invite).await.expect(200);
    assert_eq!((&tried["effective"]["registration"], &tried["set"]), (&json!("invite"), &invite));
    views("open").await;
    let set = world.patch(&path, &invite).await;
    assert_eq!((&set.expect(200)["set"], set.header("etag")), (&invite, "\"1\""));
    views("invite").await;
    for mode in ["oidc", "oidc"] {
        world.patch(&of_site, &json!({ "registration": mode })).await.expect(200);
        views("oidc").await;
        assert_eq!(world.get(&path).await.header("etag"), "\"2\"", "what changes nothing is no change");
    }
    world.patch(&path, &json!({ "registration": null })).await.expect(200);
    views("closed").await;
    let back = world.post(&format!("{path}/rollback"), &json!({ "version": 2 })).await.expect(200);
    assert_eq!(back["set"], json!({ "registration": "oidc" }));
    views("oidc").await;
    let made = world.post(&format!("{path}/rollback"), &json!({ "version": 0 })).await.expect(200);
    assert_eq!(made["effective"]["registration"], "open", "as it was made");
    views("open").await;
    let refused = world.patch(&path, &json!({ "registration": "sometimes" })).await;
    assert_eq!(
        (refused.problem(422).as_str(), &refused.json()["param"]),
        ("invalid", &json!("registration"))
    );

    let history = world.get(&format!("{path}/history")).await.expect(200);
    let of_entry =
        |entry: &Value| (entry["version"].as_i64().unwrap(), entry["policy"]["registration"].clone());
    let entries: Vec<_> = history["data"].as_array().unwrap().iter().map(of_entry).collect();
    let expected = ["open", "oidc", "", "oidc", "invite", "open"];
    let expected = expected.map(|mode| if mode.is_empty() { Value::Null } else { json!(mode) });
    assert_eq!(entries, (0..6).rev().zip(expected).collect::<Vec<_>>());
    let count = async |action| {
        let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
        world.all().await.audit(filter, 20).await.unwrap().len()
    };
    assert_eq!((count("policy.update").await, count("site.update").await), (5, 2));
}
