//! The delivery trace: packs of steps, queues that were dropped, and how both are forgotten.

use std::time::Duration;

use tmtp_domain::{MsgId, NodeNum, SiteId, Uid};
use tmtp_store::{Change, DropReason, DroppedQueue, Part, Sights, Spill, TraceDrop, TracePage, TraceRow};
use uuid::Uuid;

use crate::rig::{Rig, inbox, message, uid};

fn row(site: SiteId, span: i64, until_ms: i64, ids: (u64, u64), pack: &[u8]) -> TraceRow {
    TraceRow { site, span, until_ms, ids: (MsgId(ids.0), MsgId(ids.1)), pack: pack.to_vec() }
}

fn spill_of(traces: Vec<TraceRow>) -> Spill {
    Spill { traces, ..Spill::default() }
}

async fn pages(rig: &Rig, site: SiteId, span: i64, id: u64, after: (i64, i64)) -> Vec<TracePage> {
    let mut read = rig.store.read(&Sights::of(site)).await.unwrap();
    read.trace_pages(site, (span, MsgId(id)), after, 100).await.unwrap()
}

fn packs(pages: &[TracePage]) -> Vec<&[u8]> {
    pages.iter().map(|page| page.pack.as_slice()).collect()
}

/// Goal: a message's packs are found by its span and id, in the order of the spills, from any place on, and a spill that is
/// made again writes none twice; method: three spills, one of them with a clock that runs behind.
#[tokio::test]
async fn packs_are_found() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (here, there) = (SiteId(Uuid::new_v4()), SiteId(Uuid::new_v4()));
    for traces in [
        vec![
            row(here, 7, 5_000, (10, 20), b"a"),
            row(here, 8, 5_000, (30, 30), b"b"),
            row(there, 7, 5_000, (10, 20), b"c"),
        ],
        vec![row(here, 7, 4_000, (15, 40), b"d")],
        vec![row(here, 7, 6_000, (20, 20), b"e")],
    ] {
        rig.commit(&mut shards[0], Some(b"entry"), Vec::new()).await.unwrap();
        for _ in 0..2 {
            rig.spill(&shards[0], &spill_of(traces.clone())).await.unwrap();
        }
    }
    assert_eq!(rig.count("SELECT count(*) FROM trace_pack").await, 5);
    let start = (-1, 0);
    let found = pages(&rig, here, 7, 20, start).await;
    assert_eq!(packs(&found), [b"a", b"d", b"e"]);
    assert_eq!(packs(&pages(&rig, here, 7, 20, found[0].key).await), [b"d", b"e"]);
    assert!(pages(&rig, here, 7, 20, found[2].key).await.is_empty());
    assert_eq!(packs(&pages(&rig, here, 7, 11, start).await), [b"a"]);
    assert_eq!(packs(&pages(&rig, here, 8, 30, start).await), [b"b"]);
    assert!(pages(&rig, here, 8, 20, start).await.is_empty());
    assert_eq!(packs(&pages(&rig, there, 7, 20, start).await), [b"c"], "each site its own");
}

/// Goal: a reader of one site sees its packs and drops only, whatever the statement says; method: statements without a
/// WHERE, with rows of two sites.
#[tokio::test]
async fn readers_see_one_site() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let here = rig.site_with_member(&mut shards[0], uid(1)).await;
    let there = rig.create_site("other.example").await;
    let traces = [here, there].map(|site| row(site, 7, 5_000, (1, 9), b"pack"));
    let dropped = TraceDrop { last_id: MsgId(9), reason: DropReason::Quiet };
    let drops = [here, there].map(|site| drop_of(site, uid(1), dropped));
    rig.commit(&mut shards[0], Some(b"entry"), drops.to_vec()).await.unwrap();
    rig.spill(&shards[0], &spill_of(traces.to_vec())).await.unwrap();
    let mut read = rig.store.read(&Sights::of(there)).await.unwrap();
    for statement in ["SELECT site_id FROM trace_pack", "SELECT site_id FROM trace_drop"] {
        let seen: Vec<Uuid> = sqlx::query_scalar(statement).fetch_all(read.connection()).await.unwrap();
        assert_eq!(seen, [there.0], "{statement}");
    }
    assert_eq!(read.members_among(there, &[uid(1)]).await.unwrap(), [], "it is a member elsewhere");
    drop(read);
    let mut read = rig.store.read(&Sights::of(here)).await.unwrap();
    assert_eq!(read.members_among(here, &[uid(1), uid(2)]).await.unwrap(), [uid(1)]);
}

fn drop_of(site: SiteId, uid: Uid, trace: TraceDrop) -> Change {
    Change::DropInbox { site, uid, node: NodeNum(1), trace: Some(trace) }
}

