//! A new owner from the journal alone: it owes what the last one owed at its last commit, and skips what is replayed.

use tmtp_contract::{Body, BodyRef, Command, JournalEntry, ReceiptPack};
use tmtp_domain::{BodyId, MsgId};
use tmtp_store::{OwnedShard, Recovery};
use tmtp_worker::home::Home;
use uuid::Uuid;

use crate::rig::{
    ANN, BEN, EPOCH, G1, HERE, LIMITS, Rig, acks, attach, new_alias, new_node, post, post_body,
};

/// A message id, a node, and an urgency.
type Owes = (u64, i16, i16);

/// What a home owes: message, node, and to how many in all.
fn owes(rig: &Rig) -> (Vec<Owes>, Vec<(u64, u32)>) {
    let spill = rig.home.spill(rig.now).unwrap();
    let mut inbox: Vec<_> = spill.inbox.iter().map(|row| (row.msg_id.0, row.node.0, row.urgency)).collect();
    let mut messages: Vec<_> = spill.messages.iter().map(|row| (row.msg_id.0, row.owed)).collect();
    inbox.sort_unstable();
    messages.sort_unstable();
    (inbox, messages)
}

/// Goal: replaying any part of the journal gives the home of that moment; method: recover after each of some commits
/// and compare with the home as it was then.
#[test]
fn the_journal_tells_what_is_owed() {
    let mut rig = Rig::new();
    rig.member(HERE, ANN, 2);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(rig.run((G1, 1), post(n, &[BEN, ANN])).posted().0);
    }
    let commands = [
        ((G1, 2), acks(&ids[..1])),
        ((G1, 1), acks(&ids[1..])),
        ((G1, 2), new_alias(4, "Ben's name")),
        ((G1, 2), new_node(5, BEN, 2)),
        ((G1, 2), acks(&ids[1..2])),
        ((G1, 2), Command::Detach),
    ];
    for (who, command) in commands {
        rig.run(who, command);
        let next = Rig::recovered(&rig.journal(), LIMITS, &[]);
        assert_eq!(owes(&next), owes(&rig));
        assert_eq!(next.home.owed_bytes(), rig.home.owed_bytes());
    }
    assert!(owes(&rig).0.len() > 4);
}

/// Goal: what was decided and not committed has not happened; method: decide a post, and recover without a commit.
#[test]
fn what_is_not_committed_has_not_happened() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let envelope = tmtp_contract::Envelope {
        site: HERE,
        session: tmtp_domain::SessionId(1),
        seq: 3,
        trace: None,
        command: post(1, &[BEN]),
    };
    rig.decide(G1, envelope);
    assert_eq!(rig.waiting(), 1);
    assert_eq!(Rig::recovered(&rig.journal(), LIMITS, &[]).waiting(), 0);
}

/// Goal: entries that were applied are skipped when they are read again; method: ids around the applied one.
#[test]
fn replayed_entries_are_skipped() {
    let row = OwnedShard {
        shard: tmtp_domain::ShardId(3),
        epoch: EPOCH,
        commits: 9,
        last_entry: (5, 2),
        last_msg_id: MsgId(0),
    };
    let now = tmtp_worker::home::Now { nanos: 1 };
    let mut home = Home::recover(&row, &Recovery::default(), LIMITS, [].into(), now).unwrap();
    for (entry, is_new) in
        [((5, 1), false), ((5, 2), false), ((5, 3), true), ((5, 3), false), ((6, 0), true), ((5, 9), false)]
    {
        assert_eq!(home.advance(entry), is_new, "{entry:?}");
    }
    assert_eq!(home.applied(), (6, 0));
    assert!(home.has_progress());
    assert!(home.take_commit(false).unwrap().is_none(), "nothing but progress");
    let commit = home.take_commit(true).unwrap().unwrap();
    assert_eq!(
        (commit.epoch, commit.commits, commit.last_entry, commit.entry.is_none()),
        (EPOCH, 9, (6, 0), true)
    );
    home.committed(&commit, now);
    assert_eq!((home.commits(), home.has_progress()), (10, false));
    assert!(home.take_commit(true).unwrap().is_none());
}

