//! A cluster without processes, sockets and clocks: the gateways' session machines and a worker's home, joined by two
//! queues, for stories that should take milliseconds and hours at once. Deterministic. It must never decide anything by
//! itself: what it stands in for (streams, commits, the clock) always works here, and at once.

mod chance;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tmtp_contract::{AdminAnswer, AdminChange, AdminRequest, AuditNote, Command, Envelope, Event, Once};
use tmtp_domain::{
    Epoch, GatewayId, KeyId, MsgId, Policy, Registration, RequestId, SessionId, ShardId, Site, SiteId,
    SiteStatus,
};
use tmtp_gateway::session::{Cause, Exit, Held, Limits, Output, Session, Turn};
use tmtp_store::{OwnedShard, Recovery};
use tmtp_worker::home::{Facts, Home, Now, Outbox, ReadPage, Window, World, expired_ids};
use uuid::Uuid;

use self::chance::Chance;

/// Some time in 2026, in nanoseconds: when every story begins.
const START: u64 = 1_790_000_000_000_000_000;
/// The sessions' clock then. It may not be zero, because things may have happened before.
const BEGIN: Duration = Duration::from_hours(1);

const SITE: SiteId = SiteId(Uuid::from_u128(1));
const SHARD: ShardId = ShardId(0);

/// A cluster of any number of gateways with one site.
pub struct Pure {
    /// Since the story began.
    now: Duration,
    host: Chance,
    /// Of all sessions.
    pub limits: Limits,
    home: Home,
    site: Arc<Site>,
    sites: HashMap<SiteId, Site>,
    facts: Facts,
    links: Vec<Link>,
    /// Those to which something has happened.
    stirred: BTreeSet<usize>,
    /// What gateways have published and the home has not taken.
    commands: VecDeque<(GatewayId, Envelope)>,
    /// The database refuses what comes of the next one.
    refuses: bool,
    /// The home takes none.
    holds: bool,
    /// What the home says is not heard.
    loses: bool,
    /// Changes of admins so far, and what they were told.
    asked: u128,
    answers: Vec<AdminAnswer>,
}

/// A client's connection.
struct Link {
    gateway: GatewayId,
    session: Session,
    /// Sent by the client and not taken by the session.
    input: Vec<u8>,
    /// Written by the session and not read by the client.
    output: Vec<u8>,
    /// The client reads.
    reads: bool,
    /// Since when something waits for a client that does not.
    stalled: Option<Duration>,
    end: Option<Exit>,
}

/// The values of a deployment that has set nothing, but bodies of any size travel inside of commands.
fn limits() -> Limits {
    let limits = tmtp_gateway::Limits::default();
    Limits {
        login_within: limits.login_within,
        silence_max: limits.silence_max,
        write_wait: limits.write_wait,
        redeliver_after: limits.redeliver_after,
        republish_after: limits.republish_after,
        detach_wait: limits.detach_wait,
        answers_wait: limits.answers_wait,
        linger_max: limits.linger_max,
        unanswered_max: limits.unanswered_max,
        unanswered_octets_max: usize::MAX,
        replies_octets_max: limits.replies_octets_max,
        inline_max: u64::MAX,
        body_max: limits.body_max,
        chunk_octets: 1 << 20,
        public_url: None,
    }
}

fn gateway(number: usize) -> GatewayId {
    GatewayId(Uuid::from_u128(100 + number as u128))
}

impl Pure {
    /// A cluster that serves a site of this name.
    pub fn new(name: &str, registration: Registration) -> Self {
        Self::with_policy(name, registration, Policy::default())
    }

    /// The same, with a policy.
    pub fn with_policy(name: &str, registration: Registration, policy: Policy) -> Self {
        Self::build(name, registration, policy, Window { count: 16, bytes: 256 << 10 })
    }

    /// The same, with one message in flight to each node.
    pub fn one_by_one(name: &str, registration: Registration, policy: Policy) -> Self {
        Self::build(name, registration, policy, Window { count: 1, bytes: 1 })
    }

    /// The same, with so many messages and octets in flight to a node.
    pub fn with_window(name: &str, registration: Registration, count: usize, bytes: usize) -> Self {
        Self::build(name, registration, Policy::default(), Window { count, bytes })
    }

    fn build(name: &str, registration: Registration, policy: Policy, window: Window) -> Self {
        let site = Arc::new(Site {
            id: SITE,
            revision: 1,
            shard: SHARD,
            name: name.to_owned(),
            domains: Vec::new(),
            registration,
            status: SiteStatus::Active,
            policy,
            providers: Vec::new(),
            notice: None,
        });
        let row = OwnedShard {
            shard: SHARD,
            epoch: Epoch(1),
            commits: 0,
            last_entry: (0, 0),
            last_msg_id: MsgId(0),
        };
        let limits_of_home = tmtp_worker::home::Limits {
            window,
            dedupe_window: Duration::from_mins(15),
            receipts_max: 100_000,
            members_max: usize::MAX,
            // Nothing is ever spilled here, so what is noted would never go.
            traces: false,
        };
        let now = Now { nanos: START };
        let home = Home::recover(&row, &Recovery::default(), limits_of_home, HashSet::new(), now);
        Self {
            now: Duration::ZERO,
            host: Chance::at(Arc::clone(&site)),
            limits: limits(),
            home: home.expect("nothing is left of a shard that is new"),
            sites: HashMap::from([(SITE, (*site).clone())]),
            site,
            facts: Facts::default(),
            links: Vec::new(),
            stirred: BTreeSet::new(),
            commands: VecDeque::new(),
            refuses: false,
            holds: false,
            loses: false,
            asked: 0,
            answers: Vec::new(),
        }
    }

