//! The journal, the receipts, and what a spill does to both.

use tmtp_domain::{ShardId, SiteId};
use tmtp_store::{Spill, Waiting};
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
    let left = rig.store.recover(&ids[..3], 0).await.unwrap();
    let entries = |first: u8| (first..12).step_by(2).map(|n| vec![n]).collect::<Vec<_>>();
    assert_eq!(left[&ids[0]].journal, entries(0));
    assert_eq!(left[&ids[1]].journal, entries(1));
    assert!(left[&ids[2]].journal.is_empty());
    assert!(!left.contains_key(&ids[3]));
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
    let packs = async |after: i64| {
        let mut left = rig.store.recover(&[shard], after).await.unwrap();
        left.remove(&shard).unwrap().receipts.concat()
    };
    assert_eq!(packs(0).await, b"abc");
    assert_eq!(packs(1_500).await, b"bc");
    assert_eq!(packs(3_000).await, b"");

    let forget = |before: i64| Spill { forget_receipts_before_ms: before, ..Spill::default() };
    rig.spill(&shards[1], &forget(9_000)).await.unwrap();
    assert_eq!(packs(0).await, b"abc", "another shard's window is not ours");
    rig.spill(&shards[0], &forget(2_000)).await.unwrap();
    assert_eq!(packs(0).await, b"bc");
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
        ..Spill::default()
    };
    let second = Spill {
        messages: vec![message(site, 2, 1)],
        inbox: vec![inbox(site, ann, 1, 1, 2)],
        acks: vec![crate::rig::ack(site, ben, 1, 1)],
        receipts: Some((2_000, b"b".to_vec())),
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
    let waiting = Waiting { journal: 1, messages: 2, inbox: 2, bodies: 0 };
    assert_eq!(rig.store.waiting().await.unwrap(), waiting);
}
