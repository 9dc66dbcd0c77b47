//! What has to come of committed commands, in the plainest words: a list of messages, and per node what it is owed. It
//! is told what was committed, in order, and when an owner stops; message ids it learns from what clients see.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tmtp_contract::{AdminChange, Body, Command, Content, Digest, Envelope, Message};
use tmtp_domain::{BodyId, Epoch, GatewayId, MsgId, Posted, SecretHash, Uid};

/// A node of the site.
pub type Node = (Uid, i16);

/// A message, named by its place in the list.
type Index = usize;
/// 0 overtakes, 1 waits its turn; then in the order of the list.
type Place = (u8, Index);

/// A session, among those of all gateways.
type Key = (GatewayId, u64);

/// A message that was posted.
struct Posting {
    from: Uid,
    command: Command,
    /// Its id and time, once a client has seen them.
    seen: Option<(MsgId, Posted)>,
}

/// A session as its owner has it.
struct Session {
    node: Node,
    opened: u64,
    expected: u64,
}

#[derive(Default)]
pub struct Reference {
    messages: Vec<Posting>,
    owed: BTreeMap<Node, BTreeSet<Place>>,
    passwords: HashMap<Node, SecretHash>,
    /// Requests that succeeded, and their messages.
    requests: HashMap<(Node, Digest), Index>,
    /// Sessions that have logged in, which is told once.
    logins: HashSet<Key>,
    /// The owner's sessions, those of dead gateways among them whose openings it has read again.
    sessions: HashMap<Key, Session>,
    /// Sessions that were not let in, because another one is at their node.
    refused: HashSet<Key>,
    /// The owner waits for the gateway's word, under this epoch, that its sessions are back; logins wait with it.
    waiting: Option<Epoch>,
    deferred: Vec<(GatewayId, Envelope)>,
}

impl Reference {
    /// All nodes there are.
    pub fn nodes(&self) -> Vec<Node> {
        self.owed.keys().copied().collect()
    }

    pub fn nodes_of(&self, uid: Uid) -> Vec<Node> {
        self.owed.keys().filter(|node| node.0 == uid).copied().collect()
    }

    pub fn password(&self, node: Node) -> SecretHash {
        self.passwords[&node]
    }

    /// The owner stops; the next one, under this epoch, waits for the gateway.
    pub fn owner_stops(&mut self, next: Epoch) {
        self.sessions.clear();
        self.deferred.clear();
        self.waiting = Some(next);
    }

    /// A gateway is dead, and whoever owns the shard knows it.
    pub fn gateway_is_gone(&mut self, gateway: GatewayId) {
        self.sessions.retain(|key, _| key.0 != gateway);
        self.deferred.retain(|(from, _)| *from != gateway);
    }

    /// The only gateway there was is dead: nobody is waited for.
    pub fn stop_waiting(&mut self) {
        self.waiting = None;
    }

    /// A session was not let in, and rightly so.
    pub fn is_refused(&self, gateway: GatewayId, session: u64) -> bool {
        self.refused.contains(&(gateway, session))
    }

    /// A login that waited is decided. False if there is none, or it has to wait longer.
    pub fn resumes(&mut self, gateway: GatewayId, login: &Envelope) -> bool {
        let waits = self.deferred.len();
        self.deferred.retain(|(from, other)| (*from, other) != (gateway, login));
        self.waiting.is_none() && self.deferred.len() < waits
    }

