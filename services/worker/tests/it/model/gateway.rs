//! Clients and their gateway, as far as a home can tell: sessions that number their commands, keep those that are not
//! answered, and attach again behind a take-over. Checks every delivery against what its client has seen before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tmtp_contract::{Answer, Attach, Command, Digest, Envelope, Event, Message};
use tmtp_domain::{GatewayId, MsgId, NodeNum, Posted, SessionId, SiteId};
use tmtp_worker::home::Outbox;
use uuid::Uuid;

use super::reference::{Node, Reference};

pub const GATEWAY: GatewayId = GatewayId(Uuid::from_u128(11));
/// Messages that may be in flight to a node.
pub const WINDOW: usize = 3;

pub struct Session {
    pub node: Node,
    opened: u64,
    next: u64,
    /// Published and not answered, with their numbers.
    unanswered: Vec<(u64, Command)>,
    /// The opening is answered, so commands may follow.
    pub ready: bool,
    /// The client has hung up.
    pub closing: bool,
    pub in_flight: Vec<MsgId>,
}

pub struct Gateway {
    site: SiteId,
    pub sessions: BTreeMap<u64, Session>,
    sessions_made: u64,
    /// What each client has acked: never to be seen again.
    pub acked: HashMap<Node, BTreeSet<MsgId>>,
    /// Answers that posts got: a repetition gets the same.
    posted: HashMap<(Node, Digest), (MsgId, Posted)>,
    /// What is to be published.
    pub outgoing: Vec<Envelope>,
}

impl Gateway {
    pub fn new(site: SiteId) -> Self {
        Self {
            site,
            sessions: BTreeMap::new(),
            sessions_made: 0,
            acked: HashMap::new(),
            posted: HashMap::new(),
            outgoing: Vec::new(),
        }
    }

    pub fn session_at(&mut self, node: Node) -> Option<(u64, &mut Session)> {
        self.sessions.iter_mut().find(|(_, session)| session.node == node).map(|(id, session)| (*id, session))
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
        };
        self.sessions.insert(self.sessions_made, session);
        self.publish(self.sessions_made, command);
    }

    pub fn publish(&mut self, id: u64, command: Command) {
        let session = self.sessions.get_mut(&id).unwrap();
        let seq = session.next;
        session.next += 1;
        session.unanswered.push((seq, command.clone()));
        self.outgoing.push(Envelope { site: self.site, session: SessionId(id), seq, trace: None, command });
    }

    /// Opens all sessions anew at a new owner. Clients that did not ack in time get everything again.
    pub fn attach_all(&mut self, forgetful: u8) {
        self.outgoing.clear();
        for (id, session) in &mut self.sessions {
            if forgetful >> (id % 8) & 1 == 1 {
                session.in_flight.clear();
            }
            let unanswered = std::mem::take(&mut session.unanswered);
            session.opened = session.next;
            if session.ready {
                let attach = Attach {
                    uid: session.node.0,
                    node: NodeNum(session.node.1),
                    in_flight: session.in_flight.clone(),
                    pending: unanswered.len() as u64,
                };
                let command = Command::Attach(attach);
                session.next += 1;
                self.outgoing.push(Envelope {
                    site: self.site,
                    session: SessionId(*id),
                    seq: session.opened,
                    trace: None,
                    command,
                });
            }
            for (_, command) in unanswered {
                let seq = session.next;
                session.next += 1;
                session.unanswered.push((seq, command.clone()));
                self.outgoing.push(Envelope { site: self.site, session: SessionId(*id), seq, trace: None, command });
            }
        }
    }

    /// Takes what the home tells, and checks it.
    pub fn hear(&mut self, outbox: Outbox, reference: &Reference) {
        for (_, event) in outbox.answers {
            let Event::Answer { session, seq, answer, .. } = event else { panic!("{event:?}") };
            self.answered(session.0, seq, answer);
        }
        for ((_, session), seq) in outbox.done {
            let Some(session) = self.sessions.get_mut(&session.0) else { continue };
            session.unanswered.retain(|(number, _)| *number > seq);
        }
        for (_, event) in outbox.pushes {
            let Event::Deliver { session, opened, message, .. } = event else { panic!("{event:?}") };
            self.delivered(session.0, opened, &message, reference);
        }
        self.sessions.retain(|_, session| !(session.closing && session.unanswered.is_empty()));
        self.check_flow(reference);
    }

    fn answered(&mut self, id: u64, seq: u64, answer: Answer) {
        let session = self.sessions.get_mut(&id).unwrap();
        if answer == Answer::Attached {
            assert_eq!(seq, session.opened);
            return;
        }
        let command = session.unanswered.iter().find(|(number, _)| *number == seq).map(|(_, command)| command);
        match (command.unwrap(), answer) {
            (Command::Register { .. }, Answer::Registered { node, alias_error: None })
            | (Command::Login { .. }, Answer::LoggedIn { node, .. }) => {
                assert_eq!(node.0, session.node.1);
                session.ready = true;
            }
            (Command::Post { digest, .. }, Answer::Posted { msg_id, posted }) => {
                let first = *self.posted.entry((session.node, *digest)).or_insert((msg_id, posted));
                assert_eq!(first, (msg_id, posted), "a repetition gets the first answer");
            }
            (Command::NewAlias { .. } | Command::NewNode { .. }, Answer::Done) => {}
            (command, answer) => panic!("{answer:?} to {command:?}"),
        }
    }

    /// Of what waits for the node, the first comes next, once, and never after it was acked.
    fn delivered(&mut self, id: u64, opened: u64, message: &Message, reference: &Reference) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.closing {
            return;
        }
        assert_eq!(opened, session.opened);
        let acked = self.acked.entry(session.node).or_default();
        assert!(!acked.contains(&message.id), "{} was acked", message.id);
        assert!(!session.in_flight.contains(&message.id), "{} is in flight", message.id);
        let seen = |id: &MsgId| acked.contains(id) || session.in_flight.contains(id);
        let first = reference.owed[&session.node].iter().find(|(_, id)| !seen(id));
        assert_eq!(first.map(|(_, id)| *id), Some(message.id), "the first of what waits comes next");
        reference.check_content(message);
        session.in_flight.push(message.id);
    }

    /// Everything published is answered, windows are kept, and nothing waits while there is room.
    fn check_flow(&self, reference: &Reference) {
        for session in self.sessions.values() {
            assert!(session.unanswered.is_empty() && session.ready);
            let nothing = BTreeSet::new();
            let acked = self.acked.get(&session.node).unwrap_or(&nothing);
            let owed = reference.owed[&session.node].iter().map(|(_, id)| id);
            let left = owed.filter(|id| !acked.contains(id)).count();
            assert!(session.in_flight.len() <= WINDOW);
            assert_eq!(session.in_flight.len(), left.min(WINDOW), "in flight of {left} owed");
        }
    }
}
