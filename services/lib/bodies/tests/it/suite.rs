//! What every back end must do. Knows none of them; what a case needs to reach behind the store is in [`Backend`].

use std::time::Duration;

use bytes::Bytes;
use tmtp_bodies::{Bodies, Error, StaleBody};
use tmtp_contract::BodyRef;
use tmtp_domain::{BodyId, SiteId};
use uuid::Uuid;

const HOUR: Duration = Duration::from_hours(1);

/// A store, and a hand behind it.
pub trait Backend {
    /// The store under test.
    fn bodies(&self) -> &Bodies;
    /// Makes a chunk look as if it had been written `by` earlier.
    async fn age(&self, site: SiteId, body: BodyId, seq: u64, by: Duration);
    /// Cuts a stored chunk down to its first octet.
    async fn damage(&self, site: SiteId, body: BodyId, seq: u64);
}

pub fn site(n: u128) -> SiteId {
    SiteId(Uuid::from_u128(n))
}

pub fn body(n: u128) -> BodyId {
    BodyId(Uuid::from_u128(n))
}

/// Octets that differ between bodies and along each.
fn octets(salt: u8, start: u64, len: usize) -> Bytes {
    (start..start + len as u64).map(|at| (at % 251).to_le_bytes()[0] ^ salt).collect()
}

/// Writes a body of `len` octets as a gateway does, holding one chunk at a time.
pub async fn write(bodies: &Bodies, site: SiteId, id: BodyId, salt: u8, len: u64) -> BodyRef {
    let chunk = bodies.chunk_octets();
    let body = BodyRef { id, len, chunk };
    for seq in 0..body.chunks() {
        let start = seq * u64::from(chunk);
        let size = usize::try_from((len - start).min(u64::from(chunk))).unwrap();
        bodies.put_chunk(site, id, seq, octets(salt, start, size)).await.unwrap();
    }
    body
}

/// Reads a body chunk by chunk and compares it; false when its first chunk is gone.
pub async fn matches(bodies: &Bodies, site: SiteId, body: &BodyRef, salt: u8) -> bool {
    let mut start = 0;
    for seq in 0..body.chunks() {
        let Some(found) = bodies.get_chunk(site, body, seq).await.unwrap() else {
            assert_eq!(seq, 0, "half a body is there");
            return false;
        };
        assert_eq!(found, octets(salt, start, found.len()), "chunk {seq}");
        start += found.len() as u64;
    }
    assert_eq!(start, body.len);
    true
}

async fn all_stale(bodies: &Bodies, older_than: Duration) -> Vec<StaleBody> {
    let page = bodies.stale(older_than, None, 1_000).await.unwrap();
    assert_eq!(page.next, None);
    page.bodies
}

/// Goal: no length loses an octet; method: lengths around the boundaries of chunks.
pub async fn bodies_of_all_lengths_come_back(backend: &impl Backend) {
    let bodies = backend.bodies();
    bodies.ping().await.unwrap();
    let chunk = u64::from(bodies.chunk_octets());
    for (n, len) in [0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 7].into_iter().enumerate() {
        let body = write(bodies, site(1), body(n as u128 + 1), 3, len).await;
        assert!(matches(bodies, site(1), &body, 3).await, "{len}");
    }
}

/// Goal: a repeated call is harmless, and the last one counts; method: write a chunk twice with other octets.
pub async fn chunks_may_be_written_again(backend: &impl Backend) {
    let bodies = backend.bodies();
    write(bodies, site(1), body(1), 3, 100).await;
    let again = write(bodies, site(1), body(1), 4, 100).await;
    assert!(matches(bodies, site(1), &again, 4).await);
}

/// Goal: what is not there is no error; method: an unknown body, a chunk beyond the end.
pub async fn missing_chunks_are_none(backend: &impl Backend) {
    let bodies = backend.bodies();
    let known = write(bodies, site(1), body(1), 3, 100).await;
    let unknown = BodyRef { id: body(2), ..known };
    assert_eq!(bodies.get_chunk(site(1), &unknown, 0).await.unwrap(), None);
    for seq in [1, u64::MAX] {
        assert_eq!(bodies.get_chunk(site(1), &known, seq).await.unwrap(), None);
    }
}

/// Goal: nothing crosses from one site to another; method: equal ids at two sites, then remove one of them.
pub async fn sites_stay_apart(backend: &impl Backend) {
    let bodies = backend.bodies();
    let first = write(bodies, site(1), body(1), 3, 100).await;
    let second = write(bodies, site(2), body(1), 4, 100).await;
    assert!(matches(bodies, site(1), &first, 3).await && matches(bodies, site(2), &second, 4).await);
    assert!(!matches(bodies, site(3), &first, 3).await);
    bodies.remove(site(1), &[first]).await.unwrap();
    assert!(!matches(bodies, site(1), &first, 3).await);
    assert!(matches(bodies, site(2), &second, 4).await);
}

/// Goal: removal takes whole bodies, those named and no others, and may be repeated; method: remove two of three,
/// among more than one page of which most do not exist.
pub async fn removed_bodies_are_gone(backend: &impl Backend) {
    let bodies = backend.bodies();
    let len = 2 * u64::from(bodies.chunk_octets()) + 1;
    let mut all = Vec::new();
    for n in 1..=3 {
        all.push(write(bodies, site(1), body(n), 3, len).await);
    }
    let mut doomed: Vec<BodyRef> = (100..250).map(|n| BodyRef { id: body(n), len: 1, chunk: 1 }).collect();
    doomed.extend([all[0], all[2]]);
    bodies.remove(site(1), &doomed).await.unwrap();
    bodies.remove(site(1), &doomed).await.unwrap();
    bodies.remove(site(1), &[]).await.unwrap();
    let left: Vec<StaleBody> = all_stale(bodies, Duration::ZERO).await;
    assert_eq!(left, [StaleBody { site: site(1), body: body(2), chunks: 3 }]);
    assert!(matches(bodies, site(1), &all[1], 3).await);
}