/// Goal: ids go on above the last one that was given, whatever the clock says; method: an owner whose clock is behind.
#[test]
fn ids_go_on() {
    let mut rig = Rig::new();
    let row = OwnedShard {
        shard: tmtp_domain::ShardId(0),
        epoch: EPOCH,
        commits: 0,
        last_entry: (0, 0),
        last_msg_id: MsgId(rig.now.nanos * 2),
    };
    let last = row.last_msg_id;
    rig.home = Home::recover(&row, &Recovery::default(), LIMITS, [].into(), rig.now).unwrap();
    rig.member(HERE, ANN, 1);
    rig.member(HERE, BEN, 1);
    rig.run((G1, 1), attach(ANN, 1, &[], 0));
    assert_eq!(rig.run((G1, 1), post(1, &[BEN])).posted().0, MsgId(last.0 + 1));
    assert_eq!(rig.run((G1, 1), post(2, &[BEN])).posted().0, MsgId(last.0 + 2));
    assert_eq!(rig.commits.last().unwrap().last_msg_id, MsgId(last.0 + 2));
}

/// Goal: receipts that were spilled still count; method: a pack as the spill writes it, and the request again.
#[test]
fn spilled_receipts_count() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let first = rig.run((G1, 1), post(1, &[BEN])).posted();
    let (until, pack) = rig.home.spill(rig.now).unwrap().receipts.unwrap();
    assert_eq!(until, rig.now.millis());
    assert_eq!(ReceiptPack::unpack(&pack).len(), 2, "the login and the post");
    rig.spill();
    assert!(rig.home.spill(rig.now).unwrap().receipts.is_none(), "packed once");

    let mut next = Rig::recovered(&Recovery { journal: Vec::new(), receipts: vec![pack] }, LIMITS, &[]);
    next.member(HERE, ANN, 1);
    next.member(HERE, BEN, 1);
    next.now = rig.now;
    next.run((G1, 1), attach(ANN, 1, &[], 0));
    assert_eq!(next.run((G1, 1), post(1, &[BEN])).posted(), first);
    assert!(next.home.spill(next.now).unwrap().receipts.is_none());
}

/// Goal: bodies that the last owner did not come to remove are removed, without a change of rows; method: a stored body
/// that is owed, then acked, and a recovery after each.
#[test]
fn freed_bodies_are_freed_again() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    let body = BodyRef { id: BodyId(Uuid::from_u128(5)), len: 100_000, chunk: 65_536 };
    let (id, _) = rig.run((G1, 1), post_body(1, &[BEN], Body::Stored(body))).posted();
    assert!(Rig::recovered(&rig.journal(), LIMITS, &[]).home.take_free_bodies().is_empty());
    rig.run((G1, 2), acks(&[id]));
    let mut next = Rig::recovered(&rig.journal(), LIMITS, &[]);
    assert_eq!(next.home.take_free_bodies(), [(HERE, body)]);
    assert!(next.home.take_commit(false).unwrap().is_none());
}

/// Goal: a journal that this release cannot read is not taken up in part; method: an entry of a newer version, and one
/// that is none, behind a good one.
#[test]
fn an_unreadable_journal_is_refused() {
    let row = OwnedShard {
        shard: tmtp_domain::ShardId(0),
        epoch: EPOCH,
        commits: 0,
        last_entry: (0, 0),
        last_msg_id: MsgId(0),
    };
    let good = tmtp_contract::encode(&JournalEntry::new(Vec::new())).unwrap();
    let newer = tmtp_contract::encode(&JournalEntry {
        v: tmtp_contract::VERSION + 1,
        ..JournalEntry::new(Vec::new())
    })
    .unwrap();
    let now = tmtp_worker::home::Now { nanos: 1 };
    for bad in [newer, b"junk".to_vec()] {
        let left = Recovery { journal: vec![good.clone(), bad], receipts: Vec::new() };
        assert!(Home::recover(&row, &left, LIMITS, [].into(), now).is_err());
    }
}
