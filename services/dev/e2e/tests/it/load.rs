//! Load that runs while something breaks, and whose books are checked in the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tmtp_e2e::{Cluster, DEFAULT_SITE};
use tmtp_loadtest::pairs::{Options, Report, run};
use tmtp_loadtest::{Error, Progress};
use tmtp_testkit::eventually;
use tokio::task::JoinHandle;

/// How many messages have to arrive after an accident before it counts as survived: several for each pair.
const FLOW: u64 = 60;
/// A take-over takes two leases at most, and clients resend after [`RESEND_AFTER`].
const FLOW_WITHIN: Duration = Duration::from_mins(1);
/// Shorter than real clients wait, so that resent posts are part of every accident.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// Longer than any test: load ends when the test says so.
const SPAN_MAX: Duration = Duration::from_mins(10);

/// What the load is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The site's domain.
    pub site: &'static str,
    /// Pairs of a sender and a receiver.
    pub pairs: u32,
    /// Posts of one sender that wait for their ack.
    pub window: usize,
    /// Octets of a message.
    pub octets: usize,
}

impl Default for Shape {
    /// Enough to have something on the way at every moment, and little enough for debug builds on two cores.
    fn default() -> Self {
        Self { site: DEFAULT_SITE, pairs: 4, window: 4, octets: 200 }
    }
}

/// The running load.
pub struct Load {
    site: &'static str,
    progress: Arc<Progress>,
    task: JoinHandle<Result<Report, Error>>,
}

impl Load {
    /// Starts it through all gateways, and waits until messages flow.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        Self::start_as(cluster, Shape::default()).await
    }

    /// The same with a shape of its own.
    pub async fn start_as(cluster: &Cluster, shape: Shape) -> Result<Self> {
        Self::start_at(cluster.gateway_addresses(), shape).await
    }

    /// The same at these addresses, whoever is behind them.
    pub async fn start_at(addresses: Vec<SocketAddr>, shape: Shape) -> Result<Self> {
        let progress = Arc::new(Progress::default());
        let options = Options {
            pairs: shape.pairs,
            window: shape.window,
            size: shape.octets,
            warmup: Duration::ZERO,
            span: SPAN_MAX,
            resilient: true,
            resend_after: RESEND_AFTER,
            progress: Arc::clone(&progress),
            ..Options::new(addresses, shape.site)
        };
        let load = Self { site: shape.site, progress, task: tokio::spawn(told(options)) };
        load.flows("at the beginning").await?;
        Ok(load)
    }

    /// Messages that have arrived so far.
    pub fn deliveries(&self) -> u64 {
        self.progress.deliveries()
    }

    /// Waits until more messages have been posted, acked and delivered than there were when this was called.
    pub async fn flows(&self, when: &str) -> Result<()> {
        let (posts, deliveries) = (self.progress.posts_acked(), self.progress.deliveries());
        let flowing = async || {
            let enough =
                self.progress.posts_acked() > posts + FLOW && self.progress.deliveries() > deliveries + FLOW;
            (enough || self.task.is_finished()).then_some(())
        };
        let waited = eventually(FLOW_WITHIN, "messages to flow", flowing).await;
        waited.with_context(|| format!("{when}: {:?}", self.progress))?;
        ensure!(!self.task.is_finished(), "the load has ended {when}");
        Ok(())
    }

    /// Posts that were sent again so far.
    pub fn resent(&self) -> u64 {
        self.progress.resent()
    }

    /// The worker that serves the load's site.
    pub async fn serving_worker(&self, cluster: &Cluster) -> Result<usize> {
        cluster.serving_worker(self.site).await
    }

    /// Ends the load, waits for what is under way, and checks the books.
    pub async fn finish(self) -> Result<Report> {
        self.progress.stop();
        let report = self.task.await.context("the load panicked")??;
        let problems = report.problems.join("\n  ");
        ensure!(report.is_clean(), "{} problems:\n  {problems}\n{report:?}", report.counts.total());
        Ok(report)
    }
}

/// The run itself. Why it cannot go on is said at once: nobody may come to ask.
#[expect(clippy::print_stderr, reason = "for the one who reads why a test failed")]
async fn told(options: Options) -> Result<Report, Error> {
    run(options).await.inspect_err(|error| eprintln!("the load ends: {error}"))
}
