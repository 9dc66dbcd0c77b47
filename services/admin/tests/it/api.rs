//! The API as its clients see it: the real router on a database of its own.

mod basics;
mod invites;
mod keys;
mod sites;
pub mod world;
