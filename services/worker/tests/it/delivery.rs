//! Delivery to a session: the window, the order, what waits for what, and what a session that comes back gets
//! (invariants I4 and I5).

use tmtp_contract::{Answer, Body, Command, Content};
use tmtp_domain::{MsgId, Uid};
use tmtp_worker::home::{Limits, SpillPolicy, Window};

use crate::rig::{
    ANN, BEN, G1, G2, HERE, LIMITS, Rig, acks, attach, login, new_alias, new_node, post, post_body,
};

/// Ann posts, Ben receives through this window.
fn through(count: usize, bytes: usize) -> Rig {
    let mut rig = Rig::with(Limits { window: Window { count, bytes }, ..LIMITS }, &[]);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    rig
}

/// Posts of Ann to Ben; their ids, and what Ben's session got of them.
fn posts(rig: &mut Rig, numbers: std::ops::RangeInclusive<u8>) -> (Vec<MsgId>, Vec<MsgId>) {
    let (mut ids, mut got) = (Vec::new(), Vec::new());
    for n in numbers {
        let told = rig.run((G1, 1), post(n, &[BEN]));
        ids.push(told.posted().0);
        got.extend(told.delivered((G1, 2)));
    }
    (ids, got)
}

/// Goal: no more than the window's count is in flight, and each ack lets the next one go; method: windows of one and
/// of three, five messages.
#[test]
fn the_window_counts() {
    for count in [1, 3] {
        let mut rig = through(count, 1 << 20);
        let (ids, mut got) = posts(&mut rig, 1..=5);
        assert_eq!(got, ids[..count]);
        for done in 0..5 {
            let told = rig.run((G1, 2), acks(&[ids[done]]));
            got.extend(told.delivered((G1, 2)));
            assert_eq!(got, ids[..(done + 1 + count).min(5)]);
        }
        assert_eq!(rig.waiting(), 0);
    }
}

/// Goal: octets in flight are bounded, yet one message always goes; method: a window smaller than one message, one
/// that holds two, and a message larger than the window.
#[test]
fn the_window_weighs() {
    let mut rig = through(100, 1);
    let (ids, got) = posts(&mut rig, 1..=3);
    assert_eq!(got, ids[..1]);
    assert_eq!(rig.run((G1, 2), acks(&ids[..1])).delivered((G1, 2)), ids[1..2]);

    let mut rig = through(100, 5_000);
    let large = |n| post_body(n, &[BEN], Body::Inline(vec![n; 4_000].into()));
    let told = [1, 2, 3].map(|n| rig.run((G1, 1), large(n)).delivered((G1, 2)).len());
    assert_eq!(told, [1, 1, 0]);
    let mut rig = through(100, 5_000);
    let told = rig.run((G1, 1), post_body(1, &[BEN], Body::Inline(vec![1; 30_000].into())));
    assert_eq!(told.delivered((G1, 2)), [told.posted().0]);
}

/// Goal: urgent messages overtake what waits, and nothing else does; method: fill a window of one, then an alias
/// among posts.
#[test]
fn urgent_messages_overtake() {
    let mut rig = through(1, 1 << 20);
    let (ids, mut got) = posts(&mut rig, 1..=3);
    rig.run((G1, 2), new_alias(9, "Ben's name"));
    let mut contents = Vec::new();
    for _ in 0..4 {
        let told = rig.run((G1, 2), acks(&got[got.len() - 1..]));
        got.extend(told.delivered((G1, 2)));
        contents.extend(told.contents((G1, 2)));
    }
    assert_eq!((got[0], &got[2..]), (ids[0], &ids[1..]));
    assert_eq!(contents[0], Content::NewAlias { alias: "Ben's name".into() });
}

/// Goal: a client that posted before its session was opened anew sees its acks before any answer to its posts; method:
/// an attach with two commands behind it, a message from somebody else between each.
#[test]
fn deliveries_wait_for_pending_commands() {
    let mut rig = through(8, 1 << 20);
    let (first, _) = posts(&mut rig, 1..=1);
    let told = rig.run((G1, 2), attach(BEN, 1, &[], 2));
    assert_eq!(told.answer(), &Answer::Attached);
    assert!(told.delivered((G1, 2)).is_empty());
    let (second, got) = posts(&mut rig, 2..=2);
    assert!(got.is_empty());
    assert!(rig.run((G1, 2), post(1, &[ANN])).delivered((G1, 2)).is_empty());
    let (third, got) = posts(&mut rig, 3..=3);
    assert!(got.is_empty());
    let told = rig.run((G1, 2), post(2, &[ANN]));
    assert_eq!(told.delivered((G1, 2)), [first, second, third].concat());
}

