//! What all endpoints share: keys, problems, limits, idempotency, cursors.

use std::num::NonZeroU32;

use serde_json::{Value, json};
use tmtp_admin::{Config, Limits};
use tmtp_domain::Role;

use super::world::{DEADLINE, World, site_id};

/// Goal: without a valid key nothing is told; method: no key, nonsense, an unknown one, a revoked one, two at once.
#[tokio::test]
async fn keys_are_needed() {
    let world = World::new().await;
    let unknown = format!("tmk_live_{}", "b".repeat(52));
    for key in ["", "nonsense", &unknown] {
        let answer = world.call("GET", "/v1/whoami", key, None, &[]).await;
        assert_eq!(answer.problem(401), "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let twice = [("authorization", "Bearer x")];
    assert_eq!(world.call("GET", "/v1/whoami", &world.operator, None, &twice).await.status, 401);
    let me = world.get("/v1/whoami").await.expect(200);
    assert_eq!((me["role"].as_str(), me["sites"].is_null()), (Some("operator"), true));
    let path = format!("/v1/keys/{}", me["id"].as_str().unwrap());
    world.delete(&path).await.expect(204);
    assert_eq!(world.get("/v1/whoami").await.problem(401), "unauthenticated");
}

/// Goal: what is wrong with a request is said, by part; method: bodies and parameters that are wrong in one way each.
#[tokio::test]
async fn problems_name_the_part() {
    let world = World::new().await;
    let good = json!({ "name": "N", "domains": ["a.example"] });
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, param) in [
        (with("nmae", json!(1)), "nmae"),
        (with("name", json!(1)), "name"),
        (with("name", json!("  ")), "name"),
        (with("name", json!("a\u{0}b")), "body"),
        (with("domains", json!([])), "domains"),
        (with("domains", json!(["a.example", "127.0.0.1"])), "domains[1]"),
        (with("domains", json!(["a.example", "A.example"])), "domains[1]"),
        (with("kind", json!("dead")), "kind"),
        (with("expires_at", json!("2099-01-01T00:00:00Z")), "expires_at"),
        (json!({ "name": "N" }), "body"),
        (json!([]), "body"),
    ] {
        let answer = world.post("/v1/sites", &body).await;
        assert_eq!(answer.problem(422), "invalid", "{body}");
        assert_eq!(answer.json()["param"], param, "{body}: {}", answer.text);
    }
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=1", "limit"),
        ("status=gone", "status"),
        ("colour=red", "colour"),
        ("cursor=x", "cursor"),
        ("q=%00", "q"),
    ] {
        let answer = world.get(&format!("/v1/sites?{query}")).await;
        assert_eq!(answer.problem(422), "invalid");
        assert_eq!(answer.json()["param"], param, "{query}: {}", answer.text);
    }
    let json = Some("{".to_owned());
    assert_eq!(
        world.call_text("POST", "/v1/sites", &world.operator, json, &[]).await.problem(422),
        "invalid"
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let text = Some("a=b".to_owned());
    assert_eq!(
        world.call_text("POST", "/v1/sites", &world.operator, text, &form).await.problem(415),
        "not_json"
    );
    let large = Some(" ".repeat(2 << 20));
    assert_eq!(
        world.call_text("POST", "/v1/sites", &world.operator, large, &[]).await.problem(413),
        "too_large"
    );
    assert_eq!(world.get("/v1/sites/site_1").await.problem(404), "not_found");
    assert_eq!(world.get("/v1/nothing").await.problem(404), "not_found");
    assert_eq!(world.delete("/v1/health").await.problem(405), "method_not_allowed");
}

/// Goal: a POST has its effect once for each idempotency key, also when its answer is a secret; method: repeat requests,
/// with the same and with another body, at the same moment, by another key, and after a failure.
#[tokio::test]
async fn requests_that_come_twice() {
    let world = World::new().await;
    let body = json!({ "name": "N", "domains": ["a.example"] });
    let once = [("idempotency-key", "abc")];
    let post = async |body: &Value| world.call("POST", "/v1/sites", &world.operator, Some(body), &once).await;
    assert_eq!(post(&json!({ "name": "" })).await.status, 422, "what failed is not remembered");
    let (first, second) = tokio::join!(post(&body), post(&body));
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    assert_eq!(first.text, second.text);
    let replayed = [&first, &second].map(|answer| answer.header("idempotent-replayed") == "true");
    assert!(replayed[0] != replayed[1], "{replayed:?}");
    let other = json!({ "name": "M", "domains": ["b.example"] });
    assert_eq!(post(&other).await.problem(422), "idempotency_key_reused");
    let stranger = world.key(Role::Operator, None).await;
    world.call("POST", "/v1/sites", &stranger, Some(&other), &once).await.expect(201);
    assert_eq!(world.get("/v1/sites").await.expect(200)["data"].as_array().unwrap().len(), 2);

    let key = json!({ "name": "K", "role": "operator" });
    let once = [("idempotency-key", "k")];
    let make = async || world.call("POST", "/v1/keys", &world.operator, Some(&key), &once).await.expect(201);
    let (first, again) = (make().await, make().await);
    assert_eq!(first, again);
    let secret = first["key"].as_str().unwrap();
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    let answers: Vec<String> =
        sqlx::query_scalar("SELECT answer FROM idempotency").fetch_all(&pool).await.unwrap();
    assert!(
        answers.iter().all(|answer| !answer.contains(secret) && !answer.contains("domains")),
        "{answers:?}"
    );
    for bad in ["", "a b", "ü", &"x".repeat(256)] {
        let answer =
            world.call_text("POST", "/v1/sites", &world.operator, None, &[("idempotency-key", bad)]).await;
        assert_eq!(
            (answer.problem(422).as_str(), answer.json()["param"].as_str()),
            ("invalid", Some("Idempotency-Key"))
        );
    }
}

/// Goal: a list can be followed to its end by cursors, which keep the filters; method: five sites by twos.
#[tokio::test]
async fn lists_are_followed() {
    let world = World::new().await;
    for number in 0..5 {
        world.site(&format!("s{number}.example")).await;
    }
    let body = json!({ "name": "Live", "domains": ["live.example"] });
    world.post("/v1/sites", &body).await.expect(201);
    let (mut path, mut seen, mut pages) = ("/v1/sites?kind=sandbox&limit=2".to_owned(), Vec::new(), 0);
    loop {
        let page = world.get(&path).await.expect(200);
        pages += 1;
        for site in page["data"].as_array().unwrap() {
            seen.push(site["domains"][0].as_str().unwrap().to_owned());
        }
        assert_eq!(page["has_more"].as_bool().unwrap(), page["next_cursor"].is_string());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/sites?limit=2&cursor={cursor}");
        let wrong = format!("/v1/sites?kind=live&cursor={cursor}");
        assert_eq!(world.get(&wrong).await.json()["param"], "cursor");
        let elsewhere = format!("/v1/keys?cursor={cursor}");
        assert_eq!(world.get(&elsewhere).await.json()["param"], "cursor");
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, ["s4.example", "s3.example", "s2.example", "s1.example", "s0.example"]);
    let found = world.get("/v1/sites?q=S3.EX").await.expect(200);
    assert_eq!(found["data"][0]["domains"][0], "s3.example");
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
}

/// Goal: a key has a limit of its own, and whoever tries keys is slowed down; method: small limits.
#[tokio::test]
async fn limits() {
    let two = NonZeroU32::new(2).unwrap();
    let limits = Limits { requests_per_minute: two, failures_per_minute: two, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() }).await;
    let first = world.get("/v1/whoami").await;
    first.expect(200);
    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), ("2", "1"));
    assert_eq!(first.header("ratelimit-reset"), "30");
    world.get("/v1/whoami").await.expect(200);
    let refused = world.get("/v1/whoami").await;
    assert_eq!(refused.problem(429), "too_many_requests");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert!((1..=31).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    let other = world.key(Role::Operator, None).await;
    world.call("GET", "/v1/whoami", &other, None, &[]).await.expect(200);
    for status in [401, 401, 429] {
        assert_eq!(world.call("GET", "/v1/whoami", "x", None, &[]).await.status, status);
    }
    // From the same address a key that was good before is not taken for a guess.
    world.call("GET", "/v1/whoami", &other, None, &[]).await.expect(200);
}

