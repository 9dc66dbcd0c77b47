//! The home of a shard, from outside: its rules without a database, and with one against a reference model. Nothing
//! of that waits: a home is pure, and the driver of the model plays the engine's part step by step. `live` runs whole
//! workers between a real Postgres, a real Redis and a gateway played by the test, for what `engine` and `outage` say.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod admin;
mod admin_members;
mod delivery;
mod engine;
mod groups;
mod live;
mod model;
mod outage;
mod policy;
mod policy_live;
mod policy_people;
mod policy_waiting;
mod presence;
mod registration;
mod requests;
mod rig;
mod sessions;
mod takeover;
mod trace;
mod usage;
