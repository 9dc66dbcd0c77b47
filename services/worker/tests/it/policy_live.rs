//! What a worker does by the clock for policies, at a real database whose times are set back.

use std::time::Duration;

use tmtp_contract::{Answer, Command, MessageRecord, Versioned as _};
use tmtp_domain::{MsgId, NodeNum, Site};
use tmtp_worker::home::SITE;

use crate::live::{Place, Running, SHARDS};
use crate::rig::{ANN, BEN, post};

/// Nanoseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1_000_000_000;

/// A place with a worker and a site that has this policy.
async fn scene(policy: &str) -> (Place, Running, Site) {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let mut change = place.store.admin().await.unwrap();
    change.set_site_policy(site.id, policy, None).await.unwrap();
    change.commit().await.unwrap();
    let mut config = place.config();
    config.delivery.expiry_every = Duration::from_millis(200);
    let worker = place.worker(config).await;
    worker.until_metric("tmtp_worker_shards_owned", |owned| owned == i64::from(SHARDS)).await;
    (place, worker, site)
}

/// Ben comes and goes, at a gateway of his own: one that hears on would open his session again when it is called.
async fn register_and_leave(place: &Place, site: &Site) {
    let mut gateway = place.gateway().live();
    gateway.register(1, site, BEN).await;
    gateway.publish(vec![(1, Command::Detach)]).await;
}

/// As if the only message in rows had been sent so many days ago.
async fn set_back(place: &Place, days: u64) {
    let (id, header): (i64, Vec<u8>) =
        sqlx::query_as("SELECT msg_id, header FROM message").fetch_one(&place.pool).await.unwrap();
    let mut record: MessageRecord = tmtp_contract::decode(&header).unwrap();
    assert!(record.version() > 0);
    let old = MsgId(MsgId::from_i64(id).0 - days * DAY);
    record.message.id = old;
    let header = tmtp_contract::encode(&record).unwrap();
    let query = "WITH moved AS (UPDATE inbox SET msg_id = $1) UPDATE message SET msg_id = $1, header = $2";
    sqlx::query(query).bind(old.to_i64()).bind(&header).execute(&place.pool).await.unwrap();
}

/// Goal: a worker finds what has waited too long, drops it with its rows, counts it, and tells the sender; method: a
/// message to somebody who is not there, whose id is set back by more days than allowed.
#[tokio::test]
async fn messages_expire() {
    let (place, worker, site) =
        scene(r#"{"registration":"open","undelivered":{"days_max":30,"expired":"return"}}"#).await;
    let mut gateway = place.gateway().live();
    gateway.register(1, &site, ANN).await;
    register_and_leave(&place, &site).await;
    let Answer::Posted { .. } = gateway.ask(1, post(1, &[BEN])).await else { panic!("not posted") };
    place
        .until("the message to be a row", async |place| {
            (place.count("SELECT count(*) FROM inbox").await == 1).then_some(())
        })
        .await;
    set_back(&place, 31).await;
    worker.until_metric("tmtp_worker_messages_expired_total", |expired| expired == 1).await;
    gateway.hear_until("the note", |gateway| (!gateway.got(1).is_empty()).then_some(())).await;
    place
        .until("the row to go", async |place| {
            let query =
                "SELECT count(*) FROM inbox WHERE uid = '\\x0202020202020202020202020202020202020202'";
            (place.count(query).await == 0).then_some(())
        })
        .await;
}

/// Goal: a worker warns of a quiet device, once, and drops what waits for it when the grace is over; method: Ben's device,
/// which was used long ago by its row, and then the warning, too.
#[tokio::test]
async fn devices_are_quiet() {
    let (place, _worker, site) = scene(r#"{"registration":"open","devices":{"quiet_days":90}}"#).await;
    register_and_leave(&place, &site).await;
    place
        .until("the end of the session", async |place| {
            let query = "SELECT count(*) FROM node WHERE last_seen_at IS NOT NULL";
            (place.count(query).await == 1).then_some(())
        })
        .await;
    let back =
        "UPDATE node SET created_at = now() - interval '91 days', last_seen_at = now() - interval '91 days'";
    sqlx::query(back).execute(&place.pool).await.unwrap();
    let warned = async |place: &Place| {
        let query = "SELECT count(*) FROM node WHERE quiet_warned_at IS NOT NULL";
        (place.count(query).await == 1 && place.count("SELECT count(*) FROM inbox").await == 1).then_some(())
    };
    place.until("the warning", warned).await;
    let header: Vec<u8> =
        sqlx::query_scalar("SELECT header FROM message").fetch_one(&place.pool).await.unwrap();
    let record: MessageRecord = tmtp_contract::decode(&header).unwrap();
    assert_eq!(record.message.from, SITE);
    // No second one comes: the grace is over next, and what waits goes.
    let back = "UPDATE node SET quiet_warned_at = now() - interval '8 days'";
    sqlx::query(back).execute(&place.pool).await.unwrap();
    place
        .until("the queue to go", async |place| {
            (place.count("SELECT count(*) FROM inbox").await == 0).then_some(())
        })
        .await;
    let answer = place.gateway().live().log_in(1, &site, BEN).await;
    assert_eq!(answer, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
}
