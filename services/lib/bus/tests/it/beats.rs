//! Beats: leases, and that a loss of data is noticed.

use std::time::Duration;

use redis::cmd;
use tmtp_bus::{Beat, GatewayState};

use crate::support::{Place, event, gateway, persist, worker};

const INTACT: Beat = Beat { intact: true, sites_revision: 0, certificates_revision: 0 };
const LOST: Beat = Beat { intact: false, sites_revision: 0, certificates_revision: 0 };

/// Goal: beats are intact while Redis keeps them, also when an answer was lost, and not when it was emptied or went
/// back; method: beat, empty it, set an older number.
#[tokio::test]
async fn losses_are_noticed() {
    let place = Place::new().await;
    let (bus, id) = (&place.bus, gateway(1));
    assert_eq!(bus.gateway_beat(id, 0, 1).await.unwrap(), INTACT);
    assert_eq!(bus.gateway_beat(id, 1, 2).await.unwrap(), INTACT);
    // Beat 3 was written, but nobody knows.
    assert_eq!(bus.gateway_beat(id, 2, 3).await.unwrap(), INTACT);
    assert_eq!(bus.gateway_beat(id, 2, 4).await.unwrap(), INTACT);

    place.raw::<()>(&cmd("FLUSHALL")).await;
    assert_eq!(bus.gateway_beat(id, 4, 5).await.unwrap(), LOST);
    assert_eq!(bus.gateway_beat(id, 5, 6).await.unwrap(), INTACT);

    place.raw::<()>(cmd("HSET").arg("tmtp:gateways").arg(id.to_string()).arg(3)).await;
    assert_eq!(bus.gateway_beat(id, 6, 7).await.unwrap(), LOST);
}

/// Goal: a restart counts as a loss although the beat may have survived; method: restart, put the beat back.
#[tokio::test]
async fn another_server_process_is_a_loss() {
    let place = Place::new().await;
    let (bus, id) = (&place.bus, worker(1));
    assert_eq!(bus.worker_beat(id, 0, 1).await.unwrap(), INTACT);
    place.redis.restart_empty().unwrap();
    place.raw::<()>(cmd("HSET").arg("tmtp:workers").arg(id.to_string()).arg(1)).await;
    assert_eq!(persist("a beat", async || bus.worker_beat(id, 1, 2).await).await, LOST);
    assert_eq!(bus.worker_beat(id, 2, 3).await.unwrap(), INTACT);
    place.redis.restart_empty().unwrap();
    assert_eq!(persist("a beat", async || bus.worker_beat(id, 3, 4).await).await, LOST);
}

/// Goal: a gateway hears whether it is to have links, and how it stands is known until it has left; method: two gateways,
/// one of which is drained and taken back.
#[tokio::test]
async fn gateways_are_drained() {
    let place = Place::new().await;
    let bus = &place.bus;
    let (one, two) = (gateway(1), gateway(2));
    assert!(!bus.report_gateway(one, 7, false).await.unwrap());
    bus.ask_to_drain(one, true).await.unwrap();
    assert!(bus.report_gateway(one, 0, true).await.unwrap());
    assert!(!bus.report_gateway(two, 3, false).await.unwrap());
    let drained = GatewayState { links: 0, is_drained: true, drain_wanted: true };
    let serving = GatewayState { links: 3, ..GatewayState::default() };
    assert_eq!(
        bus.gateway_states(&[two, one, gateway(3)]).await.unwrap(),
        [serving, drained, GatewayState::default()]
    );
    bus.ask_to_drain(one, false).await.unwrap();
    assert!(!bus.report_gateway(one, 0, true).await.unwrap());
    bus.ask_to_drain(one, true).await.unwrap();
    bus.gateway_leave(one).await.unwrap();
    assert_eq!(bus.gateway_states(&[one]).await.unwrap(), [GatewayState::default()]);
    assert!(bus.gateway_states(&[]).await.unwrap().is_empty());
}

/// Goal: leases are listed until they are given up or taken, and a gateway's stream goes with its lease; method: two
/// gateways and a worker.
#[tokio::test]
async fn leases_are_listed_and_given_up() {
    let place = Place::new().await;
    let bus = &place.bus;
    bus.gateway_beat(gateway(1), 0, 1).await.unwrap();
    bus.gateway_beat(gateway(2), 0, 5).await.unwrap();
    bus.worker_beat(worker(3), 0, 2).await.unwrap();
    let mut gateways = bus.live_gateways().await.unwrap();
    gateways.sort();
    assert_eq!(gateways, [(gateway(1), 1), (gateway(2), 5)]);
    assert_eq!(bus.live_workers().await.unwrap(), [(worker(3), 2)]);

    bus.append_events_and_trim(&[(gateway(1), event(1)), (gateway(2), event(1))], &[]).await.unwrap();
    bus.gateway_leave(gateway(1)).await.unwrap();
    bus.forget_gateway(gateway(2)).await.unwrap();
    bus.forget_gateway(gateway(2)).await.unwrap();
    bus.worker_leave(worker(3)).await.unwrap();
    assert_eq!(bus.live_gateways().await.unwrap(), []);
    let keys: Vec<String> = place.raw(cmd("KEYS").arg("*")).await;
    assert!(keys.is_empty(), "{keys:?}");
    // A gateway that was forgotten by mistake is told that its lease was lost.
    assert!(!bus.gateway_beat(gateway(2), 5, 6).await.unwrap().intact);
}

/// Goal: it is known for how long Redis has had its memory; method: ask an empty one, again later, and after it was emptied.
#[tokio::test]
async fn an_emptied_redis_is_new() {
    let place = Place::new().await;
    assert!(place.bus.age().await.unwrap().is_zero());
    let older = async || place.bus.age().await.ok().filter(|age| age.as_millis() >= 50);
    tmtp_testkit::eventually(Duration::from_secs(20), "some time", older).await.unwrap();
    place.raw::<()>(&cmd("FLUSHALL")).await;
    assert!(place.bus.age().await.unwrap().is_zero());
}
