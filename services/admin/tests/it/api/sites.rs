//! Sites over HTTP: their lives, their host names, their versions.

use serde_json::{Value, json};

use super::world::{World, site_id};

fn path(site: &Value) -> String {
    format!("/v1/sites/{}", site["id"].as_str().unwrap())
}

/// Goal: a site is made as it was asked for, with defaults, and read back the same; method: a sandbox and a live one.
#[tokio::test]
async fn made_and_read() {
    let world = World::new().await;
    let body = json!({ "name": " Acme ", "domains": ["Chat.Acme.example", "*.acme.example"], "registration": "open" });
    let made = world.post("/v1/sites", &body).await.expect(201);
    assert_eq!((made["name"].as_str(), made["kind"].as_str()), (Some("Acme"), Some("live")));
    assert_eq!(made["domains"], json!(["*.acme.example", "chat.acme.example"]));
    assert_eq!((made["status"].as_str(), made["expires_at"].is_null()), (Some("active"), true));
    assert_eq!(world.get(&path(&made)).await.expect(200), made);
    let info = world.get(&format!("{}/info", path(&made))).await.expect(200);
    assert_eq!((info["served"].as_bool(), info["open"].as_bool()), (Some(true), Some(true)));
    let site = world.store.sites(&[site_id(&made)]).await.unwrap();
    assert_eq!((site.len(), site[0].name.as_str()), (1, "Acme"));

    let sandbox = world.site("sandbox.example").await;
    assert_eq!((sandbox["registration"].as_str(), sandbox["expires_at"].is_string()), (Some("closed"), true));
    let taken = json!({ "name": "N", "domains": ["new.example", "CHAT.acme.example"] });
    let refused = world.post("/v1/sites", &taken).await;
    assert_eq!(
        (refused.problem(409).as_str(), &refused.json()["param"]),
        ("domain_taken", &json!("domains"))
    );
}

/// Goal: a merge patch changes what it names, removes what is null, and meets the version that was seen; method: patches
/// with and without If-Match.
#[tokio::test]
async fn patched() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let path = path(&site);
    let seen = world.get(&path).await.header("etag").to_owned();
    let patch = async |body: &Value, tag: &str| {
        let headers = [("if-match", tag), ("content-type", "application/merge-patch+json")];
        world.call("PATCH", &path, &world.operator, Some(body), &headers).await
    };
    let changed = patch(&json!({ "name": "New" }), &seen).await;
    assert_eq!((&changed.expect(200)["name"], changed.header("etag") == seen), (&json!("New"), false));
    assert_eq!(patch(&json!({ "name": "Newer" }), &seen).await.problem(412), "precondition_failed");
    let changed = patch(&json!({ "expires_at": null, "registration": "open" }), "*").await.expect(200);
    assert_eq!((&changed["name"], &changed["registration"]), (&json!("New"), &json!("open")));
    assert!(changed["expires_at"].is_null());
    for (body, param) in [
        (json!({ "name": null }), "name"),
        (json!({ "kind": "live" }), "kind"),
        (json!({ "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
    ] {
        let refused = world.patch(&path, &body).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["param"]), ("invalid", &json!(param)));
    }
}

