//! One shared connection that is replaced when it fails, and dialling for those who need their own.
//!
//! The driver's own connection manager is not used: it waits through its retries before it reports an outage, and it
//! keeps a connection whose peer is silent. Here every call has one deadline, and a call that meets it ends the
//! connection for everybody, so that the next call dials anew. Must never hold a lock while it waits for an answer.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError};
use tokio::time::timeout;

use crate::RESPONSE_MAX;
use crate::address::Address;
use crate::error::{Error, sort};

/// Leaves a second of [`RESPONSE_MAX`] for the command itself.
const DIAL_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Link {
    address: Address,
    slot: Mutex<Slot>,
    /// Held by the one who dials, so that a broken connection is replaced once and not by every caller.
    dialling: tokio::sync::Mutex<()>,
    /// Counts the server processes that this link has seen.
    life: AtomicU64,
}

#[derive(Default)]
struct Slot {
    /// Counts the connections, so that a caller ends only the one that failed it.
    generation: u64,
    connection: Option<MultiplexedConnection>,
    run_id: Option<String>,
}

impl Link {
    pub(crate) async fn new(url: &str) -> Result<Self, Error> {
        let address = Address::parse(url).map_err(Error::Url)?;
        // Files that are not there are told at once, not after the time that a server is waited for.
        address.client().await.map_err(Error::Url)?;
        Ok(Self {
            address,
            slot: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
            life: AtomicU64::new(0),
        })
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let mut used = None;
        let answer = timeout(RESPONSE_MAX, async {
            let (generation, mut connection) = self.connection().await?;
            used = Some(generation);
            command.query_async(&mut connection).await
        })
        .await;
        self.judge(answer, used)
    }

    /// Runs several commands in one round trip; an empty pipeline is an error of the caller.
    pub(crate) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Error> {
        let mut used = None;
        let answer = timeout(RESPONSE_MAX, async {
            let (generation, mut connection) = self.connection().await?;
            used = Some(generation);
            pipeline.query_async(&mut connection).await
        })
        .await;
        self.judge(answer, used)
    }

    /// A number that changes when the server behind the link turns out to be another process than before: after a
    /// restart or a failover, which may both have lost the newest data.
    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }

    /// A connection of one's own, with no deadline for answers.
    pub(crate) async fn dial(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DIAL_MAX))
            // Callers set their own deadlines.
            .set_response_timeout(None);
        let dialled =
            self.address.client().await?.get_multiplexed_async_connection_with_config(&config).await;
        dialled.map_err(|error| match error.kind() {
            // A certificate and a key that do not belong together: one of them may be about to be replaced.
            ErrorKind::InvalidClientConfig => io::Error::other(error).into(),
            _ => error,
        })
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let _turn = self.dialling.lock().await;
        // Somebody may have dialled while we waited for our turn.
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let mut connection = self.dial().await?;
        let run_id = run_id(&mut connection).await;
        let mut slot = self.slot();
        if run_id.is_some() && run_id != slot.run_id {
            slot.run_id = run_id;
            self.life.fetch_add(1, Ordering::AcqRel);
        }
        slot.generation += 1;
        slot.connection = Some(connection.clone());
        Ok((slot.generation, connection))
    }

    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let slot = self.slot();
        Some((slot.generation, slot.connection.clone()?))
    }

    fn judge<T>(
        &self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
        used: Option<u64>,
    ) -> Result<T, Error> {
        let (error, replace) = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => sort(error),
            Err(_) => (Error::Timeout(RESPONSE_MAX), true),
        };
        if replace {
            let mut slot = self.slot();
            if used == Some(slot.generation) {
                slot.connection = None;
            }
        }
        Err(error)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Nothing panics while it is held, and its parts are consistent at any time.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The random name of the server process; `None` where asking is forbidden.
async fn run_id(connection: &mut MultiplexedConnection) -> Option<String> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await.ok()?;
    info_field(&info, "run_id").map(str::to_owned)
}

/// The value of a field in an answer to INFO.
pub(crate) fn info_field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: fields are found by their whole name; method: a text with a field whose name begins alike.
    #[test]
    fn info_fields() {
        let info = "# Memory\r\nmaxmemory_policy:noeviction\r\nmaxmemory:0\r\n";
        assert_eq!(info_field(info, "maxmemory"), Some("0"));
        assert_eq!(info_field(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(info_field(info, "max"), None);
    }
}
