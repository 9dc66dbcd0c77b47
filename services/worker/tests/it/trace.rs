//! The delivery trace: which steps are noted, once each, whoever owns the shard.

use std::sync::Arc;

use tmtp_contract::{
    AdminAnswer, AdminChange, AdminOutcome, Body, Command, JournalEntry, Step, StepKind, TracePack,
};
use tmtp_domain::policy::Expired;
use tmtp_domain::{GatewayId, MsgId, NodeNum, Uid};
use tmtp_store::{Change, DropReason, TraceDrop, TraceRow};
use tmtp_worker::home::{Limits, NodeKey, Old, World, expired_ids};

use crate::admin::{answer, ask, request};
use crate::rig::{ANN, BEN, G1, G2, HERE, LIMITS, Rig, acks, login, new_node, post, post_body};

/// A step as the cases name it: what, whose, at which node.
type Told = (StepKind, Option<Uid>, i16);

fn told(steps: &[Step]) -> Vec<Told> {
    steps.iter().map(|step| (step.kind, step.uid, step.node.0)).collect()
}

/// All steps of a message that spills have written, and that are in memory.
fn steps(rig: &Rig, id: MsgId) -> Vec<Step> {
    let now = rig.home.spill(rig.now).unwrap().traces;
    rig.traces.iter().chain(&now).flat_map(|row| of_row(row, id)).collect()
}

fn of_row(row: &TraceRow, id: MsgId) -> Vec<Step> {
    let pack: TracePack = tmtp_contract::decode(&row.pack).unwrap();
    let steps = pack.steps_of(id);
    if !steps.is_empty() {
        assert_eq!((row.site, row.span), (HERE, TracePack::span(id)));
        assert!(row.ids.0 <= id && id <= row.ids.1);
    }
    steps
}

/// Goal: a message that is delivered at once has all its steps, in order, with who, where and when; method: a post
/// between two who are there, at two gateways.
#[test]
fn an_online_delivery() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G2, 1), BEN, 1);
    let (id, posted) = rig.run((G1, 1), post(1, &[BEN])).posted();
    rig.run((G2, 1), acks(&[id]));
    let found = steps(&rig, id);
    assert_eq!(
        told(&found),
        [
            (StepKind::Accepted, Some(ANN), 1),
            (StepKind::Queued, Some(BEN), 1),
            (StepKind::Committed, None, 0),
            (StepKind::Sent, Some(BEN), 1),
            (StepKind::Acked, Some(BEN), 1),
        ]
    );
    let gateways: Vec<Option<GatewayId>> = found.iter().map(|step| step.gateway).collect();
    assert_eq!(gateways, [None, None, None, Some(G2), None]);
    assert!(found[..4].iter().all(|step| step.at_ms == posted.0), "the rig's clock stands between commands");
    assert_eq!(found[4].at_ms, rig.now.millis());
    let devices: Vec<u32> = found.iter().map(|step| step.devices).collect();
    assert_eq!(devices, [0, 1, 0, 1, 1]);
}

/// Goal: what happens to a message after it has become a row is found with it, however late, and each step once; method: a
/// post to somebody who comes an hour later, with spills between all steps.
#[test]
fn a_late_delivery() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.spill();
    let (id, _) = rig.run((G1, 1), post(1, &[BEN])).posted();
    rig.spill();
    rig.now.nanos += 3_600_000_000_000;
    rig.run((G2, 1), login(BEN, 1));
    rig.spill();
    rig.run((G2, 1), acks(&[id]));
    rig.spill();
    let late = [
        (StepKind::Accepted, Some(ANN), 1),
        (StepKind::Queued, Some(BEN), 1),
        (StepKind::Committed, None, 0),
        (StepKind::Sent, Some(BEN), 1),
        (StepKind::Acked, Some(BEN), 1),
    ];
    assert_eq!(told(&steps(&rig, id)), late);
    let spans: Vec<i64> = rig.traces.iter().map(|row| row.span).collect();
    assert!(spans.iter().any(|span| *span != TracePack::span(id)), "other messages are in other packs");
    assert!(rig.home.spill(rig.now).unwrap().traces.is_empty(), "what is spilled is not spilled again");
}

