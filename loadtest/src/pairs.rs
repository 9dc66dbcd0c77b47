//! Messages under way: pairs of a sender and a receiver at different gateways. Each sender keeps a window of posts
//! without ack; each receiver acknowledges everything at once. Every message is accounted for in [`crate::books`].
//!
//! It must never report a rate for a run whose books do not add up without saying so, and never retry in silence.

mod pair;
mod receiver;
mod report;
mod sender;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tmtp_client::Account;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Error, Progress, check_gateways, conditions,
    payload::SIZE_MIN,
    processes::{self, Processes},
};
use pair::{Pair, Run};
pub use report::{Report, Span};

/// Longest span, warm-up and settling.
const LONGEST: Duration = Duration::from_hours(1);
/// Biggest message: the client takes no bigger one in a piece.
const SIZE_MAX: usize = 16 << 20;
const PAIRS_MAX: u32 = 20_000;
const WINDOW_MAX: usize = 10_000;
/// Registrations at the same time, and last looks at the same time.
const PARALLEL: usize = 32;
/// For all registrations.
const REGISTER_WAIT: Duration = Duration::from_mins(5);
/// After the end of settling, for tasks to notice.
const ABORT_WAIT: Duration = Duration::from_secs(30);
/// Files that are open anyway.
const FILES_SPARE: u64 = 64;

/// What to do. [`Options::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loopback addresses; senders and receivers take turns.
    pub gateways: Vec<SocketAddr>,
    /// The site's domain, sent as SNI.
    pub site: String,
    /// Pairs of a sender and a receiver.
    pub pairs: u32,
    /// Posts of one sender that may wait for their ack.
    pub window: usize,
    /// Octets of each message.
    pub size: usize,
    /// Load before the measured span.
    pub warmup: Duration,
    /// The measured span; [`Progress::stop`] ends it early.
    pub span: Duration,
    /// Whether connections may break and posts be resent.
    pub resilient: bool,
    /// A resilient sender resends what was not acked for so long.
    pub resend_after: Duration,
    /// An ack that the receiver wrote so shortly before its connection broke may be lost.
    pub ack_grace: Duration,
    /// How long what is under way may take to arrive in the end.
    pub settle: Duration,
    /// Whose CPU time to measure.
    pub processes: Processes,
    /// To watch the run, and to end it.
    pub progress: Arc<Progress>,
}

