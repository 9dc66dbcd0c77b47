//! The API as its clients see it: the real router on a database of its own.

mod basics;
mod keys;
mod policy;
mod policy_table;
mod sites;
pub mod world;