    /// A new connection at this gateway, after its handshake.
    pub fn connect(&mut self, number: usize) -> usize {
        let id = SessionId(self.links.len() as u64 + 1);
        let login_by = BEGIN + self.now + self.limits.login_within;
        self.links.push(Link {
            gateway: gateway(number),
            session: Session::new(id, Arc::clone(&self.site), login_by),
            input: Vec::new(),
            output: Vec::new(),
            reads: true,
            stalled: None,
            end: None,
        });
        self.links.len() - 1
    }

    /// The client sends, and everything that comes of it happens.
    pub fn send(&mut self, link: usize, octets: &[u8]) {
        if self.links[link].end.is_none() {
            self.links[link].input.extend_from_slice(octets);
            self.stirred.insert(link);
        }
        self.settle();
    }

    /// What was written to the client since the last look.
    pub fn read(&mut self, link: usize) -> Vec<u8> {
        std::mem::take(&mut self.links[link].output)
    }

    /// How the server has ended the connection, if it has.
    pub fn end(&self, link: usize) -> Option<Exit> {
        self.links[link].end
    }

    /// The client takes nothing any more.
    pub fn stop_reading(&mut self, link: usize) {
        self.links[link].reads = false;
    }

    /// The client's connection ends without a word.
    pub fn close(&mut self, link: usize) {
        if self.links[link].end.is_none() {
            self.turn(link, Session::input_ended);
            self.settle();
        }
        if self.links[link].end.is_none() {
            self.finish(link, Exit::Cut);
        }
        self.settle();
    }

    /// The database refuses what comes of the next command.
    pub fn refuse_next(&mut self) {
        self.refuses = true;
    }

    /// Commands wait from now on, or are taken again.
    pub fn hold(&mut self, holds: bool) {
        self.holds = holds;
        self.host.stuck.set(holds);
        self.settle();
    }

    /// What the home says gets lost from now on; or no longer, and then gateways notice that something did.
    pub fn lose(&mut self, loses: bool) {
        if self.loses && !loses {
            for link in 0..self.links.len() {
                self.turn(link, |session, turn| session.reattach(turn, Cause::Gap));
            }
        }
        self.loses = loses;
        self.settle();
    }

    /// What a link's session holds.
    pub fn held(&self, link: usize) -> Held {
        self.links[link].session.held()
    }

    /// Octets of unanswered commands that sessions hold.
    pub fn reserved(&self) -> usize {
        self.host.reserved.get()
    }

