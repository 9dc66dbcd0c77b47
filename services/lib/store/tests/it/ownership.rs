//! Leases and shares: shards go to whoever may have them, and to nobody else.

use std::collections::HashSet;

use tmtp_domain::{Epoch, ShardId, WorkerId};
use tmtp_store::{Heartbeat, OwnedShard};

use crate::rig::{ENDED, LONG, Rig, SHARDS, is_fenced, part, worker};

fn numbers(shards: &[OwnedShard]) -> HashSet<ShardId> {
    shards.iter().map(|shard| shard.shard).collect()
}

async fn numbers_of(rig: &Rig, worker: WorkerId) -> HashSet<ShardId> {
    numbers(&rig.store.owned(worker).await.unwrap())
}

/// Goal: a worker that joins is told what there is; method: heartbeats of one worker, then of two, before and after
/// claims.
#[tokio::test]
async fn heartbeats_tell_what_there_is() {
    let rig = Rig::new().await;
    let (first, second) = (worker(), worker());
    let all = Heartbeat { lapsed: true, workers: 1, owned: 0, free: 4, shards: 4, sites_revision: 0 };
    assert_eq!(rig.store.heartbeat(first, LONG).await.unwrap(), all);
    assert_eq!(rig.store.claim(first, 3).await.unwrap().len(), 3);
    let again = rig.store.heartbeat(first, LONG).await.unwrap();
    assert_eq!(again, Heartbeat { lapsed: false, owned: 3, free: 1, ..all });
    let other = rig.store.heartbeat(second, LONG).await.unwrap();
    assert_eq!(other, Heartbeat { workers: 2, free: 1, ..all });
    let id = rig.create_site("site.example").await;
    let revision = rig.store.sites(&[id]).await.unwrap()[0].revision;
    assert_eq!(rig.store.heartbeat(first, LONG).await.unwrap().sites_revision, revision);
}

/// Goal: no shard has two owners; method: four workers claim at once, each more than its share.
#[tokio::test]
async fn concurrent_claims_are_disjoint() {
    let rig = Rig::new().await;
    let workers: Vec<WorkerId> = (0..4).map(|_| worker()).collect();
    for worker in &workers {
        rig.store.heartbeat(*worker, LONG).await.unwrap();
    }
    let claims: Vec<_> = workers
        .iter()
        .map(|worker| {
            let (store, worker) = (rig.store.clone(), *worker);
            tokio::spawn(async move { store.claim(worker, 3).await.unwrap() })
        })
        .collect();
    let mut claimed = Vec::new();
    for claim in claims {
        claimed.extend(claim.await.unwrap());
    }
    // A claim passes over rows that another one has locked, so some may be left for the next beat, but none is lost.
    assert_eq!(numbers(&claimed).len(), claimed.len(), "{claimed:?}");
    claimed.extend(rig.store.claim(workers[0], u32::from(SHARDS)).await.unwrap());
    assert_eq!(claimed.len(), usize::from(SHARDS));
    assert!(claimed.iter().all(|shard| shard.epoch == Epoch(1)));
}

/// Goal: what has a live owner cannot be taken, not even by its owner again; method: claims of two workers.
#[tokio::test]
async fn a_lease_protects() {
    let rig = Rig::new().await;
    let (owner, shards) = rig.owner().await;
    let other = worker();
    rig.store.heartbeat(other, LONG).await.unwrap();
    assert!(rig.store.claim(other, 4).await.unwrap().is_empty());
    assert!(rig.store.claim(owner, 4).await.unwrap().is_empty());
    assert_eq!(numbers_of(&rig, owner).await, numbers(&shards));
}

/// Goal: the shards of a paused worker go to another with all they have seen, and the paused one learns of it; method:
/// it commits under a lease that has ended, another claims, the first beats and gives back again.
#[tokio::test]
async fn an_ended_lease_gives_the_shards_away() {
    let rig = Rig::new().await;
    let (paused, mut before) = rig.owner_for(ENDED).await;
    let done = part(&before[0]);
    rig.commit(&mut before[0], Some(b"entry"), Vec::new()).await.unwrap();

    let other = worker();
    assert_eq!(rig.store.heartbeat(other, LONG).await.unwrap().free, 4);
    let mut after = rig.store.claim(other, 4).await.unwrap();
    after.sort_unstable_by_key(|shard| shard.shard);
    let moved = OwnedShard {
        shard: done.shard,
        epoch: Epoch(done.epoch.0 + 1),
        commits: done.commits + 1,
        last_entry: done.last_entry,
        last_msg_id: done.last_msg_id,
    };
    assert_eq!(after[0], moved);

    let woken = rig.store.heartbeat(paused, LONG).await.unwrap();
    assert!(woken.lapsed);
    assert_eq!((woken.owned, woken.free, woken.workers), (0, 0, 2));
    assert!(rig.store.owned(paused).await.unwrap().is_empty());
    // What is not its own any more it cannot give back either.
    rig.store.release(paused, &[done.shard]).await.unwrap();
    assert_eq!(numbers_of(&rig, other).await.len(), 4);
}

