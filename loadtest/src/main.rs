//! `tmtp-loadtest`: runs a load scenario against a cluster on this machine, and prints what can be kept.
//!
//! Exit codes: 0 when the books are right, 1 when something is wrong or there was no run, 2 for a wrong command
//! line. It must never print a result without its conditions.

use std::{fmt, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use tmtp_loadtest::{
    Progress,
    conditions::Conditions,
    drain, idle, pairs,
    processes::{Cluster, Processes},
    sites,
};

/// Between two lines about how far the run has come.
const NEWS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(
    name = "tmtp-loadtest",
    version,
    about = "Load scenarios with checked books, for a cluster on this machine"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Senders and receivers at different gateways: rate, latency, CPU time, and whether every message arrived
    Pairs(Pairs),
    /// Connections that do nothing: memory and CPU time
    Idle(Idle),
    /// Messages for somebody who is away: time and CPU time until all are delivered and acknowledged
    Drain(Drain),
    /// Sites that do nothing: time to make them through the admin API, memory and CPU time
    Sites(Sites),
}

#[derive(Debug, clap::Args)]
struct Target {
    /// Gateways on loopback addresses, with commas between; default: those of --env-file
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',', required_unless_present = "env_file")]
    gateways: Vec<SocketAddr>,
    /// The site's domain
    #[arg(long, value_name = "SNI", default_value = "local.postern.test")]
    site: String,
    /// The local cluster's cluster.env: measure all its processes, by role
    #[arg(long, value_name = "FILE", conflicts_with = "pids")]
    env_file: Option<PathBuf>,
    /// Measure these processes and their descendants
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pids: Vec<u32>,
}

#[derive(Debug, clap::Args)]
struct Pairs {
    #[command(flatten)]
    target: Target,
    /// Pairs of a sender and a receiver
    #[arg(long = "pairs", default_value_t = 16)]
    count: u32,
    /// Posts of one sender that may wait for their ack
    #[arg(long, default_value_t = 16)]
    window: usize,
    /// Octets of each message
    #[arg(long, value_name = "OCTETS", default_value_t = 200)]
    size: usize,
    /// How long to measure
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Load before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    warmup: u32,
    /// Connect again and resend when connections break, as when parts of the cluster are restarted
    #[arg(long)]
    resilient: bool,
    /// Resend what was not acknowledged for so long (only with --resilient)
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    resend_after: u32,
    /// How long what is under way may take in the end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    settle: u32,
}

