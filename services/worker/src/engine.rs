//! The loop of a worker: read what has gathered, load what it needs, decide, commit everything in one transaction, tell
//! the gateways, trim the streams. While a commit is under way the next batch gathers, so batches grow with the load
//! and nobody lingers.
//!
//! One task owns all homes; nothing of them is shared. Calls of Postgres and Redis that fail for a passing reason are
//! tried again in place: nothing else may be decided meanwhile, and the bounds of the streams push back.

mod batch;
mod isolate;
mod persist;
mod shards;
mod tell;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tmtp_bus::{Bus, CommandReader, Read, ReaderHandle};
use tmtp_contract::Command;
use tmtp_domain::{GatewayId, MsgId, ShardId, Site, SiteId, WorkerId};
use tmtp_store::{OwnedShard, Store};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::home::{Home, Now};
use crate::janitor::Janitor;
use crate::metrics::WorkerMetrics;
use crate::vitals::Vitals;
use isolate::Isolation;

/// Kinds of commands, for the metrics.
pub const KINDS: &[&str] = &[
    "register",
    "login",
    "attach",
    "detach",
    "present",
    "new_alias",
    "new_node",
    "ohi_edit",
    "group_invite",
    "group_edit",
    "post",
    "post_notify",
    "ping",
    "admin",
    "acks",
];

/// How often the engine looks at what time brings: spills, waits that end, progress to be recorded.
const TICK: Duration = Duration::from_millis(500);
/// Progress without effects is recorded that often, so that streams can be trimmed.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Pause after a failed call, doubling up to the longer one.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What the engine is told by the tasks beside it.
#[derive(Debug)]
pub enum Control {
    /// These shards are ours now.
    Claimed(Vec<OwnedShard>),
    /// These shards, and no others, are ours: said when our view may differ from the rows.
    Owned(Vec<OwnedShard>),
    /// Our share of the shards: no more are to be kept.
    Share(u32),
    /// These sites are new or have changed.
    Sites(Vec<Site>),
    /// These gateways are alive, and no others.
    Gateways(HashSet<GatewayId>),
    /// Redis lost data.
    BusLost,
    /// Redis was emptied so short a time ago that for so long gateways may live of which it has not heard again.
    BusIsNew(Duration),
}

/// The state of a worker.
pub struct Engine {
    config: Arc<Config>,
    worker: WorkerId,
    store: Store,
    bus: Bus,
    reader: ReaderHandle,
    janitor: Janitor,
    metrics: Arc<WorkerMetrics>,
    vitals: Arc<Vitals>,
    abort: CancellationToken,

    homes: HashMap<ShardId, Home>,
    /// Shards that are ours and not yet taken up.
    claimed: Vec<OwnedShard>,
    /// Homes that wait for gateways do so until then.
    waiting_until: HashMap<ShardId, Instant>,
    sites: HashMap<SiteId, Site>,
    /// `None` until the bus was looked at for the first time.
    gateways: Option<HashSet<GatewayId>>,
    /// Until then there may be others, whose beats Redis has lost.
    unknown_until: Option<Instant>,
    /// Gateways that have sessions here and are not among those that are alive, and since when.
    strangers: HashMap<GatewayId, Instant>,
    isolation: Isolation,
    /// Entries told to each gateway so far.
    numbers: HashMap<GatewayId, u64>,
    /// Traces of messages that are on their way, when commands are traced.
    traces: HashMap<MsgId, String>,
    progress_at: Instant,
    upkeep_at: Instant,
}

impl Engine {
    /// An engine that owns nothing yet.
    #[expect(clippy::too_many_arguments, reason = "each is another part of the process")]
    pub fn new(
        config: Arc<Config>,
        worker: WorkerId,
        store: Store,
        bus: Bus,
        reader: ReaderHandle,
        janitor: Janitor,
        metrics: Arc<WorkerMetrics>,
        vitals: Arc<Vitals>,
    ) -> Self {
        Self {
            config,
            worker,
            store,
            bus,
            reader,
            janitor,
            metrics,
            vitals,
            abort: CancellationToken::new(),
            homes: HashMap::new(),
            claimed: Vec::new(),
            waiting_until: HashMap::new(),
            sites: HashMap::new(),
            gateways: None,
            unknown_until: None,
            strangers: HashMap::new(),
            isolation: Isolation::default(),
            numbers: HashMap::new(),
            traces: HashMap::new(),
            progress_at: Instant::now(),
            upkeep_at: Instant::now(),
        }
    }

