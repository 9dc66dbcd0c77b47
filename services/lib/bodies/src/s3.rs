//! Bodies in an S3-compatible object store: each chunk is an object, `<prefix>/<site>/<body>/<chunk>`.
//!
//! No multipart uploads: one that breaks off would stay, invisible and paid for, until somebody sets up a rule.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use futures::{Stream, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use tmtp_domain::{BodyId, SiteId};
use uuid::Uuid;

use crate::error::chain;
use crate::{Error, S3, StaleBody, StalePage};

/// For one attempt; a call makes at most three.
const REQUEST_MAX: Duration = Duration::from_secs(8);
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// No further attempt begins after this.
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(crate) struct S3Bodies {
    store: Arc<AmazonS3>,
    prefix: Path,
    chunk_octets: u32,
}

impl S3Bodies {
    pub(crate) fn open(config: &S3) -> Result<Self, Error> {
        let builder = if config.access_key.is_empty() {
            AmazonS3Builder::from_env()
        } else {
            AmazonS3Builder::new()
                .with_access_key_id(&config.access_key)
                .with_secret_access_key(config.secret_key.expose())
        };
        let builder =
            if config.endpoint.is_empty() { builder } else { builder.with_endpoint(&config.endpoint) };
        let store = builder
            .with_region(&config.region)
            .with_bucket_name(&config.bucket)
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(config.allow_http)
                    .with_timeout(REQUEST_MAX)
                    .with_connect_timeout(CONNECT_MAX),
            )
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(50),
                    max_backoff: Duration::from_secs(1),
                    base: 2.0,
                },
                max_retries: 2,
                retry_timeout: RETRY_MAX,
            })
            .build()
            .map_err(|error| Error::Config(format!("bodies.s3 cannot be used: {error}")))?;
        let prefix = Path::parse(&config.prefix)
            .map_err(|error| Error::Config(format!("bodies.s3.prefix cannot be used: {error}")))?;
        Ok(Self { store: Arc::new(store), prefix, chunk_octets: config.chunk_octets })
    }

    pub(crate) fn chunk_octets(&self) -> u32 {
        self.chunk_octets
    }

    pub(crate) async fn put_chunk(
        &self,
        site: SiteId,
        body: BodyId,
        seq: u64,
        octets: Bytes,
    ) -> Result<(), Error> {
        self.store.put(&chunk_path(&self.prefix, site, body, seq), octets.into()).await?;
        Ok(())
    }

    pub(crate) async fn get_chunk(
        &self,
        site: SiteId,
        body: BodyId,
        seq: u64,
    ) -> Result<Option<Bytes>, Error> {
        let found = match self.store.get(&chunk_path(&self.prefix, site, body, seq)).await {
            Ok(found) => found,
            Err(error) => return not_found_is_none(error),
        };
        Ok(Some(found.bytes().await?))
    }

    pub(crate) async fn remove(&self, site: SiteId, bodies: &[(BodyId, u64)]) -> Result<(), Error> {
        let prefix = self.prefix.clone();
        let bodies = bodies.to_vec();
        let chunks = stream::iter(bodies).flat_map(move |(body, chunks)| {
            let prefix = prefix.clone();
            stream::iter(0..chunks).map(move |seq| Ok(chunk_path(&prefix, site, body, seq)))
        });
        let mut removed = self.store.delete_stream(chunks.boxed());
        while let Some(result) = removed.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) async fn stale(
        &self,
        older_than: Duration,
        after: Option<(SiteId, BodyId)>,
        examined_max: u32,
    ) -> Result<StalePage, Error> {
        let now = self.store_time().await?;
        let is_stale = |newest: u64| now.saturating_sub(newest) >= older_than.as_secs();
        let chunks = self.chunks_behind(after);
        let mut chunks = std::pin::pin!(chunks);
        let mut page = StalePage { bodies: Vec::new(), next: None };
        // The body that is being looked at, and the time of its newest chunk so far.
        let mut current: Option<(StaleBody, u64)> = None;
        let mut examined = 0;
        while let Some(chunk) = chunks.try_next().await? {
            match &mut current {
                Some((body, newest)) if (body.site, body.body) == (chunk.site, chunk.body) => {
                    body.chunks = body.chunks.max(chunk.seq + 1);
                    *newest = chunk.written_at.max(*newest);
                    continue;
                }
                _ => {}
            }
            if let Some((done, newest)) = current.take() {
                examined += 1;
                page.bodies.extend(is_stale(newest).then_some(done));
                if examined == examined_max {
                    page.next = Some((done.site, done.body));
                    return Ok(page);
                }
            }
            let begun = StaleBody { site: chunk.site, body: chunk.body, chunks: chunk.seq + 1 };
            current = Some((begun, chunk.written_at));
        }
        if let Some((done, newest)) = current {
            page.bodies.extend(is_stale(newest).then_some(done));
        }
        Ok(page)
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        // A prefix under which nothing is: the answer is small, and a missing bucket shows.
        self.store.list_with_delimiter(Some(&self.prefix.clone().join("ping"))).await?;
        Ok(())
    }

    /// Seconds since 1970 by the store's own clock: those of an object written for this purpose.
    async fn store_time(&self) -> Result<u64, Error> {
        let clock = self.prefix.clone().join("clock");
        self.store.put(&clock, Bytes::new().into()).await?;
        let meta = self.store.head(&clock).await?;
        Ok(seconds(&meta))
    }

    /// All chunks of the bodies behind `after`, body by body. Objects of other names are passed over.
    fn chunks_behind(
        &self,
        after: Option<(SiteId, BodyId)>,
    ) -> impl Stream<Item = Result<Chunk, Error>> + use<> {
        let objects: BoxStream<'static, _> = match after {
            None => self.store.list(Some(&self.prefix)),
            Some((site, body)) => {
                // Behind every chunk of that body: they are named in digits.
                let end = body_path(&self.prefix, site, body).join("z");
                self.store.list_with_offset(Some(&self.prefix), &end)
            }
        };
        let prefix = self.prefix.clone();
        objects
            .try_filter_map(move |meta| futures::future::ready(Ok(parse_chunk(&prefix, &meta))))
            .map_err(Error::from)
    }
}