/// Goal: an upload that broke off leaves nothing, wherever it broke off; method: discard with the count before and
/// after the last chunk.
pub async fn discarded_uploads_are_gone(backend: &impl Backend) {
    let bodies = backend.bodies();
    let len = 3 * u64::from(bodies.chunk_octets());
    write(bodies, site(1), body(1), 3, len).await;
    write(bodies, site(1), body(2), 3, len).await;
    write(bodies, site(1), body(3), 3, len).await;
    bodies.discard(site(1), body(1), 3).await.unwrap();
    bodies.discard(site(1), body(2), 2).await.unwrap();
    bodies.discard(site(1), body(9), 0).await.unwrap();
    let left: Vec<BodyId> = all_stale(bodies, Duration::ZERO).await.iter().map(|found| found.body).collect();
    assert_eq!(left, [body(3)]);
}

/// Goal: a body counts as stale by its newest chunk, so that a slow upload does not; method: age chunks one by one.
pub async fn stale_looks_at_the_newest_chunk(backend: &impl Backend) {
    let bodies = backend.bodies();
    let len = 2 * u64::from(bodies.chunk_octets());
    write(bodies, site(1), body(1), 3, len).await;
    write(bodies, site(2), body(2), 3, 1).await;
    assert_eq!(all_stale(bodies, HOUR).await, []);
    backend.age(site(1), body(1), 0, 2 * HOUR).await;
    assert_eq!(all_stale(bodies, HOUR).await, []);
    backend.age(site(1), body(1), 1, 2 * HOUR).await;
    let found = all_stale(bodies, HOUR).await;
    assert_eq!(found, [StaleBody { site: site(1), body: body(1), chunks: 2 }]);
    assert_eq!(all_stale(bodies, 3 * HOUR).await, []);
    bodies.discard(found[0].site, found[0].body, found[0].chunks).await.unwrap();
    assert_eq!(all_stale(bodies, HOUR).await, []);
}

/// Goal: pages visit every body once and end, also where few are stale; method: pages of all sizes over seven bodies.
pub async fn stale_walks_in_pages(backend: &impl Backend) {
    let bodies = backend.bodies();
    let len = u64::from(bodies.chunk_octets()) + 1;
    let mut old = Vec::new();
    for n in 0..7 {
        let (site, body) = (site(1 + n / 3), body(n + 1));
        write(bodies, site, body, 3, len).await;
        if n % 2 == 0 {
            for seq in 0..2 {
                backend.age(site, body, seq, 2 * HOUR).await;
            }
            old.push(StaleBody { site, body, chunks: 2 });
        }
    }
    for size in 1..=8 {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = bodies.stale(HOUR, after, size).await.unwrap();
            found.extend(page.bodies);
            pages += 1;
            assert!(pages <= 8, "the walk does not end");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, old, "pages of {size}");
    }
}

/// Goal: a chunk that is not what its reference says is not delivered; method: cut one, and lie about another.
pub async fn damaged_chunks_are_found(backend: &impl Backend) {
    let bodies = backend.bodies();
    let good = write(bodies, site(1), body(1), 3, 100).await;
    let other = BodyRef { len: 99, ..good };
    let error = bodies.get_chunk(site(1), &other, 0).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { expected: 99, found: 100, .. }), "{error:?}");
    backend.damage(site(1), body(1), 0).await;
    let error = bodies.get_chunk(site(1), &good, 0).await.unwrap_err();
    assert!(
        matches!(error, Error::Damaged { expected: 100, found: 1, .. }) && !error.is_transient(),
        "{error:?}"
    );
}

/// Goal: a body of 20 MiB passes in pieces of a chunk; method: write and compare it, then remove it.
pub async fn a_large_body_streams_through(backend: &impl Backend) {
    let bodies = backend.bodies();
    let body = write(bodies, site(1), body(1), 3, (20 << 20) + 12_345).await;
    assert!(matches(bodies, site(1), &body, 3).await);
    bodies.remove(site(1), &[body]).await.unwrap();
    assert_eq!(all_stale(bodies, Duration::ZERO).await, []);
}

/// Goal: uploads at the same time, more than there are connections, do not mix; method: twenty, then compare each.
pub async fn uploads_do_not_mix(backend: &impl Backend) {
    let bodies = backend.bodies();
    let len = 2 * u64::from(bodies.chunk_octets()) + 5;
    let uploads: Vec<_> = (0..20_u8)
        .map(|n| {
            let bodies = bodies.clone();
            tokio::spawn(async move { write(&bodies, site(1), body(u128::from(n) + 1), n, len).await })
        })
        .collect();
    for (upload, salt) in uploads.into_iter().zip(0_u8..) {
        let body = upload.await.unwrap();
        assert!(matches(bodies, site(1), &body, salt).await, "{salt}");
    }
}

/// Goal: a caller's mistake does not become a damaged body; method: an empty chunk and one too long.
pub async fn impossible_chunks_are_refused(backend: &impl Backend) {
    let bodies = backend.bodies();
    for len in [0, bodies.chunk_octets() as usize + 1] {
        let error = bodies.put_chunk(site(1), body(1), 0, octets(3, 0, len)).await.unwrap_err();
        assert!(matches!(error, Error::Chunk { .. }), "{error:?}");
    }
    assert_eq!(all_stale(bodies, Duration::ZERO).await, []);
}
