//! Command streams: order, taking and giving up shards, trimming, floors, and what does not decode.

use std::time::Duration;

use redis::cmd;
use tmtp_bus::{Backlog, StreamId};

use crate::support::{DEADLINE, Place, command, read_commands, seqs, shard, start, worker};

/// Goal: entries come shard by shard in the order in which they were appended; method: append mixed, then read.
#[tokio::test]
async fn entries_come_in_order() {
    let place = Place::new().await;
    let (mut reader, handle) = place.bus.command_reader(worker(1));
    handle.set_shards(vec![(shard(2), start()), (shard(1), start())]);
    place
        .bus
        .append_commands(&[(shard(1), command(1)), (shard(2), command(2)), (shard(1), command(3))])
        .await
        .unwrap();
    place.bus.append_commands(&[(shard(3), command(4)), (shard(1), command(5))]).await.unwrap();
    assert_eq!(place.bus.append_commands(&[]).await.unwrap(), []);
    let reads = read_commands(&mut reader, 4).await;
    assert_eq!(seqs(&reads), [(1, 1), (1, 3), (1, 5), (2, 2)]);
    assert!(reads.iter().all(|read| read.octets == command(1).len()));
    let depths = place.bus.command_depth(&[shard(1), shard(2), shard(9)]).await.unwrap();
    assert_eq!(depths, [(shard(1), 3), (shard(2), 1), (shard(9), 0)]);
    assert_eq!(place.bus.command_depth(&[]).await.unwrap(), []);
}

/// Goal: whoever appends can tell whether its entries are still there; method: the oldest of what is left, before and
/// after a trim, of a stream that has something, one that had, and one that was never there; then without scripts.
#[tokio::test]
async fn what_is_left_can_be_told() {
    let place = Place::new().await;
    let entries = [(shard(1), command(1)), (shard(2), command(2)), (shard(1), command(3))];
    let ids = place.bus.append_commands(&entries).await.unwrap();
    let shards = [shard(1), shard(2), shard(9)];
    let backlog = |entries, oldest| Backlog { entries, oldest };
    let before = place.bus.command_backlog(&shards).await.unwrap();
    assert_eq!(
        before,
        [
            (shard(1), backlog(2, Some(ids[0]))),
            (shard(2), backlog(1, Some(ids[1]))),
            (shard(9), backlog(0, None)),
        ]
    );
    let committed = [(shard(1), ids[0]), (shard(2), ids[1])];
    place.bus.append_events_and_trim(&[], &committed).await.unwrap();
    let after = place.bus.command_backlog(&shards).await.unwrap();
    assert_eq!((after[0].1, after[1].1), (backlog(1, Some(ids[2])), backlog(0, None)));
    assert_eq!(place.bus.command_backlog(&[]).await.unwrap(), []);

    place.raw::<()>(cmd("ACL").arg("SETUSER").arg("default").arg("-@scripting")).await;
    let unsure = place.bus.command_backlog(&shards).await.unwrap();
    assert_eq!((unsure[0].1, unsure[1].1), (backlog(1, Some(start())), backlog(0, None)));
}

/// Goal: many large entries come in bounded portions and completely; method: append 64 MiB, watch the portions.
#[tokio::test]
async fn portions_are_bounded() {
    let place = Place::new().await;
    let (mut reader, handle) = place.bus.command_reader(worker(1));
    let large = |seq: u64| {
        let mut entry: tmtp_contract::CommandEntry = tmtp_contract::decode(&command(seq)).unwrap();
        entry.commands[0].trace = Some("x".repeat(256 << 10));
        tmtp_contract::encode(&entry).unwrap()
    };
    for seq in 0..256 {
        place.bus.append_commands(&[(shard(u16::try_from(seq % 8).unwrap()), large(seq))]).await.unwrap();
    }
    handle.set_shards((0..8).map(|n| (shard(n), start())).collect());
    let (mut total, mut portions) = (0, Vec::new());
    while total < 256 {
        let reads = tokio::time::timeout(DEADLINE, reader.next()).await.unwrap().unwrap();
        total += reads.len();
        portions.push(reads.iter().map(|read| read.octets).sum::<usize>());
    }
    // The first guess is too low by sixteen times; it is learned from at once.
    let (first, later) = portions.split_first().unwrap();
    assert!(*first <= 128 << 20 && later.iter().all(|octets| *octets <= 12 << 20), "{portions:?}");
}

