//! Causal order: whoever gets an answer to a message got the message first.

use anyhow::Result;
use tmtp_domain::Registration;
use tmtp_e2e::{Cluster, DEFAULT_SITE, Link, Setup, WAIT};
use tmtp_testkit::eventually;

/// Questions in each site.
const ROUNDS: usize = 50;
/// Each new site belongs to the other worker with a probability of a half.
const SITES_MAX: usize = 30;

/// Goal: if a message goes to several, and one of them answers at once to all, everybody else gets the message before
/// the answer. Method: two sites whose shards two workers have, at the same time; in each of them ann asks, ben answers
/// before he even acks, and cid and dan, one at each gateway, look at what comes, for many rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_comes_before_its_answer() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let second = site_of_another_worker(&cluster).await?;
    tokio::try_join!(discuss(&cluster, DEFAULT_SITE), discuss(&cluster, &second))?;
    cluster.passed()
}

/// Questions and answers in one site.
async fn discuss(cluster: &Cluster, site: &str) -> Result<()> {
    let gateways = [cluster.gateway(0).at(site), cluster.gateway(1).at(site)];
    let mut ann = gateways[0].connect("ann").await?;
    let mut ben = gateways[1].connect("ben").await?;
    let cid = gateways[0].connect("cid").await?;
    let dan = gateways[1].connect("dan").await?;
    let [ann_uid, ben_uid, cid_uid, dan_uid] = [&ann, &ben, &cid, &dan].map(|link| link.uid().to_owned());

    // The one who answers is named last, so that no order of a list helps the others.
    let asked = [cid_uid.as_str(), &dan_uid, &ben_uid];
    let answered = [ann_uid.as_str(), &dan_uid, &cid_uid];
    let asking = async {
        for round in 0..ROUNDS {
            ann.post(&format!("q{round}"), &asked, &question(round)).await?;
            ann.take(&answer(round)).await?;
        }
        ann.expect_nothing_else().await
    };
    let answering = async {
        for round in 0..ROUNDS {
            let asked = ben.delivery().await?;
            ben.post(&format!("a{round}"), &answered, &answer(round)).await?;
            ben.ack(&asked.id).await?;
        }
        ben.expect_nothing_else().await
    };
    tokio::try_join!(asking, answering, watch(cid), watch(dan))?;
    Ok(())
}

/// Takes each question, and then its answer.
async fn watch(mut link: Link) -> Result<()> {
    for round in 0..ROUNDS {
        let asked = link.take(&question(round)).await?;
        let answered = link.take(&answer(round)).await?;
        assert!(asked.id < answered.id, "ids grow");
    }
    link.expect_nothing_else().await
}

fn question(round: usize) -> String {
    format!("question {round}")
}

fn answer(round: usize) -> String {
    format!("answer {round}")
}

/// Makes sites until one has another owner than the default site.
pub async fn site_of_another_worker(cluster: &Cluster) -> Result<String> {
    let spread = async || {
        let shards =
            [cluster.worker(0), cluster.worker(1)].map(|worker| worker.metric("tmtp_worker_shards_owned"));
        let owned = futures::future::try_join_all(shards).await.ok()?;
        #[expect(clippy::float_cmp, reason = "counts")]
        (owned[0] == owned[1]).then_some(())
    };
    eventually(WAIT, "each worker to have its share", spread).await?;
    let first = cluster.owner_of(DEFAULT_SITE).await?;
    for number in 0..SITES_MAX {
        let domain = format!("number-{number}.test");
        cluster.add_site(&domain, &[&domain], Registration::Open).await?;
        if cluster.owner_of(&domain).await? != first {
            return Ok(domain);
        }
    }
    anyhow::bail!("{SITES_MAX} sites, and all of them belong to one worker")
}