    /// Follows a command that was committed.
    pub fn follow(&mut self, gateway: GatewayId, envelope: &Envelope) {
        let key = (gateway, envelope.session.0);
        match &envelope.command {
            Command::Present { epoch } if self.waiting == Some(*epoch) => self.waiting = None,
            Command::Present { .. } => {}
            Command::Admin(request) => {
                if let AdminChange::DropQueue { uid, node } = request.change {
                    self.owed.get_mut(&(uid, node.0)).unwrap().clear();
                }
            }
            Command::Register { uid, secret, .. } => {
                let node = (*uid, 1);
                self.owed.entry(node).or_default();
                self.passwords.insert(node, *secret);
                self.open(key, node, envelope);
            }
            _ if envelope.command.opens()
                && self.sessions.get(&key).is_some_and(|open| envelope.seq < open.opened) => {}
            Command::Attach(attach) => self.open(key, (attach.uid, attach.node.0), envelope),
            Command::Login { uid, secret } => self.login(key, *uid, *secret, envelope),
            command => match self.sessions.get_mut(&key) {
                Some(open) if open.expected == envelope.seq => {
                    open.expected += 1;
                    let node = open.node;
                    self.request(key, node, command);
                }
                // A client hangs up before it is let in.
                None if *command == Command::Detach => {
                    self.deferred
                        .retain(|(from, login)| (*from, login.session.0) != key || login.seq > envelope.seq);
                }
                _ => {}
            },
        }
    }

    fn login(&mut self, key: Key, uid: Uid, secret: SecretHash, envelope: &Envelope) {
        let is_its = |(node, known): &(&Node, &SecretHash)| node.0 == uid && **known == secret;
        let node = *self.passwords.iter().find(is_its).unwrap().0;
        match self.sessions.iter().find(|(_, session)| session.node == node) {
            Some((other, _)) if *other != key => _ = self.refused.insert(key),
            None if self.waiting.is_some() => {
                self.deferred.retain(|(from, other)| (*from, other.session.0) != key);
                self.deferred.push((key.0, envelope.clone()));
            }
            _ => {
                self.open(key, node, envelope);
                if self.logins.insert(key) {
                    self.post(node, &envelope.command, self.nodes_of(uid));
                }
            }
        }
    }

    fn open(&mut self, key: Key, node: Node, envelope: &Envelope) {
        let taken = self.sessions.iter().any(|(other, session)| session.node == node && *other != key);
        assert!(!taken, "two sessions at {node:?}");
        let open = Session { node, opened: envelope.seq, expected: envelope.seq + 1 };
        self.sessions.insert(key, open);
    }

    /// What a session asks whose turn it is.
    fn request(&mut self, session: Key, node: Node, command: &Command) {
        let uid = node.0;
        match command {
            Command::Detach => _ = self.sessions.remove(&session),
            Command::Acks { ids } => {
                let messages = &self.messages;
                let is_acked =
                    |place: &Place| messages[place.1].seen.is_some_and(|(id, _)| ids.contains(&id));
                self.owed.get_mut(&node).unwrap().retain(|place| !is_acked(place));
            }
            Command::Post { digest, .. }
            | Command::NewAlias { digest, .. }
            | Command::NewNode { digest, .. }
                if self.requests.contains_key(&(node, *digest)) => {}
            Command::Post { digest, recipients, .. } => {
                let named: Vec<Uid> = recipients.iter().map(|item| Uid::parse(&item.id).unwrap()).collect();
                let gets = |other: &Node| named.contains(&other.0) || other.0 == uid && *other != node;
                let to = self.nodes().into_iter().filter(gets).collect();
                self.succeed(node, *digest, command, to);
            }
            Command::NewAlias { digest, .. } => {
                self.succeed(node, *digest, command, self.nodes_of(uid));
            }
            Command::NewNode { digest, secret, .. } => {
                let new = (uid, self.nodes_of(uid).iter().map(|node| node.1).max().unwrap() + 1);
                self.owed.insert(new, self.owed[&node].clone());
                self.passwords.insert(new, *secret);
                self.succeed(node, *digest, command, self.nodes_of(uid));
            }
            other => panic!("{other:?} is no request"),
        }
    }

    fn succeed(&mut self, node: Node, digest: Digest, command: &Command, to: Vec<Node>) {
        let index = self.post(node, command, to);
        self.requests.insert((node, digest), index);
    }