/// Goal: what was noted and is in the journal is noted by a new owner exactly, and what is in packs not again; method: at
/// each point of a story, the home beside one that is made of the journal, with a spill in the middle.
#[test]
fn a_new_owner_notes_the_same() {
    let mut rig = Rig::new();
    rig.member(HERE, ANN, 2);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(rig.run((G1, 1), post(n, &[BEN, ANN])).posted().0);
    }
    let story = [
        Some(((G1, 2), acks(&ids[..1]))),
        Some(((G1, 2), new_node(5, BEN, 2))),
        None,
        Some(((G1, 2), acks(&ids[1..2]))),
        Some(((G1, 1), post(6, &[BEN]))),
        Some(((G1, 2), Command::Detach)),
    ];
    let mut compared = 0;
    for turn in story {
        if let Some((who, command)) = turn {
            rig.run(who, command);
        } else {
            rig.spill();
            // It empties the journal.
            rig.commits.clear();
        }
        let next = Rig::recovered(&rig.journal(), LIMITS, &[]);
        let [ours, theirs] = [&rig, &next].map(|rig| all_but_sent(&rig.home.spill(rig.now).unwrap().traces));
        assert_eq!(ours, theirs);
        compared += ours.len();
    }
    assert!(compared > 30, "{compared}");
    let acked: Vec<Step> = steps(&rig, ids[1]).into_iter().filter(|s| s.kind == StepKind::Acked).collect();
    assert_eq!(told(&acked), [(StepKind::Acked, Some(BEN), 1)]);
}

fn all_but_sent(rows: &[TraceRow]) -> Vec<(MsgId, Step)> {
    let packs = rows.iter().map(|row| tmtp_contract::decode::<TracePack>(&row.pack).unwrap());
    let steps = packs.flat_map(|pack| pack.steps().collect::<Vec<_>>());
    steps.filter(|(_, step)| step.kind != StepKind::Sent).collect()
}

/// Goal: a message that waits too long has a step at each device it is dropped for, and one when its sender is told, also
/// for a new owner; method: in memory and in rows, at sites that drop and that return.
#[test]
fn an_expiry() {
    for (spills, is_returned) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut rig = Rig::new();
        rig.member(HERE, BEN, 2);
        let policy = &mut rig.sites.get_mut(&HERE).unwrap().policy.undelivered;
        policy.days_max = Some(1);
        policy.expired = if is_returned { Expired::Return } else { Expired::Drop };
        rig.log_in((G1, 1), ANN, 1);
        let (id, _) = rig.run((G1, 1), post(1, &[BEN])).posted();
        let mut rows = Vec::new();
        if spills {
            rig.spill();
            rig.commits.clear();
            let message = rig.row_message(BEN, 1, id).unwrap();
            rows = [1, 2]
                .map(|node| Old {
                    key: NodeKey { site: HERE, uid: BEN, node: NodeNum(node) },
                    message: Arc::clone(&message),
                })
                .into();
        }
        rig.now.nanos += 2 * 24 * 3_600 * 1_000_000_000;
        let mut facts = std::mem::take(&mut rig.facts);
        let world = World { sites: &rig.sites, facts: &mut facts };
        assert_eq!(rig.home.expire(rig.now, &expired_ids(&rig.sites, rig.now), rows, &world), 1);
        rig.settle();
        let mut expected = vec![(StepKind::Expired, Some(BEN), 1), (StepKind::Expired, Some(BEN), 2)];
        if is_returned {
            expected.insert(1, (StepKind::Returned, None, 0));
        }
        let ends = |rig: &Rig| {
            let ends = steps(rig, id).into_iter();
            let ends = ends.filter(|step| matches!(step.kind, StepKind::Expired | StepKind::Returned));
            ends.collect::<Vec<_>>()
        };
        assert_eq!(told(&ends(&rig)), expected);
        let next = Rig::recovered(&rig.journal(), LIMITS, &[]);
        assert_eq!(ends(&next), ends(&rig), "a new owner");
        assert!(steps(&rig, id).iter().all(|step| step.kind != StepKind::Acked));
    }
}

/// Goal: a dropped queue is noted with its reason in the commit that drops it, but not of somebody who is erased; method:
/// each way to drop a queue.
#[test]
fn dropped_queues() {
    let drops = |rig: &Rig| {
        let changes = rig.commits.iter().flat_map(|commit| &commit.changes);
        let drops = changes.filter_map(|change| match change {
            Change::DropInbox { trace, .. } => Some(*trace),
            _ => None,
        });
        drops.collect::<Vec<_>>()
    };
    let node = NodeNum(1);
    let status = tmtp_domain::MemberStatus::Deactivated;
    for (change, reason) in [
        (AdminChange::DropQueue { uid: BEN, node }, Some(DropReason::Admin)),
        (AdminChange::RevokeNode { uid: BEN, node }, Some(DropReason::Revoked)),
        (AdminChange::MemberStatus { uid: BEN, status }, Some(DropReason::Deactivated)),
        (AdminChange::Erase { uid: BEN }, None),
    ] {
        let mut rig = Rig::new();
        rig.log_in((G1, 1), ANN, 1);
        let (id, _) = rig.run((G1, 1), post(1, &[BEN])).posted();
        ask(&mut rig, request("a", change));
        assert_eq!(drops(&rig), [reason.map(|reason| TraceDrop { last_id: id, reason })]);
    }
}

