//! The store against a real Postgres: a database per test. Nothing here may touch a database it did not make, and
//! nothing waits for time to pass: a lease of no length has ended when the next statement begins.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod admin;
mod certificates;
mod fence;
mod invites;
mod jobs;
mod journal;
mod looks;
mod ownership;
mod policy;
mod queue;
mod reader;
mod registration;
mod rig;
mod rows;
mod schema;
mod site_policy;
mod sites;
mod tls;
mod trace;
