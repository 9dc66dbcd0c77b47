//! Redis goes away, comes back empty, stalls, fills up: every call shows it in time and works again by itself.

use std::time::{Duration, Instant};

use redis::cmd;
use tmtp_bus::{Bus, Error, Policy, RESPONSE_MAX};

use crate::support::{
    DEADLINE, Place, command, event, gateway, persist, read_commands, read_events, seqs, shard, start, worker,
};

/// Goal: after a restart each kind of call works on the same handle, and readers that were waiting go on; method:
/// restart under two readers that wait, call everything, read what was appended.
#[tokio::test]
async fn everything_works_again_after_a_restart() {
    let place = Place::new().await;
    let bus = &place.bus;
    let (mut commands, handle) = bus.command_reader(worker(1));
    handle.set_shards(vec![(shard(1), start())]);
    let mut events = bus.event_reader(gateway(1));
    bus.append_commands(&[(shard(1), command(1))]).await.unwrap();
    bus.append_events_and_trim(&[(gateway(1), event(1))], &[]).await.unwrap();
    read_commands(&mut commands, 1).await;
    read_events(&mut events, 1).await;

    let waiting = tokio::spawn(async move {
        let reads = loop {
            match commands.next().await {
                Ok(reads) => break seqs(&reads),
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        };
        let numbers: Vec<u64> = loop {
            match events.next().await {
                Ok(entries) => break entries.into_iter().map(|entry| entry.number).collect(),
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        };
        (reads, numbers)
    });
    place.redis.stop().unwrap();
    let error = bus.ping().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    place.redis.start_again().unwrap();

    persist("ping", async || bus.ping().await).await;
    persist("policy", async || bus.check_policy().await).await;
    persist("beat", async || bus.gateway_beat(gateway(1), 0, 1).await).await;
    persist("sites", async || bus.publish_sites(&[], 3).await).await;
    persist("sites", async || bus.sites_since(0).await).await;
    persist("floor", async || bus.raise_floor(shard(9), tmtp_bus::StreamId { ms: 1, seq: 1 }).await).await;
    persist("gateways", async || bus.live_gateways().await).await;
    persist("depth", async || bus.command_depth(&[shard(1)]).await).await;
    persist("trim", async || bus.trim_events(gateway(1), start()).await).await;
    persist("commands", async || bus.append_commands(&[(shard(1), command(2))]).await).await;
    persist("events", async || bus.append_events_and_trim(&[(gateway(1), event(2))], &[]).await).await;
    let read = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(read, (vec![(1, 2)], vec![2]));
}

/// Goal: a server that takes connections and answers nothing is an error in bounded time, for calls and for readers,
/// and afterwards nothing is missing; method: stop the process with a signal, measure, let it go on.
#[tokio::test]
async fn a_stall_is_an_error_in_time() {
    let place = Place::new().await;
    let bus = &place.bus;
    let (mut commands, handle) = bus.command_reader(worker(1));
    handle.set_shards(vec![(shard(1), start())]);
    bus.append_commands(&[(shard(1), command(1))]).await.unwrap();
    read_commands(&mut commands, 1).await;

    place.redis.pause().unwrap();
    let begun = Instant::now();
    let second = [(shard(1), command(2))];
    let (called, read) = tokio::join!(bus.append_commands(&second), commands.next());
    let took = begun.elapsed();
    place.redis.resume().unwrap();
    assert!(called.unwrap_err().is_transient() && read.unwrap_err().is_transient());
    assert!(took < RESPONSE_MAX * 4, "{took:?}");

    persist("a command", async || bus.append_commands(&[(shard(1), command(3))]).await).await;
    let mut got = Vec::new();
    while !got.contains(&3) {
        let reads = persist("the command", async || commands.next().await).await;
        got.extend(reads.iter().map(|read| read.entry.commands[0].seq));
    }
    // The first may or may not have been in Redis' socket when it stalled.
    assert!(got == [3] || got == [2, 3], "{got:?}");
}

/// Goal: a full Redis is an error that passes; method: a memory limit below what is used, then none.
#[tokio::test]
async fn a_full_server_is_transient() {
    let place = Place::new().await;
    place.raw::<()>(cmd("CONFIG").arg("SET").arg("maxmemory").arg("1")).await;
    let error = place.bus.append_commands(&[(shard(1), command(1))]).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(place.bus.check_policy().await.unwrap(), Policy::Keeps);
    place.raw::<()>(cmd("CONFIG").arg("SET").arg("maxmemory").arg("0")).await;
    place.bus.append_commands(&[(shard(1), command(1))]).await.unwrap();
}

/// Goal: a Redis that throws keys away is found out, without a limit it cannot; method: set the policy.
#[tokio::test]
async fn eviction_is_refused() {
    let place = Place::new().await;
    place.raw::<()>(cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("allkeys-lru")).await;
    assert_eq!(place.bus.check_policy().await.unwrap(), Policy::Keeps);
    place.raw::<()>(cmd("CONFIG").arg("SET").arg("maxmemory").arg("100mb")).await;
    let error = place.bus.check_policy().await.unwrap_err();
    assert!(matches!(&error, Error::Evicts(policy) if policy == "allkeys-lru"), "{error:?}");
    // Either command is enough, and where neither is allowed nothing is known.
    for (allowed, known) in [("-info", true), ("+info", true), ("-info", false)] {
        let config = if known && allowed == "-info" { "+config" } else { "-config" };
        place.raw::<()>(cmd("ACL").arg("SETUSER").arg("default").arg(allowed).arg(config)).await;
        match place.bus.check_policy().await {
            Err(Error::Evicts(_)) if known => {}
            Ok(Policy::Untold) if !known => {}
            other => panic!("{allowed} {config}: {other:?}"),
        }
    }
}

/// Goal: who waits for the set-up of Redis hears what is wrong, and goes on when it is set right; a Redis that is right, or
/// has no limit, is not waited for; method: set the policy, wait, and set it right when the complaint is there.
#[tokio::test]
async fn a_change_of_policy_is_waited_for() {
    let place = Place::new().await;
    let set = async |name: &str, value: &str| {
        place.raw::<()>(cmd("CONFIG").arg("SET").arg(name).arg(value)).await;
    };
    set("maxmemory", "100mb").await;
    let mut told = Vec::new();
    place.bus.wait_for_policy(|found| told.push(found)).await.unwrap();
    assert_eq!(told, [Ok(())]);

    set("maxmemory-policy", "volatile-lru").await;
    let (complaints, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let waiting = place.bus.wait_for_policy(|found| complaints.send(found).expect("somebody hears it"));
    let setting = async {
        let complaint = heard.recv().await.expect("a complaint").unwrap_err();
        for part in ["volatile-lru", "noeviction", "CONFIG SET"] {
            assert!(complaint.contains(part), "{complaint}");
        }
        set("maxmemory-policy", "noeviction").await;
        while heard.recv().await.expect("the end of it").is_err() {}
    };
    let both = async { tokio::join!(waiting, setting) };
    tokio::time::timeout(DEADLINE, both).await.expect("in time").0.unwrap();

    set("maxmemory-policy", "allkeys-random").await;
    set("maxmemory", "0").await;
    let mut told = Vec::new();
    place.bus.wait_for_policy(|found| told.push(found)).await.unwrap();
    assert_eq!(told, [Ok(())]);
}

/// Goal: a wrong type of key is no reason to try again; method: a string in the place of a stream.
#[tokio::test]
async fn refusals_are_not_transient() {
    let place = Place::new().await;
    place.raw::<()>(cmd("SET").arg("tmtp:{s1}:cmd").arg("x")).await;
    let error =
        place.bus.append_commands(&[(shard(1), command(1)), (shard(2), command(2))]).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)) && !error.is_transient(), "{error:?}");
    place.bus.ping().await.unwrap();
}

/// Goal: connecting fails clearly when there is nothing, or nonsense, or a wrong password, and waits for a server
/// that is late; method: each of them.
#[tokio::test]
async fn connecting() {
    assert!(matches!(Bus::connect("nonsense").await.err(), Some(Error::Url(_))));
    let place = Place::new().await;
    let wrong = place.redis.url().replace("redis://", "redis://user:wrong@");
    let error = Bus::connect(&wrong).await.err().unwrap();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");

    place.redis.stop().unwrap();
    let url = place.redis.url();
    let mut connecting = Box::pin(Bus::connect(&url));
    tokio::select! {
        biased;
        result = &mut connecting => panic!("connected to nothing: {:?}", result.err()),
        error = place.bus.ping() => assert!(error.is_err()),
    }
    place.redis.start_again().unwrap();
    let bus = tokio::time::timeout(Duration::from_secs(15), connecting).await.unwrap().unwrap();
    bus.ping().await.unwrap();
}
