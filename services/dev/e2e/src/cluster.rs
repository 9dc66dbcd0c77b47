//! A running cluster. Its parts end in the order in which they are declared: programs before the databases below them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tmtp_domain::{Registration, SiteId};
use tmtp_store::{CreateSite, Store, Waiting};
use tmtp_testkit::{Postgres, Redis, eventually};
use uuid::Uuid;

use crate::turns::Turn;
use crate::{Certificates, Gateway, Image, Program, Streams, WAIT, streams};

/// The database of the cluster.
pub(crate) const DATABASE: &str = "postern";

/// What is delivered and acked has to be gone from everywhere by then (invariant I9).
const ERASED_WITHIN: Duration = Duration::from_mins(1);

/// A cluster that serves. A test ends it with [`Cluster::passed`]; otherwise its drop prints the ends of all logs.
pub struct Cluster {
    pub(crate) gateways: Vec<Door>,
    pub(crate) workers: Vec<Program>,
    pub(crate) admin: Option<Program>,
    pub(crate) image: Option<Arc<Image>>,
    /// For what tests look up in the database.
    pub store: Store,
    /// The streams. Tests may stop it.
    pub redis: Redis,
    /// The database. Tests may stop it.
    pub postgres: Postgres,
    /// What the gateways show.
    pub certificates: Certificates,
    pub(crate) folder: TempDir,
    pub(crate) passed: bool,
    #[expect(dead_code, reason = "the next cluster may start when this one has ended")]
    pub(crate) turn: Turn,
}

/// A gateway with the port for clients.
pub(crate) struct Door {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

impl Cluster {
    /// The gateway of this number, as clients of the default site see it.
    ///
    /// # Panics
    /// When the cluster has fewer.
    pub fn gateway(&self, number: usize) -> Gateway<'_> {
        let door = &self.gateways[number];
        Gateway::new(&door.program, door.address)
    }

    /// The worker of this number.
    ///
    /// # Panics
    /// When the cluster has fewer.
    pub fn worker(&self, number: usize) -> &Program {
        &self.workers[number]
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The admin server.
    ///
    /// # Errors
    /// When the cluster was set up without.
    pub fn admin(&self) -> Result<&Program> {
        self.admin.as_ref().context("this cluster has no admin server")
    }

    /// Where the admin server's API is.
    ///
    /// # Errors
    /// When the cluster was set up without.
    pub fn admin_url(&self) -> Result<String> {
        let address = self.admin()?.setting("listen.address").context("an admin server without address")?;
        Ok(format!("http://{address}"))
    }

    /// What its programs are run from.
    ///
    /// # Errors
    /// When the cluster was set up without.
    pub fn image(&self) -> Result<&Image> {
        self.image.as_deref().context("this cluster does not run from an image")
    }

    /// Where clients connect: the gateways' addresses.
    pub fn gateway_addresses(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|door| door.address).collect()
    }