/// Goal: a session that comes back is not sent what it has, and all of it when it says so; method: attach with all, a
/// part and none of what is in flight.
#[test]
fn what_is_in_flight_is_not_sent_again() {
    let mut rig = through(3, 1 << 20);
    let (ids, _) = posts(&mut rig, 1..=4);
    assert!(rig.run((G1, 2), attach(BEN, 1, &ids[..3], 0)).delivered((G1, 2)).is_empty());
    assert_eq!(rig.run((G1, 2), attach(BEN, 1, &ids[..1], 0)).delivered((G1, 2)), ids[1..3]);
    assert_eq!(rig.run((G1, 2), attach(BEN, 1, &[], 0)).delivered((G1, 2)), ids[..3]);
    // Acks of either opening count.
    assert_eq!(rig.run((G1, 2), acks(&ids[..3])).delivered((G1, 2)), ids[3..]);
}

/// Goal: an ack that was on its way when the session was opened anew still counts; method: attach without the message
/// in flight, its ack as the pending command, with the message in memory and in rows.
#[test]
fn an_ack_behind_an_attach_counts() {
    let mut rig = through(3, 1 << 20);
    let (ids, _) = posts(&mut rig, 1..=2);
    rig.run((G1, 2), attach(BEN, 1, &ids[1..], 1));
    let told = rig.run((G1, 2), acks(&ids[..1]));
    assert!(told.delivered((G1, 2)).is_empty());
    assert_eq!(rig.waiting(), 1);

    rig.spill();
    rig.home.gateway_is_gone(G1);
    assert!(rig.run((G2, 1), attach(BEN, 1, &[], 1)).delivered((G2, 1)).is_empty());
    let told = rig.run((G2, 1), acks(&ids[1..]));
    assert!(told.delivered((G2, 1)).is_empty(), "acked, though its row is still there");
    assert_eq!(rig.rows(BEN, 1), 1);
    rig.spill();
    assert_eq!(rig.rows(BEN, 1), 0);
}

/// Goal: what was in flight when a session ended is sent to the next; method: detach, and lose the gateway.
#[test]
fn what_was_in_flight_waits_again() {
    let mut rig = through(8, 1 << 20);
    let (ids, _) = posts(&mut rig, 1..=2);
    rig.run((G1, 2), Command::Detach);
    let told = rig.run((G1, 3), login(BEN, 1));
    assert_eq!(told.delivered((G1, 3))[..2], ids);
    rig.home.gateway_is_gone(G1);
    let told = rig.run((G2, 1), login(BEN, 1));
    assert_eq!(told.delivered((G2, 1))[..2], ids);
    assert_eq!(told.contents((G2, 1)).len(), 4, "and two notices");
}

/// Goal: a delivery names the opening that it belongs to; method: deliveries before and after an attach.
#[test]
fn deliveries_name_their_opening() {
    let mut rig = through(8, 1 << 20);
    let opened = |told: &crate::rig::Told| match &told.0.pushes[..] {
        [(_, tmtp_contract::Event::Deliver { opened, .. })] => *opened,
        other => panic!("{other:?}"),
    };
    let told = rig.run((G1, 1), post(1, &[BEN]));
    assert_eq!(opened(&told), 1);
    assert_eq!(opened(&rig.run_at(HERE, (G1, 2), 77, attach(BEN, 1, &[], 0))), 77);
}

/// Goal: a spill moves what waits into rows without sending anything twice or out of order; method: windows of one to
/// three, spills before and behind an alias among posts, and a session that comes back halfway.
#[test]
fn a_spill_does_not_disturb_delivery() {
    for count in 1..=3 {
        let mut rig = through(count, 1 << 20);
        let (mut ids, mut got) = posts(&mut rig, 1..=4);
        assert!(rig.spill().0.pushes.is_empty(), "the window is full");
        assert_eq!(rig.home.owed_bytes(), 0);
        rig.run((G1, 2), new_alias(9, "Ben's name"));
        assert!(rig.spill().0.pushes.is_empty());
        let (late, _) = posts(&mut rig, 5..=6);
        ids.extend(late);

        let told = rig.run((G1, 2), acks(&ids[..1]));
        assert_eq!(told.contents((G1, 2)), [Content::NewAlias { alias: "Ben's name".into() }]);
        got.extend(told.delivered((G1, 2)));
        let alias = got.remove(count);
        got.extend(rig.run((G1, 2), acks(&[alias])).delivered((G1, 2)));
        for done in 1..ids.len() {
            assert_eq!(got, ids[..(done + count).min(ids.len())]);
            if done == 3 {
                let flying = &ids[done..(done + count)];
                assert!(rig.run((G1, 2), attach(BEN, 1, flying, 0)).0.pushes.is_empty());
            }
            got.extend(rig.run((G1, 2), acks(&ids[done..=done])).delivered((G1, 2)));
            got.extend(rig.spill().delivered((G1, 2)));
        }
        assert_eq!(got, ids);
        assert_eq!((rig.waiting(), rig.rows(BEN, 1)), (0, 0));
    }
}

