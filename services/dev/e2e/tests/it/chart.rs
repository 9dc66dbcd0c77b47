//! The chart as an operator installs it, tests it, scales it and upgrades it: with the values of the guide, rendered by Helm,
//! and our programs as its processes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tmtp_domain::{KeyMode, KeySecret};
use tmtp_e2e::{Kube, Secrets, WAIT};
use tmtp_store::{Store, Waiting};
use tmtp_testkit::{Authority, Postgres, Redis, eventually};
use tokio::time::sleep;

use crate::documents::fences::{console, fences, read};
use crate::documents::guide::{GUIDE, values};
use crate::load::{Load, Shape};

/// The domain of the site there.
const SITE: &str = "tmtp.example.org";
/// Short drains, and a port that needs no rights.
const QUICK: [&str; 4] =
    ["gateway.service.port=8443", "gateway.drainSeconds=3", "worker.drainSeconds=20", "admin.drainSeconds=8"];
/// What runs for ever.
const COMPONENTS: [&str; 3] = ["gateway", "worker", "admin"];

/// What an operator has before the chart is installed.
struct Before {
    values: String,
    secrets: Secrets,
    postgres: Postgres,
    redis: Redis,
    authority: Authority,
}

impl Before {
    /// The Secrets that the guide makes, with databases of our own and keys that nobody else has.
    fn new() -> Result<Self> {
        let guide = fences(&read(GUIDE)?)?;
        let (postgres, redis, authority) = (Postgres::start()?, Redis::start()?, Authority::new()?);
        postgres.create_database("postern")?;
        let random: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        let operator = KeySecret::new(KeyMode::Live, &random);
        let ca = fs::read(authority.certificate())?;
        let pair = |(certificate, key)| Ok::<_, anyhow::Error>((fs::read(certificate)?, fs::read(key)?));
        let (own, client) = (pair(authority.issue(SITE)?)?, pair(authority.issue("postern")?)?);
        let contents = BTreeMap::from([
            (("postern-operator", "token"), operator.reveal().as_bytes().to_vec()),
            (("postern-sealing", "key"), b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".to_vec()),
            (("postern-postgres", "url"), postgres.url("postern").into_bytes()),
            (("postern-redis", "url"), redis.url().into_bytes()),
            (("postern-certificate", "tls.crt"), own.0),
            (("postern-certificate", "tls.key"), own.1),
            (("postern-postgres-tls", "ca.crt"), ca.clone()),
            (("postern-redis-tls", "ca.crt"), ca),
            (("postern-redis-tls", "tls.crt"), client.0),
            (("postern-redis-tls", "tls.key"), client.1),
        ]);
        let mut secrets = Secrets::new();
        for (name, key) in secrets_of(&console(&guide)) {
            let content = contents.get(&(name.as_str(), key.as_str()));
            let content = content.with_context(|| format!("nobody knows what {key} of {name} is"))?.clone();
            secrets.insert((name, key), content);
        }
        Ok(Self { values: values(&guide)?, secrets, postgres, redis, authority })
    }

    /// Has Postgres and Redis take TLS, Postgres nothing else, and Redis ask who comes; answers with the values that belong to
    /// it.
    fn use_tls(&mut self) -> Result<[&'static str; 2]> {
        self.postgres.use_tls(&self.authority)?;
        let port = self.redis.use_tls(&self.authority, true)?;
        let ca = |store| format!("sslrootcert=/etc/postern/{store}/ca.crt");
        let url = format!("{}?sslmode=verify-full&{}", self.postgres.url("postern"), ca("postgres"));
        self.secrets.insert(("postern-postgres".to_owned(), "url".to_owned()), url.into_bytes());
        let own = "sslcert=/etc/postern/redis/tls.crt&sslkey=/etc/postern/redis/tls.key";
        let url = format!("rediss://127.0.0.1:{port}/?{}&{own}", ca("redis"));
        self.secrets.insert(("postern-redis".to_owned(), "url".to_owned()), url.into_bytes());
        Ok(["postgres.tlsSecret=\"postern-postgres-tls\"", "redis.tlsSecret=\"postern-redis-tls\""])
    }

    async fn install(&self, changes: &[&str]) -> Result<Kube> {
        let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, key) in self.secrets.keys() {
            keys.entry(name).or_default().push(key);
        }
        let mut values = String::new();
        for (name, keys) in keys {
            writeln!(values, "# existing secret: {name} {}", keys.join(" "))?;
        }
        values += &self.values;
        Kube::install(&values, &[&QUICK[..], changes].concat(), self.secrets.clone()).await
    }

    /// What is left in the database when everybody has got everything.
    async fn nothing_waits(&self) -> Result<()> {
        let store = Store::connect(&self.postgres.url("postern"), 1, WAIT).await?;
        let empty = async || {
            let waiting = Waiting { chunks: 0, ..store.waiting().await.ok()? };
            (waiting == Waiting::default()).then_some(())
        };
        eventually(Duration::from_mins(1), "all that was delivered to be gone", empty).await
    }
}

/// Names and keys of the Secrets that the guide's commands make.
fn secrets_of(commands: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for command in commands {
        let Some((_, rest)) = command.split_once(" create secret ") else { continue };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [kind, name, parameters @ ..] = &words[..] else { continue };
        let keys: Vec<&str> = match *kind {
            "tls" => vec!["tls.crt", "tls.key"],
            _ => {
                parameters.iter().filter_map(|word| word.strip_prefix("--from-")?.split('=').nth(1)).collect()
            }
        };
        found.extend(keys.into_iter().map(|key| ((*name).to_owned(), key.to_owned())));
    }
    found
}

