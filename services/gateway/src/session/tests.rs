//! Tests of the session machine: octets, events and time in; frames, commands and uploads out. Nothing here has a
//! socket, a clock or a home; [`Rig`] plays all three.

mod deliveries;
mod ending;
mod home;
mod opening;
mod ops;
mod presence;
mod properties;
mod registration;
mod requests;
mod uploads;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tmtp_contract::{Answer, Body, Command, Content, DataInfo, Envelope, Message};
use tmtp_domain::{
    BodyId, MsgId, NodeNum, NodeSecret, Posted, Registration, SessionId, ShardId, Site, SiteId, SiteStatus,
    Uid,
};
use tmtp_wire::{Decoder, Item, Op, Response};
use uuid::Uuid;

use super::{Cause, Count, Exit, Host, Intake, Limits, Output, Session, Trace, Turn};

/// A post without recipients, of five octets.
const POST: &str = r#"{"op":7,"id":"p","for":[],"datalen":5}"#;

/// Random values that are not random, a budget, and everything that was counted.
struct FakeHost {
    budget: Cell<usize>,
    used: Cell<usize>,
    ids: Cell<u8>,
    counts: RefCell<Vec<Count>>,
    intake: Cell<Intake>,
    /// The streams hold nothing.
    taken: Cell<bool>,
    /// The site as the directory has it.
    site: RefCell<Arc<Site>>,
}

impl FakeHost {
    fn next(&self) -> u8 {
        self.ids.set(self.ids.get().wrapping_add(1));
        self.ids.get()
    }

    fn reattached(&self) -> Vec<Cause> {
        let counts = self.counts.borrow();
        counts
            .iter()
            .filter_map(|count| if let Count::Reattach(cause) = count { Some(*cause) } else { None })
            .collect()
    }
}

impl Host for FakeHost {
    fn site(&self, id: SiteId) -> Option<Arc<Site>> {
        let site = self.site.borrow();
        (site.id == id).then(|| Arc::clone(&site))
    }

    fn uid(&self) -> Uid {
        Uid([self.next(); 20])
    }

    fn secret(&self) -> NodeSecret {
        NodeSecret([self.next(); 25])
    }

    fn body_id(&self) -> BodyId {
        BodyId(Uuid::from_u128(self.next().into()))
    }

    fn reserve(&self, octets: usize) -> bool {
        let sum = self.used.get() + octets;
        if sum <= self.budget.get() {
            self.used.set(sum);
        }
        sum <= self.budget.get()
    }

    fn release(&self, octets: usize) {
        self.used.set(self.used.get().checked_sub(octets).expect("no more is released than was reserved"));
    }

    fn intake(&self, shard: ShardId) -> Intake {
        assert_eq!(shard, site().shard);
        self.intake.get()
    }

    fn is_taken(&self, shard: ShardId, published: Duration) -> bool {
        assert!(shard == site().shard && !published.is_zero());
        self.taken.get()
    }

    fn count(&self, what: Count) {
        self.counts.borrow_mut().push(what);
    }

    fn trace(&self, _: Op) -> Option<Box<Trace>> {
        None
    }
}

/// A session, and everything around it.
struct Rig {
    session: Session,
    host: FakeHost,
    limits: Limits,
    now: Duration,
    /// Published and not looked at.
    published: Vec<Envelope>,
    woken: bool,
}

fn limits() -> Limits {
    let seconds = Duration::from_secs;
    Limits {
        login_within: seconds(5),
        silence_max: seconds(120),
        write_wait: seconds(60),
        redeliver_after: seconds(30),
        republish_after: seconds(5),
        detach_wait: seconds(2),
        answers_wait: seconds(15),
        linger_max: seconds(60),
        unanswered_max: 32,
        unanswered_octets_max: 256 << 10,
        replies_octets_max: 64 << 10,
        inline_max: 64,
        body_max: 1_000,
        chunk_octets: 100,
        public_url: Some("https://join.example".into()),
    }
}