/// Goal: whoever tries many keys does not even reach the database, and others behind the same address do; method: small
/// limits, and then a table that lets nobody read it.
#[tokio::test]
async fn guesses_do_not_reach_the_database() {
    let two = NonZeroU32::new(2).unwrap();
    let limits = Limits { failures_per_minute: two, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() }).await;
    world.get("/v1/whoami").await.expect(200);
    let guess = async |letter: &str| {
        let key = format!("tmk_live_{}", letter.repeat(52));
        world.call("GET", "/v1/whoami", &key, None, &[]).await
    };
    for (letter, status) in [("b", 401), ("c", 401), ("d", 429)] {
        assert_eq!(guess(letter).await.status, status);
    }
    world.get("/v1/whoami").await.expect(200);
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.unwrap();
    let refused = tokio::time::timeout(DEADLINE / 2, guess("e")).await.expect("it waits for the database");
    assert_eq!(refused.problem(429), "too_many_requests");
    assert!((1..=61).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    drop(tx);
}

/// Goal: a NUL, which Postgres cannot hold, is refused wherever it comes; method: in every text of a path, and in cursors
/// that somebody has made up.
#[tokio::test]
async fn nul() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    for (method, rest) in [
        ("GET", "groups/a%00b"),
        ("PATCH", "groups/a%00b"),
        ("DELETE", "groups/a%00b"),
        ("GET", "groups/a%00b/members"),
        ("POST", "groups/a%00b/members"),
        ("GET", "oidc-providers/a%00"),
        ("DELETE", "oidc-providers/a%00"),
        ("DELETE", "domains/a%00"),
        ("DELETE", "domains/a%00/acme"),
        ("POST", "domains/a%00/acme/try"),
        ("PUT", "reserved-names/a%00b"),
    ] {
        let answer = world.call(method, &format!("{path}/{rest}"), &world.operator, None, &[]).await;
        assert_eq!(answer.problem(404), "not_found", "{method} {rest}");
    }
    let cursor = |list: &str, filter: Value, after: Value| {
        let json = json!({ "v": 1, "l": list, "f": filter, "a": after }).to_string();
        data_encoding::BASE64URL_NOPAD.encode(json.as_bytes())
    };
    let groups = format!("{path}/groups");
    for (list, cursor) in [
        (&*groups, cursor(&groups, json!({}), json!("a\u{0}b"))),
        ("/v1/sites", cursor("/v1/sites", json!({ "q": "a\u{0}b" }), site["id"].clone())),
    ] {
        let answer = world.get(&format!("{list}?cursor={cursor}")).await;
        assert_eq!((answer.problem(422).as_str(), &answer.json()["param"]), ("invalid", &json!("cursor")));
    }
}