/// Goal: what is older than traces are kept goes, a portion at a time, and the rest stays; method: packs and drops of
/// several ages, forgotten two rows at a time, and in the end all.
#[tokio::test]
async fn old_traces_are_forgotten() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = SiteId(Uuid::new_v4());
    let now: i64 = rig.count("SELECT (extract(epoch FROM now()) * 1000)::int8").await;
    let hours = |n: i64| now - n * 3_600_000;
    let traces = (1..=9).map(|n| row(site, n, hours(n), (1, 9), b"pack")).collect();
    let dropped = |n: u64| drop_of(site, uid(1), TraceDrop { last_id: MsgId(n), reason: DropReason::Admin });
    rig.commit(&mut shards[0], Some(b"entry"), (1..=3).map(dropped).collect()).await.unwrap();
    rig.spill(&shards[0], &spill_of(traces)).await.unwrap();
    sqlx::query("UPDATE trace_drop SET dropped_at = now() - make_interval(hours => msg_id::int4 * 2)")
        .execute(&rig.pool)
        .await
        .unwrap();
    let keep = Duration::from_mins(5 * 60 - 1);
    let mut portions = Vec::new();
    loop {
        let rows = rig.store.forget_traces(keep, 2).await.unwrap();
        portions.push(rows);
        if rows == 0 {
            break;
        }
    }
    assert_eq!(portions, [3, 2, 1, 0]);
    assert_eq!(rig.count("SELECT count(*) FROM trace_pack WHERE span < 5").await, 4);
    assert_eq!(rig.count("SELECT count(*) FROM trace_drop").await, 2);
    assert_eq!(rig.store.forget_traces(Duration::ZERO, 100).await.unwrap(), 6);
}

/// Goal: the first drop behind a message is told, for each device that is asked for, and nothing of a member who is gone;
/// method: two drops of one queue, messages around them, and the member's end.
#[tokio::test]
async fn drops_are_found() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[0], uid(1)).await;
    for (last_id, reason) in [(100, DropReason::Admin), (200, DropReason::Revoked)] {
        let change = drop_of(site, uid(1), TraceDrop { last_id: MsgId(last_id), reason });
        rig.commit(&mut shards[0], Some(b"entry"), vec![change]).await.unwrap();
    }
    let plain = Change::DropInbox { site, uid: uid(3), node: NodeNum(1), trace: None };
    rig.commit(&mut shards[0], Some(b"entry"), vec![plain]).await.unwrap();
    let found = async |id: u64| -> Vec<DroppedQueue> {
        let mut read = rig.store.read(&Sights::of(site)).await.unwrap();
        let nodes = [(uid(1), NodeNum(1)), (uid(1), NodeNum(2)), (uid(3), NodeNum(1))];
        read.dropped_queues(site, MsgId(id), &nodes).await.unwrap()
    };
    for (id, reason) in [(99, DropReason::Admin), (100, DropReason::Admin), (101, DropReason::Revoked)] {
        let found = found(id).await;
        assert_eq!((found.len(), found[0].reason), (1, reason), "{id}");
        assert_eq!((found[0].uid, found[0].node), (uid(1), NodeNum(1)));
        assert!(found[0].at_ms > 1_700_000_000_000);
    }
    assert!(found(201).await.is_empty());
    rig.commit(&mut shards[0], None, vec![Change::MemberGone { site, uid: uid(1) }]).await.unwrap();
    assert_eq!(rig.count("SELECT count(*) FROM trace_drop").await, 0);
}

/// Goal: packs that the database does not take cost nothing else; method: a spill with a message, under a constraint that
/// no pack meets.
#[tokio::test]
async fn refused_packs_are_left_out() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = SiteId(Uuid::new_v4());
    rig.commit(&mut shards[0], Some(b"entry"), Vec::new()).await.unwrap();
    sqlx::raw_sql("ALTER TABLE trace_pack ADD CONSTRAINT none CHECK (false) NOT VALID")
        .execute(&rig.pool)
        .await
        .unwrap();
    let spill = Spill {
        messages: vec![message(site, 1, 1)],
        inbox: vec![inbox(site, uid(1), 1, 1, 1)],
        ..spill_of(vec![row(site, 7, 5_000, (1, 1), b"pack")])
    };
    assert!(rig.spill(&shards[0], &spill).await.is_err());
    let shard = &shards[0];
    let spilled = rig.store.spill_carefully(shard.shard, shard.epoch, shard.commits, &spill).await.unwrap();
    let parts: Vec<Part> = spilled.refused.iter().map(|refused| refused.part).collect();
    assert_eq!(parts, [Part::Traces]);
    assert_eq!(rig.waiting_ids(site, uid(1), 1).await, [1]);
    let mut read = rig.store.read(&Sights::of(site)).await.unwrap();
    assert_eq!(read.owed_in_rows(site, MsgId(1)).await.unwrap(), Some(1));
    assert_eq!(read.owed_in_rows(site, MsgId(2)).await.unwrap(), None);
}
