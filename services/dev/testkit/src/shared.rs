//! Servers that all tests of one process share, and fresh places on them.
//!
//! A run over many test binaries may lend its own private servers by environment (`deploy/local/test` does),
//! which saves a second per binary. The kit must never guess an address: without the variables it starts its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::postgres::{Postgres, create_database};
use crate::redis::Redis;

/// The URL of a private Postgres' `postgres` database, as a user that may create databases.
const POSTGRES_VARIABLE: &str = "POSTERN_TEST_DATABASE_URL";
/// The URL of a private Redis.
const REDIS_VARIABLE: &str = "POSTERN_TEST_REDIS_URL";

/// The admin URL of the Postgres that this process' tests share: the one that `POSTERN_TEST_DATABASE_URL`
/// names, else one that is started now and ends with the process. Tests must not stop it.
///
/// # Panics
/// When it cannot be started.
pub fn shared_postgres() -> &'static str {
    static OWN: OnceLock<Postgres> = OnceLock::new();
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        lent(POSTGRES_VARIABLE).unwrap_or_else(|| {
            let start = || Postgres::start().unwrap_or_else(|error| panic!("no shared Postgres: {error:?}"));
            OWN.get_or_init(start).url("postgres")
        })
    })
}

/// The URL of the Redis that this process' tests share: the one that `POSTERN_TEST_REDIS_URL` names, else one
/// that is started now and ends with the process. Tests share its keys too: take a [`unique_name`] as a
/// prefix, and leave alone what touches all keys; [`fresh_redis`] is for that.
///
/// # Panics
/// When it cannot be started.
pub fn shared_redis() -> &'static str {
    static OWN: OnceLock<Redis> = OnceLock::new();
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| lent(REDIS_VARIABLE).unwrap_or_else(|| OWN.get_or_init(start_redis).url()))
}

/// The URL of a new, empty database on the shared Postgres. It goes away with the server.
///
/// # Panics
/// When it cannot be created.
pub fn fresh_database() -> String {
    let admin_url = shared_postgres();
    let name = unique_name("test");
    create_database(admin_url, &name).unwrap_or_else(|error| panic!("no fresh database: {error:?}"));
    with_database(admin_url, &name)
}

/// The URL of a new, empty Redis that nobody else in this run uses. It lives as long as the process; a test
/// that restarts its Redis holds a [`Redis`] of its own instead.
///
/// # Panics
/// When it cannot be started.
pub fn fresh_redis() -> String {
    static ALL: Mutex<Vec<Redis>> = Mutex::new(Vec::new());
    let redis = start_redis();
    let url = redis.url();
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(redis);
    url
}

/// A name that no other call gives, in this process or another: `PREFIX_` and digits with `_`.
pub fn unique_name(prefix: &str) -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    format!("{prefix}_{}_{nanos}_{call}", std::process::id())
}

fn lent(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty())
}

fn start_redis() -> Redis {
    Redis::start().unwrap_or_else(|error| panic!("no Redis: {error:?}"))
}

/// The same server and parameters, another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(a, p)| (a, Some(p)));
    let after_scheme = address.find("://").map_or(0, |at| at + 3);
    let server = address[after_scheme..].find('/').map_or(address, |at| &address[..after_scheme + at]);
    match parameters {
        Some(parameters) => format!("{server}/{name}?{parameters}"),
        None => format!("{server}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the database changes: with and without a database, a password and parameters.
    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            ("postgres://a@h:1/postgres", "postgres://a@h:1/x"),
            ("postgres://a:p@h:1", "postgres://a:p@h:1/x"),
            ("postgres://h/old?host=/run/pg", "postgres://h/x?host=/run/pg"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }

    /// Names differ within one process: ask twice.
    #[test]
    fn names_are_unique() {
        assert_ne!(unique_name("t"), unique_name("t"));
    }
}
