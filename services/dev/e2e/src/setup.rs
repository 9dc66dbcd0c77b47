//! What a test wants its cluster to be, and the way from there to a cluster that serves.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tmtp_domain::Registration;
use tmtp_store::Store;
use tmtp_testkit::{Postgres, Redis, free_port};

use crate::cluster::{Cluster, DATABASE, Door};
use crate::program::{Plan, Program};
use crate::turns::Turn;
use crate::watchdog::Watchdog;
use crate::{Certificates, Image, binaries};

/// The domain of the site that every cluster has, and that clients without SNI get unless the setup says otherwise.
pub const DEFAULT_SITE: &str = "first.test";

/// Few, because every worker reads all its shards at each step; more than workers, so that each has some.
const SHARDS: u16 = 8;
/// Connections of the harness itself.
const STORE_CONNECTIONS: u32 = 2;

/// A cluster to be: two gateways and two workers with their default settings, unless changed.
#[derive(Debug, Clone)]
pub struct Setup {
    gateways: usize,
    workers: usize,
    admin: bool,
    from_image: bool,
    default_site: Option<&'static str>,
    gateway_settings: Vec<(String, String)>,
    worker_settings: Vec<(String, String)>,
    admin_settings: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// Two gateways, two workers.
    pub fn new() -> Self {
        // A stop must not take longer than the test needs to see that it is spread.
        let gateway_settings = vec![("TMTP_LISTEN__DRAIN_OVER".to_owned(), "1s".to_owned())];
        Self {
            gateways: 2,
            workers: 2,
            admin: false,
            from_image: false,
            default_site: Some(DEFAULT_SITE),
            gateway_settings,
            worker_settings: Vec::new(),
            admin_settings: Vec::new(),
        }
    }

    /// As many gateways as this.
    pub fn gateways(mut self, count: usize) -> Self {
        self.gateways = count;
        self
    }

    /// As many workers as this.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// The admin server, too.
    pub fn with_admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// All programs as the container image has them.
    pub fn from_image(mut self) -> Self {
        self.from_image = true;
        self
    }

    /// Clients that name no site, or none that there is, get none.
    pub fn without_default_site(mut self) -> Self {
        self.default_site = None;
        self
    }

    /// A setting of every gateway, such as `limits.redeliver_after`.
    pub fn gateway_setting(mut self, key: &str, value: &str) -> Self {
        self.gateway_settings.push((variable(key), value.to_owned()));
        self
    }

    /// A setting of every worker, such as `journal.spill_after`.
    pub fn worker_setting(mut self, key: &str, value: &str) -> Self {
        self.worker_settings.push((variable(key), value.to_owned()));
        self
    }

    /// A setting of the admin server, such as `acme.enabled`.
    pub fn admin_setting(mut self, key: &str, value: &str) -> Self {
        self.admin_settings.push((variable(key), value.to_owned()));
        self
    }

    /// A setting of gateways and workers, such as `tracing.otlp_endpoint`.
    pub fn setting(self, key: &str, value: &str) -> Self {
        self.gateway_setting(key, value).worker_setting(key, value)
    }

