//! Workers that cannot reach Redis: one alone gives its shards to others, all together give nothing away.

use std::net::SocketAddr;
use std::time::Duration;

use tmtp_chassis::Context;
use tmtp_contract::Answer;
use tmtp_domain::NodeNum;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::live::{DEADLINE, Place, SHARDS};
use crate::rig::{ANN, BEN, post};

/// A way to a server that can be cut.
struct Wire {
    address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Wire {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = watch::Sender::new(false);
        let state = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                if *state.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.1", port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { address, cut }
    }
}

/// Goal: the shards of a worker that has lost Redis, and nothing else, are served by another, and shared again later;
/// method: two workers, one behind a wire that is cut and mended, and a client that is served meanwhile.
#[tokio::test]
async fn a_worker_without_redis_is_replaced() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let wire = Wire::to(place.redis.port()).await;
    let mut behind = place.config();
    behind.redis.url = format!("redis://{}/0", wire.address).into();
    let first = place.worker(behind).await;
    first.until_metric("tmtp_worker_shards_owned", |owned| owned == i64::from(SHARDS)).await;
    let mut gateway = place.gateway().live();
    gateway.register(1, &site, ANN).await;
    gateway.register(2, &site, BEN).await;
    let second = place.worker(place.config()).await;
    let half = |owned: i64| owned == i64::from(SHARDS / 2);
    second.until_metric("tmtp_worker_shards_owned", half).await;

    wire.cut.send_replace(true);
    second.until_metric("tmtp_worker_shards_owned", |owned| owned == i64::from(SHARDS)).await;
    let Answer::Posted { msg_id, .. } = gateway.ask(1, post(1, &[BEN])).await else { panic!("not posted") };
    gateway.hear_until("the post", |gateway| gateway.got(2).contains(&msg_id).then_some(())).await;

    wire.cut.send_replace(false);
    second.until_metric("tmtp_worker_shards_owned", half).await;
    // It has lost all of them, and then taken its share again.
    first.until_metric("tmtp_worker_takeovers_total", |count| count == i64::from(SHARDS + SHARDS / 2)).await;
    first.until_metric("tmtp_worker_shards_owned", half).await;
    let answer = gateway.ask(2, tmtp_contract::Command::Detach).await;
    assert_eq!(answer, Answer::Done);
    let logged_in = Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() };
    assert_eq!(gateway.log_in(3, &site, BEN).await, logged_in);
}

/// Goal: an outage of Redis for everybody moves no shard; method: two workers, Redis stopped where it is until both leases
/// have ended, and resumed.
#[tokio::test]
async fn an_outage_for_all_moves_nothing() {
    let place = Place::new().await;
    let workers = [place.worker(place.config()).await, place.worker(place.config()).await];
    for worker in &workers {
        worker.until_metric("tmtp_worker_shards_owned", |owned| owned == i64::from(SHARDS / 2)).await;
    }
    let before = place.epochs().await;
    place.redis.pause().unwrap();
    place.until("both leases to end", async |place| place.owners().await.is_empty().then_some(())).await;
    // Long enough for a claim, should anybody make one: the database's own clock says that the leases stay ended.
    let late = "SELECT count(*) FROM worker WHERE lease_until < now() - interval '1 second'";
    place.until("a second more", async |place| (place.count(late).await == 2).then_some(())).await;
    assert_eq!(place.epochs().await, before);
    place.redis.resume().unwrap();
    place.until("both leases", async |place| (place.owners().await.len() == 2).then_some(())).await;
    assert!(place.owners().await.values().all(|shards| *shards == SHARDS / 2));
    assert_eq!(place.epochs().await, before);
    for worker in &workers {
        let lost = worker.metric("tmtp_worker_shards_lost_total");
        assert_eq!(lost, 0);
    }
    tokio::time::timeout(Duration::from_secs(20), workers[0].cx.health.wait_ready()).await.unwrap();
}

/// Goal: a worker begins nothing with a Redis that throws keys away, says what to do, and begins when that is done; one
/// that works goes on, and shows it; method: start with such a Redis, set it right, and set it wrong again.
#[tokio::test]
async fn a_redis_that_evicts_is_told() {
    let place = Place::new().await;
    place.redis.configure("maxmemory", "100mb").unwrap();
    place.redis.configure("maxmemory-policy", "allkeys-lru").unwrap();
    let cx = Context::new(place.config());
    let _running = AbortOnDrop(tokio::spawn(tmtp_worker::serve(cx.clone())));
    let told = async |_: &Place| {
        let report = cx.health.report();
        let told = report.checks.get("redis policy").filter(|told| *told != "ok").cloned();
        told.map(|told| (report.ready, told))
    };
    let (ready, told) = place.until("a complaint", told).await;
    assert!(!ready && told.contains("set maxmemory-policy to noeviction"), "{told}");
    assert!(place.owners().await.is_empty());

    place.redis.configure("maxmemory-policy", "noeviction").unwrap();
    tokio::time::timeout(DEADLINE, cx.health.wait_ready()).await.unwrap();
    let evicts = || {
        let families = cx.registry.gather();
        let family = families.iter().find(|family| family.name() == "tmtp_worker_redis_evicts").unwrap();
        family.get_metric()[0].get_gauge().get_value() > 0.5
    };
    assert!(!evicts());
    place.redis.configure("maxmemory-policy", "volatile-ttl").unwrap();
    place.until("the metric", async |_| evicts().then_some(())).await;
    assert!(cx.health.is_ready(), "a worker that works goes on");
    place.redis.configure("maxmemory-policy", "noeviction").unwrap();
    place.until("the metric to be back", async |_| (!evicts()).then_some(())).await;
}

/// A task that ends with its test.
struct AbortOnDrop(tokio::task::JoinHandle<anyhow::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
