//! The home of a shard, from outside: its rules without a database, and with one against a reference model. Nothing
//! here waits: a home is pure, and the driver of the model plays the engine's part step by step.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod delivery;
mod requests;
mod rig;
mod sessions;
mod takeover;
