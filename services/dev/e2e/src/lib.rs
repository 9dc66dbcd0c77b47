//! Whole clusters for tests: a private Postgres and Redis, and our real programs as processes beside them.
//!
//! A test reads like a story: `cluster.gateway(0).connect("ann")`, `cluster.worker(1).kill()`. Whatever it starts ends
//! with it, however it ends. The harness must never touch a process that it did not start, and never wait for time to
//! pass: it waits for conditions, each with a deadline, and says what it saw when one does not come true.
//!
//! | module | does |
//! |---|---|
//! | [`Setup`], [`Cluster`] | which programs run, with which settings, and the databases below them |
//! | [`Program`] | one process of ours: start, kill, pause, memory, metrics |
//! | [`Image`] | the programs as the container image has them |
//! | [`Kube`] | the chart, rendered and run |
//! | [`Gateway`], [`Link`] | a client's view: who connects where, and what comes |
//! | [`Streams`] | what is in Redis, seen from outside |
//! | [`Certificates`] | what the gateways show to their clients |
//! | [`random`] | what the fuzz targets do with random input |
//! | [`Pure`] | the same without processes: session machines and a home, on a clock that tests drive |
//!
//! Clusters take turns, also those of different test processes: two at a time would measure each other.

mod binaries;
mod certificates;
mod cluster;
mod gateway;
mod http;
mod image;
mod kube;
mod link;
mod program;
mod pure;
pub mod random;
mod setup;
mod streams;
mod turns;
mod watchdog;

pub use binaries::find as binary;
pub use certificates::Certificates;
pub use cluster::Cluster;
pub use gateway::Gateway;
pub use image::{Image, PROGRAMS};
pub use kube::{Kube, Secrets};
pub use link::{Delivery, End, Link, WAIT, barrier, end_of, post};
pub use program::Program;
pub use pure::Pure;
pub use setup::{DEFAULT_SITE, Setup};
pub use streams::{Stream, Streams};
