//! Invites over HTTP.

use serde_json::{Value, json};
use tmtp_admin::{Config, Public};
use tmtp_domain::{InviteCode, Role};

use super::world::{World, site_id};

async fn world() -> (World, Value, String) {
    let public = Public { url: Some("https://join.example/".into()), ..Public::default() };
    let world = World::with(Config { public, ..Config::default() }).await;
    let site = world.site("chat.example").await;
    let path = format!("/v1/sites/{}/invites", site["id"].as_str().unwrap());
    (world, site, path)
}

/// Goal: an invite is made as it was asked for, its code is told once and is the one that counts, a new code takes its
/// place, and it ends when it is revoked; method: one life.
#[tokio::test]
async fn one_life() {
    let (world, site, path) = world().await;
    let new = json!({ "alias": "ann of acme", "external_id": "e-1", "groups": ["everybody"], "note": "N",
                      "requires_approval": true, "expires_at": "2999-01-01T00:00:00Z" });
    let made = world.post(&path, &new).await.expect(201);
    for (field, value) in new.as_object().unwrap() {
        let expected = if field == "expires_at" { &json!("2999-01-01T00:00:00.000Z") } else { value };
        assert_eq!(&made[field], expected, "{field}");
    }
    assert_eq!((&made["state"], &made["uses_allowed"]), (&json!("pending"), &json!(1)));
    let code = made["code"].as_str().unwrap();
    assert_eq!(made["link"], format!("https://join.example/chat.example/i/{code}"));
    assert!(made["qr_svg"].as_str().unwrap().starts_with("<svg"));

    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let shown = world.get(&one).await.expect(200);
    assert!(shown.get("code").is_none() && shown.get("link").is_none(), "{shown}");
    assert_eq!(world.get(&format!("{one}/joined")).await.expect(200), json!({ "data": [] }));

    let resent = world.post(&format!("{one}/resend"), &json!({})).await.expect(200);
    assert_eq!((&resent["id"], &resent["expires_at"]), (&made["id"], &made["expires_at"]));
    let found = async |code: &Value| {
        let hash = InviteCode::parse(code.as_str().unwrap()).unwrap().hash(site_id(&site));
        world.store.invite_by_code(site_id(&site), &hash).await.unwrap().is_some()
    };
    assert_eq!((found(&made["code"]).await, found(&resent["code"]).await), (false, true));

    world.delete(&one).await.expect(204);
    world.delete(&one).await.expect(204);
    assert_eq!(world.get(&one).await.expect(200)["state"], "revoked");
    assert_eq!(world.post(&format!("{one}/resend"), &json!({})).await.problem(409), "revoked");
}

/// Goal: a list has what was asked for, page by page; method: four invites, one revoked.
#[tokio::test]
async fn lists() {
    let (world, _, path) = world().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        let made = world.post(&path, &json!({ "external_id": format!("e{}", number % 2) })).await.expect(201);
        ids.insert(0, made["id"].clone());
    }
    world.delete(&format!("{path}/{}", ids[0].as_str().unwrap())).await.expect(204);
    let list = async |query: &str| {
        let page = world.get(&format!("{path}?{query}")).await.expect(200);
        let ids: Vec<Value> = page["data"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    let (first, cursor) = list("limit=3").await;
    assert_eq!(first, ids[..3]);
    assert_eq!(list(&format!("cursor={}", cursor.unwrap())).await, (ids[3..].to_vec(), None));
    assert_eq!(list("state=revoked").await.0, ids[..1]);
    assert_eq!(list("state=pending&external_id=e1").await.0, [ids[2].clone()]);
}

/// Goal: what cannot be is refused by name, and other sites' keys see nothing; method: one mistake each, and a key of
/// another site, and one that may only read.
#[tokio::test]
async fn refusals() {
    let (world, site, path) = world().await;
    for (body, param) in [
        (json!({ "alias": "short" }), "alias"),
        (json!({ "alias": "ann of acme", "max_uses": 2 }), "alias"),
        (json!({ "max_uses": 0 }), "max_uses"),
        (json!({ "groups": ["everybody", "everybody"] }), "groups[1]"),
        (json!({ "note": " " }), "note"),
        (json!({ "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "code": "7K4M-Q2XD-9TRA" }), "code"),
    ] {
        let refused = world.post(&path, &body).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["param"]), ("invalid", &json!(param)));
    }
    let other = world.site("other.example").await;
    let made = world.post(&path, &json!({})).await.expect(201);
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let foreign = world.key(Role::Owner, Some(vec![site_id(&other)])).await;
    let reader = world.key(Role::Readonly, Some(vec![site_id(&site)])).await;
    for (method, path) in [("GET", &path), ("POST", &path), ("GET", &one), ("DELETE", &one)] {
        let body = (method == "POST").then(|| json!({}));
        let call = async |key: &str| world.call(method, path, key, body.as_ref(), &[]).await;
        assert_eq!(call(&foreign).await.problem(404), "not_found");
        assert_eq!(call(&reader).await.status.is_success(), method == "GET", "{method}");
    }
}
