//! The API as its clients see it: the real router on a database of its own.

mod audit;
mod basics;
mod certificates;
mod invites;
mod jobs;
mod keys;
mod lists;
mod members;
mod openapi;
mod policy;
mod policy_table;
mod pool;
mod providers;
mod sites;
mod trace;
mod usage;
pub mod world;
