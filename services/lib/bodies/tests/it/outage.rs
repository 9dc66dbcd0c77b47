//! The store goes away and comes back: an error that says so, in bounded time, and then it works on the same handle.

use std::time::{Duration, Instant};

use tmtp_bodies::{Bodies, CALL_MAX};
use tmtp_testkit::{Postgres, eventually};

use crate::suite::{body, matches, site, write};
use crate::{postgres, s3};
use tmtp_testkit::s3::S3Server;

const DEADLINE: Duration = Duration::from_secs(30);

/// Every call fails transiently, and in time.
async fn assert_down(bodies: &Bodies) {
    let known = tmtp_contract::BodyRef { id: body(1), len: 100, chunk: bodies.chunk_octets() };
    let begun = Instant::now();
    let (ping, put, get, remove, stale) = tokio::join!(
        bodies.ping(),
        bodies.put_chunk(site(1), body(2), 0, "x".into()),
        bodies.get_chunk(site(1), &known, 0),
        bodies.discard(site(1), body(3), 1),
        bodies.stale(Duration::ZERO, None, 10),
    );
    let errors = [ping.err(), put.err(), get.err(), remove.err(), stale.err()];
    assert!(errors.iter().flatten().filter(|error| error.is_transient()).count() == 5, "{errors:?}");
    assert!(begun.elapsed() < CALL_MAX + Duration::from_secs(5), "{:?}", begun.elapsed());
}

async fn assert_up_again(bodies: &Bodies, known: &tmtp_contract::BodyRef) {
    eventually(DEADLINE, "a ping", async || bodies.ping().await.ok()).await.unwrap();
    assert!(matches(bodies, site(1), known, 3).await);
    let new = write(bodies, site(1), body(7), 4, 100).await;
    assert!(matches(bodies, site(1), &new, 4).await);
}

/// Goal and method: this file's header, for a Postgres that ends and starts again.
#[tokio::test]
async fn postgres_goes_and_comes_back() {
    let server = Postgres::start().unwrap();
    let url = server.url("postgres");
    postgres::migrate(&url).await.close().await;
    let bodies = Bodies::open(&postgres::config(&url)).unwrap();
    let known = write(&bodies, site(1), body(1), 3, 100).await;
    server.stop().unwrap();
    assert_down(&bodies).await;
    server.start_again().unwrap();
    assert_up_again(&bodies, &known).await;
}

/// Goal and method: this file's header, for an object store whose listener and connections end.
#[tokio::test]
async fn s3_goes_and_comes_back() {
    let mut server = S3Server::start().await.unwrap();
    let bodies = Bodies::open(&s3::config(&server)).unwrap();
    let known = write(&bodies, site(1), body(1), 3, 100).await;
    server.stop().await;
    assert_down(&bodies).await;
    server.start_again().await.unwrap();
    assert_up_again(&bodies, &known).await;
}
