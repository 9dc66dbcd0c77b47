//! Spilled messages: in order to their nodes, copied to new ones, gone with the last ack.

use std::collections::HashSet;
use std::time::Duration;

use tmtp_domain::{BodyId, MsgId, NodeNum, SiteId};
use tmtp_store::{Change, Commit, CommitError, MessageRow, PageRequest, Part, ShardCommit, Spill, Waiting};
use uuid::Uuid;

use crate::rig::{DEADLINE, Rig, ack, acks, inbox, message, page, part, stored, uid};

fn site() -> SiteId {
    SiteId(Uuid::new_v4())
}

/// Goal: urgent messages first, then ids ascending, each with its own octets; method: messages of three nodes of two
/// sites, spilled in another order, read at once.
#[tokio::test]
async fn pages_are_in_the_order_of_delivery() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let (here, there, ann, ben) = (site(), site(), uid(1), uid(2));
    let body = |row: MessageRow, octets: &[u8]| MessageRow { body: Some(octets.to_vec().into()), ..row };
    let spill = Spill {
        messages: vec![
            message(here, 30, 1),
            body(message(here, 10, 3), b"ten"),
            message(here, 40, 1),
            message(here, 20, 1),
            body(message(there, 10, 1), b"elsewhere"),
        ],
        inbox: vec![
            inbox(here, ann, 1, 0, 40),
            inbox(here, ann, 1, 1, 30),
            inbox(here, ann, 1, 1, 10),
            inbox(here, ann, 1, 0, 20),
            inbox(here, ann, 2, 1, 10),
            inbox(here, ben, 1, 1, 10),
            inbox(there, ann, 1, 1, 10),
        ],
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();

    let start = (-1, 0);
    let requests =
        [page(there, ann, 1, start, 9), page(here, ann, 1, start, 9), page(here, ben, 9, start, 9)];
    let pages = rig.store.pages(&requests).await.unwrap();
    assert_eq!(pages.len(), 3);
    assert_eq!(pages[0].messages[0].body.as_deref(), Some(&b"elsewhere"[..]));
    let order: Vec<(i16, u64)> = pages[1].messages.iter().map(|row| (row.urgency, row.msg_id.0)).collect();
    assert_eq!(order, [(0, 20), (0, 40), (1, 10), (1, 30)]);
    assert!(pages[1].messages.iter().all(|row| row.header == row.msg_id.0.to_string().into_bytes()));
    assert_eq!(pages[1].messages[2].body.as_deref(), Some(&b"ten"[..]));
    assert_eq!(pages[1].messages[3].body, None);
    assert!(pages[2].messages.is_empty() && pages[2].is_end && pages[2].last.is_none());
    assert_eq!(rig.store.depth(here, ann, NodeNum(1)).await.unwrap().messages, 4);
    assert!(rig.store.pages(&[]).await.unwrap().is_empty());
}

