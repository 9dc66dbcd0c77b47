//! Private PostgreSQL and Redis servers for tests, and the waiting that tests need.
//!
//! Every server started here has its own temporary directory and its own port on 127.0.0.1, and goes away
//! with the process that started it, even when that process is killed. The kit must never touch a server it
//! did not start, must never use a default port, and must never be a dependency of anything that ships.
//!
//! Everything but [`eventually`] blocks, so it can be called from plain and from async tests alike; starting
//! a Postgres takes about a second, a database on a running one some tens of milliseconds, a Redis some
//! milliseconds.

mod account;
mod instance;
#[cfg(feature = "oidc")]
pub mod oidc;
mod port;
mod postgres;
mod redis;
#[cfg(feature = "s3")]
pub mod s3;
mod shared;
#[cfg(feature = "tls")]
mod tls;
mod wait;

pub use port::free_port;
pub use postgres::Postgres;
pub use redis::Redis;
pub use shared::{fresh_database, fresh_redis, shared_postgres, shared_redis, unique_name};
#[cfg(feature = "tls")]
pub use tls::Authority;
pub use wait::{eventually, wait_until};
