//! What can go wrong with the body store, sorted by what the caller can do about it.

use std::fmt::Write;
use std::time::Duration;

use tmtp_domain::BodyId;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed. A failed write may have been done; all writes may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used; start-up only.
    #[error("{0}")]
    Config(String),
    /// The store cannot be reached, or says that it cannot serve now (starting, full, too many connections). Try again.
    #[error("the body store is not available")]
    Unavailable(#[source] Cause),
    /// No answer in time. Try again.
    #[error("the body store did not answer within {0:?}")]
    Timeout(Duration),
    /// The store understood and refused: no permission, no table, no bucket. A human must act.
    #[error("the body store refused the request")]
    Refused(#[source] Cause),
    /// A chunk is not as long as the body's reference says. It cannot be delivered.
    #[error("chunk {seq} of body {body} has {found} octets instead of {expected}")]
    Damaged {
        /// Which body.
        body: BodyId,
        /// Which chunk.
        seq: u64,
        /// Octets it should have.
        expected: u64,
        /// Octets it has.
        found: u64,
    },
    /// A bug of the caller: a chunk must have 1 to `chunk_octets` octets.
    #[error("a chunk of {octets} octets; 1 to {chunk_octets} are possible")]
    Chunk {
        /// Octets it had.
        octets: usize,
        /// Octets it may have.
        chunk_octets: u32,
    },
}

impl Error {
    /// True when the same call may succeed later without anybody doing anything to Postern.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Timeout(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let transient = match &error {
            sqlx::Error::Database(answer) => answer.code().is_some_and(|code| {
                // Connection trouble, conflicts, resources used up, shutdown, and a database that is read-only
                // because it is (still, or now) a standby.
                ["08", "40", "53", "55", "57"].iter().any(|class| code.starts_with(class)) || code == "25006"
            }),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            _ => false,
        };
        if transient { Self::Unavailable(error.into()) } else { Self::Refused(error.into()) }
    }
}

/// Answers that trying again does not change. The client tells the status of a failed listing in words only.
const REFUSALS: &[&str] = &["status code: 400", "status code: 401", "status code: 403", "status code: 404"];

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        let transient = match &error {
            // Server errors, time-outs and broken connections, after the client's own attempts.
            object_store::Error::Generic { .. } | object_store::Error::JoinError { .. } => {
                let text = chain(&error);
                !REFUSALS.iter().any(|refusal| text.contains(refusal))
            }
            _ => false,
        };
        if transient { Self::Unavailable(error.into()) } else { Self::Refused(error.into()) }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}
