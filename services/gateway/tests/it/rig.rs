//! A gateway inside of the test's process, its clients, and a home whose every word the test chooses. Nothing here may
//! wait without a deadline.

use std::collections::VecDeque;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tmtp_bus::{Bus, CommandReader, StreamId};
use tmtp_chassis::health::Report;
use tmtp_chassis::prometheus::Registry;
use tmtp_chassis::{Context, Life};
use tmtp_client::{Client, Connect, Frame, Trust};
use tmtp_contract::{Answer, Command, Envelope, Event, EventEntry, Message, encode};
use tmtp_domain::{
    GatewayId, MsgId, NodeNum, NodeSecret, Posted, Registration, SessionId, ShardId, Site, SiteId,
    SiteStatus, Uid, WorkerId,
};
use tmtp_gateway::{Config, serve};
use tmtp_store::Store;
use tmtp_testkit::{Redis, eventually, free_port, fresh_database};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// Longer than anything here takes on a busy machine.
pub const WAIT: Duration = Duration::from_secs(20);
/// The shard of the one site.
pub const SHARD: ShardId = ShardId(3);

/// A gateway and its surroundings.
pub struct Rig {
    pub redis: Redis,
    pub bus: Bus,
    pub home: Home,
    pub life: Life,
    registry: Registry,
    /// What the gateway said of itself when it was ready.
    pub ready: Report,
    pub connect: Connect,
    /// The gateway's `serve`.
    pub served: JoinHandle<anyhow::Result<()>>,
    _certificates: TempDir,
}

/// The site of these tests.
pub fn site(status: SiteStatus, revision: i64) -> Site {
    Site {
        id: SiteId(Uuid::from_u128(7)),
        revision,
        shard: SHARD,
        name: "Example".into(),
        domains: vec!["example.org".into()],
        registration: Registration::Open,
        status,
        policy: tmtp_domain::Policy::default(),
        providers: Vec::new(),
        notice: None,
    }
}

/// Fails the test instead of waiting for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(WAIT, future).await.unwrap_or_else(|_| panic!("waited {WAIT:?} for {what}"))
}

impl Rig {
    /// A gateway with these settings, ready to serve.
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let redis = Redis::start().expect("a Redis");
        let database = fresh_database();
        let store = Store::connect(&database, 2, WAIT).await.expect("a database");
        store.migrate(64).await.expect("a schema");
        let bus = Bus::connect(&redis.url()).await.expect("a bus");
        bus.publish_sites(&[site(SiteStatus::Active, 1)], 1).await.expect("a directory");

        let certificates = TempDir::new().expect("a directory");
        let pair = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["example.org".to_owned()])
            .and_then(|params| params.self_signed(&pair))
            .expect("a certificate");
        fs::write(certificates.path().join("default.crt"), certificate.pem()).expect("a file");
        fs::write(certificates.path().join("default.key"), pair.serialize_pem()).expect("a file");

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut config = Config::default();
        config.redis.url = redis.url().into();
        config.bodies.postgres.url = database.into();
        config.tls.certificates = certificates.path().to_owned();
        config.listen.address = address;
        config.listen.drain_over = Duration::ZERO;
        change(&mut config);
        let cx = Context::new(config);
        let (life, health, registry) = (cx.life.clone(), cx.health.clone(), cx.registry.clone());
        let served = tokio::spawn(tmtp_chassis::run(cx, serve));
        soon("a gateway that is ready", health.wait_ready()).await;
        let ready = health.report();
        let connect = Connect { address, server_name: Some("example.org".into()), trust: Trust::Any };
        let home = Home::new(bus.clone());
        Self { redis, bus, home, life, registry, ready, connect, served, _certificates: certificates }
    }

    /// A client that is logged in as user `n` at its node 1, and its session.
    pub async fn login(&mut self, n: u8) -> (Client, SessionId) {
        let uid = Uid([n; 20]).to_string();
        let secret = NodeSecret([n; 25]).reveal();
        let (client, session) = tokio::join!(
            soon("a login", Client::login(&self.connect, &uid, &secret)),
            self.home.accept_login()
        );
        (client.expect("a login").0, session)
    }

    /// The value of one of the gateway's metrics without labels.
    pub fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("a metric of this name");
        let metric = &family.get_metric()[0];
        metric.get_gauge().get_value() + metric.get_counter().get_value()
    }

    /// Ends the gateway at once, whatever its clients and the home still want.
    pub async fn abort(self) {
        self.life.start_abort("the test is over");
        // How it ends when it is not let go is not what these tests are about; that it ends is.
        let _ = soon("the end of the gateway", self.served).await.expect("no panic");
    }
}