fn site() -> Arc<Site> {
    Arc::new(Site {
        id: SiteId(Uuid::from_u128(7)),
        revision: 1,
        shard: ShardId(3),
        name: "Example".into(),
        domains: vec!["example.org".into()],
        registration: Registration::Open,
        status: SiteStatus::Active,
        policy: tmtp_domain::Policy::default(),
        providers: Vec::new(),
        notice: None,
    })
}

/// The user of most tests, at its node 1.
fn ann() -> Uid {
    Uid([1; 20])
}

/// A header with its length in front.
fn frame(json: &str) -> Vec<u8> {
    format!("{:04x}{json}", json.len()).into_bytes()
}

fn login(uid: Uid, secret: &NodeSecret) -> String {
    format!(r#"{{"Node":"{}","Op":2,"Uid":"{uid}"}}"#, secret.reveal())
}

fn posted(id: u64) -> Answer {
    Answer::Posted { msg_id: MsgId(id), posted: Posted(0) }
}

fn message(id: u64) -> Message {
    Message {
        id: MsgId(id),
        posted: Posted(0),
        from: Uid([2; 20]),
        content: Content::Delivery { notify: 0 },
        data: DataInfo { len: 2, head: 0, sum: 0 },
        body: Body::Inline(Bytes::from_static(b"hi")),
    }
}

impl Rig {
    /// A session whose connection was just accepted.
    fn new() -> Self {
        let now = Duration::from_secs(1_000);
        let host = FakeHost {
            budget: Cell::new(1 << 20),
            used: Cell::new(0),
            ids: Cell::new(0),
            counts: RefCell::default(),
            intake: Cell::new(Intake::All),
            taken: Cell::new(true),
            site: RefCell::new(site()),
        };
        let session = Session::new(SessionId(9), site(), now + Duration::from_secs(5));
        Self { session, host, limits: limits(), now, published: Vec::new(), woken: false }
    }

    /// One that has been greeted; the greeting is read.
    fn greeted() -> Self {
        let mut rig = Self::new();
        rig.send(r#"{"Id":"1","Op":0}"#);
        rig.frames();
        rig
    }

    /// One whose login (command 1) is published and looked at.
    fn opening() -> Self {
        let mut rig = Self::greeted();
        rig.send(&login(ann(), &NodeSecret([5; 25])));
        rig.commands();
        rig
    }

    /// One that is logged in; `info` is read.
    fn open() -> Self {
        let mut rig = Self::opening();
        rig.answer(1, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
        rig.frames();
        rig
    }

    fn turn<R>(&mut self, act: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        let mut turn =
            Turn { now: self.now, host: &self.host, limits: &self.limits, publish: Vec::new(), wake: false };
        let result = act(&mut self.session, &mut turn);
        self.woken |= turn.wake;
        self.published.append(&mut turn.publish);
        result
    }

    /// Sends octets. Returns what the session has not taken.
    fn octets<'a>(&mut self, mut octets: &'a [u8]) -> &'a [u8] {
        self.turn(|session, turn| session.input(turn, &mut octets));
        octets
    }

    fn send(&mut self, json: &str) {
        assert!(self.octets(&frame(json)).is_empty(), "not taken: {json}");
    }

    fn send_data(&mut self, json: &str, data: &[u8]) {
        let octets = [&frame(json), data].concat();
        assert!(self.octets(&octets).is_empty(), "not taken: {json}");
    }

    fn wants_input(&mut self) -> bool {
        self.turn(|session, turn| session.wants_input(turn))
    }

    fn answer(&mut self, seq: u64, answer: Answer) {
        self.turn(|session, turn| session.answer(turn, seq, answer));
    }

    fn done(&mut self, up_to: u64) {
        self.turn(|session, turn| session.done(turn, up_to));
    }

    fn deliver(&mut self, opened: u64, message: Message) {
        self.turn(|session, turn| session.deliver(turn, opened, Arc::new(message)));
    }

    fn lost(&mut self, seq: u64) {
        self.turn(|session, turn| session.lost(turn, seq));
    }

    fn reattach(&mut self) {
        self.turn(|session, turn| session.reattach(turn, Cause::Rehome));
    }

    fn socket_closed(&mut self) {
        self.turn(Session::socket_closed);
    }

    /// Lets time pass, and the clock look.
    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.turn(Session::tick);
    }

    /// The commands published since the last look, with their numbers.
    fn commands(&mut self) -> Vec<(u64, Command)> {
        let published = std::mem::take(&mut self.published);
        published
            .into_iter()
            .map(|envelope| {
                assert_eq!((envelope.site, envelope.session), (site().id, SessionId(9)));
                (envelope.seq, envelope.command)
            })
            .collect()
    }

    /// The numbers and kinds of commands published since the last look.
    fn published(&mut self) -> Vec<(u64, &'static str)> {
        self.commands().iter().map(|(seq, command)| (*seq, kind(command))).collect()
    }

    /// Takes and writes everything that waits for the client, as headers' text. Stored bodies are left out.
    fn frames(&mut self) -> Vec<String> {
        let mut octets = Vec::new();
        loop {
            let mut buffer = Vec::new();
            match self.turn(|session, turn| session.output(turn, None, &mut buffer)) {
                Output::Frames => octets.append(&mut buffer),
                _ => break,
            }
        }
        let now = self.now;
        self.session.flushed(now);
        headers(&octets)
    }

    fn exit(&self) -> Option<Exit> {
        self.session.exit()
    }

    /// What waits for the client, and how the link ends, of a session that ends at once or after its detach.
    fn end(&mut self) -> (Vec<String>, Option<Exit>) {
        if let Some((seq, "detach")) = self.published().last() {
            self.done(*seq);
        }
        (self.frames(), self.exit())
    }
}