/// Goal: each step of a site's life is possible only where it makes sense, and the way back leads to what was; method:
/// all steps, and those that are refused.
#[tokio::test]
async fn suspended_deleted_restored() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let path = path(&site);
    let step = async |step: &str, body: &Value| world.post(&format!("{path}/{step}"), body).await;
    assert_eq!(step("resume", &json!({})).await.problem(409), "site_not_suspended");
    assert_eq!(step("restore", &json!({})).await.problem(409), "site_not_deleted");
    let reason = json!({ "reason": "unpaid", "notice": "Back on Monday." });
    let suspended = step("suspend", &reason).await.expect(200);
    assert_eq!(
        (&suspended["status"], &suspended["suspension"]["reason"]),
        (&json!("suspended"), &json!("unpaid"))
    );
    let info = world.get(&format!("{path}/info")).await.expect(200);
    assert_eq!((&info["served"], &info["notice"]), (&json!(false), &json!("Back on Monday.")));

    let deleted = world.delete(&path).await.expect(200);
    assert_eq!((&deleted["status"], deleted["deleted_at"].is_string()), (&json!("deleted"), true));
    assert_eq!(world.delete(&path).await.expect(200), deleted, "once more changes nothing");
    assert_eq!(step("suspend", &reason).await.problem(409), "site_deleted");
    let taken = json!({ "name": "N", "domains": ["a.example"] });
    assert_eq!(
        world.post("/v1/sites", &taken).await.problem(409),
        "domain_taken",
        "kept for the restoration"
    );
    assert_eq!(step("restore", &json!({})).await.expect(200)["status"], "suspended");
    // Without a body too.
    let resume = format!("{path}/resume");
    let resumed = world.call("POST", &resume, &world.operator, None, &[]).await.expect(200);
    assert_eq!((&resumed["status"], resumed["suspension"].is_null()), (&json!("active"), true));
}

/// Goal: host names come and go, nobody takes another's, and gateways hear of it; method: add, add again, remove.
#[tokio::test]
async fn host_names() {
    let world = World::new().await;
    let (site, other) = (world.site("a.example").await, world.site("b.example").await);
    let path = format!("{}/domains", path(&site));
    let revision = world.store.sites(&[site_id(&site)]).await.unwrap()[0].revision;
    let added = world.post(&path, &json!({ "domain": "*.A.example" })).await.expect(201);
    assert_eq!(added, json!({ "domain": "*.a.example" }));
    assert!(world.store.sites(&[site_id(&site)]).await.unwrap()[0].revision > revision);
    world
        .post(&format!("{}/domains", self::path(&other)), &json!({ "domain": "chat.c.example" }))
        .await
        .expect(201);
    for taken in ["a.example", "b.example", "*.c.example"] {
        let refused = world.post(&path, &json!({ "domain": taken })).await;
        assert_eq!(
            (refused.problem(409).as_str(), &refused.json()["param"]),
            ("domain_taken", &json!("domain"))
        );
    }
    // Gateways prefer the exact name: it would take clients from this site.
    let from_under = json!({ "domain": "b.a.example" });
    let refused = world.post(&format!("{}/domains", self::path(&other)), &from_under).await;
    assert_eq!(refused.problem(409), "domain_taken");
    let new = json!({ "name": "New", "domains": ["c.a.example"] });
    let refused = world.post("/v1/sites", &new).await;
    assert_eq!(
        (refused.problem(409).as_str(), &refused.json()["param"]),
        ("domain_taken", &json!("domains"))
    );
    assert_eq!(world.post(&path, &json!({ "domain": "a b" })).await.json()["param"], "domain");
    let listed = world.get(&path).await.expect(200);
    assert_eq!(listed["data"], json!([{ "domain": "*.a.example" }, { "domain": "a.example" }]));
    world.delete(&format!("{path}/*.a.example")).await.expect(204);
    assert_eq!(world.delete(&format!("{path}/*.a.example")).await.problem(404), "not_found");
    assert_eq!(world.delete(&format!("{path}/b.example")).await.problem(404), "not_found");
    assert_eq!(world.delete(&format!("{path}/a.example")).await.problem(409), "last_domain");
    assert_eq!(world.get(&format!("/v1/sites/{}", other["id"].as_str().unwrap())).await.status, 200);
}

