//! The journal, the receipts, and what a spill does to both.

use tmtp_domain::{ShardId, SiteId};
use tmtp_store::{DayUse, ReceiptsFrom, Spill, Waiting};
use uuid::Uuid;

use crate::rig::{Rig, inbox, message, uid};

/// Goal: a new owner reads its shards' entries in the order of their commits, and nobody else's; method: entries on two
/// shards in turn, progress without an entry between them, read by another pool.
#[tokio::test]
async fn entries_come_back_in_order() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    for n in 0..12_u8 {
        let shard = &mut shards[usize::from(n % 2)];
        rig.commit(shard, Some(&[n]), Vec::new()).await.unwrap();
        rig.commit(shard, None, Vec::new()).await.unwrap();
    }
    let ids: Vec<ShardId> = shards.iter().map(|shard| shard.shard).collect();
    let entries = |first: u8| (first..12).step_by(2).map(|n| vec![n]).collect::<Vec<_>>();
    assert_eq!(rig.journal(ids[0]).await, entries(0));
    assert_eq!(rig.journal(ids[1]).await, entries(1));
    assert!(rig.journal(ids[2]).await.is_empty());
}

/// Goal: a spill empties its own shard's journal and nobody else's, and later entries stay; method: two shards, one
/// spilled between commits.
#[tokio::test]
async fn a_spill_empties_the_journal() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    for shard in &mut shards[..2] {
        rig.commit(shard, Some(b"one"), Vec::new()).await.unwrap();
        rig.commit(shard, Some(b"two"), Vec::new()).await.unwrap();
    }
    rig.spill(&shards[0], &Spill::default()).await.unwrap();
    rig.commit(&mut shards[0], Some(b"three"), Vec::new()).await.unwrap();
    assert_eq!(rig.journal(shards[0].shard).await, [b"three"]);
    assert_eq!(rig.journal(shards[1].shard).await, [b"one", b"two"]);
}

/// Goal: packs of receipts come back while they are within the window, oldest first, and go when they are past it;
/// method: three packs, reads with three windows, then spills that forget.
#[tokio::test]
async fn receipts_live_as_long_as_the_window() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let shard = shards[0].shard;
    for (until, pack) in [(2_000_i64, b"b"), (1_000, b"a"), (3_000, b"c")] {
        rig.commit(&mut shards[0], Some(b"entry"), Vec::new()).await.unwrap();
        let receipts = Some((until, pack.to_vec()));
        rig.spill(&shards[0], &Spill { receipts, ..Spill::default() }).await.unwrap();
    }
    let packs = async |after: i64| rig.store.recover(shard, after).await.unwrap().receipts.concat();
    assert_eq!(packs(0).await, b"abc");
    assert_eq!(packs(1_500).await, b"bc");
    assert_eq!(packs(3_000).await, b"");

    let forget = |before: i64| Spill { forget_receipts_before_ms: before, ..Spill::default() };
    rig.spill(&shards[1], &forget(9_000)).await.unwrap();
    assert_eq!(packs(0).await, b"abc", "another shard's window is not ours");
    rig.spill(&shards[0], &forget(2_000)).await.unwrap();
    assert_eq!(packs(0).await, b"bc");
}

/// Goal: a new owner reads no more receipts than it may remember, the youngest of all its shards, and is told when some
/// are left; method: packs of ten octets on two shards, two of them of one time, and bounds at their borders.
#[tokio::test]
async fn the_youngest_receipts_are_read() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    for (index, until) in [(0, 1_000_i64), (1, 2_000), (0, 3_000), (1, 3_000), (0, 4_000), (2, 9_000)] {
        rig.commit(&mut shards[index], Some(b"entry"), Vec::new()).await.unwrap();
        let receipts = Some((until, vec![7; 10]));
        rig.spill(&shards[index], &Spill { receipts, ..Spill::default() }).await.unwrap();
    }
    let ids: Vec<ShardId> = shards[..2].iter().map(|shard| shard.shard).collect();
    let from = |after_ms, is_cut| ReceiptsFrom { after_ms, is_cut };
    for (octets, expected) in [
        (50, from(500, false)),
        (49, from(1_000, true)),
        (40, from(1_000, true)),
        (39, from(2_000, true)),
        // Two packs of one time: both or none.
        (29, from(3_000, true)),
        (10, from(3_000, true)),
        (9, from(4_000, true)),
    ] {
        let found = rig.store.receipts_from(&ids, 500, octets).await.unwrap();
        assert_eq!(found, expected, "{octets} octets");
        let mut read = 0;
        for shard in &ids {
            read += rig.store.recover(*shard, found.after_ms).await.unwrap().receipts.concat().len();
        }
        assert!(read <= usize::try_from(octets).unwrap(), "{read} of {octets}");
    }
    assert_eq!(rig.store.receipts_from(&ids, 3_500, 10).await.unwrap(), from(3_500, false));
    assert_eq!(rig.store.receipts_from(&[], 500, 10).await.unwrap(), from(500, false));
}

/// Goal: a spill whose answer got lost can be made again; method: the same spill twice, with rows, acks and receipts,
/// and the rows as after the first.
#[tokio::test]
async fn a_spill_can_be_repeated() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = SiteId(Uuid::new_v4());
    let (ann, ben) = (uid(1), uid(2));
    rig.commit(&mut shards[0], Some(b"entry"), Vec::new()).await.unwrap();
    let first = Spill {
        messages: vec![message(site, 1, 2)],
        inbox: vec![inbox(site, ann, 1, 1, 1), inbox(site, ben, 1, 1, 1)],
        receipts: Some((1_000, b"a".to_vec())),
        usage: vec![DayUse { site, day: 20_000, messages: 1, octets: 10 }],
        ..Spill::default()
    };
    let second = Spill {
        messages: vec![message(site, 2, 1)],
        inbox: vec![inbox(site, ann, 1, 1, 2)],
        acks: vec![crate::rig::ack(site, ben, 1, 1)],
        receipts: Some((2_000, b"b".to_vec())),
        usage: vec![DayUse { site, day: 20_000, messages: 2, octets: 20 }],
        ..Spill::default()
    };
    for spill in [first, second] {
        rig.spill(&shards[0], &spill).await.unwrap();
        rig.spill(&shards[0], &spill).await.unwrap();
        rig.commit(&mut shards[0], Some(b"entry"), Vec::new()).await.unwrap();
    }
    assert_eq!(rig.waiting_ids(site, ann, 1).await, [1, 2]);
    assert!(rig.waiting_ids(site, ben, 1).await.is_empty());
    let owed: Vec<i32> =
        sqlx::query_scalar("SELECT owed FROM message ORDER BY msg_id").fetch_all(&rig.pool).await.unwrap();
    assert_eq!(owed, [1, 1]);
    assert_eq!(rig.count("SELECT count(*) FROM receipts").await, 2);
    let used = rig.all().await.usage(Some(&[site]), ("1970-01-01", "2999-12-31"), None, 9).await.unwrap();
    assert_eq!(
        (used.len(), used[0].day.as_str(), used[0].messages, used[0].octets),
        (1, "2024-10-04", 3, 30)
    );
    let waiting = Waiting { journal: 1, messages: 2, inbox: 2, ..Waiting::default() };
    assert_eq!(rig.store.waiting().await.unwrap(), waiting);
}
