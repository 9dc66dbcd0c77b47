//! Spilled messages: in order to their nodes, copied to new ones, gone with the last ack.

use tmtp_domain::{BodyId, MsgId, NodeNum, SiteId};
use tmtp_store::{Change, MessageRow, Spill, Waiting};
use uuid::Uuid;

use crate::rig::{Rig, ack, acks, inbox, message, page, stored, uid};

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
    assert_eq!(pages[0][0].body.as_deref(), Some(&b"elsewhere"[..]));
    let order: Vec<(i16, u64)> = pages[1].iter().map(|row| (row.urgency, row.msg_id.0)).collect();
    assert_eq!(order, [(0, 20), (0, 40), (1, 10), (1, 30)]);
    assert!(pages[1].iter().all(|row| row.header == row.msg_id.0.to_string().into_bytes()));
    assert_eq!(pages[1][2].body.as_deref(), Some(&b"ten"[..]));
    assert_eq!(pages[1][3].body, None);
    assert!(pages[2].is_empty());
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

    let read = rig.store.pages(&[page(here, ann, 1, (-1, 0), 200)]).await.unwrap().remove(0);
    let ids: Vec<u64> = read.iter().map(|row| row.msg_id.0).collect();
    assert_eq!(ids, Vec::from_iter(1..=100));
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
            let places: Vec<_> = pages.remove(0).iter().map(|row| (row.urgency, row.msg_id.0)).collect();
            assert!(places.len() <= usize::try_from(limit).unwrap());
            let Some(last) = places.last() else { break };
            after = *last;
            walked.extend(places);
        }
        assert_eq!(walked, order, "pages of {limit}");
    }
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
    let all = Waiting { journal: 0, messages: 2, inbox: 3, bodies: 1 };
    assert_eq!(rig.store.waiting().await.unwrap(), all);

    // The same ack twice is one ack.
    let first = acks(vec![ack(here, ann, 1, 1), ack(here, ann, 1, 1)]);
    assert!(rig.spill(&shards[0], &first).await.unwrap().free.is_empty());
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting { inbox: 2, ..all });
    assert_eq!(rig.waiting_ids(here, ben, 1).await, [1]);

    let last = acks(vec![ack(here, ben, 1, 1)]);
    assert_eq!(rig.spill(&shards[0], &last).await.unwrap().free, [(here, body)]);
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

/// Goal: the sweeper is told exactly which bodies are referred to; method: bodies held, freed, and held elsewhere.
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
    let asked = [name(here, 1), name(here, 2), name(here, 3), name(there, 3), name(there, 1)];
    let answer = rig.store.bodies_held(&asked).await.unwrap();
    assert_eq!(answer, [name(here, 1), name(there, 3)].into());
}
