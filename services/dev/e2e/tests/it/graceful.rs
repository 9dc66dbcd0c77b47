//! Programs that are asked to stop.

use anyhow::Result;
use tmtp_e2e::{End, Setup, WAIT};
use tmtp_testkit::eventually;

use crate::administration::bootstrap;
use crate::load::Load;

/// Goal: a gateway that stops ends its links properly, without a word, and frees their nodes. Method: SIGTERM with three
/// clients connected and a message unacked; every link ends with a close, the exit code is 0, and all can log in at the
/// other gateway at once and get what was not acked.
#[tokio::test]
async fn a_gateway_lets_its_clients_go() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut links = Vec::new();
    for who in ["ann", "ben", "cid"] {
        links.push(cluster.gateway(0).connect(who).await?);
    }
    let ben = links[1].uid().to_owned();
    links[0].post("unacked", &[&ben], "unacked").await?;
    let unacked = links[1].delivery().await?;

    let gateway = cluster.gateway(0);
    let ends = futures::future::join_all(links.iter_mut().map(tmtp_e2e::Link::end));
    let (status, ends) = tokio::join!(gateway.terminate(), ends);
    let status = status?;
    assert!(status.success(), "the gateway ended with {status}");
    for end in ends {
        assert_eq!(end?, End::Closed);
    }
    for (number, link) in links.iter().enumerate() {
        let mut again = cluster.gateway(1).login("again", link.account()).await?;
        if number == 1 {
            assert_eq!(again.delivery().await?, unacked);
        }
    }
    cluster.passed()
}

/// Goal: an operator empties a gateway and takes it back, while it stays in the cluster: its clients are let go, it is not
/// ready and its port is closed, and clients are served there again later. Method: drain the first of two with a client at
/// each, look, and undrain.
#[tokio::test]
async fn a_gateway_is_drained_and_taken_back() -> Result<()> {
    let cluster = Setup::new().with_admin().gateway_setting("listen.drain_over", "1s").start().await?;
    let folder = tempfile::tempdir()?;
    let operator = bootstrap(&cluster, &folder)?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let with_link = |links: u64| -> Result<Vec<String>> {
        let shown = operator.ask("cluster show")?;
        let gateways = shown["gateways"].as_array().into_iter().flatten();
        let ids = gateways.filter(|gateway| gateway["links"] == links).filter_map(|one| one["id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    };
    let both = async || with_link(1).ok().filter(|found| found.len() == 2);
    eventually(WAIT, "both links to be shown", both).await?;
    let shown = operator.ask("cluster show")?;
    assert_eq!(shown["workers"].as_array().map(Vec::len), Some(cluster.workers()), "{shown}");
    drop(ben.quit().await);
    let one = async || with_link(1).ok().filter(|found| found.len() == 1)?.pop();
    let gateway = eventually(WAIT, "only ann's link to be left", one).await?;

    operator.ask(&format!("cluster drain {gateway}"))?;
    assert_eq!(ann.end().await?, End::Closed);
    let closed = async || (!cluster.gateway(0).is_ready().await).then_some(());
    eventually(WAIT, "the gateway not to be ready", closed).await?;
    assert!(cluster.gateway(0).dial().await.is_err(), "its port is open");
    let drained = async || {
        let shown = operator.ask("cluster show").ok()?;
        let gateways = shown["gateways"].as_array()?;
        gateways.iter().any(|one| one["id"] == *gateway && one["drained"] == true).then_some(())
    };
    eventually(WAIT, "it to be shown as drained", drained).await?;
    ben = cluster.gateway(1).login("ann at the other", ann.account()).await?;

    operator.ask(&format!("cluster undrain {gateway}"))?;
    let open = async || cluster.gateway(0).greeting().await.ok();
    eventually(WAIT, "the gateway to take links again", open).await?;
    eventually(WAIT, "it to be ready", async || cluster.gateway(0).is_ready().await.then_some(())).await?;
    ben.quit().await?;
    cluster.gateway(0).login("ann again", ann.account()).await?;
    let log = operator.ask("audit --action gateway.drain")?;
    assert_eq!(log[0]["target"], *gateway, "{log}");
    cluster.passed()
}

/// Goal: a worker that stops hands its shards over, so that nobody waits for its lease. Method: with a lease of a minute
/// and load running, SIGTERM the worker that serves; the other one has all shards and messages flow long before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_hands_its_shards_over() -> Result<()> {
    let cluster = Setup::new().worker_setting("shards.lease", "60s").start().await?;
    let load = Load::start(&cluster).await?;
    let serving = load.serving_worker(&cluster).await?;
    let shards = cluster.worker(0).metric("tmtp_worker_shards_owned").await?
        + cluster.worker(1).metric("tmtp_worker_shards_owned").await?;
    let status = cluster.worker(serving).terminate().await?;
    assert!(status.success(), "the worker ended with {status}");
    let other = cluster.worker(1 - serving);
    let has_all = async || (other.metric("tmtp_worker_shards_owned").await.ok()? >= shards).then_some(());
    eventually(WAIT, "the other worker to own all shards", has_all).await?;
    load.flows("after the hand-over").await?;
    load.finish().await?;
    cluster.passed()
}
