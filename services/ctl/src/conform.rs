//! `tmtpctl conform`: plays the black-box part of the protocol's conformance suite against any TMTP server, and says
//! case by case what it saw. PROTOCOL.md, "Testing a server", explains it to the authors of other servers. It must never
//! understand frames by the code that Postern's own servers write them with.

mod audit;
mod cases;
mod frame;
mod link;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tmtp_client::Connect;
use tokio::sync::Semaphore;

use self::audit::{Audit, Rule};
use self::cases::Case;
use self::link::Fault;
use self::world::World;
use crate::server::{dial, server_name, trust};
use crate::text::printable;

#[derive(Debug, clap::Args)]
pub(crate) struct Conform {
    /// The server to test. It has to take registrations; hundreds of users are made there, and stay
    #[arg(value_name = "HOST:PORT", required_unless_present = "list")]
    address: Option<String>,
    /// Another address of the same site: every second user of a case connects there
    #[arg(long, value_name = "HOST:PORT")]
    second: Option<String>,
    /// Which site of the server, if it has several: the host name to ask for. Default: HOST, or none for an address
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Believe any certificate
    #[arg(long, required_unless_present_any = ["ca", "list"], conflicts_with = "ca")]
    insecure: bool,
    /// Believe certificates that this one, or one of this file, has signed (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Only cases whose number begins with this, or whose name has it; may be given several times
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Show the cases and run none; those marked * check what the older server does otherwise
    #[arg(long)]
    list: bool,
    /// Also run cases that take half a minute or more
    #[arg(long)]
    slow: bool,
    /// How many cases run at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// How many seconds to wait for what has to come
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    patience: u16,
}

impl Conform {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut cases = self.cases()?;
        if self.list {
            for (number, case) in &cases {
                println!("{}", case.listed(number));
            }
            println!("{} cases", cases.len());
            return Ok(());
        }
        let world = self.world().await?;
        let left_out = leave_out_users(&mut cases, world.user().await.err());
        let began = Instant::now();
        let tally = play(cases, &world, usize::from(self.parallel), |line| println!("{line}")).await;
        println!("{} of {} passed, in {:.1} s", tally.passed, tally.played, began.elapsed().as_secs_f32());
        ensure!(tally.failed() == 0, "{} failed", tally.failed());
        ensure!(left_out == 0, "{left_out} were not played, because no user could be registered");
        Ok(())
    }

    /// The cases that were asked for, with their numbers.
    fn cases(&self) -> anyhow::Result<Vec<(String, Case)>> {
        let mut cases = cases::all();
        cases.retain(|(number, case)| self.wants(number, case));
        ensure!(!cases.is_empty(), "no case has that in its number or name; --list shows all");
        Ok(cases)
    }

    fn wants(&self, number: &str, case: &Case) -> bool {
        let name = case.name.to_lowercase();
        let asked =
            |filter: &String| number.starts_with(filter.as_str()) || name.contains(&filter.to_lowercase());
        let named = self.filter.is_empty() || self.filter.iter().any(asked);
        named && (self.slow || self.list || !case.slow)
    }

    async fn world(&self) -> anyhow::Result<World> {
        let address = self.address.as_deref().context("HOST:PORT is missing")?;
        let first = self.connect(address).await?;
        let second = match &self.second {
            Some(address) => Some(self.connect(address).await?),
            None => None,
        };
        let mut run = [0; 4];
        getrandom::fill(&mut run).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        let run = data_encoding::HEXLOWER.encode(&run);
        Ok(World::new(first, second, Arc::default(), Duration::from_secs(self.patience.into()), &run))
    }

    async fn connect(&self, address: &str) -> anyhow::Result<Connect> {
        Ok(Connect {
            address: dial(address).await?,
            server_name: server_name(address, self.sni.as_deref())?,
            trust: trust(self.ca.as_deref())?,
        })
    }
}

/// Where nobody can register, only cases without users can be played. Gives how many are left out.
fn leave_out_users(cases: &mut Vec<(String, Case)>, refused: Option<Fault>) -> usize {
    let Some(Fault(why)) = refused else { return 0 };
    println!("only cases without users are played, because none can be registered: {}", printable(&why));
    let all = cases.len();
    cases.retain(|(_, case)| case.anonymous);
    all - cases.len()
}

/// How a run went.
struct Tally {
    played: usize,
    passed: usize,
}

impl Tally {
    fn failed(&self) -> usize {
        self.played - self.passed
    }

    fn count(&mut self, passed: bool) {
        self.played += 1;
        self.passed += usize::from(passed);
    }
}

/// Plays the cases, some at a time, and gives a line for each in their order, then one for each rule for all frames.
async fn play(
    cases: Vec<(String, Case)>,
    world: &World,
    parallel: usize,
    mut line: impl FnMut(String),
) -> Tally {
    let gate = Arc::new(Semaphore::new(parallel));
    let playing: Vec<_> = cases
        .into_iter()
        .map(|(number, case)| {
            let (gate, world) = (Arc::clone(&gate), world.clone());
            tokio::spawn(async move {
                let _turn = gate.acquire_owned().await;
                let result = case.run(world).await;
                (number, case, result)
            })
        })
        .collect();
    let mut tally = Tally { played: 0, passed: 0 };
    for played in playing {
        // A case never panics, and nobody aborts it.
        let Ok((number, case, result)) = played.await else {
            tally.count(false);
            line("FAIL a case broke off; this is a fault of tmtpctl".to_owned());
            continue;
        };
        tally.count(result.is_ok());
        let (verdict, seen) = match result {
            Ok(seen) => ("ok  ", seen),
            Err(why) => ("FAIL", why.0),
        };
        line(format!("{verdict} {number} {:<75} {}", case.name, shortened(&seen)).trim_end().to_owned());
    }
    audits(world.audit(), &mut tally, &mut line);
    tally
}

fn audits(audit: &Audit, tally: &mut Tally, line: &mut impl FnMut(String)) {
    for rule in Rule::ALL {
        let (section, says) = rule.says();
        let finding = audit.finding(rule);
        if finding.frames == 0 {
            continue;
        }
        tally.count(finding.broken == 0);
        let (verdict, seen) = match finding.example {
            None => ("ok  ", format!("{} times", finding.frames)),
            Some(example) => {
                ("FAIL", format!("{} of {} times, such as {example}", finding.broken, finding.frames))
            }
        };
        line(format!("{verdict} {section:02}.*  {says:<75} {}", shortened(&seen)));
    }
}

/// Fit for a line of a terminal: some cases see names of 60,000 octets.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 600;
    let printable = printable(text);
    match printable.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ... ({} octets)", &printable[..end], text.len()),
        None => printable,
    }
}

#[cfg(test)]
mod tests;