/// Goal: a deleted site takes no change but its restoration, and can be looked at; method: a change of each kind, before and
/// after it is restored.
#[tokio::test]
async fn deleted_sites_take_no_changes() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    let one = "00000000000000000000000000000001";
    let changes = [
        ("PATCH", String::new(), json!({ "name": "M" })),
        ("PATCH", "/policy".into(), json!({ "posts": { "per_minute": 1 } })),
        ("PUT", "/policy".into(), json!({})),
        ("POST", "/policy/rollback".into(), json!({ "version": 0 })),
        ("POST", "/invites".into(), json!({})),
        ("POST", "/invites/bulk".into(), json!([{}])),
        ("POST", format!("/invites/inv_{one}/resend"), json!({})),
        ("DELETE", format!("/invites/inv_{one}"), json!({})),
        (
            "POST",
            "/oidc-providers".into(),
            json!({ "id": "p", "label": "P", "client_id": "1", "issuer": "x" }),
        ),
        ("PATCH", "/oidc-providers/p".into(), json!({})),
        ("DELETE", "/oidc-providers/p".into(), json!({})),
        ("DELETE", format!("/certificates/cert_{one}"), json!({})),
        ("POST", "/domains".into(), json!({ "domain": "b.example" })),
        ("DELETE", "/domains/a.example".into(), json!({})),
        ("PUT", "/domains/a.example/acme".into(), json!({})),
        ("DELETE", "/domains/a.example/acme".into(), json!({})),
        ("POST", "/domains/a.example/acme/try".into(), json!({})),
        ("POST", "/suspend".into(), json!({ "reason": "r" })),
        ("PUT", "/reserved-names/postmaster".into(), json!({})),
    ];
    world.delete(&path).await.expect(200);
    for (method, rest, body) in &changes {
        let answer = world.call(method, &format!("{path}{rest}"), &world.operator, Some(body), &[]).await;
        assert_eq!(answer.problem(409), "site_deleted", "{method} {rest}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("Restore"), "{}", answer.text);
    }
    for rest in ["", "/policy", "/invites", "/oidc-providers", "/certificates", "/domains"] {
        world.get(&format!("{path}{rest}")).await.expect(200);
    }
    world.post(&format!("{path}/restore"), &json!({})).await.expect(200);
    for (method, rest, body) in &changes {
        let answer = world.call(method, &format!("{path}{rest}"), &world.operator, Some(body), &[]).await;
        assert!(!answer.text.contains("site_deleted"), "{method} {rest}: {}", answer.text);
    }
}

/// Goal: it can be asked what goes with a site, which changes nothing; method: a site with some of everything.
#[tokio::test]
async fn deletion_is_tried() {
    let world = World::new().await;
    let (site, other) = (world.site("a.example").await, world.site("b.example").await);
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    world.post(&format!("{path}/invites"), &json!({})).await.expect(201);
    world.post(&format!("{path}/domains"), &json!({ "domain": "c.example" })).await.expect(201);
    for sites in [json!([site["id"]]), json!([site["id"], other["id"]])] {
        let key = json!({ "name": "K", "role": "owner", "sites": sites });
        world.post("/v1/keys", &key).await.expect(201);
    }
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    for statement in [
        "INSERT INTO member (site_id, uid) SELECT $1, decode(lpad(to_hex(n), 40, '0'), 'hex') FROM generate_series(1, 3) n",
        "INSERT INTO name (site_id, name, uid)
         VALUES ($1, 'an alias', decode(lpad('1', 40, '0'), 'hex')), ($1, 'the team', NULL)",
        "INSERT INTO name (site_id, name, uid, reserved_at) VALUES ($1, 'postmaster', NULL, now())",
    ] {
        sqlx::query(statement).bind(site_id(&site).0).execute(&pool).await.unwrap();
    }
    let tried = world.delete(&format!("{path}?dry_run=true")).await.expect(200);
    let expected = json!({ "members": 3, "devices": 0, "aliases": 1, "groups": 1, "messages": 0, "invites": 1,
                           "certificates": 0, "domains": 2, "keys": 1 });
    assert_eq!(tried, expected);
    assert_eq!(world.get(&path).await.expect(200)["status"], "active");
    let log = world.get("/v1/audit?action=site.delete").await.expect(200);
    assert_eq!(log["data"], json!([]));
    let nowhere = format!("/v1/sites/site_{}?dry_run=true", "0".repeat(31) + "1");
    assert_eq!(world.delete(&nowhere).await.problem(404), "not_found");
}
