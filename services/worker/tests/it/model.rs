//! The home and the store against a reference model: whatever is asked and wherever its owner stops, a take-over owes
//! exactly what it should. Random batches of requests, each with a random fate; one database, a site per case.
//!
//! `cluster` plays the engine and its workers, `gateway` the clients and their gateway, `reference` says what has to
//! come of it. At the end everything is fetched and acked, and nothing may be left in the tables.

mod cluster;
mod gateway;
mod reference;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use cluster::{Database, run};

/// Cases in a run: some 20 s on two busy cores.
const CASES: u32 = 40;

/// What a client does; the numbers choose a node, recipients, or messages among those there are.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// Logs in at a node, or hangs up there.
    Toggle(u8),
    /// Posts from a node to some users; every fourth body is a stored one.
    Post(u8, u8),
    /// A new alias: an urgent message to the user's nodes.
    Alias(u8),
    /// A new node that shares the backlog of the one that asks.
    NewNode(u8),
    /// Sends the node's last request again.
    Resend(u8),
    /// Acks some of what is in flight.
    Ack(u8, u8),
}

/// What becomes of a batch and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Committed and told.
    Told,
    /// The same, but the commit's answer gets lost at first.
    AnswerLost,
    /// The owner stops before the commit, or thinks that it is still the owner.
    StoppedBeforeCommit,
    /// The owner stops before it can tell anybody.
    StoppedBeforeTelling,
    /// Told, then spilled.
    Spilled,
    /// Told, then spilled, and the answer gets lost at first.
    SpilledTwice,
    /// The owner stops between the commit of the spill and anything else.
    StoppedAfterSpill,
}

/// A batch, its fate, and which sessions ask for everything again if they have to attach.
#[derive(Debug, Clone)]
pub struct Step {
    pub ops: Vec<Op>,
    pub fate: Fate,
    pub forgetful: u8,
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..=255_u8;
    prop_oneof![
        2 => n.clone().prop_map(Op::Toggle),
        8 => (n.clone(), n.clone()).prop_map(|(node, to)| Op::Post(node, to)),
        2 => n.clone().prop_map(Op::Alias),
        1 => n.clone().prop_map(Op::NewNode),
        1 => n.clone().prop_map(Op::Resend),
        6 => (n.clone(), n).prop_map(|(node, which)| Op::Ack(node, which)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        8 => Just(Fate::Told),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::StoppedBeforeCommit),
        1 => Just(Fate::StoppedBeforeTelling),
        4 => Just(Fate::Spilled),
        1 => Just(Fate::SpilledTwice),
        1 => Just(Fate::StoppedAfterSpill),
    ];
    (vec(op(), 1..7), fate, 0..=255_u8).prop_map(|(ops, fate, forgetful)| Step { ops, fate, forgetful })
}

/// Goal: a take-over at any point owes exactly what was committed and not acked, in order, and forgets the rest;
/// method: random steps against the model, see above.
#[test]
fn take_overs_lose_nothing_and_repeat_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(Database::new());
    let config = ProptestConfig { cases: CASES, max_shrink_iters: 200, failure_persistence: None, ..Default::default() };
    TestRunner::new(config)
        .run(&vec(step(), 1..40), |steps| {
            runtime.block_on(run(&database, &steps));
            Ok(())
        })
        .unwrap();
}
