//! The gateway as a whole, over real TLS, Redis and Postgres; only the home worker is played by the test, so that it
//! can lose, delay and contradict as no real one would.

mod bodies;
mod certificates;
mod cluster;
mod links;
mod proxies;
mod records;
mod rig;
