//! Whole workers in this process, on a database and a Redis of their own, and a gateway played by hand. Holds no
//! expectation of its own but that things happen before a deadline.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::PgPool;
use tmtp_bus::{Bus, EventReader};
use tmtp_chassis::Context;
use tmtp_contract::{Answer, Attach, Command, CommandEntry, Envelope, Event, EventEntry};
use tmtp_domain::{GatewayId, MsgId, NodeNum, Registration, SessionId, ShardId, Site, SiteId, Uid, WorkerId};
use tmtp_store::{CreateSite, Store};
use tmtp_testkit::{Redis, eventually};
use tmtp_worker::Config;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::rig::{login, register};

/// Generous: a loaded machine must not fail a test.
pub const DEADLINE: Duration = Duration::from_mins(1);
/// Shards of a test's deployment.
pub const SHARDS: u16 = 4;

/// A deployment without processes.
pub struct Place {
    pub redis: Redis,
    pub bus: Bus,
    pub store: Store,
    pub pool: PgPool,
    url: String,
}

/// A worker that runs until it is dropped.
pub struct Running {
    pub cx: Context<Config>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.cx.life.start_abort("the test is over");
    }
}

impl Place {
    pub async fn new() -> Self {
        let redis = Redis::start().unwrap();
        let bus = Bus::connect(&redis.url()).await.unwrap();
        let url = tmtp_testkit::fresh_database();
        let store = Store::connect(&url, 5, DEADLINE).await.unwrap();
        store.migrate(SHARDS).await.unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        Self { redis, bus, store, pool, url }
    }

    /// A configuration with leases so short that a test need not wait for them.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.postgres.url = self.url.as_str().into();
        config.redis.url = self.redis.url().into();
        config.shards.lease = Duration::from_secs(1);
        config.shards.heartbeat = Duration::from_millis(100);
        config.shards.gateway_lease = Duration::from_secs(2);
        config.journal.spill_after = Duration::from_millis(200);
        config
    }

    /// A worker that says it is ready.
    pub async fn worker(&self, config: Config) -> Running {
        let cx = Context::new(config);
        let task = tokio::spawn(tmtp_worker::serve(cx.clone()));
        tokio::time::timeout(DEADLINE, cx.health.wait_ready()).await.unwrap();
        Running { cx, task }
    }

    /// A worker that owns everything.
    pub async fn only_worker(&self) -> Running {
        let worker = self.worker(self.config()).await;
        self.until("the worker owns all", async |place| {
            let owners = place.owners().await;
            (owners.len() == 1 && owners.values().sum::<u16>() == SHARDS).then_some(())
        })
        .await;
        worker.until_metric("tmtp_worker_shards_owned", |owned| owned == i64::from(SHARDS)).await;
        worker
    }

    pub async fn site(&self, domain: &str) -> Site {
        let id = SiteId(Uuid::new_v4());
        let create = CreateSite {
            id,
            name: "A site".into(),
            domains: vec![domain.into()],
            registration: Registration::Open,
        };
        self.store.create_site(&create).await.unwrap();
        self.store.sites(&[id]).await.unwrap().remove(0)
    }

    /// How many shards each worker with a lease owns.
    pub async fn owners(&self) -> BTreeMap<WorkerId, u16> {
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(
            "SELECT owner, count(*) FROM shard JOIN worker ON worker_id = owner
             WHERE lease_until >= now() GROUP BY owner",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter().map(|(owner, count)| (WorkerId(owner), u16::try_from(count).unwrap())).collect()
    }

    /// The epoch of each shard.
    pub async fn epochs(&self) -> Vec<i64> {
        sqlx::query_scalar("SELECT epoch FROM shard ORDER BY shard_id").fetch_all(&self.pool).await.unwrap()
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn until<T>(&self, what: &str, probe: impl AsyncFn(&Self) -> Option<T>) -> T {
        eventually(DEADLINE, what, async || probe(self).await).await.unwrap()
    }

    pub fn gateway(&self) -> Gateway {
        let id = GatewayId(Uuid::new_v4());
        Gateway {
            id,
            reader: self.bus.event_reader(id),
            bus: self.bus.clone(),
            beats: None,
            sessions: HashMap::new(),
            entries: Vec::new(),
        }
    }
}

impl Running {
    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> i64 {
        let families = self.cx.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        // It is one of the two, and the other one is 0.
        let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
        format!("{value:.0}").parse().unwrap()
    }

    pub async fn until_metric(&self, name: &str, holds: impl Fn(i64) -> bool) {
        let probe = async || holds(self.metric(name)).then_some(());
        eventually(DEADLINE, name, probe)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", self.metric(name)));
    }
}

/// A session as its gateway keeps it.
struct Open {
    site: SiteId,
    shard: ShardId,
    uid: Uid,
    next: u64,
    opened: u64,
    /// What is not answered: its number and itself.
    waits: Option<(u64, Command)>,
    answer: Option<Answer>,
    got: Vec<MsgId>,
}

/// Plays a gateway: publishes, hears, and opens sessions again when it is told that something is lost.
pub struct Gateway {
    pub id: GatewayId,
    reader: EventReader,
    bus: Bus,
    beats: Option<JoinHandle<()>>,
    sessions: HashMap<u64, Open>,
    /// For each entry that was heard, how many messages it delivered.
    pub entries: Vec<usize>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.die();
    }
}