impl Options {
    /// One pair, one post at a time, 200 octets, ten seconds after a warm-up of two.
    pub fn new(gateways: Vec<SocketAddr>, site: &str) -> Self {
        Self {
            gateways,
            site: site.to_owned(),
            pairs: 1,
            window: 1,
            size: 200,
            warmup: Duration::from_secs(2),
            span: Duration::from_secs(10),
            resilient: false,
            resend_after: Duration::from_secs(15),
            ack_grace: Duration::from_secs(2),
            settle: Duration::from_mins(1),
            processes: Processes::default(),
            progress: Arc::default(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_gateways(&self.gateways)?;
        let refuse = |what: String| Err(Error::Options(what));
        if !(1..=PAIRS_MAX).contains(&self.pairs) {
            return refuse(format!("the number of pairs must be from 1 to {PAIRS_MAX}"));
        }
        if !(1..=WINDOW_MAX).contains(&self.window) {
            return refuse(format!("the window must be from 1 to {WINDOW_MAX}"));
        }
        if !(SIZE_MIN..=SIZE_MAX).contains(&self.size) {
            return refuse(format!("the size must be from {SIZE_MIN} to {SIZE_MAX} octets"));
        }
        if [self.warmup, self.span, self.settle].iter().any(|time| *time > LONGEST) {
            return refuse(format!("no part of the run may be longer than {} s", LONGEST.as_secs()));
        }
        if self.span.is_zero() {
            return refuse("the span must be longer than nothing".into());
        }
        conditions::require_open_files(2 * u64::from(self.pairs) + FILES_SPARE)
    }
}

/// Runs the load and checks the books.
///
/// # Errors
/// When there was no run. What went wrong in a run is in the report.
pub async fn run(options: Options) -> Result<Report, Error> {
    options.check()?;
    processes::require(&options.processes)?;
    let run = Arc::new(Run::new(options)?);
    let pairs = register(&run).await?;
    let mut tasks = JoinSet::new();
    let mut all = Vec::new();
    for (pair, sender, receiver) in pairs {
        let pair = Arc::new(pair);
        tasks.spawn(sender::Task::new(Arc::clone(&run), Arc::clone(&pair), sender).run());
        tasks.spawn(receiver::Task::new(Arc::clone(&run), Arc::clone(&pair), receiver).run());
        all.push(pair);
    }
    let span = measure(&run).await;
    run.stop.cancel();
    let settled = timeout(run.options.settle, join(&mut tasks)).await;
    if let Ok(ended) = settled {
        ended?;
    } else {
        // Whoever still waits closes its books; who does not even do that is stopped.
        run.give_up.cancel();
        if let Ok(ended) = timeout(ABORT_WAIT, join(&mut tasks)).await {
            ended?;
        } else {
            tasks.shutdown().await;
        }
    }
    Ok(Report::of(&run, span?, &all))
}

async fn join(tasks: &mut JoinSet<()>) -> Result<(), Error> {
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// Warms up, and measures a span of the load that runs.
async fn measure(run: &Run) -> Result<Span, Error> {
    let progress = &run.options.progress;
    let wait = |time| async move {
        tokio::select! {
            () = sleep(time) => {}
            () = progress.stop.cancelled() => {}
        }
    };
    wait(run.options.warmup).await;
    let cpu_before = processes::cpu(&run.options.processes)?;
    run.measuring.store(true, Ordering::Relaxed);
    let (began, posts, deliveries) = (Instant::now(), progress.posts_acked(), progress.deliveries());
    wait(run.options.span).await;
    run.measuring.store(false, Ordering::Relaxed);
    let took = began.elapsed();
    let (posts, deliveries) = (progress.posts_acked() - posts, progress.deliveries() - deliveries);
    let cpu = processes::spent(&cpu_before, &processes::cpu(&run.options.processes)?);
    Ok(Span {
        took,
        posts_acked: posts,
        deliveries,
        ack: run.ack_latency.quantiles(),
        delivery: run.delivery_latency.quantiles(),
        cpu,
    })
}

/// Makes all users, each connected to its gateway: the receiver of a pair one further than the sender.
async fn register(run: &Arc<Run>) -> Result<Vec<(Pair, tmtp_client::Client, tmtp_client::Client)>, Error> {
    let users = 2 * run.options.pairs;
    let free = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for number in 0..users {
        let (free, dialer) = (Arc::clone(&free), run.dialer.clone());
        tasks.spawn(async move {
            let _turn = free.acquire_owned().await;
            (number, dialer.register(gateway(number)).await)
        });
    }
    let mut made: Vec<Option<(tmtp_client::Client, Account)>> = (0..users).map(|_| None).collect();
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            let (number, registered) = ended?;
            let registered = registered.map_err(|cause| Error::Register { number, cause })?;
            made[number as usize] = Some(registered);
        }
        Ok::<(), Error>(())
    };
    timeout(REGISTER_WAIT, all)
        .await
        .map_err(|_| Error::RegisterLate { users, seconds: REGISTER_WAIT.as_secs() })??;
    let mut made = made.into_iter().flatten();
    let mut pairs = Vec::new();
    while let (Some((sender, from)), Some((receiver, to))) = (made.next(), made.next()) {
        let number = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
        pairs.push((Pair::new(number, from, to, &run.options), sender, receiver));
    }
    Ok(pairs)
}

/// Where user `number` is at home: even ones send, odd ones receive, and each pair begins one gateway further.
fn gateway(number: u32) -> usize {
    (number / 2 + number % 2) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: options that cannot work, or never end, are refused; method: change one at a time.
    #[test]
    fn bad_options_are_refused() {
        let good = Options::new(vec!["127.0.0.1:1".parse().unwrap()], "a.test");
        assert!(good.check().is_ok());
        let bad: [fn(&mut Options); 8] = [
            |options| options.pairs = 0,
            |options| options.pairs = PAIRS_MAX + 1,
            |options| options.window = 0,
            |options| options.size = SIZE_MIN - 1,
            |options| options.size = SIZE_MAX + 1,
            |options| options.span = Duration::ZERO,
            |options| options.settle = LONGEST + Duration::from_secs(1),
            |options| options.gateways = vec!["192.0.2.1:1".parse().unwrap()],
        ];
        for change in bad {
            let mut options = good.clone();
            change(&mut options);
            assert!(options.check().is_err(), "{options:?}");
        }
    }

    /// Goal: sender and receiver of a pair are at different gateways, and all are used alike; method: count.
    #[test]
    fn pairs_span_gateways() {
        let mut used = [0; 2];
        for pair in 0..100 {
            let (from, to) = (gateway(2 * pair) % 2, gateway(2 * pair + 1) % 2);
            assert_ne!(from, to);
            used[from] += 1;
        }
        assert_eq!(used, [50, 50]);
    }
}