struct Chunk {
    site: SiteId,
    body: BodyId,
    seq: u64,
    /// Seconds since 1970.
    written_at: u64,
}

fn body_path(prefix: &Path, site: SiteId, body: BodyId) -> Path {
    prefix.clone().join(site.to_string()).join(body.to_string())
}

fn chunk_path(prefix: &Path, site: SiteId, body: BodyId, seq: u64) -> Path {
    body_path(prefix, site, body).join(format!("{seq:010}"))
}

fn parse_chunk(prefix: &Path, meta: &ObjectMeta) -> Option<Chunk> {
    let mut parts = meta.location.prefix_match(prefix)?;
    let site: Uuid = parts.next()?.as_ref().parse().ok()?;
    let body: Uuid = parts.next()?.as_ref().parse().ok()?;
    let seq = parts.next()?.as_ref().parse().ok()?;
    let chunk = Chunk { site: SiteId(site), body: BodyId(body), seq, written_at: seconds(meta) };
    parts.next().is_none().then_some(chunk)
}

fn seconds(meta: &ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp()).unwrap_or(0)
}

/// A missing bucket looks like a missing object, but is no reason to believe that a body is gone.
fn not_found_is_none<T>(error: object_store::Error) -> Result<Option<T>, Error> {
    let is_object =
        matches!(error, object_store::Error::NotFound { .. }) && !chain(&error).contains("NoSuchBucket");
    if is_object { Ok(None) } else { Err(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a body counts as gone only when the store knows the bucket; method: both answers, as S3 words them. (The
    /// server of the other tests answers to both alike.)
    #[test]
    fn a_missing_bucket_is_no_missing_body() {
        let answer = |code: &str| object_store::Error::NotFound {
            path: "bodies/x".to_owned(),
            source: format!("status code: 404 Not Found: <Error><Code>{code}</Code></Error>").into(),
        };
        assert!(matches!(not_found_is_none::<()>(answer("NoSuchKey")), Ok(None)));
        assert!(matches!(not_found_is_none::<()>(answer("NoSuchBucket")), Err(Error::Refused(_))));
    }
}