impl Gateway {
    /// Begins to beat.
    pub fn live(mut self) -> Self {
        let (bus, id) = (self.bus.clone(), self.id);
        self.beats = Some(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(300));
            for beat in 1.. {
                ticks.tick().await;
                let _ = bus.gateway_beat(id, 0, beat).await;
            }
        }));
        self
    }

    /// Beats no more.
    pub fn die(&mut self) {
        if let Some(beats) = self.beats.take() {
            beats.abort();
        }
    }

    /// Names a session, which is not open yet.
    pub fn session(&mut self, number: u64, site: &Site, uid: Uid) {
        let open = Open {
            site: site.id,
            shard: site.shard,
            uid,
            next: 1,
            opened: 0,
            waits: None,
            answer: None,
            got: Vec::new(),
        };
        self.sessions.insert(number, open);
    }

    /// Publishes commands of sessions, all in one entry.
    pub async fn publish(&mut self, commands: Vec<(u64, Command)>) {
        let mut envelopes = Vec::new();
        let mut shard = None;
        for (number, command) in commands {
            let open = self.sessions.get_mut(&number).unwrap();
            shard = Some(open.shard);
            let seq = open.next;
            open.next += 1;
            if command.opens() {
                open.opened = seq;
            }
            open.answer = None;
            open.waits = Some((seq, command.clone()));
            envelopes.push(envelope(open.site, number, seq, command));
        }
        self.append(shard.unwrap(), envelopes).await;
    }

    /// Publishes one command and gives its answer.
    pub async fn ask(&mut self, number: u64, command: Command) -> Answer {
        self.publish(vec![(number, command)]).await;
        self.answer(number).await
    }

    pub async fn answer(&mut self, number: u64) -> Answer {
        self.hear_until(&format!("an answer to session {number}"), |gateway| {
            gateway.sessions.get_mut(&number).unwrap().answer.take()
        })
        .await
    }

    pub async fn register(&mut self, number: u64, site: &Site, uid: Uid) {
        self.session(number, site, uid);
        let answer = self.ask(number, register(uid, None)).await;
        assert!(matches!(answer, Answer::Registered { .. }), "{answer:?}");
    }

    pub async fn log_in(&mut self, number: u64, site: &Site, uid: Uid) -> Answer {
        self.session(number, site, uid);
        self.ask(number, login(uid, 1)).await
    }

    /// What the session was sent so far.
    pub fn got(&self, number: u64) -> &[MsgId] {
        &self.sessions[&number].got
    }

    /// Hears events until something is so.
    pub async fn hear_until<T>(&mut self, what: &str, mut probe: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(found) = probe(self) {
                return found;
            }
            let next = tokio::time::timeout_at(deadline, self.reader.next()).await;
            let Ok(next) = next else { panic!("waited {DEADLINE:?} for {what}") };
            // After an error the reader pauses by itself.
            for entry in next.into_iter().flatten() {
                self.hear(entry).await;
            }
        }
    }

    async fn hear(&mut self, entry: EventEntry) {
        self.entries.push(0);
        for (session, seq) in entry.done {
            self.settle(session, seq, None);
        }
        for event in entry.events {
            match event {
                Event::Answer { session, seq, answer, .. } => self.settle(session, seq, Some(answer)),
                Event::Deliver { session, opened, message, .. } => {
                    if let Some(open) = self.sessions.get_mut(&session.0).filter(|open| open.opened == opened)
                    {
                        open.got.push(message.id);
                    }
                    *self.entries.last_mut().unwrap() += 1;
                }
                Event::Lost { session, seq } => {
                    let open = self.sessions.get(&session.0).filter(|open| seq > open.opened);
                    if let Some(shard) = open.map(|open| open.shard) {
                        let envelopes = self.attach(session.0);
                        self.append(shard, envelopes).await;
                    }
                }
                Event::Rehome { shard, epoch } => {
                    let here =
                        self.sessions.iter().filter(|(_, open)| open.shard == shard && open.opened > 0);
                    let here: Vec<u64> = here.map(|(number, _)| *number).collect();
                    let mut envelopes: Vec<_> =
                        here.into_iter().flat_map(|number| self.attach(number)).collect();
                    envelopes.push(envelope(SiteId(Uuid::nil()), 0, 0, Command::Present { epoch }));
                    self.append(shard, envelopes).await;
                }
                Event::Ohi { .. }
                | Event::Shows { .. }
                | Event::Probe { .. }
                | Event::Close { .. }
                | Event::Admin { .. } => {}
            }
        }
    }

    fn settle(&mut self, session: SessionId, seq: u64, answer: Option<Answer>) {
        let Some(open) = self.sessions.get_mut(&session.0) else { return };
        let waits = open.waits.as_ref().is_some_and(|(number, command)| {
            // What has no answer is done; what has one waits for that.
            *number == seq && (answer.is_some() || matches!(command, Command::Acks { .. } | Command::Detach))
        });
        if waits {
            open.waits = None;
            open.answer = Some(answer.unwrap_or(Answer::Done));
        }
    }

    /// Opens a session again, and repeats what is not answered.
    fn attach(&mut self, number: u64) -> Vec<Envelope> {
        let open = self.sessions.get_mut(&number).unwrap();
        let site = open.site;
        let mut seq = || {
            open.next += 1;
            open.next - 1
        };
        let mut envelopes = Vec::new();
        let opening = open.waits.as_ref().is_some_and(|(_, command)| command.opens());
        if !opening {
            open.opened = seq();
            let pending = u64::from(open.waits.is_some());
            let attach = Attach {
                uid: open.uid,
                node: NodeNum(1),
                in_flight: Vec::new(),
                pending,
                showing: None,
                seen: Vec::new(),
            };
            envelopes.push(envelope(site, number, open.opened, Command::Attach(attach)));
        }
        if let Some((waits, command)) = &mut open.waits {
            *waits = open.next;
            open.next += 1;
            if opening {
                open.opened = *waits;
            }
            envelopes.push(envelope(site, number, *waits, command.clone()));
        }
        envelopes
    }

    async fn append(&self, shard: ShardId, envelopes: Vec<Envelope>) {
        let entry = tmtp_contract::encode(&CommandEntry::new(self.id, envelopes)).unwrap();
        let append = async || self.bus.append_commands(&[(shard, entry.clone())]).await.ok();
        eventually(DEADLINE, "Redis", append).await.unwrap();
    }
}

fn envelope(site: SiteId, session: u64, seq: u64, command: Command) -> Envelope {
    Envelope { site, session: SessionId(session), seq, trace: None, command }
}