/// Goal: a spill of more octets than one statement takes writes every message once; method: a hundred messages of 30 kB,
/// one of them far larger than a statement, spilled twice, then read.
#[tokio::test]
async fn a_large_spill_is_complete() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let (here, ann) = (site(), uid(1));
    let octets = |id: u64| vec![u8::try_from(id).unwrap(); if id == 40 { 2_000_000 } else { 30_000 }];
    let spill = Spill {
        messages: (1..=100)
            .map(|id| MessageRow { body: Some(octets(id).into()), ..message(here, id, 1) })
            .collect(),
        inbox: (1..=100).map(|id| inbox(here, ann, 1, 1, id)).collect(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    rig.spill(&shards[0], &spill).await.unwrap();

    let read = rig.store.pages(&[page(here, ann, 1, (-1, 0), 200)]).await.unwrap().remove(0).messages;
    let ids: Vec<u64> = read.iter().map(|row| row.msg_id.0).collect();
    assert_eq!(ids, (1..=100).collect::<Vec<_>>());
    assert!(read.iter().all(|row| row.body.as_deref() == Some(octets(row.msg_id.0).as_slice())));
}

/// Goal: pages join without gap or overlap, over the border between urgent and not; method: walk seven messages in
/// pages of three, and of one.
#[tokio::test]
async fn pages_join() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let (site, ann) = (site(), uid(1));
    let order: [(i16, u64); 7] = [(0, 5), (0, 9), (1, 1), (1, 2), (1, 6), (1, 7), (1, 8)];
    let spill = Spill {
        messages: order.iter().map(|&(_, id)| message(site, id, 1)).collect(),
        inbox: order.iter().map(|&(urgency, id)| inbox(site, ann, 1, urgency, id)).collect(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    for limit in [1, 3, 7] {
        let (mut walked, mut after) = (Vec::new(), (-1, 0));
        loop {
            let mut pages = rig.store.pages(&[page(site, ann, 1, after, limit)]).await.unwrap();
            let page = pages.remove(0);
            let places: Vec<_> = page.messages.iter().map(|row| (row.urgency, row.msg_id.0)).collect();
            assert!(places.len() <= usize::try_from(limit).unwrap());
            assert_eq!(page.is_end, places.len() < usize::try_from(limit).unwrap());
            assert_eq!(page.last.map(|(urgency, id)| (urgency, id.0)), places.last().copied());
            let Some(last) = places.last() else { break };
            after = *last;
            walked.extend(places);
        }
        assert_eq!(walked, order, "pages of {limit}");
    }
}

/// Goal: a page is bounded by octets, too, and says whether more follows; method: messages of ten octets and headers of
/// one, and budgets at their borders.
#[tokio::test]
async fn pages_are_bounded_by_octets() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let (site, ann, ben) = (site(), uid(1), uid(2));
    let row = |id| MessageRow { body: Some(vec![7; 9].into()), ..message(site, id, 1) };
    let spill = Spill {
        messages: (1..=4).map(row).collect(),
        inbox: (1..=4).map(|id| inbox(site, if id < 4 { ann } else { ben }, 1, 1, id)).collect(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    let read = async |limit, octets| {
        let start = page(site, ann, 1, (-1, 0), limit);
        let requests =
            [PageRequest { octets, ..start }, PageRequest { octets, ..page(site, ben, 1, (-1, 0), limit) }];
        let pages = rig.store.pages(&requests).await.unwrap();
        assert_eq!(pages[1].messages.len(), 1, "each page has its own budget");
        (pages[0].messages.len(), pages[0].is_end)
    };
    for (octets, expected) in
        [(0, (1, false)), (10, (1, false)), (11, (2, false)), (20, (2, false)), (21, (3, true))]
    {
        assert_eq!(read(9, octets).await, expected, "{octets} octets");
    }
    assert_eq!(read(3, 100).await, (3, false), "as many as were asked for");
    assert_eq!(read(2, 11).await, (2, false));
}

/// Goal: a place whose message is gone hides nothing behind it; method: remove a message by hand, and read on.
#[tokio::test]
async fn a_place_without_a_message_is_passed_over() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let (site, ann) = (site(), uid(1));
    let spill = Spill {
        messages: [1, 3].map(|id| message(site, id, 1)).into(),
        inbox: (1..=3).map(|id| inbox(site, ann, 1, 1, id)).collect(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    let read = async |after| rig.store.pages(&[page(site, ann, 1, after, 2)]).await.unwrap().remove(0);
    let first = read((-1, 0)).await;
    assert_eq!((first.messages.len(), first.last, first.is_end), (1, Some((1, MsgId(2))), false));
    let second = read((1, 2)).await;
    assert_eq!((second.messages[0].msg_id, second.is_end), (MsgId(3), true));
}

/// Goal: with the last ack everything of a message goes, and not before; method: two nodes ack one after the other a
/// message with a stored body, and strangers ack what they do not have.
#[tokio::test]
async fn the_last_ack_removes_everything() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (here, there, ann, ben, body) = (site(), site(), uid(1), uid(2), stored(1));
    rig.commit(&mut shards[0], None, vec![Change::BodyHeld { site: here, body }]).await.unwrap();
    let row = MessageRow { body_id: Some(body.id), ..message(here, 1, 2) };
    let spill = Spill {
        messages: vec![row, message(there, 1, 1)],
        inbox: vec![inbox(here, ann, 1, 1, 1), inbox(here, ben, 1, 0, 1), inbox(there, ann, 1, 1, 1)],
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();

    let strangers = acks(vec![
        ack(here, ann, 2, 1),
        ack(here, uid(3), 1, 1),
        ack(there, ben, 1, 1),
        ack(here, ann, 1, 2),
    ]);
    assert!(rig.spill(&shards[0], &strangers).await.unwrap().free.is_empty());
    let all = Waiting { journal: 0, messages: 2, inbox: 3, bodies: 1, chunks: 0 };
    assert_eq!(rig.store.waiting().await.unwrap(), all);

    // The same ack twice is one ack.
    let first = acks(vec![ack(here, ann, 1, 1), ack(here, ann, 1, 1)]);
    assert!(rig.spill(&shards[0], &first).await.unwrap().free.is_empty());
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting { inbox: 2, ..all });
    assert_eq!(rig.waiting_ids(here, ben, 1).await, [1]);

    let last = acks(vec![ack(here, ben, 1, 1)]);
    assert_eq!(rig.spill(&shards[0], &last).await.unwrap().free, [(here, body)]);
    // It counts until whoever removes it says that it is gone.
    assert_eq!(rig.store.waiting().await.unwrap().bodies, 1);
    rig.store.forget_freed(&[(here, body.id)]).await.unwrap();
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting { messages: 1, inbox: 1, bodies: 0, ..all });
    assert_eq!(rig.waiting_ids(there, ann, 1).await, [1], "the other site's message of the same id stays");
}

/// Goal: a message that both nodes ack in one period goes at once; method: both acks in one spill, three messages.
#[tokio::test]
async fn acks_of_one_spill_add_up() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let (site, ann) = (site(), uid(1));
    let places = || (1..=3_u64).flat_map(|id| [(1_i16, id), (2, id)]);
    let spill = Spill {
        messages: (1..=3).map(|id| message(site, id, 2)).collect(),
        inbox: places().map(|(num, id)| inbox(site, ann, num, 1, id)).collect(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    rig.spill(&shards[0], &acks(places().map(|(num, id)| ack(site, ann, num, id)).collect())).await.unwrap();
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting::default());
}

/// Goal: a new node is owed what the asking one is, but for what that has acked, and messages wait for both; method:
/// copy with an exception and to two nodes, then acks of each.
#[tokio::test]
async fn a_new_node_gets_the_backlog() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (here, there, ann, ben) = (site(), site(), uid(1), uid(2));
    let spill = Spill {
        messages: vec![message(here, 1, 1), message(here, 2, 2), message(here, 3, 1), message(there, 2, 1)],
        inbox: vec![
            inbox(here, ann, 1, 1, 1),
            inbox(here, ann, 1, 1, 2),
            inbox(here, ann, 1, 0, 3),
            inbox(here, ben, 1, 1, 2),
            inbox(there, ann, 1, 1, 2),
        ],
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    let copy = |to: i16, except: &[u64]| Change::CopyInbox {
        site: here,
        uid: ann,
        from: NodeNum(1),
        to: NodeNum(to),
        except: except.iter().map(|&id| MsgId(id)).collect(),
    };
    rig.commit(&mut shards[0], None, vec![copy(2, &[1]), copy(3, &[])]).await.unwrap();
    assert_eq!(rig.waiting_ids(here, ann, 2).await, [3, 2], "urgency is copied, too");
    assert_eq!(rig.waiting_ids(here, ann, 3).await, [3, 1, 2]);
    assert!(rig.waiting_ids(there, ann, 2).await.is_empty());
    assert_eq!(rig.waiting_ids(here, ben, 1).await, [2]);

    let done = |num: i16, ids: &[u64]| ids.iter().map(|&id| ack(here, ann, num, id)).collect::<Vec<_>>();
    let most = [done(1, &[1, 2, 3]), done(2, &[2, 3]), vec![ack(here, ben, 1, 2)]].concat();
    rig.spill(&shards[0], &acks(most)).await.unwrap();
    assert_eq!(rig.waiting_ids(here, ann, 3).await, [3, 1, 2]);
    rig.spill(&shards[0], &acks(done(3, &[1, 2, 3]))).await.unwrap();
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting { messages: 1, inbox: 1, ..Waiting::default() });
}

/// Goal: the sweeper gets exactly the bodies that nobody refers to, and nobody refers to those again; method: bodies held,
/// freed, and held elsewhere; then commits that refer to a condemned one, and to a free one beside it.
#[tokio::test]
async fn bodies_are_held_until_freed() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (here, there) = (site(), site());
    let held = |site, n| Change::BodyHeld { site, body: stored(n) };
    // Held twice is held once: a commit that is decided again says so again.
    let changes = vec![held(here, 1), held(here, 2), held(there, 3), held(here, 1)];
    rig.commit(&mut shards[0], None, changes).await.unwrap();
    rig.commit(&mut shards[0], None, vec![Change::BodyFree { site: here, body: stored(2) }]).await.unwrap();
    let name = |site, n: u128| (site, BodyId(Uuid::from_u128(n)));
    rig.store.forget_freed(&[name(here, 1), name(here, 2)]).await.unwrap();
    let asked = [name(here, 1), name(here, 2), name(here, 3), name(there, 3), name(there, 1)];
    let gone = HashSet::from([name(here, 2), name(here, 3), name(there, 1)]);
    assert_eq!(rig.store.condemn_bodies(&asked).await.unwrap(), gone);
    assert_eq!(rig.store.condemn_bodies(&asked).await.unwrap(), gone, "condemned twice is condemned");
    assert_eq!(rig.store.bodies_condemned(&asked).await.unwrap(), gone);
    assert_eq!(rig.store.waiting().await.unwrap().bodies, 2);

    for changes in [vec![held(here, 3)], vec![held(here, 4), held(here, 2)]] {
        let result = rig.commit(&mut shards[0], None, changes).await;
        assert!(matches!(result, Err(CommitError::BodyGone)), "{result:?}");
    }
    rig.commit(&mut shards[0], None, vec![held(here, 4), held(here, 1)]).await.unwrap();
    assert_eq!(rig.store.waiting().await.unwrap().bodies, 3);
    assert!(rig.store.condemn_bodies(&[name(here, 4)]).await.unwrap().is_empty());

    rig.store.forget_condemned().await.unwrap();
    assert_eq!(rig.store.bodies_condemned(&asked).await.unwrap(), gone, "a month has not passed");
    sqlx::query("UPDATE body SET swept_at = swept_at - interval '31 days'").execute(&rig.pool).await.unwrap();
    rig.store.forget_condemned().await.unwrap();
    assert!(rig.store.bodies_condemned(&asked).await.unwrap().is_empty());
}

