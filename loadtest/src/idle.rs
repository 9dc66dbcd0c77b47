//! Connections that are logged in and do nothing: what they cost in memory and CPU time. Nobody here may count
//! before all are connected, nor report on connections that have gone away.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tmtp_client::{Client, Receiver, Sender};
use tmtp_wire::{Request, Response};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, check_gateways, conditions,
    dialer::Dialer,
    processes::{self, Held, Processes, Spent},
};

/// Real clients' habit; servers close a connection that says nothing for two minutes.
const PULSE: Duration = Duration::from_secs(115);
/// One source address has some 28,000 ports for each gateway.
const PER_GATEWAY_MAX: usize = 28_000;
const LONGEST: Duration = Duration::from_hours(1);
/// Registrations at the same time.
const PARALLEL: usize = 32;
/// For all registrations.
const REGISTER_WAIT: Duration = Duration::from_mins(20);
/// For all goodbyes.
const QUIT_WAIT: Duration = Duration::from_mins(1);
/// Files that are open anyway.
const FILES_SPARE: u64 = 64;
/// Problems that are described; all are counted.
const DESCRIBED: usize = 20;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loopback addresses; connections take turns.
    pub gateways: Vec<SocketAddr>,
    /// The site's domain, sent as SNI.
    pub site: String,
    /// How many.
    pub connections: u32,
    /// How long to stay, once all are connected.
    pub span: Duration,
    /// Whose memory and CPU time to look at.
    pub processes: Processes,
}

/// What it was like.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many connections there were.
    pub connections: u32,
    /// How long connecting took.
    pub connecting: Duration,
    /// How long they stayed.
    pub span: Duration,
    /// Memory before the first connection.
    pub before: Vec<Held>,
    /// Memory at the end of the span.
    pub after: Vec<Held>,
    /// CPU time in the span.
    pub cpu: Vec<Spent>,
    /// Connections that did not last.
    pub ended: usize,
    /// Why, for the first of them.
    pub problems: Vec<String>,
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        check_gateways(&self.gateways)?;
        let most = PER_GATEWAY_MAX * self.gateways.len();
        if self.connections == 0 || self.connections as usize > most {
            return Err(Error::Options(format!("the number of connections must be from 1 to {most}")));
        }
        if self.span.is_zero() || self.span > LONGEST {
            return Err(Error::Options(format!("the span must be from 1 to {} s", LONGEST.as_secs())));
        }
        conditions::require_open_files(u64::from(self.connections) + FILES_SPARE)
    }
}

/// Connects, waits, measures.
///
/// # Errors
/// When not all could be connected, or a process could not be looked at.
pub async fn run(options: Options) -> Result<Report, Error> {
    options.check()?;
    let before = processes::memory(&options.processes)?;
    let began = Instant::now();
    let clients = connect(&options).await?;
    let connecting = began.elapsed();
    let stop = CancellationToken::new();
    // However this ends, the tasks end, too.
    let _guard = stop.clone().drop_guard();
    let mut tasks = JoinSet::new();
    for client in clients {
        let (receiver, sender) = client.split();
        tasks.spawn(stay(receiver, sender, stop.clone()));
    }
    let cpu_before = processes::cpu(&options.processes)?;
    sleep(options.span).await;
    let cpu = processes::spent(&cpu_before, &processes::cpu(&options.processes)?);
    let after = processes::memory(&options.processes)?;
    stop.cancel();
    let mut report = Report {
        connections: options.connections,
        connecting,
        span: options.span,
        before,
        after,
        cpu,
        ended: 0,
        problems: Vec::new(),
    };
    let goodbyes = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(why) = ended? {
                report.ended += 1;
                if report.problems.len() < DESCRIBED {
                    report.problems.push(why);
                }
            }
        }
        Ok::<(), Error>(())
    };
    if let Ok(ended) = timeout(QUIT_WAIT, goodbyes).await {
        ended?;
    } else {
        report.ended += tasks.len();
        report.problems.push(format!("{} goodbyes were not answered in time", tasks.len()));
    }
    Ok(report)
}

/// Registers all users, who stay connected.
async fn connect(options: &Options) -> Result<Vec<Client>, Error> {
    let dialer = Dialer::new(options.gateways.clone(), options.site.clone());
    let free = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for number in 0..options.connections {
        let (free, dialer) = (Arc::clone(&free), dialer.clone());
        tasks.spawn(async move {
            let _turn = free.acquire_owned().await;
            dialer
                .register(number as usize)
                .await
                .map(|(client, _)| client)
                .map_err(|cause| Error::Register { number, cause })
        });
    }
    let mut clients = Vec::new();
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            clients.push(ended??);
        }
        Ok(clients)
    };
    let late = |_| Error::RegisterLate { users: options.connections, seconds: REGISTER_WAIT.as_secs() };
    timeout(REGISTER_WAIT, all).await.map_err(late)?
}

