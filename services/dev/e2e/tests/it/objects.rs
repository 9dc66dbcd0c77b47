//! Bodies in an S3-compatible object store. Whatever happens in between, no object outlives what refers to it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tmtp_e2e::{Cluster, DEFAULT_SITE, Setup, WAIT};
use tmtp_testkit::eventually;
use tmtp_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

use crate::bodies::{receive, send, send_half};

const MIB: u64 = 1 << 20;
/// The folder of all bodies.
const PREFIX: &str = "bodies";
/// So small that half an upload is more than one.
const CHUNK_OCTETS: u64 = 256 << 10;
/// What is delivered has to be gone by then (invariant I9).
const ERASED_WITHIN: Duration = Duration::from_mins(1);

/// Goal: bodies travel through an object store as they do through Postgres, over a worker's end at any of the three
/// moments that matter, and their objects go within a minute of the last ack; so do those of uploads that broke off.
/// Method: attachments of some MiB across two gateways: one while all is well; one whose worker is killed before it is
/// delivered; one whose worker is killed at its ack. Then an upload whose client goes away, and one whose gateway is
/// killed. In between and in the end, count the objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_go_with_what_refers_to_them() -> Result<()> {
    let store = S3Server::start().await?;
    let cluster = over(&store).start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    send(&mut ann, ben.uid(), "one", 5 * MIB).await?;
    ensure!(objects(&store) == chunks(5 * MIB), "{} objects of one body", objects(&store));
    receive(&mut ben, 5 * MIB).await?;
    no_objects(&store, "the first is acked").await?;

    let account = ben.account().clone();
    ben.quit().await?;
    send(&mut ann, &account.uid, "two", 3 * MIB).await?;
    replace_the_owner(&cluster).await?;
    let mut ben = cluster.gateway(1).login("ben", &account).await?;
    receive(&mut ben, 3 * MIB).await?;
    send(&mut ann, &account.uid, "three", 2 * MIB).await?;
    ben.take_login_notice().await?;
    receive(&mut ben, 2 * MIB).await?;
    replace_the_owner(&cluster).await?;
    no_objects(&store, "all are acked").await?;

    let mut eve = cluster.gateway(1).connect("eve").await?;
    send_half(&mut eve, &account.uid).await?;
    let some = async || (objects(&store) > 0).then_some(());
    eventually(WAIT, "objects of half an upload", some).await?;
    drop(eve);
    no_objects(&store, "its client is gone").await?;
    send_half(&mut ann, &account.uid).await?;
    eventually(WAIT, "objects of half an upload", some).await?;
    cluster.gateway(0).kill()?;
    no_objects(&store, "its gateway is gone").await?;
    ben.expect_nothing_else().await?;
    cluster.wait_until_nothing_waits().await?;
    cluster.passed()
}

/// A cluster whose bodies are there.
fn over(store: &S3Server) -> Setup {
    Setup::new()
        .setting("bodies.kind", "s3")
        .setting("bodies.s3.endpoint", &store.endpoint())
        .setting("bodies.s3.bucket", BUCKET)
        .setting("bodies.s3.prefix", PREFIX)
        .setting("bodies.s3.access_key", ACCESS_KEY)
        .setting("bodies.s3.secret_key", SECRET_KEY)
        .setting("bodies.s3.allow_http", "true")
        .setting("bodies.s3.chunk_octets", &CHUNK_OCTETS.to_string())
        .worker_setting("journal.spill_after", "1s")
        .worker_setting("sweep.every", "1s")
        .worker_setting("sweep.older_than", "6s")
}

/// Objects of bodies. The one by which the sweep tells the store's time stays, and is none of them.
fn objects(store: &S3Server) -> usize {
    store.objects(PREFIX) - usize::from(store.file(&format!("{PREFIX}/clock")).exists())
}

fn chunks(octets: u64) -> usize {
    usize::try_from(octets.div_ceil(CHUNK_OCTETS)).unwrap_or(usize::MAX)
}

async fn no_objects(store: &S3Server, when: &str) -> Result<()> {
    let none = async || (objects(store) == 0).then_some(());
    let waited = eventually(ERASED_WITHIN, "all objects to be gone", none).await;
    waited.with_context(|| format!("{} are left after {when}", objects(store)))
}

/// Kills the worker that owns the site, starts it again, and waits until the site has another owner: until then nobody
/// could come in, and a login has five seconds only.
async fn replace_the_owner(cluster: &Cluster) -> Result<()> {
    let before = cluster.owner_of(DEFAULT_SITE).await?;
    let number = cluster.serving_worker(DEFAULT_SITE).await?;
    cluster.worker(number).restart().await?;
    let another = async || cluster.owner_of(DEFAULT_SITE).await.ok().filter(|owner| *owner != before);
    eventually(WAIT, "another owner of the site", another).await?;
    Ok(())
}