/// Goal: a worker whose lease ended unnoticed keeps what nobody took; method: beat late, with nobody else there.
#[tokio::test]
async fn a_late_beat_keeps_what_nobody_took() {
    let rig = Rig::new().await;
    let (owner, mut shards) = rig.owner_for(ENDED).await;
    let late = rig.store.heartbeat(owner, LONG).await.unwrap();
    assert!(late.lapsed);
    assert_eq!((late.owned, late.free), (4, 0));
    rig.commit(&mut shards[0], Some(b"still ours"), Vec::new()).await.unwrap();
}

/// Goal: what is given back is free at once, and under a new epoch; method: release two of four, another claims.
#[tokio::test]
async fn released_shards_are_free() {
    let rig = Rig::new().await;
    let (owner, shards) = rig.owner().await;
    let (given, kept) = (numbers(&shards[..2]), numbers(&shards[2..]));
    rig.store.release(owner, &[shards[0].shard, shards[1].shard]).await.unwrap();
    assert_eq!(numbers_of(&rig, owner).await, kept);
    let (_, taken) = rig.owner().await;
    assert_eq!(numbers(&taken), given);
    assert!(taken.iter().all(|shard| shard.epoch == Epoch(2)));
    // The one that gave them back is fenced off like any other.
    assert!(crate::rig::is_fenced(&rig.commit(&mut shards[0].clone(), None, Vec::new()).await));
}

/// Goal: a worker that leaves holds nothing back and does not count; method: leave, then the other's beat and claim.
#[tokio::test]
async fn leaving_gives_everything_back() {
    let rig = Rig::new().await;
    let (leaver, _) = rig.owner().await;
    let (stayer, none) = rig.owner().await;
    assert!(none.is_empty());
    rig.store.leave(leaver).await.unwrap();
    let found = rig.store.heartbeat(stayer, LONG).await.unwrap();
    assert_eq!((found.workers, found.free), (1, 4));
    assert_eq!(rig.store.claim(stayer, 4).await.unwrap().len(), 4);
}

/// Goal: only workers that are long gone and own nothing are forgotten; method: one of each kind.
#[tokio::test]
async fn workers_long_gone_are_forgotten() {
    let rig = Rig::new().await;
    let (gone, _) = rig.owner_for(ENDED).await;
    let (owner, _) = rig.owner_for(ENDED).await;
    let recent = worker();
    rig.store.heartbeat(recent, ENDED).await.unwrap();
    let age = "UPDATE worker SET lease_until = lease_until - interval '2 hours' WHERE worker_id = ANY($1)";
    sqlx::query(age).bind(vec![gone.0, owner.0]).execute(&rig.pool).await.unwrap();
    rig.store.forget_workers().await.unwrap();
    let left: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT worker_id FROM worker").fetch_all(&rig.pool).await.unwrap();
    assert_eq!(left.into_iter().collect::<HashSet<_>>(), HashSet::from([owner.0, recent.0]));
}

/// Goal: a worker that ends its lease loses its shards only to somebody who takes them; method: it ends the lease with
/// and without another worker that claims, and beats again.
#[tokio::test]
async fn a_lease_can_be_ended() {
    let rig = Rig::new().await;
    let (first, shards) = rig.owner().await;
    rig.store.end_lease(first).await.unwrap();
    let found = rig.store.heartbeat(first, LONG).await.unwrap();
    assert_eq!((found.lapsed, found.owned), (true, 4));
    assert!(!rig.store.heartbeat(first, LONG).await.unwrap().lapsed);

    rig.store.end_lease(first).await.unwrap();
    rig.store.end_lease(first).await.unwrap();
    let second = worker();
    let found = rig.store.heartbeat(second, LONG).await.unwrap();
    assert_eq!((found.workers, found.free), (1, 4));
    let taken = rig.store.claim(second, 3).await.unwrap();
    assert!(taken.iter().all(|row| row.epoch.0 == shards[0].epoch.0 + 1));
    let found = rig.store.heartbeat(first, LONG).await.unwrap();
    assert_eq!((found.lapsed, found.owned, found.workers), (true, 1, 2));
}

/// Goal: a worker can take its own shards up anew, and no others; method: renew one that is its own, and one that is not.
#[tokio::test]
async fn shards_can_be_renewed() {
    let rig = Rig::new().await;
    let (first, shards) = rig.owner().await;
    let mut stale = shards[0];
    rig.commit(&mut stale, None, Vec::new()).await.unwrap();
    let renewed = rig.store.renew(first, &[stale.shard]).await.unwrap();
    let expected = rig.store.owned(first).await.unwrap();
    let expected = expected.iter().find(|row| row.shard == stale.shard).unwrap();
    assert_eq!((&renewed[..], renewed[0].epoch.0), (&[*expected][..], stale.epoch.0 + 1));
    assert!(is_fenced(&rig.commit(&mut stale, None, Vec::new()).await));
    assert!(rig.store.renew(worker(), &[stale.shard]).await.unwrap().is_empty());
}
