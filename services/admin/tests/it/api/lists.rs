//! Every list of the API has the same form and can be followed.

use serde_json::{Value, json};
use tmtp_admin::Config;
use tmtp_domain::Uid;

use super::world::{World, site_id};

/// Goal: whatever answers with `data` has the form of a list; method: the schemas of all answers of the document.
#[test]
fn one_form() {
    let document: Value = serde_json::from_str(&tmtp_admin::document()).unwrap();
    let mut lists = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else { continue };
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let resolved = match schema["$ref"].as_str() {
            Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
            None => schema,
        };
        if resolved["properties"]["data"].is_null() {
            continue;
        }
        lists += 1;
        for field in ["has_more", "next_cursor"] {
            assert!(resolved["properties"][field].is_object(), "{path} lacks {field}");
        }
        let parameters = operation["parameters"].as_array().unwrap();
        for name in ["limit", "cursor"] {
            assert!(parameters.iter().any(|parameter| parameter["name"] == name), "{path} takes no {name}");
        }
    }
    assert!(lists >= 17, "{lists}");
}

/// What a list has, one entry a page.
async fn followed(world: &World, path: &str) -> Vec<Value> {
    let (mut seen, mut next) = (Vec::new(), format!("{path}?limit=1"));
    loop {
        let page = world.get(&next).await.expect(200);
        let data = page["data"].as_array().unwrap();
        assert_eq!((data.len(), &page["has_more"]), (1, &json!(page["next_cursor"].is_string())), "{path}");
        seen.extend(data.iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{path}?limit=1&cursor={cursor}");
    }
    seen
}

/// Goal: lists that are read as a whole, and who joined, are followed to the end without a gap, and a cursor whose place
/// has gone is refused; method: each with three entries, one a page, and against the list in one page.
#[tokio::test]
async fn short_lists_are_followed() {
    let mut config = Config::default();
    config.secrets.key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into();
    let world = World::with(config).await;
    let site = world.site("a.example").await;
    let (path, id) = (format!("/v1/sites/{}", site["id"].as_str().unwrap()), site_id(&site));
    for domain in ["c.example", "b.example"] {
        world.post(&format!("{path}/domains"), &json!({ "domain": domain })).await.expect(201);
    }
    for number in 0..3 {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let pem = certificate.self_signed(&key).unwrap().pem();
        let body = json!({ "certificate": pem, "private_key": key.serialize_pem() });
        world.post(&format!("{path}/certificates"), &body).await.expect(201);
        let to = |what: &str| json!({ "url": format!("https://{number}.example/{what}"), "params": [] });
        let body = json!({ "id": format!("p{number}"), "label": format!("P{number}"), "client_id": "1",
                           "issuer": format!("https://{number}.example"), "authorize": to("a"), "token": to("t"),
                           "jwks_uri": format!("https://{number}.example/k") });
        world.post(&format!("{path}/oidc-providers"), &body).await.expect(201);
    }
    let invite = world.post(&format!("{path}/invites"), &json!({ "max_uses": 5 })).await.expect(201);
    let invite_id = invite["id"].as_str().unwrap();
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    for statement in [
        "INSERT INTO member (site_id, uid) SELECT $1, decode(lpad(to_hex(n), 40, '0'), 'hex') FROM generate_series(1, 3) n",
        "INSERT INTO node (site_id, uid, num, secret, label)
         SELECT $1, decode(lpad('1', 40, '0'), 'hex'), n, decode(lpad(to_hex(n), 64, '0'), 'hex'), 'L'
         FROM generate_series(1, 3) n",
        "INSERT INTO name (site_id, name, uid)
         SELECT $1, 'alias number ' || n, decode(lpad('1', 40, '0'), 'hex') FROM generate_series(1, 3) n",
        "INSERT INTO invite_use (site_id, invite_id, uid, state)
         SELECT $1, invite_id, m.uid, 'completed' FROM invite JOIN member m USING (site_id) WHERE site_id = $1",
    ] {
        sqlx::query(statement).bind(id.0).execute(&pool).await.unwrap();
    }
    let mut uid = [0; 20];
    uid[19] = 1;
    let member = format!("{path}/members/{}", Uid(uid).to_string().replace('%', "%25").replace('+', "%2B"));
    for list in [
        format!("{path}/domains"),
        format!("{path}/certificates"),
        format!("{path}/oidc-providers"),
        format!("{path}/invites/{invite_id}/joined"),
        format!("{member}/devices"),
        format!("{member}/aliases"),
    ] {
        let whole = world.get(&list).await.expect(200);
        assert_eq!(
            (whole["data"].as_array().unwrap().len(), &whole["has_more"]),
            (3, &json!(false)),
            "{list}"
        );
        assert_eq!(&json!(followed(&world, &list).await), &whole["data"], "{list}");
    }
    let domains = format!("{path}/domains");
    let page = world.get(&format!("{domains}?limit=1")).await.expect(200);
    world.delete(&format!("{domains}/a.example")).await.expect(204);
    let late = world.get(&format!("{domains}?cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((late.problem(422).as_str(), &late.json()["param"]), ("invalid", &json!("cursor")));
}

/// Goal: members are found by when they were seen last; method: one seen long ago, one lately, and one never.
#[tokio::test]
async fn members_by_when_they_were_seen() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    for statement in [
        "INSERT INTO member (site_id, uid) SELECT $1, decode(lpad(to_hex(n), 40, '0'), 'hex') FROM generate_series(1, 3) n",
        "INSERT INTO node (site_id, uid, num, secret, label, last_seen_at)
         SELECT $1, decode(lpad(to_hex(n), 40, '0'), 'hex'), 1, decode(lpad(to_hex(n), 64, '0'), 'hex'), 'L',
                CASE n WHEN 1 THEN timestamptz '2020-01-01 00:00Z' ELSE '2026-01-01 00:00Z' END
         FROM generate_series(1, 2) n",
    ] {
        sqlx::query(statement).bind(site_id(&site).0).execute(&pool).await.unwrap();
    }
    let path = format!("/v1/sites/{}/members", site["id"].as_str().unwrap());
    let found = async |query: &str| -> Vec<u8> {
        let list = world.get(&format!("{path}?{query}")).await.expect(200);
        let uid = |member: &Value| Uid::parse(member["uid"].as_str().unwrap()).unwrap().0[19];
        let mut found: Vec<u8> = list["data"].as_array().unwrap().iter().map(uid).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found("").await, [1, 2, 3]);
    assert_eq!(found("seen_since=2025-01-01T00:00:00Z").await, [2]);
    assert_eq!(found("seen_since=2026-01-01T00:00:00Z").await, [2], "then or later");
    assert_eq!(found("seen_before=2025-01-01T00:00:00Z").await, [1, 3], "never is before, too");
    assert_eq!(found("seen_since=2019-01-01T00:00:00Z&seen_before=2025-01-01T00:00:00Z").await, [1]);
    let wrong = world.get(&format!("{path}?seen_since=yesterday")).await;
    assert_eq!(wrong.json()["param"], "seen_since");
}
