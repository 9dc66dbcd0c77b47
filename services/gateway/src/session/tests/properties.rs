//! Whatever clients, homes and networks do: no panic, answers in order and once, nothing complete is forgotten, and
//! every octet of the budget comes back.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::Upload;
use super::*;

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// The client sends a post of so many octets.
    Post(usize),
    /// A request that is refused here.
    Refused,
    /// An ack of the last message.
    Ack,
    /// The link reads up to so many octets.
    Read(usize),
    /// The home takes the next command.
    Work,
    /// The next command is lost on the way.
    Lose,
    /// The home loses its view; with or without saying so.
    Forget(bool),
    /// The home delivers a message: the oldest that is owed and not in flight, or else a new one.
    Deliver,
    /// The link writes.
    Write,
    /// The store takes a chunk, or does not.
    Store(bool),
    /// Seconds pass.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..250).prop_map(Step::Post),
        1 => Just(Step::Refused),
        2 => Just(Step::Ack),
        6 => (1_usize..400).prop_map(Step::Read),
        8 => Just(Step::Work),
        1 => Just(Step::Lose),
        1 => any::<bool>().prop_map(Step::Forget),
        3 => Just(Step::Deliver),
        4 => Just(Step::Write),
        4 => any::<bool>().prop_map(Step::Store),
        1 => (0_u64..9).prop_map(Step::Wait),
    ]
}