/// Goal: a reader that waits for nothing, or for quiet shards, takes up a new shard at once, and leaves another;
/// method: let it wait (a poll that is not ready), then change its shards, with far less time than a blocked read has.
#[tokio::test]
async fn a_change_of_shards_wakes_the_reader() {
    let place = Place::new().await;
    let (mut reader, handle) = place.bus.command_reader(worker(1));
    place.bus.append_commands(&[(shard(1), command(1)), (shard(2), command(2))]).await.unwrap();

    let task = tokio::spawn(async move {
        let first = reader.next().await.unwrap();
        let second = reader.next().await.unwrap();
        (reader, seqs(&first), seqs(&second))
    });
    handle.set_shards(vec![(shard(1), start())]);
    // It has read shard 1 and waits for more of it when the client that blocks on it is listed.
    tmtp_testkit::eventually(DEADLINE, "a blocked reader", async || {
        let clients: String = place.raw(cmd("CLIENT").arg("LIST")).await;
        clients.lines().any(|line| line.contains("flags=b")).then_some(())
    })
    .await
    .unwrap();
    let changed = std::time::Instant::now();
    handle.set_shards(vec![(shard(2), start())]);
    let (mut reader, first, second) = tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    assert_eq!((first, second), (vec![(1, 1)], vec![(2, 2)]));
    assert!(changed.elapsed() < Duration::from_millis(900), "{:?}", changed.elapsed());

    place.bus.append_commands(&[(shard(1), command(3)), (shard(2), command(4))]).await.unwrap();
    assert_eq!(seqs(&read_commands(&mut reader, 1).await), [(2, 4)]);
}

/// Goal: a shard that stays goes on where it is, one that left and came back begins where it is told, and a rewind
/// repeats; method: change the shards between reads.
#[tokio::test]
async fn places_are_kept_unless_given_anew() {
    let place = Place::new().await;
    let (mut reader, handle) = place.bus.command_reader(worker(1));
    handle.set_shards(vec![(shard(1), start())]);
    place.bus.append_commands(&[(shard(1), command(1)), (shard(1), command(2))]).await.unwrap();
    let reads = read_commands(&mut reader, 2).await;
    place.bus.append_commands(&[(shard(1), command(3)), (shard(2), command(4))]).await.unwrap();

    handle.set_shards(vec![(shard(1), start()), (shard(2), start())]);
    assert_eq!(seqs(&read_commands(&mut reader, 2).await), [(1, 3), (2, 4)]);

    handle.set_shards(Vec::new());
    handle.set_shards(vec![(shard(1), reads[0].id)]);
    assert_eq!(seqs(&read_commands(&mut reader, 2).await), [(1, 2), (1, 3)]);

    handle.rewind(shard(1), reads[1].id);
    assert_eq!(seqs(&read_commands(&mut reader, 1).await), [(1, 3)]);
    drop(handle);
    place.bus.append_commands(&[(shard(1), command(5))]).await.unwrap();
    assert_eq!(seqs(&read_commands(&mut reader, 1).await), [(1, 5)]);
}

/// Goal: a call to `next` that is dropped loses nothing; method: drop one that waits, then append and call again.
#[tokio::test]
async fn a_dropped_call_loses_nothing() {
    let place = Place::new().await;
    let (mut reader, handle) = place.bus.command_reader(worker(1));
    handle.set_shards(vec![(shard(1), start())]);
    let mut got = Vec::new();
    for seq in 0..50 {
        place.bus.append_commands(&[(shard(1), command(seq))]).await.unwrap();
        // Dropped at a different point each time: before it has connected, while it waits, when the answer is there.
        tokio::select! {
            biased;
            reads = reader.next() => got.extend(reads.unwrap().iter().map(|read| read.entry.commands[0].seq)),
            () = yields(seq % 13) => {}
        }
    }
    while got.len() < 50 {
        tokio::select! {
            biased;
            reads = reader.next() => got.extend(reads.unwrap().iter().map(|read| read.entry.commands[0].seq)),
            () = yields(3) => {}
        }
    }
    assert_eq!(got, (0..50).collect::<Vec<u64>>());
}

