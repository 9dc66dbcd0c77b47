//! An hour of use in a minute: people with several devices write, answer, forward, ping, found devices, come and go, and
//! are thrown out of groups, while gateways and workers are stopped and killed. In the end the books have to balance.

mod books;
mod desktop;
mod news;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use tmtp_client::Connect;
use tmtp_e2e::{Cluster, DEFAULT_SITE, Setup};
use tmtp_wire::{DataInfo, Request};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use books::Books;
use desktop::{Desktop, Phase, Story};

const USERS: usize = 12;
const GROUPS: usize = 3;
/// How much faster than in life everything goes: the two minutes that a client waits after a close are two seconds. What
/// servers take their time for, such as a lease, is not faster, nor is how long a client waits for an answer by as much.
const SCALE: u32 = 60;
/// How long people are busy before, between and after accidents.
const PAUSE: Duration = Duration::from_secs(8);
/// For those who want a story again.
const SEED: &str = "POSTERN_HOUR_SEED";
/// For everything that is under way to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_mins(2);

/// Goal: what clients rely on holds through an hour of everything; method: see above. Times are scaled: 15 s until a
/// request is sent again are 4 s, the two minutes after a close are 2 s, and people are in a hurry. Random; the
/// seed is shown, and can be given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_of_use() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let seed = std::env::var(SEED).map_or_else(|_| Ok(fastrand::u64(..)), |seed| seed.parse())?;
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (phase, phases) = watch::channel(Phase::Busy);
    let (born, births) = mpsc::unbounded_channel();
    let (story, accounts) = begin(&cluster, phases, born).await?;
    let first = accounts.into_iter().enumerate();
    let first: Vec<_> =
        first.map(|(user, account)| Desktop::new(&story, user, user, account, rng.u64(..))).collect();
    let population = tokio::spawn(live(first, births, story.phase.clone()));
    let began = Instant::now();
    accidents(&cluster).await?;
    ensure!(began.elapsed() * SCALE >= Duration::from_hours(1), "that was no hour");
    phase.send_replace(Phase::Drains);

    settle(&story).await?;
    println!("{}", story.books(|books| books.summary()));
    // Nothing comes behind that which should not. (Somebody may still log in, and everybody is told.)
    cluster.wait_until_nothing_waits().await?;
    sleep(Duration::from_secs(2)).await;
    settle(&story).await?;
    phase.send_replace(Phase::Over);
    timeout(ARRIVES_WITHIN, population).await.context("a device does not end")??;
    story.books(|books| {
        let differences = books.differences();
        let overtakings = books.overtakings();
        ensure!(books.errors.is_empty(), "{:#?}", books.errors);
        ensure!(differences.is_empty(), "{differences:#?}");
        ensure!(overtakings.is_empty(), "{overtakings:#?}");
        ensure!(books.answered > 300, "hardly anything happened: {}", books.summary());
        Ok(())
    })?;
    cluster.wait_until_erased().await?;
    cluster.passed()
}

/// All devices live, those that are born on the way too, until the story is over.
async fn live(
    first: Vec<Desktop>,
    mut births: mpsc::UnboundedReceiver<Desktop>,
    phase: watch::Receiver<Phase>,
) {
    let mut living: JoinSet<()> = first.into_iter().map(Desktop::live).collect();
    while !(living.is_empty() && *phase.borrow() == Phase::Over) {
        tokio::select! {
            Some(desktop) = births.recv() => {
                living.spawn(desktop.live());
            }
            Some(ended) = living.join_next() => {
                // A device does not panic, and nobody aborts it.
                ended.expect("a device lives to the end");
            }
        }
    }
}