/// The pods of a component.
fn names(kube: &Kube, component: &str) -> Vec<String> {
    kube.pods(component).map(|pod| pod.name().to_owned()).collect()
}

fn shape() -> Shape {
    Shape { site: SITE, ..Shape::default() }
}

/// Goal: what the guide installs delivers, passes `helm test`, and is scaled under load without losing a message, breaking a
/// process off or leaving a connection to nobody. Method: install its values, look who runs, post through the Service, have
/// more and fewer of everything, and look at the books.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_install_delivers_and_is_scaled() -> Result<()> {
    let before = Before::new()?;
    let mut kube = before.install(&[]).await?;
    for component in COMPONENTS {
        ensure!(kube.pods(component).count() == 2, "{component}: {:?}", names(&kube, component));
        for pod in kube.pods(component) {
            pod.check_account().with_context(|| pod.name().to_owned())?;
        }
    }
    let said = kube.test().await?;
    ensure!(said.contains("delivered"), "helm test says: {said}");

    let load = Load::start_at(vec![kube.service("gateway", "tmtp")?], shape()).await?;
    has_all(&kube, "gateway", "tmtp_gateway_links_open").await?;
    kube.scale("gateway", 3).await?;
    kube.scale("worker", 3).await?;
    has_all(&kube, "worker", "tmtp_worker_shards_owned").await?;
    // Through three gateways in turn, as the Service has it.
    let more = Load::start_at(vec![kube.service("gateway", "tmtp")?], shape()).await?;
    has_all(&kube, "gateway", "tmtp_gateway_links_open").await?;
    kube.scale("worker", 1).await?;
    kube.scale("gateway", 1).await?;
    load.flows("with one of each").await?;
    more.flows("with one of each").await?;
    kube.scale("admin", 1).await?;
    kube.test().await?;
    load.finish().await?;
    more.finish().await?;
    before.nothing_waits().await?;
    kube.passed().await
}

/// Waits until every pod of a component has a share of something.
async fn has_all(kube: &Kube, component: &str, metric: &str) -> Result<()> {
    for pod in kube.pods(component) {
        let has = async || (pod.metric(metric).await.ok()? > 0.0).then_some(());
        eventually(WAIT, &format!("{} to have some {metric}", pod.name()), has).await?;
    }
    Ok(())
}

/// Goal: an upgrade to changed values replaces every process while messages flow, and loses and repeats none; with a Postgres
/// that takes TLS only, and with TLS to a Redis that asks who comes. Method: upgrade under load, and once more; then look at
/// the books, and who still runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load() -> Result<()> {
    let mut before = Before::new()?;
    let changes = before.use_tls()?;
    let mut kube = before.install(&changes).await?;
    kube.test().await?;
    let load = Load::start_at(vec![kube.service("gateway", "tmtp")?], shape()).await?;
    for (filter, drain) in
        [("info,tmtp_gateway=debug", "gateway.drainSeconds=5"), ("info", "gateway.drainSeconds=3")]
    {
        let old = COMPONENTS.map(|component| names(&kube, component));
        let set = COMPONENTS.map(|component| {
            format!("{component}.config.log={{\"filter\":\"{filter}\",\"format\":\"human\"}}")
        });
        let set: Vec<&str> = set.iter().map(String::as_str).chain([drain]).collect();
        let values = [&QUICK[..], &changes, &set].concat();
        tokio::try_join!(kube.upgrade(&values), load.flows("during the upgrade"))?;
        for (component, old) in COMPONENTS.into_iter().zip(old) {
            let new = names(&kube, component);
            let replaced = new.len() == 2 && new.iter().all(|name| !old.contains(name));
            ensure!(replaced, "{component}: {old:?}, {new:?}");
        }
        load.flows("after the upgrade").await?;
    }
    kube.test().await?;
    load.finish().await?;
    before.nothing_waits().await?;
    kube.passed().await
}

/// Goal: no process that is broken off goes unseen. Method: stop a worker where it is before it is to end, kill a gateway while
/// it serves and an admin server while it waits for its end, and ask whether all went well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_broken_off_is_seen() -> Result<()> {
    let before = Before::new()?;
    let mut kube = before.install(&["worker.drainSeconds=1", "admin.drainSeconds=40"]).await?;
    let pid = |kube: &Kube, component| -> Result<Pid> {
        Ok(Pid::from_raw(kube.pods(component).last().context("no pod")?.pid()?))
    };
    kill(pid(&kube, "worker")?, Signal::SIGSTOP)?;
    kube.scale("worker", 1).await?;
    kill(pid(&kube, "gateway")?, Signal::SIGKILL)?;
    let admin = pid(&kube, "admin")?;
    let killed = async {
        // Well within its preStop delay, a quarter of its drain.
        sleep(Duration::from_secs(1)).await;
        kill(admin, Signal::SIGKILL).context("kill")
    };
    tokio::try_join!(kube.scale("admin", 1), killed)?;
    let told = async || (kube.incidents().len() >= 3).then_some(());
    let waited = eventually(WAIT, "all to be told", told).await;
    waited.with_context(|| format!("told: {:?}", kube.incidents()))?;
    let error = format!("{:#}", kube.passed().await.err().context("it passed")?);
    for what in ["had to be killed", "ended by itself (", "ended by itself before it was asked to"] {
        ensure!(error.contains(what), "not told: {what}; {error}");
    }
    Ok(())
}
