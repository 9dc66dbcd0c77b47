//! Many sites that are made through the admin API and then do nothing: how long making them takes, and what they cost.
//! The sites stay: the cluster is one for measuring.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode, Url};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Error;
use crate::processes::{self, Held, Processes, Spent};

/// Sites at most.
const MOST: u32 = 100_000;
/// Requests at the same time.
const PARALLEL: u32 = 8;
/// A request that takes longer has failed.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Gateways and workers hear of sites within seconds; until then the cluster is not idle.
const SETTLE: Duration = Duration::from_secs(15);
/// A pause that the API asks for is no longer than this.
const PAUSE_MAX: u64 = 60;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The admin API, on a loopback address.
    pub api: Api,
    /// How many sites.
    pub sites: u32,
    /// How long to look at the idle cluster, before and after.
    pub span: Duration,
    /// Whose memory and CPU time to look at.
    pub processes: Processes,
}

/// The admin API and a key of an operator. `Debug` shows no key.
#[derive(Clone)]
pub struct Api {
    url: Url,
    token: String,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Api {
    /// An API at this address.
    pub fn new(url: &str, token: &str) -> Result<Self, Error> {
        let url: Url = url.parse().map_err(|_| Error::Options(format!("{url} is no address of an API")))?;
        let host = url.host_str().and_then(|host| host.parse::<IpAddr>().ok());
        let address = host.zip(url.port_or_known_default()).map(SocketAddr::from);
        match address {
            Some(address) if address.ip().is_loopback() => Ok(Self { url, token: token.to_owned() }),
            Some(address) => Err(Error::NotLoopback(address)),
            None => Err(Error::Options(format!("{url} has no numeric address"))),
        }
    }

    /// What the local cluster's `cluster.env` says.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::System {
            what: format!("cannot read {}; ./deploy/local/up makes it", path.display()),
            cause,
        })?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.filter(|value| !value.is_empty())
                .ok_or_else(|| Error::Options(format!("{} has no {name}", path.display())))
        };
        Self::new(value("ADMIN_URL")?, value("OPERATOR_TOKEN")?)
    }
}

/// What it was like.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many sites were made.
    pub sites: u32,
    /// How long that took.
    pub making: Duration,
    /// How often the API asked for a pause.
    pub pauses: u32,
    /// How long the idle cluster was looked at.
    pub span: Duration,
    /// CPU time in the span, before the first site.
    pub cpu_before: Vec<Spent>,
    /// The same after the last.
    pub cpu_after: Vec<Spent>,
    /// Memory before the first site.
    pub before: Vec<Held>,
    /// Memory at the end.
    pub after: Vec<Held>,
}

/// Looks, makes the sites, waits until all processes know them, and looks again.
///
/// # Errors
/// When the API refuses a site, or a process could not be looked at.
pub async fn run(options: Options) -> Result<Report, Error> {
    if !(1..=MOST).contains(&options.sites) {
        return Err(Error::Options(format!("the number of sites must be from 1 to {MOST}")));
    }
    let cpu_before = idle(&options).await?;
    let before = processes::memory(&options.processes)?;
    let began = Instant::now();
    let pauses = make(&options).await?;
    let making = began.elapsed();
    sleep(SETTLE).await;
    let cpu_after = idle(&options).await?;
    let after = processes::memory(&options.processes)?;
    Ok(Report {
        sites: options.sites,
        making,
        pauses,
        span: options.span,
        cpu_before,
        cpu_after,
        before,
        after,
    })
}

async fn idle(options: &Options) -> Result<Vec<Spent>, Error> {
    let begin = processes::cpu(&options.processes)?;
    sleep(options.span).await;
    Ok(processes::spent(&begin, &processes::cpu(&options.processes)?))
}

/// Makes all sites; says how often the API asked for a pause.
async fn make(options: &Options) -> Result<u32, Error> {
    let client =
        Client::builder().timeout(ANSWER_WAIT).build().map_err(|error| failed(&error.to_string()))?;
    let run = jiff::Timestamp::now().as_millisecond();
    let next = Arc::new(AtomicU32::new(0));
    let pauses = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..PARALLEL.min(options.sites) {
        let (client, api, next, pauses) =
            (client.clone(), options.api.clone(), Arc::clone(&next), Arc::clone(&pauses));
        let most = options.sites;
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= most {
                    return Ok::<(), Error>(());
                }
                while let Some(pause) = api.create(&client, run, number).await? {
                    pauses.fetch_add(1, Ordering::Relaxed);
                    sleep(pause).await;
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(pauses.load(Ordering::Relaxed))
}

impl Api {
    /// Makes one site. `Some`: not now, but after this time.
    async fn create(&self, client: &Client, run: i64, number: u32) -> Result<Option<Duration>, Error> {
        let url = self.url.join("/v1/sites").map_err(|error| failed(&error.to_string()))?;
        let body = format!(
            r#"{{"name":"Site {number}","domains":["s{number}.r{run}.load.test"],"registration":"invite"}}"#
        );
        let answer = client
            .post(url)
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("idempotency-key", format!("load-{run}-{number}"))
            .body(body)
            .send()
            .await
            .map_err(|error| failed(&error.to_string()))?;
        match answer.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::TOO_MANY_REQUESTS => {
                let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
                let seconds: u64 = asked.and_then(|text| text.parse().ok()).unwrap_or(1);
                Ok(Some(Duration::from_secs(seconds.min(PAUSE_MAX))))
            }
            status => {
                let text = answer.text().await.unwrap_or_default();
                Err(failed(&format!("site {number}: {status} {text}")))
            }
        }
    }
}

fn failed(why: &str) -> Error {
    Error::Options(format!("the admin API: {why}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.making.as_secs_f64();
        writeln!(
            f,
            "options     {} sites through the API, {PARALLEL} requests at a time; idle for {} s before and after",
            self.sites,
            self.span.as_secs()
        )?;
        writeln!(
            f,
            "making      {seconds:.1} s, {:.0} sites/s; the API asked for a pause {} times",
            f64::from(self.sites) / seconds,
            self.pauses
        )?;
        for (before, after) in self.before.iter().zip(&self.after) {
            #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
            let mebibytes = |octets: u64| octets as f64 / f64::from(1 << 20);
            let more = (mebibytes(after.octets) - mebibytes(before.octets)) * 1_024.0 / f64::from(self.sites);
            writeln!(
                f,
                "memory      {} {:.1} MiB, then {:.1} MiB: {more:.2} KiB per site",
                after.role,
                mebibytes(before.octets),
                mebibytes(after.octets)
            )?;
        }
        for (before, after) in self.cpu_before.iter().zip(&self.cpu_after) {
            let shown = |cpu: Option<Duration>| {
                cpu.map_or("unknown".into(), |cpu| format!("{:.2} s", cpu.as_secs_f64()))
            };
            writeln!(f, "idle cpu    {} {}, then {}", after.role, shown(before.cpu), shown(after.cpu))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no other machine is ever asked; method: addresses of this machine, of others, and names.
    #[test]
    fn this_machine_only() {
        assert!(Api::new("http://127.0.0.1:7700", "k").is_ok());
        assert!(matches!(Api::new("http://192.0.2.1:7700", "k"), Err(Error::NotLoopback(_))));
        assert!(Api::new("http://api.example", "k").is_err());
        assert!(!format!("{:?}", Api::new("http://127.0.0.1:1", "secret").unwrap()).contains("secret"));
    }
}
