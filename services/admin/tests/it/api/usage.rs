//! Usage over HTTP. That it is counted right is tested where it is counted.

use serde_json::{Value, json};
use tmtp_domain::Role;

use super::world::{World, site_id};

/// Goal: days are found by site and by date, page by page, and only those of one's own sites; method: rows of two sites,
/// asked for by the operator and by an owner, and dates that are none.
#[tokio::test]
async fn days_are_found() {
    let world = World::new().await;
    let (here, there) = (world.site("a.example").await, world.site("b.example").await);
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    for (site, day, messages) in
        [(&here, "2026-01-01", 3), (&there, "2026-01-01", 5), (&here, "2026-01-02", 7)]
    {
        let query = "INSERT INTO usage_day VALUES ($1, $2::text::date, $3, 10)";
        sqlx::query(query).bind(site_id(site).0).bind(day).bind(messages).execute(&pool).await.unwrap();
    }
    let member = "INSERT INTO member (site_id, uid, created_at)
                  VALUES ($1, decode(repeat('07', 20), 'hex'), '2026-01-01 23:59:59+00')";
    sqlx::query(member).bind(site_id(&here).0).execute(&pool).await.unwrap();
    let owner = world.key(Role::Readonly, Some(vec![site_id(&here)])).await;
    let get = async |key: &str, path: &str| -> Vec<i64> {
        let page = world.call("GET", path, key, None, &[]).await.expect(200);
        page["data"].as_array().unwrap().iter().map(|day| day["messages"].as_i64().unwrap()).collect()
    };
    let mut all = get(&world.operator, "/v1/usage").await;
    all[..2].sort_unstable();
    assert_eq!(all, [3, 5, 7]);
    assert_eq!(get(&owner, "/v1/usage").await, [3, 7]);
    assert_eq!(get(&owner, "/v1/usage?from=2026-01-02").await, [7]);
    assert_eq!(get(&owner, "/v1/usage?to=2026-01-01").await, [3]);
    let path = format!("/v1/sites/{}/usage", here["id"].as_str().unwrap());
    let first = world.get(&format!("{path}?limit=1")).await.expect(200);
    let expected =
        json!([{ "site": here["id"], "day": "2026-01-01", "members": 1, "messages": 3, "octets": 10 }]);
    assert_eq!(first["data"], expected);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(get(&owner, &format!("{path}?cursor={cursor}")).await, [7]);
    let other = format!("/v1/sites/{}/usage", there["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &other, &owner, None, &[]).await.problem(404), "not_found");
    for wrong in ["2026-02-30", "tomorrow", "2026-1-1", "-00001-01-01"] {
        let refused = world.get(&format!("/v1/usage?from={wrong}")).await;
        assert_eq!(
            (refused.problem(422).as_str(), &refused.json()["param"]),
            ("invalid", &Value::from("from"))
        );
    }
}