#[derive(Debug, clap::Args)]
struct Idle {
    #[command(flatten)]
    target: Target,
    /// How many
    #[arg(long)]
    connections: u32,
    /// How long to stay when all are connected
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

#[derive(Debug, clap::Args)]
struct Drain {
    #[command(flatten)]
    target: Target,
    /// How many
    #[arg(long, default_value_t = 10_000)]
    messages: u32,
    /// Octets of each message
    #[arg(long, value_name = "OCTETS", default_value_t = 200)]
    size: usize,
    /// How long they wait: after some seconds they are rows
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    rest: u32,
    /// How long posting and draining may take, each
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    settle: u32,
}

#[derive(Debug, clap::Args)]
struct Sites {
    /// The local cluster's cluster.env
    #[arg(long, value_name = "FILE")]
    env_file: PathBuf,
    /// How many to make
    #[arg(long = "sites", value_name = "SITES")]
    count: u32,
    /// How long to look at the idle cluster, before and after
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    // A wrong command line ends here, with 2.
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Pairs(pairs) => Box::pin(pairs.run()).await,
        Command::Idle(idle) => Box::pin(idle.run()).await,
        Command::Drain(drain) => Box::pin(drain.run()).await,
        Command::Sites(sites) => Box::pin(sites.run()).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Target {
    /// Addresses and processes.
    fn resolve(&self) -> anyhow::Result<(Vec<SocketAddr>, Processes)> {
        let Some(file) = &self.env_file else {
            return Ok((self.gateways.clone(), Processes::given(self.pids.clone())));
        };
        let cluster = Cluster::read(file)?;
        let gateways = if self.gateways.is_empty() {
            let parsed = cluster.gateways.iter().map(|gateway| gateway.parse());
            parsed.collect::<Result<_, _>>().context("the gateways in the file are not ADDRESS:PORT")?
        } else {
            self.gateways.clone()
        };
        Ok((gateways, cluster.processes))
    }
}

impl Pairs {
    async fn run(self) -> anyhow::Result<()> {
        let (gateways, processes) = self.target.resolve()?;
        let conditions = Conditions::now(&processes);
        let progress = Arc::<Progress>::default();
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let options = pairs::Options {
            pairs: self.count,
            window: self.window,
            size: self.size,
            warmup: seconds(self.warmup),
            span: seconds(self.seconds),
            resilient: self.resilient,
            resend_after: seconds(self.resend_after),
            settle: seconds(self.settle),
            processes,
            progress: Arc::clone(&progress),
            ..pairs::Options::new(gateways, &self.target.site)
        };
        let report = tokio::select! {
            report = pairs::run(options) => report?,
            never = tell(&progress) => match never {},
        };
        print("pairs", &conditions, &report);
        if report.is_clean() { Ok(()) } else { bail!("the books are wrong: {}", report.counts) }
    }
}

/// Says from time to time how far the run has come.
async fn tell(progress: &Progress) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(NEWS_EVERY);
    loop {
        ticks.tick().await;
        eprintln!(
            "{} acked, {} delivered, {} resent, {} reconnects, {} problems",
            progress.posts_acked(),
            progress.deliveries(),
            progress.resent(),
            progress.reconnects(),
            progress.problems()
        );
    }
}

impl Idle {
    async fn run(self) -> anyhow::Result<()> {
        let (gateways, processes) = self.target.resolve()?;
        let conditions = Conditions::now(&processes);
        let options = idle::Options {
            gateways,
            site: self.target.site.clone(),
            connections: self.connections,
            span: Duration::from_secs(self.seconds.into()),
            processes,
        };
        eprintln!("connecting {}, then waiting for {} s", self.connections, self.seconds);
        let report = idle::run(options).await?;
        print("idle", &conditions, &report);
        if report.is_clean() { Ok(()) } else { bail!("{} connections did not last", report.ended) }
    }
}

impl Drain {
    async fn run(self) -> anyhow::Result<()> {
        let (gateways, processes) = self.target.resolve()?;
        let conditions = Conditions::now(&processes);
        let options = drain::Options {
            gateways,
            site: self.target.site.clone(),
            messages: self.messages,
            size: self.size,
            rest: Duration::from_secs(self.rest.into()),
            wait: Duration::from_secs(self.settle.into()),
            processes,
        };
        let report = drain::run(options).await?;
        print("drain", &conditions, &report);
        if report.is_clean() { Ok(()) } else { bail!("the books are wrong: {}", report.counts) }
    }
}

impl Sites {
    async fn run(self) -> anyhow::Result<()> {
        let processes = Cluster::read(&self.env_file)?.processes;
        let conditions = Conditions::now(&processes);
        let options = sites::Options {
            api: sites::Api::read(&self.env_file)?,
            sites: self.count,
            span: Duration::from_secs(self.seconds.into()),
            processes,
        };
        eprintln!("looking for {} s, making {} sites, looking again", self.seconds, self.count);
        let report = sites::run(options).await?;
        print("sites", &conditions, &report);
        Ok(())
    }
}

/// A block that can be kept in RESULTS.md as it is.
fn print(scenario: &str, conditions: &Conditions, report: &impl fmt::Display) {
    println!("### {scenario}, {}\n\n```text\n{conditions}{report}```", conditions.date);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Goal: the command line is free of contradictions, and asks for a target; method: clap's own check, and lines.
    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(parse(
            "tmtp-loadtest pairs --gateways 127.0.0.1:1,127.0.0.1:2 --site a.test --pairs 2 --window 3"
        ));
        assert!(parse("tmtp-loadtest pairs --env-file cluster.env --resilient"));
        assert!(parse("tmtp-loadtest idle --env-file cluster.env --connections 9 --seconds 60"));
        assert!(parse("tmtp-loadtest drain --env-file cluster.env --messages 9 --rest 0"));
        assert!(!parse("tmtp-loadtest pairs"));
        assert!(!parse("tmtp-loadtest pairs --gateways example.org:1"));
        assert!(!parse("tmtp-loadtest pairs --env-file f --pids 1"));
    }
}
