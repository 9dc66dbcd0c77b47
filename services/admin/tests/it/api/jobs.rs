//! Jobs over HTTP, and the ends of sites.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tmtp_admin::{Config, Sites};
use tmtp_store::NewJob;
use uuid::Uuid;

use super::world::{World, site_id};

fn erases_at_once() -> Config {
    Config { sites: Sites { tombstone: Duration::ZERO }, ..Config::default() }
}

/// Goal: a deleted site is erased when its time is over, with all its rows, and its host names are free; method: a site
/// with a member and a key, no time at all, and the job.
#[tokio::test]
async fn deleted_sites_are_erased() {
    let world = World::with(erases_at_once()).await;
    let (site, other) = (world.site("a.example").await, world.site("b.example").await);
    let key = json!({ "name": "K", "role": "owner", "sites": [site["id"]] });
    let key = world.post("/v1/keys", &key).await.expect(201);
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    sqlx::query("INSERT INTO member (site_id, uid) SELECT $1, decode(lpad(to_hex(n), 40, '0'), 'hex') FROM generate_series(1, 2500) n")
        .bind(site_id(&site).0)
        .execute(&pool)
        .await
        .unwrap();
    let work =
        async || tmtp_admin::work_off(Arc::new(erases_at_once()), world.store.clone(), None).await.unwrap();
    work().await;
    assert_eq!(world.get("/v1/jobs").await.expect(200)["data"], json!([]), "nobody has deleted it");
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    world.delete(&path).await.expect(200);
    assert_eq!(world.post(&format!("{path}/restore"), &json!({})).await.problem(409), "site_erased");
    work().await;
    world.get(&path).await.problem(404);
    let jobs = world.get("/v1/jobs?kind=site.erase").await.expect(200);
    let job = &jobs["data"][0];
    assert_eq!((&job["state"], &job["done"], &job["site"]), (&json!("done"), &json!(2501), &site["id"]));
    assert_eq!(job["result"], json!({ "erased": true, "rows": 2501 }));
    let job_path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(&world.get(&job_path).await.expect(200), job);
    assert_eq!(world.post(&format!("{job_path}/cancel"), &json!({})).await.problem(409), "job_ended");
    assert_eq!(world.call("GET", "/v1/whoami", key["key"].as_str().unwrap(), None, &[]).await.status, 401);
    let log = world.get("/v1/audit?action=site.erase").await.expect(200);
    assert_eq!((&log["data"][0]["target"], log["data"][0]["key"].is_null()), (&site["id"], true));
    world.get(&format!("/v1/sites/{}", other["id"].as_str().unwrap())).await.expect(200);
    world.site("a.example").await;
}

/// Goal: a sandbox whose time is over is deleted by itself, and can be restored; method: one whose time is set back.
#[tokio::test]
async fn sandboxes_end() {
    let world = World::new().await;
    let (site, other) = (world.site("a.example").await, world.site("b.example").await);
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    sqlx::query("UPDATE site SET expires_at = now() - interval '1 s' WHERE site_id = $1")
        .bind(site_id(&site).0)
        .execute(&pool)
        .await
        .unwrap();
    tmtp_admin::work_off(Arc::new(Config::default()), world.store.clone(), None).await.unwrap();
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.expect(200)["status"], "deleted");
    let log = world.get("/v1/audit?action=site.expire").await.expect(200);
    assert_eq!(log["data"][0]["after"]["status"], "deleted");
    let restored = world.post(&format!("{path}/restore"), &json!({})).await.expect(200);
    assert_eq!((&restored["status"], restored["expires_at"].is_null()), (&json!("active"), true));
    let untouched = world.get(&format!("/v1/sites/{}", other["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(untouched["status"], "active");
}

/// Goal: a job that nobody has begun is cancelled at once; method: one of a kind that nobody does.
#[tokio::test]
async fn cancelled() {
    let world = World::new().await;
    let id = Uuid::from_u128(7);
    let mut tx = world.store.admin().await.unwrap();
    let new = NewJob { id, site: None, kind: "test", input: "{}", created_by: None, sealed: None };
    tx.create_job(&new).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let path = format!("/v1/jobs/job_{}/cancel", id.simple());
    let job = world.call("POST", &path, &world.operator, None, &[]).await.expect(200);
    assert_eq!((&job["state"], job["finished_at"].is_string()), (&json!("cancelled"), true));
    assert_eq!(world.post(&path, &json!({})).await.problem(409), "job_ended");
}