/// Goal: a body that is freed is found by anybody until it is removed, and nobody refers to it again; method: bodies freed
/// by a commit, by one that never held it, and by a spill; lists of various ages and lengths; and commits that hold one.
#[tokio::test]
async fn freed_bodies_are_remembered_until_removed() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (here, there, ann) = (site(), site(), uid(1));
    let held = |site, n| Change::BodyHeld { site, body: stored(n) };
    let free = |site, n| Change::BodyFree { site, body: stored(n) };
    rig.commit(&mut shards[0], None, vec![held(here, 1), held(there, 1), held(here, 3)]).await.unwrap();
    rig.commit(&mut shards[0], None, vec![free(here, 1), free(there, 2), free(there, 2)]).await.unwrap();
    let row = MessageRow { body_id: Some(stored(3).id), ..message(here, 1, 1) };
    let spill = Spill { messages: vec![row], inbox: vec![inbox(here, ann, 1, 1, 1)], ..Spill::default() };
    rig.spill(&shards[0], &spill).await.unwrap();
    rig.spill(&shards[0], &acks(vec![ack(here, ann, 1, 1)])).await.unwrap();

    let freed = async |since, limit| -> HashSet<_> {
        rig.store.bodies_freed(since, limit).await.unwrap().into_iter().collect()
    };
    let all = HashSet::from([(here, stored(1)), (there, stored(2)), (here, stored(3))]);
    assert_eq!(freed(Duration::ZERO, 9).await, all);
    assert!(freed(Duration::from_hours(1), 9).await.is_empty());
    assert_eq!(freed(Duration::ZERO, 2).await.len(), 2);

    let result = rig.commit(&mut shards[0], None, vec![held(here, 1)]).await;
    assert!(matches!(result, Err(CommitError::BodyGone)), "{result:?}");
    let name = |site, n| (site, stored(n).id);
    let gone = rig.store.bodies_condemned(&[name(here, 1), name(there, 1), name(there, 2)]).await.unwrap();
    assert_eq!(gone, HashSet::from([name(here, 1), name(there, 2)]));
    assert!(rig.store.condemn_bodies(&[name(here, 1)]).await.unwrap().is_empty(), "others remove it");

    rig.store.forget_freed(&[name(here, 1), name(there, 1), name(there, 2)]).await.unwrap();
    assert_eq!(freed(Duration::ZERO, 9).await, HashSet::from([(here, stored(3))]));
    assert_eq!(rig.store.waiting().await.unwrap().bodies, 2, "and the one that is held");
}

