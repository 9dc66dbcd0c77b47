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
    assert_eq!(world.get(&format!("{one}/joined")).await.expect(200)["data"], json!([]));

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

/// Goal: many invites are made with a result for each row, the codes are told to the key that asked for them and to no
/// other, and only until they are erased; what is wrong is told before with a dry run; a request that comes again makes
/// nothing. Method: JSON with wrong rows, tried and done; two keys look; the codes are good and then forgotten.
#[tokio::test]
async fn many_at_once() {
    let (world, site, path) = world().await;
    let rows = json!([
        { "alias": "ann of acme", "external_id": "e-1", "role": "staff" },
        { "alias": "short" },
        { "alias": "ann of acme" },
        { "max_uses": "many" },
        { "note": "N", "max_uses": 5 },
        7,
    ]);
    let bulk = format!("{path}/bulk");
    let tried = world.post(&format!("{bulk}?dry_run=true"), &rows).await.expect(200);
    assert_eq!((&tried["valid"], &tried["invalid"]), (&json!(2), &json!(4)));
    let params: Vec<&Value> = tried["rows"].as_array().unwrap().iter().map(|row| &row["param"]).collect();
    assert_eq!(
        params,
        [&json!(null), &json!("alias"), &json!("alias"), &json!("max_uses"), &json!(null), &json!("row")]
    );
    assert_eq!(world.get(&path).await.expect(200)["data"], json!([]));

    let once = [("idempotency-key", "one")];
    let ask = async || world.call("POST", &bulk, &world.operator, Some(&rows), &once).await;
    let job = ask().await.expect(202);
    assert_eq!((&job["kind"], &job["state"]), (&json!("invites.create"), &json!("queued")));
    let again = ask().await;
    assert_eq!((again.expect(202), again.header("idempotent-replayed")), (job.clone(), "true"));
    world.work_off().await;

    let one = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let done = world.get(&one).await.expect(200);
    assert_eq!((&done["state"], &done["done"], &done["total"]), (&json!("done"), &json!(6), &json!(6)));
    let result = &done["result"];
    assert_eq!((&result["created"], &result["failed"]), (&json!(2), &json!(4)));
    assert_eq!(result["rows"][1]["error"], tried["rows"][1]["error"]);
    let first = &result["rows"][0];
    let code = InviteCode::parse(first["code"].as_str().unwrap()).unwrap();
    let found =
        world.store.invite_by_code(site_id(&site), &code.hash(site_id(&site))).await.unwrap().unwrap();
    assert_eq!((found.alias.as_deref(), found.role.as_deref()), (Some("ann of acme"), Some("staff")));
    assert_eq!(first["link"], format!("https://join.example/chat.example/i/{}", code.reveal()));
    let shown = world.get(&format!("{path}/{}", first["id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&shown["external_id"], &shown["role"]), (&json!("e-1"), &json!("staff")));
    assert_eq!(world.get(&path).await.expect(200)["data"].as_array().unwrap().len(), 2);
    let log = world.get("/v1/audit?action=invite.create").await.expect(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 2);
    assert_eq!(log["data"][0]["from"], "192.0.2.7");

    let owner = world.key(Role::Owner, Some(vec![site_id(&site)])).await;
    let seen = world.call("GET", &one, &owner, None, &[]).await.expect(200);
    assert!(seen["result"]["rows"][0]["id"].is_string() && seen["result"]["rows"][0].get("code").is_none());
    let listed = world.get("/v1/jobs").await.expect(200);
    assert_eq!(listed["data"][0]["result"], json!({ "created": 2, "failed": 4 }));
    assert_eq!(world.store.forget_sealed(std::time::Duration::from_mins(1)).await.unwrap(), 0);
    assert_eq!(world.store.forget_sealed(std::time::Duration::ZERO).await.unwrap(), 1);
    assert!(world.get(&one).await.expect(200)["result"]["rows"][0].get("code").is_none());
}

/// Goal: a table in CSV means what the same invites in JSON do, and one that cannot be read is refused as a whole; method:
/// all columns, with and without quotes, and tables with one mistake each.
#[tokio::test]
async fn tables() {
    let (world, site, path) = world().await;
    let bulk = format!("{path}/bulk");
    let csv = [("content-type", "text/csv; charset=utf-8")];
    let send = async |text: &str, path: &str| {
        world.call_text("POST", path, &world.operator, Some(text.to_owned()), &csv).await
    };
    let table = "\u{feff}alias,external_id,groups,role,note,max_uses,requires_approval,expires_at\r\n\
                 \"ann, of acme\",e-1,everybody;the team, staff ,\"a \"\"b\"\"\",1,yes,2999-01-01T00:00:00Z\r\n\
                 ,,,,,20,,\r\n\
                 ,,,,,x,,\r\n";
    let job = send(table, &bulk).await.expect(202);
    world.work_off().await;
    let done = world.get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).await.expect(200);
    let rows = done["result"]["rows"].as_array().unwrap();
    assert_eq!((rows[2]["ok"].as_bool(), &rows[2]["param"]), (Some(false), &json!("max_uses")));
    let one = world.get(&format!("{path}/{}", rows[0]["id"].as_str().unwrap())).await.expect(200);
    let expected = json!({ "alias": "ann, of acme", "external_id": "e-1", "groups": ["everybody", "the team"],
                           "role": "staff", "note": "a \"b\"", "uses_allowed": 1, "requires_approval": true,
                           "expires_at": "2999-01-01T00:00:00.000Z" });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&one[field], value, "{field}");
    }
    let other = world.get(&format!("{path}/{}", rows[1]["id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&other["uses_allowed"], other["alias"].is_null()), (&json!(20), true));
    for wrong in ["", "alias\n", "colour\nred\n", "note,note\na,b\n", "note\na,b\n", "note\n\u{0}\n"] {
        assert_eq!(send(wrong, &bulk).await.problem(422), "invalid", "{wrong:?}");
    }
    let many = format!("note\n{}", "n\n".repeat(1_001));
    assert_eq!(send(&many, &bulk).await.problem(422), "invalid");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let refused = world.call_text("POST", &bulk, &world.operator, Some("a=b".into()), &form).await;
    assert_eq!(refused.problem(415), "not_json_or_csv");

    let there = world.site("there.example").await;
    let foreign = world.key(Role::Owner, Some(vec![site_id(&there)])).await;
    let reader = world.key(Role::Readonly, Some(vec![site_id(&site)])).await;
    let call = async |key: &str| world.call("POST", &bulk, key, Some(&json!([{}])), &[]).await;
    assert_eq!(call(&foreign).await.problem(404), "not_found");
    assert_eq!(call(&reader).await.problem(403), "forbidden");
}

/// Goal: the link can be had as a picture by whoever has kept the code; method: the right code, another invite's, and one
/// that was replaced.
#[tokio::test]
async fn pictures() {
    let (world, _, path) = world().await;
    let made = world.post(&path, &json!({})).await.expect(201);
    let other = world.post(&path, &json!({})).await.expect(201);
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let get = async |code: &Value| world.get(&format!("{one}/qr.svg?code={}", code.as_str().unwrap())).await;
    let picture = get(&made["code"]).await;
    picture.expect(200);
    assert_eq!(picture.header("content-type"), "image/svg+xml");
    assert!(
        picture.text.starts_with("<?xml")
            && picture.text.contains("xmlns=")
            && picture.text.contains("<path")
    );
    for wrong in [&other["code"], &json!("7K4M-Q2XD-9TRA"), &json!("x")] {
        let refused = get(wrong).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["param"]), ("invalid", &json!("code")));
    }
    assert_eq!(world.get(&format!("{one}/qr.svg")).await.problem(422), "invalid");
    world.post(&format!("{one}/resend"), &json!({})).await.expect(200);
    assert_eq!(get(&made["code"]).await.problem(422), "invalid");
}

/// Goal: an invite that nobody can join with gets no new code, and it is said what to do; one that has only expired does;
/// method: invites that are used up, revoked, and over.
#[tokio::test]
async fn resent_when_it_can_be_used() {
    let (world, site, path) = world().await;
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    let made = async |change: &'static str| {
        let made = world.post(&path, &json!({})).await.expect(201);
        let query = format!("UPDATE invite SET {change} WHERE site_id = $1 AND invite_id::text = $2");
        let id = made["id"].as_str().unwrap().trim_start_matches("inv_").to_owned();
        let id = uuid::Uuid::try_parse(&id).unwrap().to_string();
        let done =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(site_id(&site).0).bind(id).execute(&pool).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
        format!("{path}/{}/resend", made["id"].as_str().unwrap())
    };
    let later = json!({ "expires_at": "2999-01-01T00:00:00Z" });
    for (change, code) in
        [("completed = 1", "used"), ("pending = 1", "used"), ("revoked_at = now()", "revoked")]
    {
        let refused = world.post(&made(change).await, &later).await;
        assert_eq!(refused.problem(409), code, "{change}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("Make a new invite"), "{}", refused.text);
    }
    let over = made("expires_at = now() - interval '1 s'").await;
    assert_eq!(world.post(&over, &json!({})).await.json()["param"], "expires_at");
    assert_eq!(world.post(&over, &later).await.expect(200)["state"], "pending");
}