/// Goal: a message for thousands costs a bounded number of steps, and all are counted; one for nobody has a trace, too, and
/// what is copied for a new device is queued there; method: each.
#[test]
fn many_and_none() {
    let mut rig = Rig::new();
    let many: Vec<Uid> = (10..=200).map(|n| Uid([n; 20])).collect();
    for uid in &many {
        rig.member(HERE, *uid, 1);
    }
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    let (id, _) = rig.run((G1, 1), post(1, &many)).posted();
    let queued: Vec<Step> = steps(&rig, id).into_iter().filter(|s| s.kind == StepKind::Queued).collect();
    assert_eq!(queued.len(), TracePack::LISTED_MAX + 1);
    assert_eq!(queued.iter().map(|step| step.devices).sum::<u32>(), 191);

    let body = Body::Inline(b"nobody reads this".as_slice().into());
    let (id, _) = rig.run((G1, 1), post_body(2, &[], body)).posted();
    let none =
        [(StepKind::Accepted, Some(ANN), 1), (StepKind::Queued, None, 0), (StepKind::Committed, None, 0)];
    assert_eq!(told(&steps(&rig, id)), none);
    let entry = rig.commits.last().unwrap().entry.clone().unwrap();
    assert!(!entry.windows(6).any(|octets| octets == b"nobody"), "its data is nowhere");
    let next = Rig::recovered(&rig.journal(), LIMITS, &[]);
    assert_eq!(told(&steps(&next, id)), none);

    let (id, _) = rig.run((G1, 1), post(3, &[BEN])).posted();
    rig.run((G1, 2), new_node(4, BEN, 2));
    let queued = steps(&rig, id).into_iter().filter(|step| step.kind == StepKind::Queued);
    assert_eq!(
        told(&queued.collect::<Vec<_>>()),
        [(StepKind::Queued, Some(BEN), 1), (StepKind::Queued, Some(BEN), 2)]
    );
}

/// Goal: what is not in rows yet can be asked for, and is neither noted nor remembered as a change; method: ask for a
/// message that waits, one whose row was acked, and one that nobody knows.
#[test]
fn the_home_is_asked() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let (row, _) = rig.run((G1, 1), post(1, &[BEN])).posted();
    rig.spill();
    rig.run((G2, 1), login(BEN, 1));
    rig.run((G2, 1), acks(&[row]));
    let (id, _) = rig.run((G1, 1), post(2, &[BEN])).posted();
    let commits = rig.commits.len();
    let mut ask = |id| match answer(&ask(&mut rig, request("a", AdminChange::Trace { id }))) {
        AdminAnswer::Done { outcome: AdminOutcome::Trace { pack, owed, acks } } => {
            (told(&pack.steps_of(id)), owed, acks)
        }
        other => panic!("{other:?}"),
    };
    let (found, owed, acks) = ask(id);
    assert_eq!((found.len(), found[0], owed, acks), (4, (StepKind::Accepted, Some(ANN), 1), 1, 0));
    let (found, owed, acks) = ask(row);
    assert_eq!(found, [(StepKind::Sent, Some(BEN), 1), (StepKind::Acked, Some(BEN), 1)]);
    assert_eq!((owed, acks), (0, 1));
    assert_eq!(ask(MsgId(1)), (vec![], 0, 0));
    assert_eq!(rig.commits.len(), commits);
}

/// Goal: where no traces are kept nothing is noted, in memory or in the journal; method: a story without them.
#[test]
fn no_traces() {
    let mut rig = Rig::with(Limits { traces: false, ..LIMITS }, &[]);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G2, 1), BEN, 1);
    let (id, _) = rig.run((G1, 1), post(1, &[BEN])).posted();
    rig.run((G2, 1), acks(&[id]));
    rig.run((G1, 1), post(2, &[ANN])).posted();
    assert_eq!(rig.home.held_bytes(), rig.home.owed_bytes());
    assert!(rig.home.spill(rig.now).unwrap().traces.is_empty());
    for entry in rig.journal().journal {
        let entry: JournalEntry = tmtp_contract::decode(&entry).unwrap();
        assert_eq!(entry.at_ms, None);
    }
    ask(&mut rig, request("a", AdminChange::DropQueue { uid: BEN, node: NodeNum(1) }));
    let last = rig.commits.last().unwrap();
    assert!(last.changes.iter().any(|change| matches!(change, Change::DropInbox { trace: None, .. })));
}

/// Goal: steps in memory are bounded: they count for the spill; method: what a message leaves that nobody is owed any more.
#[test]
fn steps_count_for_the_spill() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G2, 1), BEN, 1);
    rig.spill();
    let before = rig.home.held_bytes();
    let (id, _) = rig.run((G1, 1), post(1, &[BEN])).posted();
    rig.run((G2, 1), acks(&[id]));
    assert!(rig.home.held_bytes() > before);
    rig.spill();
    assert_eq!(rig.home.held_bytes(), rig.home.owed_bytes());
}
