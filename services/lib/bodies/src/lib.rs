//! Bodies above the inline limit: stored once, in chunks, under a reference that messages carry.
//!
//! Two back ends behave alike: Postgres, and any S3-compatible object store. A body is written chunk by chunk while it
//! arrives, so memory is bounded by the chunk; nothing is held open between chunks. What [`Bodies::put_chunk`] has
//! confirmed survives a crash, or is lost only together with the command that would refer to it (in Postgres without
//! `flush`: the command's synchronous commit comes later in the same log).
//!
//! Must never decide whether a body is still needed: it does not know who refers to it. Whoever does walks
//! [`Bodies::stale`] and discards the rest.

mod config;
mod error;
mod postgres;
mod s3;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tmtp_contract::BodyRef;
use tmtp_domain::{BodyId, SiteId};
use tokio::time::timeout;

pub use config::{Config, Kind, Postgres, S3};
pub use error::Error;
pub use secret::Secret;

use crate::postgres::PostgresBodies;
use crate::s3::S3Bodies;

/// No call takes longer.
pub const CALL_MAX: Duration = Duration::from_secs(15);

/// The body store. Clones share their connections.
#[derive(Clone)]
pub struct Bodies {
    backend: Arc<Backend>,
}

enum Backend {
    Postgres(PostgresBodies),
    S3(S3Bodies),
}

/// A body whose newest chunk is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleBody {
    /// Whose.
    pub site: SiteId,
    /// Which.
    pub body: BodyId,
    /// How many chunks it has; for [`Bodies::discard`].
    pub chunks: u64,
}

/// One page of [`Bodies::stale`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StalePage {
    /// Stale bodies of this page, by site and body. May be empty although more follow.
    pub bodies: Vec<StaleBody>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<(SiteId, BodyId)>,
}

/// Runs one call on whichever back end there is, within [`CALL_MAX`].
macro_rules! call {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match &*$self.backend {
            Backend::Postgres(bodies) => within(bodies.$method($($argument),*)).await,
            Backend::S3(bodies) => within(bodies.$method($($argument),*)).await,
        }
    };
}

impl Bodies {
    /// Opens the store. Connects on first use, so it succeeds while the store is down; see [`Self::ping`]. Must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Config`] when the settings cannot be used.
    pub fn open(config: &Config) -> Result<Self, Error> {
        if let Some(problem) = config.problems("bodies").into_iter().next() {
            return Err(Error::Config(problem));
        }
        let backend = match config.kind {
            Kind::Postgres => Backend::Postgres(PostgresBodies::open(&config.postgres)?),
            Kind::S3 => Backend::S3(S3Bodies::open(&config.s3)?),
        };
        Ok(Self { backend: Arc::new(backend) })
    }

    /// Octets of each chunk but the last, for new bodies; for those that exist their [`BodyRef`] tells.
    pub fn chunk_octets(&self) -> u32 {
        match &*self.backend {
            Backend::Postgres(bodies) => bodies.chunk_octets(),
            Backend::S3(bodies) => bodies.chunk_octets(),
        }
    }

    /// Writes a chunk: the first is 0, then in order, each but the last of exactly [`Self::chunk_octets`]. Writing a
    /// chunk again replaces it, so a failed call may be repeated.
    ///
    /// # Errors
    /// [`Error::Chunk`] when it is empty or too long.
    pub async fn put_chunk(&self, site: SiteId, body: BodyId, seq: u64, octets: Bytes) -> Result<(), Error> {
        if octets.is_empty() || octets.len() > self.chunk_octets() as usize {
            return Err(Error::Chunk { octets: octets.len(), chunk_octets: self.chunk_octets() });
        }
        call!(self.put_chunk(site, body, seq, octets))
    }

    /// Reads a chunk; `None` when it is gone, or beyond the body's end.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not as long as the reference says.
    pub async fn get_chunk(&self, site: SiteId, body: &BodyRef, seq: u64) -> Result<Option<Bytes>, Error> {
        let Some(expected) = octets_of(body, seq) else { return Ok(None) };
        let found: Option<Bytes> = call!(self.get_chunk(site, body.id, seq))?;
        match found {
            Some(octets) if octets.len() as u64 != expected => {
                Err(Error::Damaged { body: body.id, seq, expected, found: octets.len() as u64 })
            }
            other => Ok(other),
        }
    }

    /// Removes bodies of a site; those that are gone already do not matter.
    pub async fn remove(&self, site: SiteId, bodies: &[BodyRef]) -> Result<(), Error> {
        // Pages, so that no single call grows with the caller's list.
        for page in bodies.chunks(100) {
            let chunks: Vec<(BodyId, u64)> = page.iter().map(|body| (body.id, body.chunks())).collect();
            call!(self.remove(site, &chunks))?;
        }
        Ok(())
    }

    /// Removes a body that nobody refers to: an upload that broke off after `chunks_written` chunks (one more, of
    /// which nobody knows whether it was written, goes too), or what [`Self::stale`] found.
    pub async fn discard(&self, site: SiteId, body: BodyId, chunks_written: u64) -> Result<(), Error> {
        call!(self.remove(site, &[(body, chunks_written.saturating_add(1))]))
    }

    /// Looks at up to `examined_max` bodies behind `after`, by site and body, and gives those whose newest chunk was
    /// written longer ago than `older_than` by the store's own clock. Whether a message refers to them is for the
    /// caller to find out; it must allow for uploads that take their time between chunks and for their command.
    pub async fn stale(
        &self,
        older_than: Duration,
        after: Option<(SiteId, BodyId)>,
        examined_max: u32,
    ) -> Result<StalePage, Error> {
        call!(self.stale(older_than, after, examined_max.max(1)))
    }

    /// Asks whether the store answers, and is set up.
    pub async fn ping(&self) -> Result<(), Error> {
        call!(self.ping())
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(CALL_MAX, call).await.unwrap_or(Err(Error::Timeout(CALL_MAX)))
}

/// How long chunk `seq` of a body is; `None` beyond its end.
fn octets_of(body: &BodyRef, seq: u64) -> Option<u64> {
    let chunk = u64::from(body.chunk.max(1));
    let start = seq.checked_mul(chunk).filter(|&start| start < body.len)?;
    Some((body.len - start).min(chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the lengths of chunks add up to the body; method: lengths around the boundary, and a seq beyond reason.
    #[test]
    fn chunk_lengths() {
        for len in [0, 1, 9, 10, 11, 20, 21, 105] {
            let body = BodyRef { id: BodyId(uuid::Uuid::nil()), len, chunk: 10 };
            let lengths: Vec<u64> = (0..).map_while(|seq| octets_of(&body, seq)).collect();
            assert_eq!(lengths.len() as u64, body.chunks(), "{len}");
            assert_eq!(lengths.iter().sum::<u64>(), len);
            assert_eq!(octets_of(&body, u64::MAX), None);
        }
    }
}