/// Goal: a message that cannot be read hides nothing behind it; method: spill more than a page, of which one is unreadable:
/// the first, one in the middle, and a whole page.
#[test]
fn an_unreadable_message_is_passed_over() {
    for bad in [0..1, 2..3, 0..4] {
        let mut rig = through(4, 1 << 20);
        rig.run((G1, 2), Command::Detach);
        let (ids, _) = posts(&mut rig, 1..=10);
        rig.spill();
        rig.unreadable = ids[bad.clone()].iter().copied().collect();
        let mut told = rig.run((G1, 3), attach(BEN, 1, &[], 0));
        let mut got = Vec::new();
        while !told.delivered((G1, 3)).is_empty() {
            let some = told.delivered((G1, 3));
            told = rig.run((G1, 3), acks(&some));
            got.extend(some);
        }
        let readable: Vec<MsgId> = ids.iter().copied().filter(|id| !rig.unreadable.contains(id)).collect();
        assert_eq!(got, readable);
        rig.spill();
        assert_eq!(rig.rows(BEN, 1), bad.len(), "they stay for a release that can read them");
    }
}

/// Goal: what was read for a session that has no room for it does not stay in memory, and comes in its turn; method: large
/// messages in rows behind a window that is full but for one, and whose octets are held by the session.
#[test]
fn a_slow_session_does_not_keep_its_page() {
    let mut rig = through(100, 100_000);
    let ids: Vec<MsgId> = (1..=40)
        .map(|n| {
            let body = Body::Inline(vec![n; 10_000].into());
            rig.run((G1, 1), post_body(n, &[BEN], body)).posted().0
        })
        .collect();
    rig.spill();
    let mut got = ids[..10].to_vec();
    for done in 0..ids.len() {
        got.extend(rig.run((G1, 2), acks(&ids[done..=done])).delivered((G1, 2)));
        assert_eq!(got, ids[..(done + 11).min(ids.len())]);
        assert!(rig.held(BEN, 1) <= 2, "{} messages held", rig.held(BEN, 1));
    }
    assert!(rig.pages < ids.len(), "{} pages", rig.pages);
}

/// Goal: a home spills by age, by octets and by acks, and never without need; method: each bound alone.
#[test]
fn a_spill_is_due_in_time() {
    let never =
        SpillPolicy { after: std::time::Duration::from_hours(1), bytes: usize::MAX, acks: usize::MAX };
    let soon = SpillPolicy { after: std::time::Duration::ZERO, ..never };
    let mut rig = Rig::new();
    assert!(!rig.home.spill_is_due(soon, rig.now), "an empty journal");
    rig.log_in((G1, 1), ANN, 1);
    assert!(rig.home.spill_is_due(soon, rig.now));
    assert!(!rig.home.spill_is_due(never, rig.now));
    rig.now.nanos += 3_600_000_000_000;
    assert!(rig.home.spill_is_due(never, rig.now));
    rig.spill();
    assert!(!rig.home.spill_is_due(soon, rig.now));

    rig.log_in((G1, 2), BEN, 1);
    let (ids, _) = posts(&mut rig, 1..=2);
    assert!(rig.home.held_bytes() > 0);
    assert!(rig.home.spill_is_due(SpillPolicy { bytes: rig.home.held_bytes(), ..never }, rig.now));
    assert!(!rig.home.spill_is_due(SpillPolicy { bytes: rig.home.held_bytes() + 1, ..never }, rig.now));
    rig.spill();
    rig.run((G1, 2), acks(&ids));
    assert!(rig.home.spill_is_due(SpillPolicy { acks: 2, ..never }, rig.now));
    assert!(!rig.home.spill_is_due(SpillPolicy { acks: 3, ..never }, rig.now));
}

/// Goal: memory is counted for every queue that a message stands in, not once for all of them; method: one post to three
/// hundred nodes against one to a single node, a copy for a new node, and everything acked again.
#[test]
fn a_message_weighs_in_every_queue() {
    let mut rig = through(8, 1 << 20);
    let crowd: Vec<Uid> = (10..=159).map(|n| Uid([n; 20])).collect();
    for uid in &crowd {
        rig.member(HERE, *uid, 2);
    }
    rig.run((G1, 1), post(1, &[BEN]));
    let one = rig.home.owed_bytes();
    rig.run((G1, 1), post(2, &crowd));
    let places = rig.home.owed_bytes() - one;
    assert!(places >= 300 * 200, "{places} octets for 300 places");

    rig.run((G1, 2), new_node(3, BEN, 2));
    let more = rig.home.owed_bytes() - places - one;
    assert!(more >= 2 * one / 3, "{more} octets for a copy and a notice, {one} for a message");

    let journal = rig.journal();
    let next = Rig::recovered(&journal, LIMITS, &[]);
    assert_eq!(next.home.owed_bytes(), rig.home.owed_bytes(), "a new owner counts the same");
}