    /// Starts the cluster, with one site, [`DEFAULT_SITE`], open to everybody, and waits until all of it serves. Waits
    /// its turn first.
    ///
    /// # Errors
    /// When something does not start; the message holds the end of its log.
    pub async fn start(self) -> Result<Cluster> {
        // Before the turn: whoever holds it may be waiting for the same build.
        binaries::find("")?;
        let turn = Turn::take()?;
        let postgres = Postgres::start().context("start Postgres")?;
        let redis = Redis::start().context("start Redis")?;
        postgres.create_database(DATABASE)?;
        let store =
            Store::connect(&postgres.url(DATABASE), STORE_CONNECTIONS, Duration::from_secs(10)).await?;
        store.migrate(SHARDS).await?;

        let folder = tempfile::Builder::new().prefix("postern-e2e-").tempdir().context("make a folder")?;
        let watchdog = Arc::new(Watchdog::start(folder.path())?);
        let certificates = Certificates::create(folder.path().join("certificates"))?;
        certificates.put("default", &[DEFAULT_SITE, "*.test", "localhost"])?;
        let image = if self.from_image { Some(Arc::new(Image::lay_out(folder.path())?)) } else { None };
        let start = Start {
            setup: &self,
            folder: &folder,
            watchdog,
            certificates: &certificates,
            image: image.clone(),
        };
        let workers = (0..self.workers).map(|n| start.worker(n, &postgres, &redis)).collect::<Result<_>>()?;
        let gateways =
            (0..self.gateways).map(|n| start.gateway(n, &postgres, &redis)).collect::<Result<_>>()?;
        let admin = self.admin.then(|| start.admin(&postgres, &redis)).transpose()?;
        let mut cluster = Cluster {
            gateways,
            workers,
            admin,
            image,
            store,
            redis,
            postgres,
            certificates,
            folder,
            passed: false,
            turn,
        };
        cluster.wait_until_ready().await.inspect_err(|_| cluster.passed = true)?;
        cluster.add_site("First", &[DEFAULT_SITE], Registration::Open).await?;
        Ok(cluster)
    }
}

/// What the start of every program needs.
struct Start<'s> {
    setup: &'s Setup,
    folder: &'s TempDir,
    watchdog: Arc<Watchdog>,
    certificates: &'s Certificates,
    image: Option<Arc<Image>>,
}

impl Start<'_> {
    fn worker(&self, number: usize, postgres: &Postgres, redis: &Redis) -> Result<Program> {
        let mut environment = common(redis);
        environment.push((variable("postgres.url"), postgres.url(DATABASE)));
        environment.extend(self.setup.worker_settings.iter().cloned());
        self.spawn("tmtp-worker", format!("worker-{number}"), environment)
    }

    fn gateway(&self, number: usize, postgres: &Postgres, redis: &Redis) -> Result<Door> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut environment = common(redis);
        environment.extend([
            (variable("listen.address"), address.to_string()),
            (variable("tls.certificates"), text(self.certificates.folder())?),
            (variable("tls.reload_every"), "200ms".to_owned()),
            (variable("bodies.postgres.url"), postgres.url(DATABASE)),
        ]);
        environment.extend(self.setup.default_site.map(|site| (variable("sites.default"), site.to_owned())));
        environment.extend(self.setup.gateway_settings.iter().cloned());
        let program = self.spawn("tmtp-gateway", format!("gateway-{number}"), environment)?;
        Ok(Door { program, address })
    }

    fn admin(&self, postgres: &Postgres, redis: &Redis) -> Result<Program> {
        let mut environment = common(redis);
        environment.extend([
            (variable("postgres.url"), postgres.url(DATABASE)),
            (variable("listen.address"), SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())).to_string()),
        ]);
        environment.extend(self.setup.admin_settings.iter().cloned());
        self.spawn("tmtp-admin", "admin".to_owned(), environment)
    }

    fn spawn(
        &self,
        binary: &'static str,
        name: String,
        environment: Vec<(String, String)>,
    ) -> Result<Program> {
        let folder = self.folder.path().to_owned();
        let (image, watchdog) = (self.image.clone(), Arc::clone(&self.watchdog));
        Program::spawn(Plan { binary, name, environment, folder, image, watchdog })
    }
}

/// What every program is told.
fn common(redis: &Redis) -> Vec<(String, String)> {
    vec![
        (variable("redis.url"), redis.url()),
        (variable("log.filter"), "info".to_owned()),
        // As many as a small pod has.
        (variable("runtime.threads"), "2".to_owned()),
    ]
}

/// `limits.lease` is `TMTP_LIMITS__LEASE` in the environment.
pub(crate) fn variable(key: &str) -> String {
    format!("TMTP_{}", key.to_uppercase().replace('.', "__"))
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(ToOwned::to_owned).context("the temporary folder's name is not UTF-8")
}