/// Waits until nothing is to come any more.
async fn settle(story: &Story) -> Result<()> {
    let give_up = Instant::now() + ARRIVES_WITHIN;
    while let Some(missing) = story.books(|books| missing(story, books)) {
        ensure!(Instant::now() < give_up, "{missing}");
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// What is still to come, if anything.
fn missing(story: &Story, books: &Books) -> Option<String> {
    let mut missing = books.differences();
    missing.extend(books.miscounted());
    missing.extend(books.mistaken(|user| {
        let shows = (0..USERS).filter(|other| story.contacts(*other).contains(&user));
        shows.map(|other| story.users[other].0.clone()).collect()
    }));
    let count = missing.len();
    missing.truncate(10);
    (books.open > 0 || count > 0)
        .then(|| format!("{} requests are open; {count} differences, such as {missing:#?}", books.open))
}

/// Users, groups, and who is in them at first.
async fn begin(
    cluster: &Cluster,
    phase: watch::Receiver<Phase>,
    born: mpsc::UnboundedSender<Desktop>,
) -> Result<(Arc<Story>, Vec<tmtp_client::Account>)> {
    let mut books = Books::default();
    let mut links = Vec::new();
    for user in 0..USERS {
        let began = books.tick();
        let link = cluster.gateway(user % 2).connect_as(&format!("user {user}"), &alias(user)).await?;
        books.node(user, began);
        links.push(link);
    }
    let groups: Vec<(String, usize)> =
        (0..GROUPS).map(|group| (format!("The group {group}"), group)).collect();
    for (group, (gid, founder)) in groups.iter().enumerate() {
        for user in (0..USERS).filter(|user| (user + group) % 2 == 0 && user != founder) {
            let invite = Request::GroupInvite {
                id: format!("invite {group} {user}"),
                gid: gid.clone(),
                from: alias(*founder),
                to: alias(user),
                data: DataInfo::default(),
            };
            links[*founder].request(&invite, b"").await?;
            let number = books.change(group, user, true);
            let join = Request::GroupEdit {
                id: format!("join {group}"),
                act: "join".to_owned(),
                gid: gid.clone(),
                to: None,
                new_alias: None,
            };
            links[user].request(&join, b"").await?;
            books.changed(group, user, number, false);
        }
        let number = books.change(group, *founder, true);
        books.changed(group, *founder, number, false);
    }
    for link in &mut links {
        // What has come of all that is nobody's news later.
        let (uid, last) = (link.uid().to_owned(), "that is all");
        link.post("all", &[&uid], last).await?;
        loop {
            let frame = link.message().await?;
            let id = frame.response.std().context("no message")?.id.clone().into_owned();
            link.ack(&id).await?;
            if frame.data == last.as_bytes() {
                break;
            }
        }
    }
    let accounts: Vec<_> = links.iter().map(|link| link.account().clone()).collect();
    let users =
        accounts.iter().enumerate().map(|(user, account)| (account.uid.clone(), alias(user))).collect();
    for link in links {
        link.quit().await?;
    }
    let gateways = cluster.gateway_addresses().into_iter();
    let gateways = gateways
        .map(|address| Connect { server_name: Some(DEFAULT_SITE.to_owned()), ..Connect::local(address) })
        .collect();
    let story = Story { gateways, users, groups, books: Mutex::new(books), phase, born };
    Ok((Arc::new(story), accounts))
}

fn alias(user: usize) -> String {
    format!("Person number {user}")
}

/// What happens to the servers meanwhile.
async fn accidents(cluster: &Cluster) -> Result<()> {
    sleep(PAUSE).await;
    cluster.worker(0).kill()?;
    sleep(PAUSE).await;
    cluster.worker(0).restart().await?;
    cluster.gateway(0).kill()?;
    sleep(PAUSE).await;
    cluster.gateway(0).restart().await?;
    cluster.worker(1).terminate().await?;
    sleep(PAUSE).await;
    cluster.worker(1).restart().await?;
    cluster.gateway(1).terminate().await?;
    sleep(PAUSE).await;
    cluster.gateway(1).restart().await?;
    cluster.flush_redis().await?;
    sleep(PAUSE).await;
    cluster.gateway(0).kill()?;
    cluster.worker(1).kill()?;
    sleep(PAUSE).await;
    cluster.gateway(0).restart().await?;
    cluster.worker(1).restart().await?;
    sleep(PAUSE).await;
    Ok(())
}