async fn yields(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// Goal: trimming takes everything up to and including the id and nothing else; method: trim in the middle.
#[tokio::test]
async fn trims_behind_the_id() {
    let place = Place::new().await;
    let entries: Vec<_> = (0..5).map(|seq| (shard(1), command(seq))).collect();
    place.bus.append_commands(&entries).await.unwrap();
    let (mut reader, handle) = place.bus.command_reader(worker(1));
    handle.set_shards(vec![(shard(1), start())]);
    let reads = read_commands(&mut reader, 5).await;
    place.bus.append_events_and_trim(&[], &[(shard(1), reads[2].id), (shard(2), start())]).await.unwrap();
    assert_eq!(place.bus.command_depth(&[shard(1)]).await.unwrap(), [(shard(1), 2)]);
    handle.rewind(shard(1), start());
    assert_eq!(seqs(&read_commands(&mut reader, 2).await), [(1, 3), (1, 4)]);
}

/// Goal: after the loss of a stream no new entry lands behind the place that is committed; method: raise the floor
/// to a place in the future of Redis' clock, before and after a loss, and read from there.
#[tokio::test]
async fn the_floor_holds_after_a_loss() {
    let place = Place::new().await;
    assert!(!place.bus.raise_floor(shard(1), start()).await.unwrap());
    let committed = StreamId { ms: 9_000_000_000_000, seq: 7 };
    assert!(place.bus.raise_floor(shard(1), committed).await.unwrap());
    assert!(!place.bus.raise_floor(shard(1), committed).await.unwrap());

    place.raw::<()>(&cmd("FLUSHALL")).await;
    let (mut reader, handle) = place.bus.command_reader(worker(1));
    handle.set_shards(vec![(shard(1), committed)]);
    assert!(place.bus.raise_floor(shard(1), committed).await.unwrap());
    place.bus.append_commands(&[(shard(1), command(1))]).await.unwrap();
    let reads = read_commands(&mut reader, 1).await;
    assert!(reads[0].id > committed && seqs(&reads) == [(1, 1)], "{reads:?}");

    // A floor that is read is passed over.
    handle.rewind(shard(1), start());
    assert_eq!(seqs(&read_commands(&mut reader, 1).await), [(1, 1)]);
    assert_eq!(reader.parked(), 0);
}

/// Goal: what cannot be decoded is put aside with its error and blocks nothing; method: junk, an entry of a newer
/// version and a foreign entry between two good ones.
#[tokio::test]
async fn what_does_not_decode_is_parked() {
    let place = Place::new().await;
    let mut newer: tmtp_contract::CommandEntry = tmtp_contract::decode(&command(9)).unwrap();
    newer.v = tmtp_contract::VERSION + 1;
    let newer = tmtp_contract::encode(&newer).unwrap();
    place
        .bus
        .append_commands(&[(shard(1), command(1)), (shard(1), b"junk".to_vec()), (shard(1), newer)])
        .await
        .unwrap();
    place.raw::<String>(cmd("XADD").arg("tmtp:{s1}:cmd").arg("*").arg("x").arg("y")).await;
    place.bus.append_commands(&[(shard(1), command(2))]).await.unwrap();

    let (mut reader, handle) = place.bus.command_reader(worker(5));
    handle.set_shards(vec![(shard(1), start())]);
    assert_eq!(seqs(&read_commands(&mut reader, 2).await), [(1, 1), (1, 2)]);
    assert_eq!((reader.parked(), place.bus.parked_depth().await.unwrap()), (3, 3));
    let parked: Vec<(String, Vec<String>)> = place
        .raw::<Vec<(String, Vec<redis::Value>)>>(cmd("XRANGE").arg("tmtp:parked").arg("-").arg("+"))
        .await
        .into_iter()
        .map(|(id, fields)| (id, fields.into_iter().map(|field| format!("{field:?}")).collect()))
        .collect();
    let text = format!("{parked:?}");
    assert!(text.contains("tmtp:{s1}:cmd") && text.contains("junk") && text.contains("newer than"), "{text}");
    let lifetime: i64 = place.raw(cmd("TTL").arg("tmtp:parked")).await;
    assert!(lifetime > 0, "{lifetime}");
}

/// Goal: a stream of nothing but bad entries does not hold a reader up; method: park, then append a good one.
#[tokio::test]
async fn bad_entries_alone_do_not_end_the_wait() {
    let place = Place::new().await;
    place.bus.append_commands(&[(shard(1), b"junk".to_vec())]).await.unwrap();
    let (mut reader, handle) = place.bus.command_reader(worker(5));
    handle.set_shards(vec![(shard(1), start())]);
    let mut waiting = Box::pin(reader.next());
    tokio::select! {
        reads = &mut waiting => panic!("{reads:?}"),
        parked = tmtp_testkit::eventually(DEADLINE, "a parked entry", async || {
            (place.bus.parked_depth().await.unwrap() == 1).then_some(())
        }) => parked.unwrap(),
    }
    place.bus.append_commands(&[(shard(1), command(1))]).await.unwrap();
    let reads = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(seqs(&reads), [(1, 1)]);
}
