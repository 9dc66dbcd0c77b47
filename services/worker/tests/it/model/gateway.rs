//! Clients and their gateway, as far as a home can tell: sessions that number their commands, keep those that are not
//! answered, and attach again behind a loss. Every answer and every delivery goes to the reference. It must behave as
//! the real gateway does, and never lend the home a hand.

use std::collections::BTreeMap;

use tmtp_contract::{Answer, Attach, Command, Envelope, Event, LoginRefusal, Message};
use tmtp_domain::{Epoch, GatewayId, MsgId, NodeNum, SessionId, SiteId};
use tmtp_worker::home::Outbox;
use uuid::Uuid;

use super::reference::{Node, Reference};

/// Messages that may be in flight to a node.
pub const WINDOW: usize = 3;

/// A message that was delivered and not acked.
struct Flight {
    id: MsgId,
    /// It is to come again, as the client did not ack it in time; an ack of the first time still counts.
    again: bool,
}

pub struct Session {
    pub node: Node,
    opened: u64,
    next: u64,
    /// Published and not answered, with their numbers.
    unanswered: Vec<(u64, Command)>,
    /// The client has been let in, so requests may follow.
    pub ready: bool,
    /// The client has hung up.
    pub closing: bool,
    in_flight: Vec<Flight>,
    /// Acked when they were to come again: the home may send these before it knows, and the gateway passes them over.
    late: Vec<MsgId>,
}

pub struct Gateway {
    pub id: GatewayId,
    site: SiteId,
    sessions: BTreeMap<u64, Session>,
    sessions_made: u64,
    /// What is to be published.
    pub outgoing: Vec<Envelope>,
}

impl Gateway {
    /// The first gateway, or the one that clients turn to when the last one has died.
    pub fn new(site: SiteId, number: u128) -> Self {
        let id = GatewayId(Uuid::from_u128(number));
        Self { id, site, sessions: BTreeMap::new(), sessions_made: 0, outgoing: Vec::new() }
    }

    /// The session at a node; the numbers of sessions are all there is to hold on to.
    pub fn session_at(&self, node: Node) -> Option<(u64, &Session)> {
        self.sessions.iter().find(|(_, session)| session.node == node).map(|(id, session)| (*id, session))
    }

    /// Opens a session at a node by this command.
    pub fn open(&mut self, node: Node, command: Command) {
        self.sessions_made += 1;
        let session = Session {
            node,
            opened: 1,
            next: 1,
            unanswered: Vec::new(),
            ready: false,
            closing: false,
            in_flight: Vec::new(),
            late: Vec::new(),
        };
        self.sessions.insert(self.sessions_made, session);
        self.publish(self.sessions_made, command);
    }

    /// The client hangs up.
    pub fn close(&mut self, id: u64) {
        self.sessions.get_mut(&id).unwrap().closing = true;
        self.publish(id, Command::Detach);
    }

    /// The client acks those of its messages whose bit is set: the oldest has the lowest.
    pub fn ack(&mut self, id: u64, which: u8) {
        let session = self.sessions.get_mut(&id).unwrap();
        let mut ids = Vec::new();
        let mut bits = (0..8).map(|bit| which >> bit & 1 == 1);
        session.in_flight.retain(|flight| {
            let acked = bits.next().unwrap_or(false);
            ids.extend(acked.then_some(flight.id));
            session.late.extend((acked && flight.again).then_some(flight.id));
            !acked
        });
        if !ids.is_empty() {
            self.publish(id, Command::Acks { ids });
        }
    }

    pub fn publish(&mut self, id: u64, command: Command) {
        let session = self.sessions.get_mut(&id).unwrap();
        let seq = session.next();
        session.unanswered.push((seq, command.clone()));
        self.outgoing.push(envelope(self.site, id, seq, command));
    }

    /// Opens all sessions again, and repeats behind that what is not answered. `forgetful` sessions (a bit each) want
    /// all that is in flight again.
    pub fn attach_all(&mut self, forgetful: u8) {
        self.outgoing.clear();
        for (&id, session) in &mut self.sessions {
            if forgetful >> (id % 8) & 1 == 1 {
                session.in_flight.iter_mut().for_each(|flight| flight.again = true);
            }
            session.opened = session.next;
            if session.ready {
                let in_flight = session.in_flight.iter().filter(|flight| !flight.again);
                let attach = Attach {
                    uid: session.node.0,
                    node: NodeNum(session.node.1),
                    in_flight: in_flight.map(|flight| flight.id).collect(),
                    pending: session.unanswered.len() as u64,
                    showing: None,
                    seen: Vec::new(),
                };
                let seq = session.next();
                self.outgoing.push(envelope(self.site, id, seq, Command::Attach(attach)));
            }
            for (_, command) in std::mem::take(&mut session.unanswered) {
                let seq = session.next();
                session.unanswered.push((seq, command.clone()));
                self.outgoing.push(envelope(self.site, id, seq, command));
            }
        }
    }