    /// Sessions that the home holds.
    pub fn sessions(&self) -> usize {
        self.home.sessions()
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = self.links.iter().filter_map(|link| link.session.deadline(&self.limits)).min();
            let due = due.map(|due| due.saturating_sub(BEGIN).max(self.now)).filter(|due| *due <= until);
            self.now = due.unwrap_or(until);
            for link in 0..self.links.len() {
                self.turn(link, Session::tick);
            }
            self.settle();
            if due.is_none() {
                return self.upkeep();
            }
            // What is due and does not go away must not stop the clock.
            self.now += Duration::from_millis(1);
        }
    }

    fn turn<R>(&mut self, link: usize, act: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        let now = BEGIN + self.now;
        let mut turn = Turn { now, host: &self.host, limits: &self.limits, publish: Vec::new(), wake: false };
        self.stirred.insert(link);
        let link = &mut self.links[link];
        let result = act(&mut link.session, &mut turn);
        let gateway = link.gateway;
        self.commands.extend(turn.publish.into_iter().map(|envelope| (gateway, envelope)));
        result
    }

    /// Everything happens that has a reason to.
    fn settle(&mut self) {
        loop {
            for link in std::mem::take(&mut self.stirred) {
                self.pump(link);
            }
            self.stirred.clear();
            if self.holds {
                return;
            }
            let Some((gateway, envelope)) = self.commands.pop_front() else { return };
            self.decide(gateway, envelope);
        }
    }

    /// What a gateway's link does: input in, output out, and the end.
    fn pump(&mut self, link: usize) {
        if self.links[link].end.is_some() {
            return;
        }
        let input = std::mem::take(&mut self.links[link].input);
        let mut left = &input[..];
        self.turn(link, |session, turn| session.input(turn, &mut left));
        self.links[link].input = left.to_vec();
        assert!(self.links[link].session.take_upload().is_none(), "every body travels inside of its command");
        if self.links[link].reads {
            self.write(link);
        } else if self.links[link].session.has_output() {
            let since = BEGIN + self.now;
            if self.links[link].stalled.is_none() {
                self.links[link].stalled = Some(since);
                self.links[link].session.set_stalled(Some(since));
            }
        }
        if let Some(exit) = self.links[link].session.exit() {
            self.finish(link, exit);
        }
    }

    fn write(&mut self, link: usize) {
        let mut buffer = Vec::new();
        let mut unflushed = false;
        while self.turn(link, |session, turn| session.output(turn, None, &mut buffer)) == Output::Frames {
            self.links[link].output.append(&mut buffer);
            unflushed = true;
        }
        if unflushed {
            self.links[link].session.flushed(BEGIN + self.now);
        }
    }

    fn finish(&mut self, link: usize, exit: Exit) {
        self.links[link].end = Some(exit);
        self.links[link].input = Vec::new();
        self.turn(link, Session::socket_closed);
    }

    /// An admin changes something, and is told what came of it.
    pub fn administer(&mut self, change: AdminChange) -> AdminAnswer {
        self.asked += 1;
        let once = Once { key: KeyId(Uuid::from_u128(1)), text: self.asked.to_string(), digest: [0; 32] };
        let note = AuditNote { action: "story".into(), target: "story".into(), from: "story".into() };
        let request = AdminRequest { id: RequestId(Uuid::from_u128(self.asked)), once, note, change };
        let command = Command::Admin(Box::new(request));
        let envelope = Envelope { site: SITE, session: SessionId(0), seq: 0, trace: None, command };
        self.decide(gateway(0), envelope);
        self.settle();
        self.answers.pop().expect("every change is answered")
    }

    /// What a worker does by the clock.
    fn upkeep(&mut self) {
        let now = self.time();
        let world = World { sites: &self.sites, facts: &mut self.facts };
        self.home.expire(now, &expired_ids(&self.sites, now), Vec::new(), &world);
        self.commit(now);
        self.settle();
    }

    fn time(&self) -> Now {
        Now { nanos: START + u64::try_from(self.now.as_nanos()).expect("a story of some centuries") }
    }

    /// What a worker does: decide, commit, tell.
    fn decide(&mut self, gateway: GatewayId, envelope: Envelope) {
        let now = self.time();
        if std::mem::take(&mut self.refuses) {
            self.home.refuse_command(gateway, &envelope, now);
        } else {
            let mut world = World { sites: &self.sites, facts: &mut self.facts };
            self.home.apply(now, gateway, envelope, &mut world);
        }
        self.commit(now);
    }

    fn commit(&mut self, now: Now) {
        if let Some(commit) = self.home.take_commit(false).expect("effects can be written") {
            self.home.committed(&commit, now);
        }
        // Nothing is ever spilled here, so there are no rows to be read.
        for (key, _) in self.home.feed(now) {
            self.home.take_page(key, ReadPage { is_end: true, ..ReadPage::default() });
        }
        self.home.feed(now);
        let Outbox { answers, pushes, done } = self.home.take_outbox();
        if self.loses {
            return;
        }
        for (gateway, event) in answers.into_iter().chain(pushes) {
            self.tell(gateway, event);
        }
        for ((gateway, session), up_to) in done {
            self.to(gateway, session, |session, turn| session.done(turn, up_to));
        }
    }

    fn tell(&mut self, gateway: GatewayId, event: Event) {
        match event {
            Event::Answer { session, seq, answer, .. } => {
                self.to(gateway, session, |session, turn| session.answer(turn, seq, answer));
            }
            Event::Deliver { session, opened, message, .. } => {
                self.to(gateway, session, |session, turn| session.deliver(turn, opened, message));
            }
            Event::Ohi { session, opened, online, offline } => {
                self.to(gateway, session, |session, turn| session.ohi(turn, opened, &online, &offline));
            }
            Event::Shows { session, opened, version, full, added, dropped } => {
                self.to(gateway, session, |session, _| {
                    session.shows(opened, version, full, &added, &dropped);
                });
            }
            Event::Close { session, opened, reason } => {
                self.to(gateway, session, |session, turn| session.close(turn, opened, reason));
            }
            Event::Lost { session, seq } => {
                self.to(gateway, session, |session, turn| session.lost(turn, seq));
            }
            Event::Probe { session } => self.to(gateway, session, Session::probe),
            Event::Admin { answer, .. } => self.answers.push(answer),
            Event::Rehome { .. } => {
                let here: Vec<usize> =
                    (0..self.links.len()).filter(|link| self.links[*link].gateway == gateway).collect();
                for link in here {
                    self.turn(link, |session, turn| session.reattach(turn, Cause::Rehome));
                }
            }
        }
    }

    fn to(&mut self, gateway: GatewayId, session: SessionId, act: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        let index = usize::try_from(session.0).ok().and_then(|number| number.checked_sub(1));
        if let Some(link) =
            index.filter(|link| self.links.get(*link).is_some_and(|link| link.gateway == gateway))
        {
            self.turn(link, act);
        }
    }
}