/// The home of all sites: sees every command, and says what the test wants.
pub struct Home {
    bus: Bus,
    worker: WorkerId,
    reader: CommandReader,
    /// Seen and not looked at.
    seen: VecDeque<Envelope>,
    gateway: Option<GatewayId>,
    number: u64,
    /// The last entry that was read.
    reached: StreamId,
    /// The last entry that was said.
    said: Vec<u8>,
}

impl Home {
    fn new(bus: Bus) -> Self {
        let worker = WorkerId(Uuid::new_v4());
        let (reader, handle) = bus.command_reader(worker);
        handle.set_shards(vec![(SHARD, StreamId::default())]);
        Self {
            bus,
            worker,
            reader,
            seen: VecDeque::new(),
            gateway: None,
            number: 0,
            reached: StreamId::default(),
            said: Vec::new(),
        }
    }

    /// The next command.
    pub async fn command(&mut self) -> Envelope {
        soon("a command", async {
            loop {
                if let Some(envelope) = self.seen.pop_front() {
                    return envelope;
                }
                // An error is a Redis that is away for a moment; the reader pauses by itself.
                for read in self.reader.next().await.unwrap_or_default() {
                    self.gateway = Some(read.entry.gateway);
                    self.reached = read.id;
                    self.seen.extend(read.entry.commands);
                }
            }
        })
        .await
    }

    /// The next command that is chosen; others are passed over.
    pub async fn find<T>(&mut self, mut choose: impl FnMut(&Envelope) -> Option<T>) -> T {
        loop {
            let envelope = self.command().await;
            if let Some(chosen) = choose(&envelope) {
                return chosen;
            }
        }
    }

    /// Whose commands have been seen.
    pub fn gateway(&self) -> GatewayId {
        self.gateway.expect("a command has been seen")
    }

    /// Says something to the gateway.
    pub async fn say(&mut self, done: Vec<(SessionId, u64)>, events: Vec<Event>) {
        self.number += 1;
        let entry = EventEntry::new(self.worker, self.number, done, events);
        self.said = encode(&entry).expect("an entry");
        self.append().await;
    }

    /// Says the same once more, as a worker does that does not know whether it was heard.
    pub async fn repeat(&mut self) {
        self.append().await;
    }

    /// Removes from the stream what was read, as a worker does that has committed it.
    pub async fn trim(&mut self) {
        self.bus.append_events_and_trim(&[], &[(SHARD, self.reached)]).await.expect("a trim");
    }

    async fn append(&mut self) {
        let append = [(self.gateway(), self.said.clone())];
        // Appending twice would be a repeated number, so a Redis that is away is waited for before.
        let up = eventually(WAIT, "Redis", async || self.bus.ping().await.ok());
        up.await.expect("a bus");
        self.bus.append_events_and_trim(&append, &[]).await.expect("an append");
    }

    /// Loses something on its way to the gateway.
    pub fn lose_an_entry(&mut self) {
        self.number += 1;
    }

    /// Answers a command.
    pub async fn answer(&mut self, to: &Envelope, answer: Answer) {
        let event = Event::Answer { session: to.session, seq: to.seq, answer, trace: None };
        self.say(vec![(to.session, to.seq)], vec![event]).await;
    }

    /// Says that a command is committed.
    pub async fn done(&mut self, of: &Envelope) {
        self.say(vec![(of.session, of.seq)], Vec::new()).await;
    }

    /// Delivers a message to a session that was opened by this command.
    pub async fn deliver(&mut self, session: SessionId, opened: u64, message: Message) {
        let event = Event::Deliver { session, opened, message: Arc::new(message), trace: None };
        self.say(Vec::new(), vec![event]).await;
    }

    async fn accept_login(&mut self) -> SessionId {
        let login = self.command().await;
        assert!(matches!(login.command, Command::Login { .. }), "{login:?}");
        self.answer(&login, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() }).await;
        login.session
    }
}

/// The answer to a post.
pub fn posted(id: u64) -> Answer {
    Answer::Posted { msg_id: MsgId(id), posted: Posted(0) }
}

/// The next frame; the connection must not end.
pub async fn frame(client: &mut Client) -> Frame {
    soon("a frame", client.next()).await.expect("a frame").expect("no end of the stream")
}