    /// Says to the owner of this epoch that all sessions are back.
    pub fn present(&mut self, epoch: Epoch) {
        self.outgoing.push(envelope(self.site, 0, 0, Command::Present { epoch }));
    }

    /// Takes what the home tells. What it tells another gateway, dead by now, reaches nobody.
    pub fn hear(&mut self, outbox: Outbox, reference: &mut Reference) {
        let id = self.id;
        for (_, event) in outbox.answers.into_iter().filter(|(gateway, _)| *gateway == id) {
            match event {
                Event::Answer { session, seq, answer, .. } => {
                    self.answered(session.0, seq, &answer, reference);
                }
                // The owner did not know what was published before the session was opened again.
                Event::Lost { session, seq } => {
                    assert!(
                        self.sessions.get(&session.0).is_none_or(|session| seq < session.opened),
                        "{event:?}"
                    );
                }
                _ => panic!("{event:?}"),
            }
        }
        for ((gateway, session), up_to) in outbox.done {
            let Some(session) = self.sessions.get_mut(&session.0).filter(|_| gateway == id) else { continue };
            for (_, command) in session.unanswered.extract_if(.., |(seq, _)| *seq <= up_to) {
                let silent = matches!(command, Command::Acks { .. } | Command::Detach);
                assert!(silent || session.closing, "done without an answer: {command:?}");
            }
        }
        for (_, event) in outbox.pushes.into_iter().filter(|(gateway, _)| *gateway == id) {
            let Event::Deliver { session, opened, message, .. } = event else { panic!("{event:?}") };
            self.delivered(session.0, opened, &message, reference);
        }
        self.sessions.retain(|_, session| !session.closing || !session.unanswered.is_empty());
    }

    fn answered(&mut self, id: u64, seq: u64, answer: &Answer, reference: &mut Reference) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // The answer to what has been published again since comes under its new number.
        let Some(index) = session.unanswered.iter().position(|(number, _)| *number == seq) else { return };
        match (session.unanswered.remove(index).1, answer) {
            // Only an owner that has read openings of a dead gateway again, and not noticed yet, does this.
            (Command::Login { .. }, Answer::NotLoggedIn(LoginRefusal::AlreadyConnected)) => {
                assert!(reference.is_refused(self.id, id), "nobody else is at {:?}", session.node);
                self.sessions.remove(&id);
            }
            (Command::Register { .. }, Answer::Registered { node, alias_error: None })
            | (Command::Login { .. }, Answer::LoggedIn { node, .. }) => {
                assert_eq!(node.0, session.node.1);
                session.ready = true;
            }
            (Command::Post { digest, .. }, Answer::Posted { msg_id, posted }) => {
                reference.answered(session.node, digest, *msg_id, *posted);
            }
            (Command::NewAlias { .. } | Command::NewNode { .. }, Answer::Done) => {}
            (command, answer) => panic!("{answer:?} to {command:?}"),
        }
    }

    fn delivered(&mut self, id: u64, opened: u64, message: &Message, reference: &mut Reference) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.closing || opened != session.opened {
            return;
        }
        let acking = session.acking();
        if session.late.contains(&message.id) && acking.contains(&message.id) {
            return;
        }
        let got = |id: MsgId| {
            acking.contains(&id) || session.in_flight.iter().any(|flight| flight.id == id && !flight.again)
        };
        reference.delivered(session.node, message, got);
        session.in_flight.retain(|flight| flight.id != message.id);
        session.in_flight.push(Flight { id: message.id, again: false });
    }

    /// Everything published is answered, windows are kept, and nothing waits while there is room.
    pub fn check_flow(&self, reference: &Reference) {
        for session in self.sessions.values() {
            assert!(session.ready && session.unanswered.is_empty(), "no answer to {:?}", session.unanswered);
            let left = reference.left(session.node);
            let in_flight = session.in_flight.iter().filter(|flight| !flight.again).count();
            assert_eq!(in_flight, left.min(WINDOW), "in flight of {left} owed to {:?}", session.node);
        }
    }
}

impl Session {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Acked by the client, and the home has not said that it knows.
    fn acking(&self) -> Vec<MsgId> {
        let acks = self.unanswered.iter().filter_map(|(_, command)| match command {
            Command::Acks { ids } => Some(ids),
            _ => None,
        });
        acks.flatten().copied().collect()
    }
}

fn envelope(site: SiteId, session: u64, seq: u64, command: Command) -> Envelope {
    Envelope { site, session: SessionId(session), seq, trace: None, command }
}