    /// All its programs.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.gateways.iter().map(|door| &door.program).chain(&self.workers).chain(&self.admin)
    }

    /// Makes a site and waits until every gateway serves it by its first domain.
    pub async fn add_site(&self, name: &str, domains: &[&str], registration: Registration) -> Result<()> {
        let site = CreateSite {
            id: SiteId(Uuid::new_v4()),
            name: name.to_owned(),
            domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
            registration,
        };
        self.store.create_site(&site).await?;
        let domain = domains.first().context("a site needs a domain")?;
        for number in 0..self.gateways.len() {
            let gateway = self.gateway(number).at(domain);
            let what = format!("{} to serve {domain}", gateway.name());
            let served =
                async || gateway.greeting().await.is_ok_and(|greeting| greeting.name == name).then_some(());
            eventually(WAIT, &what, served).await?;
        }
        Ok(())
    }

    /// Suspends the site that has this domain, as an operator does.
    pub async fn suspend_site(&self, domain: &str) -> Result<()> {
        let mut connection = self.database().await?;
        let done = sqlx::query(
            "UPDATE site SET status = 'suspended'
             WHERE site_id = (SELECT site_id FROM site_domain WHERE domain = $1)",
        )
        .bind(domain)
        .execute(&mut connection)
        .await?;
        ensure!(done.rows_affected() == 1, "no site has the domain {domain}");
        Ok(())
    }

    /// Who owns the shard of the site that has this domain: a worker, by the name it has in the database.
    pub async fn owner_of(&self, domain: &str) -> Result<Uuid> {
        let mut connection = self.database().await?;
        let owner: Option<Option<Uuid>> = sqlx::query_scalar(
            "SELECT owner FROM shard JOIN site USING (shard_id) JOIN site_domain USING (site_id) WHERE domain = $1",
        )
        .bind(domain)
        .fetch_optional(&mut connection)
        .await?;
        owner.flatten().with_context(|| format!("nobody owns the shard of {domain}"))
    }

    /// The number of the worker that serves the site that has this domain.
    pub async fn serving_worker(&self, domain: &str) -> Result<usize> {
        // Each life of a worker has a name of its own, which it logs when it starts.
        let owner = self.owner_of(domain).await?.to_string();
        (0..self.workers())
            .find(|number| self.worker(*number).log().contains(&owner))
            .with_context(|| format!("no worker of the cluster is {owner}"))
    }

    /// Removes everything from Redis while it runs.
    pub async fn flush_redis(&self) -> Result<()> {
        streams::flush(&self.redis).await
    }

    /// The command streams and the event streams, as they are now.
    pub async fn streams(&self) -> Result<Streams> {
        Streams::read(&self.redis).await
    }

    /// Chunks in the body store, whoever refers to them.
    pub async fn body_chunks(&self) -> Result<i64> {
        let mut connection = self.database().await?;
        let count = sqlx::query_scalar("SELECT count(*) FROM body_chunk").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(count)
    }

    /// Waits until the body store is empty.
    pub async fn wait_for_no_chunks(&self, within: Duration) -> Result<()> {
        let empty = async || (self.body_chunks().await.ok()? == 0).then_some(());
        let waited = eventually(within, "the body store to be empty", empty).await;
        waited.context("chunks are left behind")
    }

    /// Waits until nothing of what was sent is left: no journal, no rows, no bodies.
    pub async fn wait_until_erased(&self) -> Result<()> {
        self.wait_until_nothing_waits().await?;
        self.wait_for_no_chunks(ERASED_WITHIN).await
    }

    /// Waits until nobody is owed anything: no journal, no rows. Chunks may be left whose upload nobody finished.
    pub async fn wait_until_nothing_waits(&self) -> Result<()> {
        let empty = async || {
            let waiting = Waiting { chunks: 0, ..self.store.waiting().await.ok()? };
            (waiting == Waiting::default()).then_some(())
        };
        if let Err(error) = eventually(ERASED_WITHIN, "all that was delivered to be gone", empty).await {
            return Err(error.context(format!("left: {:?}", self.store.waiting().await)));
        }
        Ok(())
    }

    /// A connection of its own to the database, for what the store has no word for.
    pub async fn database(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.database_url()).await.context("reach Postgres")
    }

    /// Where the cluster's database is.
    pub fn database_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// Waits until all programs are ready.
    pub async fn wait_until_ready(&self) -> Result<()> {
        for program in self.programs() {
            program.ready().await?;
        }
        Ok(())
    }

    /// Ends a test that went well.
    ///
    /// # Errors
    /// When a program has ended by itself, or a bug shows in its log.
    pub fn passed(mut self) -> Result<()> {
        let complaints: Vec<String> = self.programs().filter_map(Program::complaint).collect();
        ensure!(complaints.is_empty(), "{}", complaints.join(", "));
        self.passed = true;
        Ok(())
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "for the one who reads why a test failed")]
    fn drop(&mut self) {
        if !self.passed {
            for program in self.programs() {
                eprintln!("{}", program.log_tail());
            }
            eprintln!("the cluster was in {}", self.folder.path().display());
        }
    }
}