    /// Works until `drain`, then commits what it holds. `abort` breaks off calls that go on failing.
    pub async fn run(
        mut self,
        mut controls: UnboundedReceiver<Control>,
        mut reads: Receiver<Vec<Read>>,
        drain: CancellationToken,
        abort: CancellationToken,
    ) {
        self.abort = abort;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                Some(control) = controls.recv() => self.control(control).await,
                Some(batch) = reads.recv() => {
                    let batch = self.gather(batch, &mut reads);
                    self.process(batch).await;
                    self.spill_what_is_due().await;
                }
                _ = ticks.tick() => self.tick().await,
            }
            // Sessions may have ended beside a batch, and others have to hear of it.
            if self.homes.values().any(Home::has_news) {
                self.tell(&[]).await;
            }
            self.show();
        }
        self.commit_and_tell(true).await;
    }

    /// What has come meanwhile goes into the same batch, up to the bound.
    fn gather(&self, mut batch: Vec<Read>, reads: &mut Receiver<Vec<Read>>) -> Vec<Read> {
        while batch.len() < self.config.shards.batch_entries
            && let Ok(more) = reads.try_recv()
        {
            batch.extend(more);
        }
        batch
    }

    async fn control(&mut self, control: Control) {
        match control {
            Control::Claimed(shards) => {
                self.claimed.extend(shards);
                self.take_up_claimed().await;
            }
            Control::Owned(shards) => self.reconcile(shards).await,
            Control::Share(most) => self.release(most).await,
            Control::Sites(sites) => self.learn_sites(sites),
            Control::Gateways(live) => self.gateways_are(live).await,
            Control::BusLost => {
                self.unknown_until = Some(Instant::now() + self.config.shards.gateway_lease);
                self.raise_floors().await;
            }
            Control::BusIsNew(time) => self.unknown_until = Some(Instant::now() + time),
        }
    }

    /// Takes sites in; what is older than what is known came late.
    fn learn_sites(&mut self, sites: Vec<Site>) {
        for site in sites {
            if self.sites.get(&site.id).is_none_or(|known| known.revision <= site.revision) {
                self.sites.insert(site.id, site);
            }
        }
    }

    async fn tick(&mut self) {
        self.take_up_claimed().await;
        self.end_waits();
        self.end_strangers();
        self.resume_deferred().await;
        self.limit_receipts();
        self.spill_what_is_due().await;
        if self.upkeep_at.elapsed() >= self.config.delivery.expiry_every {
            self.upkeep_at = Instant::now();
            self.upkeep().await;
        }
        if self.progress_at.elapsed() >= PROGRESS_EVERY {
            self.progress_at = Instant::now();
            self.commit_and_tell(true).await;
            for home in self.homes.values_mut() {
                home.forget_members();
            }
        }
    }

    fn show(&self) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.shards_owned.set(gauge(self.homes.len()));
        self.metrics.sessions_open.set(gauge(self.homes.values().map(Home::sessions).sum()));
        self.metrics.owed_bytes.set(gauge(self.homes.values().map(Home::owed_bytes).sum()));
        self.metrics.receipts.set(gauge(self.homes.values().map(Home::receipts).sum()));
        let places = self.homes.values().map(|home| (home.shard(), shards::stream_id(home.settled())));
        self.vitals.set_places(places.collect());
    }

    /// Waits before a call is tried again; false when the process is to end.
    async fn pause(&self, attempt: u32, of: &str) -> bool {
        self.metrics.retries_total.with_label_values(&[of]).inc();
        let pause = BACKOFF.0.saturating_mul(1 << attempt.min(10)).min(BACKOFF.1);
        tokio::select! {
            () = self.abort.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// The clock of the worker: the one place where it reads the time of day.
fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { nanos: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX) }
}

fn kind(command: &Command) -> &'static str {
    match command {
        Command::Register { .. } => "register",
        Command::Login { .. } => "login",
        Command::Attach(_) => "attach",
        Command::Detach => "detach",
        Command::Present { .. } => "present",
        Command::NewAlias { .. } => "new_alias",
        Command::NewNode { .. } => "new_node",
        Command::OhiEdit { .. } => "ohi_edit",
        Command::GroupInvite { .. } => "group_invite",
        Command::GroupEdit { .. } => "group_edit",
        Command::Post { .. } => "post",
        Command::PostNotify { .. } => "post_notify",
        Command::Ping { .. } => "ping",
        Command::Admin(_) => "admin",
        Command::Acks { .. } => "acks",
    }
}

/// Hands what the reader reads to the engine. The bound of the channel is what makes Redis keep the rest.
pub async fn read(
    mut reader: CommandReader,
    to: Sender<Vec<Read>>,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let next = tokio::select! {
            () = drain.cancelled() => return Ok(()),
            next = reader.next() => next,
        };
        match next {
            Ok(reads) => {
                if to.send(reads).await.is_err() {
                    return Ok(());
                }
            }
            // The reader pauses by itself.
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "cannot read commands"),
        }
    }
}
