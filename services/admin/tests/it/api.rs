//! The API as its clients see it: the real router on a database of its own.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod basics;
mod certificates;
mod keys;
mod sites;
pub mod world;