/// Goal: whoever is told to come again is told when; method: an outage, and a server that is not ready.
#[tokio::test]
async fn outages_say_when_to_come_again() {
    let mut world = World::new().await;
    world.without_database();
    let away = world.get("/v1/whoami").await;
    assert_eq!((away.problem(503).as_str(), away.header("retry-after")), ("unavailable", "1"));
    world.not_ready();
    let away = world.get("/v1/health").await;
    assert_eq!((away.problem(503).as_str(), away.header("retry-after")), ("not_ready", "1"));
}

/// Goal: what a key is not for is not there for it; method: another site's owner.
#[tokio::test]
async fn other_sites_are_not_there() {
    let world = World::new().await;
    let (here, there) = (world.site("here.example").await, world.site("there.example").await);
    let owner = world.key(Role::Owner, Some(vec![site_id(&here)])).await;
    let path = |site: &Value| format!("/v1/sites/{}", site["id"].as_str().unwrap());
    let get = async |path: &str| world.call("GET", path, &owner, None, &[]).await;
    get(&path(&here)).await.expect(200);
    assert_eq!(get(&path(&there)).await.problem(404), "not_found");
    let list = get("/v1/sites").await.expect(200);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["id"]), (1, &here["id"]));
    let suspend = format!("{}/suspend", path(&here));
    let reason = json!({ "reason": "r" });
    assert_eq!(world.call("POST", &suspend, &owner, Some(&reason), &[]).await.problem(403), "forbidden");
}

/// Goal: an outage of the database is no failure of the API; method: a server that is not there.
#[tokio::test]
async fn without_a_database() {
    let mut world = World::new().await;
    world.without_database();
    assert_eq!(world.get("/v1/whoami").await.problem(503), "unavailable");
}
