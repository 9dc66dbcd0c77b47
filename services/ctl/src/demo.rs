//! `tmtpctl demo`: a story on a running cluster that a person can follow, and that fails if anything is off.
//! It must never touch another site than the one it makes.

mod device;
mod story;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use data_encoding::HEXLOWER;
use tmtp_client::{Client, Connect, Trust};
use tmtp_domain::{Registration, SiteId};
use tmtp_store::{CreateSite, Store, Waiting};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{database::Database, server::dial};
use story::{Story, told};

/// The certificate of the local cluster covers names under it.
const DOMAIN: &str = "postern.test";
/// Until workers have told a gateway about a new site.
const SITE_WAIT: Duration = Duration::from_secs(30);
/// Until the database has forgotten what was delivered.
const ERASED_WAIT: Duration = Duration::from_mins(1);
/// For the command that is run while messages wait.
const COMMAND_WAIT: Duration = Duration::from_mins(5);
/// Between two looks at something that changes by itself.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Where the gateways are: HOST:PORT, with commas between; the first two are used
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    gateways: Vec<String>,
    /// A shell command to run while messages wait for a member who is away, such as a restart of the whole cluster;
    /// the story fails if it fails
    #[arg(long, value_name = "COMMAND")]
    while_away: Option<String>,
    #[command(flatten)]
    database: Database,
}

/// Where the story happens.
pub(crate) struct Stage {
    pub(crate) domain: String,
    /// What to do to the cluster while messages wait.
    pub(crate) while_away: Option<String>,
    gateways: [SocketAddr; 2],
}

impl Stage {
    /// How to reach the site through the first (0) or second (1) gateway.
    pub(crate) fn gateway(&self, index: usize) -> Connect {
        Connect {
            address: self.gateways[index % self.gateways.len()],
            server_name: Some(self.domain.clone()),
            // A local cluster signs its certificate itself.
            trust: Trust::Any,
        }
    }
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut story = Story::begin();
        let first = dial(self.gateways.first().context("--gateways is empty")?).await?;
        let second = match self.gateways.get(1) {
            Some(gateway) => dial(gateway).await?,
            None => first,
        };
        told!(story, "cluster", "gateway 1 is {first}, gateway 2 is {second}");
        let store = self.database.open().await?;
        let before = store.waiting().await.context("look into the database")?;
        if before != Waiting::default() {
            told!(story, "note", "messages of others wait in the database: {}", describe(before));
        }
        let name = make_site(&mut story, &store).await?;
        let stage = Stage { domain: name, while_away: self.while_away, gateways: [first, second] };
        await_site(&mut story, &stage).await?;
        story::tell(&mut story, &stage).await?;
        // A new connection: the story may have restarted the database.
        drop(store);
        let store = self.database.open().await?;
        await_erasure(&mut story, &store, before).await?;
        told!(story, "end", "everything was as it should be");
        Ok(())
    }
}

/// Runs a shell command, with its output among ours.
pub(crate) async fn run(command: &str) -> anyhow::Result<()> {
    let status = Command::new("sh").arg("-c").arg(command).kill_on_drop(true).status();
    let status = timeout(COMMAND_WAIT, status)
        .await
        .with_context(|| format!("expected {command:?} to end within {} s", COMMAND_WAIT.as_secs()))?
        .with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "expected {command:?} to succeed: {status}");
    Ok(())
}

/// Makes a site of our own and gives its domain, which is its name, too.
async fn make_site(story: &mut Story, store: &Store) -> anyhow::Result<String> {
    let mut octets = [0; 4];
    getrandom::fill(&mut octets).context("get random octets")?;
    let domain = format!("demo-{}.{DOMAIN}", HEXLOWER.encode(&octets));
    let site = CreateSite {
        id: SiteId(Uuid::new_v4()),
        name: domain.clone(),
        domains: vec![domain.clone()],
        registration: Registration::Open,
    };
    let shard = store.create_site(&site).await.context("make the site")?;
    told!(story, "site", "{domain} is made: id {}, shard {shard}", site.id);
    Ok(domain)
}

/// Until then the gateways answer with their default site, or refuse.
async fn await_site(story: &mut Story, stage: &Stage) -> anyhow::Result<()> {
    for index in 0..stage.gateways.len() {
        let end = Instant::now() + SITE_WAIT;
        loop {
            let seen = match timeout(SITE_WAIT, Client::open(&stage.gateway(index))).await {
                Ok(Ok((client, greeting))) => {
                    client.close().await.context("close the connection")?;
                    greeting.name
                }
                Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
                Err(_) => "no answer".to_owned(),
            };
            if seen == stage.domain {
                break;
            }
            ensure!(
                Instant::now() < end,
                "expected gateway {} to serve {} within {} s; it says: {seen}",
                index + 1,
                stage.domain,
                SITE_WAIT.as_secs()
            );
            sleep(LOOK).await;
        }
        told!(story, "site", "gateway {} serves it", index + 1);
    }
    Ok(())
}

/// What is delivered is erased; others' messages, from before, may stay.
async fn await_erasure(story: &mut Story, store: &Store, before: Waiting) -> anyhow::Result<()> {
    told!(story, "erasure", "everybody has everything; now the database has to forget it");
    let end = Instant::now() + ERASED_WAIT;
    let mut last = None;
    loop {
        let now = store.waiting().await.context("look into the database")?;
        if last.replace(now) != Some(now) {
            told!(story, "erasure", "{}", describe(now));
        }
        if now.journal <= before.journal
            && now.messages <= before.messages
            && now.inbox <= before.inbox
            && now.bodies <= before.bodies
            && now.chunks <= before.chunks
        {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "expected the database to be as empty as before ({}) within {} s; it has {}",
            describe(before),
            ERASED_WAIT.as_secs(),
            describe(now)
        );
        sleep(LOOK).await;
    }
}

fn describe(waiting: Waiting) -> String {
    let Waiting { journal, messages, inbox, bodies, chunks } = waiting;
    format!(
        "{journal} journal entries, {messages} messages, {inbox} inbox rows, {bodies} bodies in {chunks} chunks"
    )
}