/// Goal: places and acks of more than a statement writes are all written; method: a message for six thousand nodes and
/// one for a single one; then all ack.
#[tokio::test]
async fn a_message_to_thousands_is_spilled() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let here = site();
    let nodes = || (0..6_000_i16).map(|n| (uid(u8::try_from(n % 200).unwrap()), n));
    let places = nodes().map(|(uid, num)| inbox(here, uid, num, 1, 1));
    let spill = Spill {
        messages: vec![message(here, 1, 6_000), message(here, 2, 1)],
        inbox: places.chain([inbox(here, uid(7), 7, 1, 2)]).collect(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &spill).await.unwrap();
    assert_eq!(
        rig.store.waiting().await.unwrap(),
        Waiting { messages: 2, inbox: 6_001, ..Waiting::default() }
    );
    rig.spill(&shards[0], &acks(nodes().map(|(uid, num)| ack(here, uid, num, 1)).collect())).await.unwrap();
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting { messages: 1, inbox: 1, ..Waiting::default() });
}

/// Goal: what the database does not take of a spill takes nothing else with it, and no message is lost; method:
/// constraints by a foreign hand against two of nine messages, one of two acks, and the receipts; spilled twice; and a
/// parked message put back as its table says.
#[tokio::test]
async fn a_poisonous_message_is_parked() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (here, ann, ben) = (site(), uid(1), uid(2));
    let row = |id| MessageRow { body: Some(vec![7; 9].into()), ..message(here, id, 2) };
    let place = |id| [inbox(here, ann, 1, 1, id), inbox(here, ben, 2, 0, id)];
    let earlier = Spill {
        messages: [101, 102].map(row).into(),
        inbox: [101, 102].map(place).concat(),
        ..Spill::default()
    };
    rig.spill(&shards[0], &earlier).await.unwrap();
    rig.commit(&mut shards[0], Some(b"entry"), Vec::new()).await.unwrap();
    sqlx::raw_sql(
        "ALTER TABLE message ADD CONSTRAINT no_four CHECK (msg_id <> 4);
         ALTER TABLE inbox ADD CONSTRAINT no_six CHECK (msg_id <> 6);
         ALTER TABLE message ADD CONSTRAINT whole CHECK (msg_id <> 101 OR owed = 2);
         ALTER TABLE receipts ADD CONSTRAINT none CHECK (false) NOT VALID",
    )
    .execute(&rig.pool)
    .await
    .unwrap();
    let spill = Spill {
        messages: (1..=9).map(row).collect(),
        inbox: (1..=9).flat_map(place).collect(),
        acks: vec![ack(here, ann, 1, 101), ack(here, ann, 1, 102)],
        receipts: Some((1_000, b"pack".to_vec())),
        forget_receipts_before_ms: 0,
        usage: Vec::new(),
        traces: Vec::new(),
    };
    let error = rig.spill(&shards[0], &spill).await.unwrap_err();
    assert!(matches!(&error, CommitError::Store(error) if error.is_about_data()), "{error:?}");
    assert_eq!(rig.journal(shards[0].shard).await.len(), 1, "nothing has happened");

    for _ in 0..2 {
        let shard = &shards[0];
        let spilled =
            rig.store.spill_carefully(shard.shard, shard.epoch, shard.commits, &spill).await.unwrap();
        let parts: Vec<Part> = spilled.refused.iter().map(|refused| refused.part).collect();
        let refused = |id| Part::Message(here, MsgId(id));
        assert_eq!(parts, [refused(4), refused(6), Part::Ack(here, MsgId(101)), Part::Receipts]);
    }
    assert!(rig.journal(shards[0].shard).await.is_empty());
    assert_eq!(rig.waiting_ids(here, ann, 1).await, [1, 2, 3, 5, 7, 8, 9, 101]);
    assert_eq!(rig.waiting_ids(here, ben, 2).await, [1, 2, 3, 5, 7, 8, 9, 101, 102]);
    assert_eq!(rig.count("SELECT count(*) FROM message_parked WHERE reason LIKE '%no_%'").await, 2);

    sqlx::raw_sql(
        "ALTER TABLE message DROP CONSTRAINT no_four;
         INSERT INTO message (site_id, msg_id, owed, header, body, body_id)
             SELECT site_id, msg_id, cardinality(uids), header, body, body_id FROM message_parked WHERE msg_id = 4;
         INSERT INTO inbox (site_id, uid, node, urgency, msg_id)
             SELECT site_id, unnest(uids), unnest(nodes), unnest(urgencies), msg_id FROM message_parked WHERE msg_id = 4",
    )
    .execute(&rig.pool)
    .await
    .unwrap();
    assert_eq!(rig.waiting_ids(here, ann, 1).await, [1, 2, 3, 4, 5, 7, 8, 9, 101]);
    assert_eq!(rig.waiting_ids(here, ben, 2).await[3], 4);
}