/// A client, a network and a home around a session that is logged in.
struct World {
    rig: Rig,
    /// Sent by the client and not read by the link.
    wire: VecDeque<u8>,
    /// Published and not seen by the home.
    stream: VecDeque<(u64, Command)>,
    /// The number that the home expects next, and the opening before it; `None` when it does not know the session.
    expected: Option<(u64, u64)>,
    requests: usize,
    answered: Vec<usize>,
    messages: u64,
    /// Messages that the home has no ack of, and those of them that it must not send in this opening.
    owed: BTreeSet<u64>,
    flying: BTreeSet<u64>,
    /// Messages that the client has got, the first time.
    got: Vec<u64>,
    /// Acks on the wire, and those that the session has read.
    acking: Vec<u64>,
    acked: BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        Self {
            rig: Rig {
                limits: Limits { redeliver_after: Duration::from_secs(7), ..limits() },
                ..Rig::open()
            },
            wire: VecDeque::new(),
            stream: VecDeque::new(),
            expected: Some((2, 1)),
            requests: 0,
            answered: Vec::new(),
            messages: 0,
            owed: BTreeSet::new(),
            flying: BTreeSet::new(),
            got: Vec::new(),
            acking: Vec::new(),
            acked: BTreeSet::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Post(len) => {
                let json = format!(r#"{{"op":7,"id":"{}","for":[],"datalen":{len}}}"#, self.request());
                self.wire.extend(frame(&json));
                self.wire.extend(std::iter::repeat_n(b'x', *len));
            }
            Step::Refused => {
                let (json, data) = too_large(&self.request().to_string());
                self.wire.extend(frame(&json));
                self.wire.extend(data);
            }
            Step::Ack => {
                let id = self.got.last().copied().unwrap_or(0);
                self.acking.push(id);
                self.wire.extend(frame(&format!(r#"{{"op":10,"id":"{id:016x}","type":"ok"}}"#)));
            }
            Step::Read(max) => self.read(*max),
            Step::Work => self.work(),
            Step::Lose => drop(self.stream.pop_front()),
            Step::Forget(told) => {
                self.expected = None;
                if *told {
                    self.rig.reattach();
                }
            }
            Step::Deliver => {
                if let Some((_, opened)) = self.expected {
                    let owed = self.owed.difference(&self.flying).next().copied();
                    let id = owed.unwrap_or(self.messages + 1);
                    self.messages = self.messages.max(id);
                    self.owed.insert(id);
                    self.flying.insert(id);
                    self.rig.deliver(opened, message(id));
                }
            }
            Step::Write => self.write(),
            Step::Store(success) => {
                if let Some(Upload::Put { .. }) = self.rig.session.take_upload() {
                    let success = *success;
                    self.rig.turn(|session, turn| session.uploaded(turn, success));
                }
            }
            Step::Wait(seconds) => self.rig.wait(*seconds),
        }
        self.stream.extend(self.rig.commands());
    }

    fn request(&mut self) -> usize {
        self.requests += 1;
        self.requests
    }

    fn read(&mut self, max: usize) {
        let octets: Vec<u8> = self.wire.iter().take(max).copied().collect();
        let left = self.rig.octets(&octets).len();
        self.wire.drain(..octets.len() - left);
        if self.wire.is_empty() {
            self.acked.extend(self.acking.drain(..));
        }
    }

    /// The home's rule: openings always, everything else by its number.
    fn work(&mut self) {
        let Some((seq, command)) = self.stream.pop_front() else { return };
        if command.opens() {
            self.expected = Some((seq + 1, seq));
        } else {
            match &mut self.expected {
                Some((next, _)) if *next == seq => *next += 1,
                _ => return self.rig.lost(seq),
            }
        }
        match command {
            Command::Attach(attach) => {
                self.flying = attach.in_flight.iter().map(|id| id.0).collect();
                self.rig.answer(seq, Answer::Attached);
            }
            Command::Acks { ids } => self.owed.retain(|owed| !ids.contains(&MsgId(*owed))),
            Command::Post { .. } => self.rig.answer(seq, posted(seq)),
            _ => {}
        }
        self.rig.done(seq);
    }

    fn write(&mut self) {
        for header in self.rig.frames() {
            let id = header.split(r#""id":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
            if header.contains(r#""op":"ack""#) {
                self.answered.push(id.parse().expect("a request of ours"));
            } else {
                let id = u64::from_str_radix(id, 16).expect("a message id");
                assert!(!self.acked.contains(&id), "written again after its ack: {id}");
                if !self.got.contains(&id) {
                    self.got.push(id);
                }
            }
        }
    }

    /// Peace: everything arrives, until nothing more happens.
    fn settle(&mut self) {
        self.rig.reattach();
        self.settle_wire();
        // No ack of what was sent on this link was dropped.
        for _ in 0..3 {
            self.rig.wait(10);
            self.settle_wire();
        }
        let unheard: Vec<&u64> = self.owed.intersection(&self.acked).collect();
        assert!(unheard.is_empty(), "acked, and the home does not know: {unheard:?}");
    }

    fn settle_wire(&mut self) {
        for _ in 0..10_000 {
            for step in [Step::Read(400), Step::Store(true), Step::Work, Step::Write] {
                self.run(&step);
            }
            if self.wire.is_empty() && self.stream.is_empty() && self.answered.len() == self.requests {
                return;
            }
        }
        panic!("not everything was answered: {} of {}", self.answered.len(), self.requests);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Goal: requests are answered in order, each once, and none is forgotten; method: a client, a lossy network and
    /// a forgetful home, then peace. After the end every octet of the budget is back.
    #[test]
    fn answers(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            prop_assert!(world.rig.exit().is_none());
        }
        world.settle();
        prop_assert_eq!(&world.answered, &(1..=world.requests).collect::<Vec<_>>());
        prop_assert!(world.got.is_sorted());
        prop_assert_eq!(world.rig.host.used.get(), 0);
        world.rig.socket_closed();
        let (detach, _) = world.rig.commands().pop().expect("a detach");
        world.rig.done(detach);
        prop_assert!(world.rig.session.is_over());
    }

    /// Goal: no octets and no events make a session panic, and it always comes to its end; method: junk of both kinds
    /// in each state, then time.
    #[test]
    fn junk(
        state in 0_usize..4,
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), 0_u8..12, 0_u64..6), 0..60),
    ) {
        let mut rig = [Rig::new, Rig::greeted, Rig::opening, Rig::open][state]();
        for (octets, event, number) in pieces {
            rig.octets(&octets);
            match event {
                0 => rig.answer(number, posted(1)),
                1 => rig.answer(number, Answer::Attached),
                2 => rig.answer(number, Answer::LoggedIn { node: NodeNum(1), ohi: vec![ann()] }),
                3 => rig.answer(number, Answer::Registered { node: NodeNum(1), alias_error: None }),
                4 => rig.deliver(number, message(number)),
                5 => rig.done(number),
                6 => rig.lost(number),
                7 => rig.turn(|session, turn| session.close(turn, number, "bye".into())),
                8 => rig.reattach(),
                9 => rig.session.suspend(),
                10 => rig.turn(|session, turn| session.uploaded(turn, number > 2)),
                _ => rig.wait(number),
            }
            rig.frames();
        }
        rig.socket_closed();
        rig.wait(60);
        prop_assert_eq!(rig.host.used.get(), 0);
        for _ in 0..6 {
            rig.wait(60);
        }
        prop_assert!(rig.session.is_over());
    }
}