    fn post(&mut self, from: Node, command: &Command, to: Vec<Node>) -> Index {
        let index = self.messages.len();
        self.messages.push(Posting { from: from.0, command: command.clone(), seen: None });
        let urgent = matches!(command, Command::NewAlias { .. } | Command::NewNode { .. });
        for node in to {
            self.owed.get_mut(&node).unwrap().insert((u8::from(!urgent), index));
        }
        index
    }

    /// A post was answered: it must have been committed, and always gets the same answer.
    pub fn answered(&mut self, node: Node, digest: Digest, id: MsgId, posted: Posted) {
        let index = *self.requests.get(&(node, digest)).expect("what is answered is committed");
        self.see(index, id, posted);
    }

    /// A node is sent a message: it must be the first of those that it is owed and has not `got`.
    pub fn delivered(&mut self, node: Node, message: &Message, got: impl Fn(MsgId) -> bool) {
        let waits = |place: &&Place| self.messages[place.1].seen.is_none_or(|(id, _)| !got(id));
        let Some(&(_, index)) = self.owed[&node].iter().find(waits) else {
            panic!("nothing waits for {node:?}, but it is sent {message:?}")
        };
        self.check_content(index, message);
        self.see(index, message.id, message.posted);
    }

    fn see(&mut self, index: Index, id: MsgId, posted: Posted) {
        match self.messages[index].seen {
            Some(seen) => assert_eq!((id, posted), seen, "a message keeps its id and time"),
            None => self.messages[index].seen = Some((id, posted)),
        }
    }

    fn check_content(&self, index: Index, message: &Message) {
        let Posting { from, command, .. } = &self.messages[index];
        let same = match (command, &message.content) {
            (Command::Post { body, data, .. }, Content::Delivery { notify: 0 }) => {
                message.body == *body && message.data == *data
            }
            (Command::NewAlias { alias: said, .. }, Content::NewAlias { alias }) => alias == said,
            (Command::NewNode { node_id: said, .. }, Content::NewNode { node_id, .. }) => node_id == said,
            (Command::Login { .. }, Content::Login) => true,
            _ => false,
        };
        assert!(same && message.from == *from, "{message:?} stands where {command:?} of {from:?} belongs");
    }

    /// How much a node is owed.
    pub fn left(&self, node: Node) -> usize {
        self.owed[&node].len()
    }

    /// Nobody is owed anything.
    pub fn is_done(&self) -> bool {
        self.owed.values().all(BTreeSet::is_empty)
    }

    /// Some node is owed a message with this body.
    pub fn needs(&self, body: BodyId) -> bool {
        self.owed.values().flatten().any(|place| {
            matches!(&self.messages[place.1].command,
                Command::Post { body: Body::Stored(stored), .. } if stored.id == body)
        })
    }

    /// Bodies of the messages that were posted.
    pub fn bodies(&self) -> HashSet<BodyId> {
        let stored = |posting: &Posting| match &posting.command {
            Command::Post { body: Body::Stored(stored), .. } => Some(stored.id),
            _ => None,
        };
        self.messages.iter().filter_map(stored).collect()
    }

    /// Compares with what nodes are owed according to the owner: urgency and id of each message.
    pub fn check_owed(&self, found: &BTreeMap<Node, Vec<(i16, MsgId)>>) {
        for (node, owed) in &self.owed {
            let found = found.get(node).map_or(&[][..], Vec::as_slice);
            assert_eq!(found.len(), owed.len(), "owed to {node:?}: {found:?}");
            for (&(urgency, id), place) in found.iter().zip(owed) {
                assert_eq!(urgency, i16::from(place.0), "the order in which {node:?} is owed");
                if let Some((seen, _)) = self.messages[place.1].seen {
                    assert_eq!(id, seen, "the order in which {node:?} is owed");
                }
            }
        }
        assert!(
            found.keys().all(|node| self.owed.contains_key(node)),
            "a node that is not there is owed something"
        );
    }

    /// Ids rise in the order of the posts, across all owners.
    pub fn check_ids(&self) {
        let ids: Vec<MsgId> = self.messages.iter().filter_map(|posting| Some(posting.seen?.0)).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "ids do not rise: {ids:?}");
    }
}