fn kind(command: &Command) -> &'static str {
    match command {
        Command::Register { .. } => "register",
        Command::Login { .. } => "login",
        Command::Attach(_) => "attach",
        Command::Detach => "detach",
        Command::Present { .. } => "present",
        Command::NewAlias { .. } => "alias",
        Command::NewNode { .. } => "node",
        Command::Post { .. } => "post",
        Command::PostNotify { .. } => "forward",
        Command::Ping { .. } => "ping",
        Command::GroupInvite { .. } => "invite",
        Command::GroupEdit { .. } => "group",
        Command::OhiEdit { .. } => "ohi",
        Command::Admin(_) => "admin",
        Command::Acks { .. } => "acks",
    }
}

/// The headers of whole frames.
fn headers(mut octets: &[u8]) -> Vec<String> {
    let mut decoder = Decoder::<Response<'static>>::new();
    let mut found = Vec::new();
    while let Some(item) = decoder.next(&mut octets).expect("the session writes frames") {
        if let Item::Header { raw, .. } = item {
            found.push(String::from_utf8(raw.into_owned()).expect("headers are text"));
        }
    }
    assert!(decoder.is_idle(), "half a frame");
    found
}

fn quit(text: &str) -> Vec<String> {
    vec![format!(r#"{{"error":"{text}","op":"quit"}}"#)]
}

fn refused(id: &str, text: &str) -> String {
    format!(r#"{{"error":"{text}","id":"{id}","op":"ack"}}"#)
}

/// A post that is refused here, and its data.
fn too_large(id: &str) -> (String, Vec<u8>) {
    (format!(r#"{{"op":7,"id":"{id}","for":[],"datalen":1001}}"#), vec![b'x'; 1_001])
}

fn refused_as_too_large(id: &str) -> String {
    refused(id, "attachment exceeds the limit of this site")
}

fn acked(id: &str, msg_id: u64) -> String {
    format!(r#"{{"id":"{id}","msgid":"{msg_id:016x}","op":"ack","posted":"1970-01-01T00:00:00.000Z"}}"#)
}
