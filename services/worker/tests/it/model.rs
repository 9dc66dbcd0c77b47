//! The home and a real store against a reference model: whatever clients ask, and wherever the owner of their shard stops,
//! the next one owes exactly what was committed and not acked, in order, and knows every request that succeeded.
//!
//! A case is a random list of steps: what clients do, and what becomes of the batch and its owner. `cluster` plays the
//! engine and its workers, `gateway` the clients and their gateway, `database` looks at the tables; `reference` says
//! what has to come of it all, and must know nothing of journals, rows or the home's own effects.
//!
//! Cases come from numbered seeds, the same in every run. A failure names its seed and the shortest steps found;
//! `TMTP_MODEL_SEEDS=FROM..TO` runs others.

mod cluster;
mod database;
mod gateway;
mod reference;

use std::cell::Cell;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use database::Database;

/// Some 20 s on two busy cores.
const SEEDS: Range<u64> = 0..70;

/// What a client does. The numbers choose a node, recipients, or messages among those there are.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// Logs in at a node, or hangs up there.
    Toggle(u8),
    /// Posts from a node to some users, with some kind of body.
    Post(u8, u8),
    /// A new alias: an urgent message to the user's nodes. Where nobody is logged in, an admin drops what the node is owed.
    Alias(u8),
    /// A new node, which is owed whatever the one that asks is owed.
    NewNode(u8),
    /// Sends some earlier request of the node again.
    Resend(u8, u8),

    /// Acks some of what was delivered.
    Ack(u8, u8),
}

/// What becomes of a batch and of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Committed and told.
    Told,
    /// The same, but the commit's answer gets lost at first.
    AnswerLost,
    /// Committed, but what is told gets lost on its way.
    EventsLost,
    /// Another owner takes over while the commit is on its way, which comes too late.
    StoppedBeforeCommit,
    /// The owner stops before it tells anybody.
    StoppedBeforeTelling,
    /// The owner stops after it has told.
    Stopped,
    /// Told, then spilled.
    Spilled,
    /// The same, but the spill's answer gets lost at first.
    SpilledTwice,
    /// Another owner takes over while the spill is on its way, which comes too late.
    StoppedBeforeSpill,
    /// The owner stops after the spill, before it removes a body or reads a row.
    StoppedAfterSpill,
}

/// What clients do in one batch, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Step {
    ops: Vec<Op>,
    fate: Fate,
    /// Commands of one entry of the stream.
    entry: usize,
    /// Each entry is a batch of its own; the fate is the last one's.
    piecewise: bool,
    /// Sessions (a bit each, by number) whose client did not ack in time when they have to attach.
    forgetful: u8,
    /// Who dies behind it.
    death: Death,
}

/// Who dies behind a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    Nobody,
    /// The gateway, with all its sessions.
    Gateway,
    /// The gateway, and then its owner, before it has recorded anything of that.
    Both,
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<u8>;
    prop_oneof![
        3 => n().prop_map(Op::Toggle),
        8 => (n(), n()).prop_map(|(node, to)| Op::Post(node, to)),
        2 => n().prop_map(Op::Alias),
        1 => n().prop_map(Op::NewNode),
        2 => (n(), n()).prop_map(|(node, which)| Op::Resend(node, which)),
        6 => (n(), n()).prop_map(|(node, which)| Op::Ack(node, which)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        8 => Just(Fate::Told),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::EventsLost),
        2 => Just(Fate::StoppedBeforeCommit),
        2 => Just(Fate::StoppedBeforeTelling),
        1 => Just(Fate::Stopped),
        5 => Just(Fate::Spilled),
        1 => Just(Fate::SpilledTwice),
        1 => Just(Fate::StoppedBeforeSpill),
        2 => Just(Fate::StoppedAfterSpill),
    ];
    let death = prop_oneof![28 => Just(Death::Nobody), 1 => Just(Death::Gateway), 2 => Just(Death::Both)];
    (vec(op(), 1..7), fate, 1_usize..6, any::<bool>(), any::<u8>(), death).prop_map(
        |(ops, fate, entry, piecewise, forgetful, death)| Step {
            ops,
            fate,
            entry,
            piecewise,
            forgetful,
            death,
        },
    )
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("TMTP_MODEL_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

/// Goal: a take-over at any point owes exactly what was committed and not acked, in order, a repeated request has no second
/// effect, and in the end nothing is left behind; method: random steps against the model, a list of them per seed.
#[test]
fn take_overs_lose_nothing_and_repeat_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(Database::new());
    let strangers = Cell::new(0);
    for seed in seeds() {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &octets);
        let config = ProptestConfig {
            cases: 1,
            max_shrink_iters: 150,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let found = TestRunner::new_with_rng(config, rng).run(&vec(step(), 1..30), |steps| {
            strangers.set(strangers.get() + runtime.block_on(cluster::run(&database, &steps)));
            Ok(())
        });
        if let Err(error) = found {
            panic!("seed {seed}: {error}");
        }
    }
    assert!(seeds() != SEEDS || strangers.get() > 0, "no owner has read openings of a dead gateway again");
}