/// Does nothing, as a device does: acknowledges what comes, and pulses. Fails if the connection ends before its time.
async fn stay(mut receiver: Receiver, mut sender: Sender, stop: CancellationToken) -> Result<(), String> {
    loop {
        let frame = tokio::select! {
            frame = receiver.next() => frame,
            () = sleep(PULSE) => {
                sender.send(&Request::Pulse, &[]).await.map_err(|error| error.to_string())?;
                continue;
            }
            () = stop.cancelled() => break,
        };
        let frame = frame.map_err(|error| error.to_string())?.ok_or("the server closed a connection")?;
        if let Response::Quit { error } = &frame.response {
            return Err(format!("the server quit: {error}"));
        }
        if let Some(std) = frame.response.std() {
            sender.ack(&std.id).await.map_err(|error| error.to_string())?;
        }
    }
    sender.send(&Request::Quit, &[]).await.map_err(|error| error.to_string())?;
    while let Some(frame) = receiver.next().await.map_err(|error| error.to_string())? {
        if matches!(frame.response, Response::Quit { .. }) {
            return Ok(());
        }
    }
    Err("the server did not say goodbye".to_owned())
}

impl Report {
    /// Whether all connections lasted.
    pub fn is_clean(&self) -> bool {
        self.ended == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "options     {} connections, idle for {} s; connecting took {:.1} s",
            self.connections,
            self.span.as_secs(),
            self.connecting.as_secs_f64()
        )?;
        let mut sum = (0, 0);
        for (before, after) in self.before.iter().zip(&self.after) {
            sum = (sum.0 + before.octets, sum.1 + after.octets);
            self.write_memory(f, &after.role, before.octets, after.octets)?;
        }
        if !self.after.is_empty() {
            self.write_memory(f, "together", sum.0, sum.1)?;
        }
        for Spent { role, cpu } in &self.cpu {
            match cpu {
                Some(cpu) => writeln!(f, "cpu         {role} {:.2} s", cpu.as_secs_f64())?,
                None => writeln!(f, "cpu         {role} unknown (restarted)")?,
            }
        }
        writeln!(f, "connections {} did not last", self.ended)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "            {problem}"))
    }
}

impl Report {
    fn write_memory(&self, f: &mut fmt::Formatter<'_>, role: &str, before: u64, after: u64) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let mebibytes = |octets: u64| octets as f64 / f64::from(1 << 20);
        let more = (mebibytes(after) - mebibytes(before)) * 1_024.0 / f64::from(self.connections);
        writeln!(
            f,
            "memory      {role} {:.1} MiB before, {:.1} MiB after: {more:.2} KiB per connection",
            mebibytes(before),
            mebibytes(after)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: more connections than there are ports are refused, and so are runs without end; method: the edges.
    #[test]
    fn bad_options_are_refused() {
        let gateways = vec!["127.0.0.1:1".parse().unwrap()];
        let span = Duration::from_secs(1);
        let good = Options {
            gateways,
            site: "a.test".into(),
            connections: 1,
            span,
            processes: Processes::default(),
        };
        assert!(good.check().is_ok());
        assert!(Options { connections: 0, ..good.clone() }.check().is_err());
        assert!(Options { connections: 28_001, ..good.clone() }.check().is_err());
        assert!(Options { span: Duration::ZERO, ..good.clone() }.check().is_err());
        assert!(Options { span: LONGEST + span, ..good.clone() }.check().is_err());
        assert!(Options { gateways: Vec::new(), ..good }.check().is_err());
    }

    /// Goal: growth is told per connection; method: a report with round numbers.
    #[test]
    fn memory_per_connection() {
        let held = |octets| vec![Held { role: "gateway".into(), octets, processes: 1 }];
        let report = Report {
            connections: 100,
            connecting: Duration::ZERO,
            span: Duration::from_secs(1),
            before: held(10 << 20),
            after: held((10 << 20) + (800 << 10)),
            cpu: Vec::new(),
            ended: 0,
            problems: Vec::new(),
        };
        assert!(
            report.to_string().contains("gateway 10.0 MiB before, 10.8 MiB after: 8.00 KiB per connection")
        );
    }
}
