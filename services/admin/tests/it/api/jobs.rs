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

/// Goal: a job that has ended does not say what it was asked for, which may name people, and is forgotten after a month;
/// method: invites for somebody, made and cancelled, and time that is set back.
#[tokio::test]
async fn ended_jobs_are_blank_and_forgotten() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let path = format!("/v1/sites/{}/invites/bulk", site["id"].as_str().unwrap());
    let people = json!([{ "alias": "Ann Bell A", "external_id": "crm-1" }]);
    let done = world.post(&path, &people).await.expect(202);
    world.work_off().await;
    let cancelled = world.post(&path, &people).await.expect(202);
    let cancel = format!("/v1/jobs/{}/cancel", cancelled["id"].as_str().unwrap());
    world.post(&cancel, &json!({})).await.expect(200);
    let shown = world.get(&format!("/v1/jobs/{}", done["id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&shown["state"], &shown["result"]["created"]), (&json!("done"), &json!(1)));
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    let texts = async || -> Vec<String> {
        let query = "SELECT concat(input, position, result, error) FROM job ORDER BY created_at";
        sqlx::query_scalar(query).fetch_all(&pool).await.unwrap()
    };
    let kept = texts().await;
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|text| !text.contains("Ann") && !text.contains("crm")), "{kept:?}");
    let age = async |days: i32| {
        let query = "UPDATE job SET finished_at = now() - make_interval(days => $1)";
        sqlx::query(query).bind(days).execute(&pool).await.unwrap();
        world.work_off().await;
        texts().await.len()
    };
    assert_eq!((age(29).await, age(31).await), (2, 0));
}

/// Goal: a job that was asked for before its site was deleted makes no invites; method: one that is taken after that.
#[tokio::test]
async fn deleted_sites_get_no_invites() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    let job = world.post(&format!("{path}/invites/bulk"), &json!([{}])).await.expect(202);
    world.delete(&path).await.expect(200);
    world.work_off().await;
    let job = world.get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&job["state"], &job["error"]), (&json!("failed"), &json!("the site is deleted")));
    assert_eq!(world.get(&format!("{path}/invites")).await.expect(200)["data"], json!([]));
}
