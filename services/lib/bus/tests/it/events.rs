//! Event streams: order, trimming, bounds, and that they go away.

use redis::cmd;
use tmtp_domain::GatewayId;

use crate::support::{Place, event, gateway, read_events};

fn key(gateway: GatewayId) -> String {
    format!("tmtp:{{g:{gateway}}}:evt")
}

/// Goal: each gateway gets its own events in order; method: append for two gateways, read both.
#[tokio::test]
async fn events_come_in_order() {
    let place = Place::new().await;
    let mut first = place.bus.event_reader(gateway(1));
    let mut second = place.bus.event_reader(gateway(2));
    let events = [(gateway(1), event(1)), (gateway(2), event(2)), (gateway(1), event(3))];
    place.bus.append_events_and_trim(&events, &[]).await.unwrap();
    place.bus.append_events_and_trim(&[(gateway(1), event(4))], &[]).await.unwrap();
    place.bus.append_events_and_trim(&[], &[]).await.unwrap();
    assert_eq!(read_events(&mut first, 3).await, [1, 3, 4]);
    assert_eq!(read_events(&mut second, 1).await, [2]);
}

/// Goal: what was read goes and what was not read stays, and an unused stream has an end; method: trim between two
/// appends and look at the key.
#[tokio::test]
async fn trims_what_was_read() {
    let place = Place::new().await;
    let mut reader = place.bus.event_reader(gateway(1));
    reader.trim().await.unwrap();
    place.bus.append_events_and_trim(&[(gateway(1), event(1)), (gateway(1), event(2))], &[]).await.unwrap();
    assert_eq!(read_events(&mut reader, 2).await, [1, 2]);
    place.bus.append_events_and_trim(&[(gateway(1), event(3))], &[]).await.unwrap();
    reader.trim().await.unwrap();
    let left: u64 = place.raw(cmd("XLEN").arg(key(gateway(1)))).await;
    assert_eq!(left, 1);
    assert_eq!(read_events(&mut reader, 1).await, [3]);
    let lifetime: i64 = place.raw(cmd("TTL").arg(key(gateway(1)))).await;
    assert!((1..=120).contains(&lifetime), "{lifetime}");
}

/// Goal: a gateway that does not read costs bounded memory, and its stream has an end without its help; method:
/// append more than the bound.
#[tokio::test]
async fn streams_are_bounded() {
    let place = Place::new().await;
    let many: Vec<_> = (0..11_000).map(|number| (gateway(1), event(number))).collect();
    for _ in 0..5 {
        place.bus.append_events_and_trim(&many, &[]).await.unwrap();
    }
    let left: u64 = place.raw(cmd("XLEN").arg(key(gateway(1)))).await;
    assert!((50_000..=50_200).contains(&left), "{left}");
    let lifetime: i64 = place.raw(cmd("TTL").arg(key(gateway(1)))).await;
    assert!((1..=120).contains(&lifetime), "{lifetime}");
}

/// Goal: a stream made anew with lower ids is read after a reset; method: an id far in the future, then a loss.
#[tokio::test]
async fn a_reset_begins_anew() {
    let place = Place::new().await;
    let mut reader = place.bus.event_reader(gateway(1));
    let ahead = cmd("XADD").arg(key(gateway(1))).arg("9000000000000-1").arg("b").arg(event(1)).to_owned();
    place.raw::<String>(&ahead).await;
    assert_eq!(read_events(&mut reader, 1).await, [1]);
    place.raw::<()>(&cmd("FLUSHALL")).await;
    reader.reset().await.unwrap();
    place.bus.append_events_and_trim(&[(gateway(1), event(2))], &[]).await.unwrap();
    assert_eq!(read_events(&mut reader, 1).await, [2]);
}

/// Goal: events that do not decode are parked and passed over; method: junk before a good one.
#[tokio::test]
async fn what_does_not_decode_is_parked() {
    let place = Place::new().await;
    let mut reader = place.bus.event_reader(gateway(1));
    let events = [(gateway(1), b"junk".to_vec()), (gateway(1), event(2))];
    place.bus.append_events_and_trim(&events, &[]).await.unwrap();
    assert_eq!(read_events(&mut reader, 1).await, [2]);
    assert_eq!((reader.parked(), place.bus.parked_depth().await.unwrap()), (1, 1));
}