/// Goal: a commit and a sweep at the same moment cannot both win; method: each begins while the other's transaction is
/// open, and goes on when that is over.
#[tokio::test]
async fn a_body_is_either_held_or_condemned() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let (here, store) = (site(), rig.store.clone());
    let blocked = async || {
        let locks = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting = async || (rig.count(locks).await > 0).then_some(());
        tmtp_testkit::eventually(DEADLINE, "the other to wait", waiting).await.unwrap();
    };
    let other = async |n, swept_at: Option<&str>| {
        let mut tx = rig.pool.begin().await.unwrap();
        sqlx::query(
            "INSERT INTO body (site_id, body_id, len, chunk, swept_at) VALUES ($1, $2, 0, 0, $3::text::timestamptz)",
        )
        .bind(here.0)
        .bind(stored(n).id.0)
        .bind(swept_at)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx
    };
    let tx = other(1, None).await;
    let sweep = tokio::spawn({
        let store = store.clone();
        async move { store.condemn_bodies(&[(here, stored(1).id)]).await }
    });
    blocked().await;
    tx.commit().await.unwrap();
    assert!(sweep.await.unwrap().unwrap().is_empty());

    let tx = other(2, Some("2026-01-01")).await;
    let changes = vec![Change::BodyHeld { site: here, body: stored(2) }];
    let commit = Commit { shards: vec![ShardCommit { changes, ..part(&shards[0]) }] };
    let commit = tokio::spawn(async move { store.commit(&commit).await });
    blocked().await;
    tx.commit().await.unwrap();
    assert!(matches!(commit.await.unwrap(), Err(CommitError::BodyGone)));
}
