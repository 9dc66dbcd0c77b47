//! What has to come of committed commands: per node, the messages it is owed in the order of delivery. Knows nothing
//! of sessions, journals or rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tmtp_contract::{Command, Content, Digest, Effect};
use tmtp_domain::{MsgId, NodeNum, Uid};

/// A node of the site.
pub type Node = (Uid, i16);
/// 0 overtakes, 1 waits its turn; then by id.
pub type Place = (u8, MsgId);

#[derive(Debug, Clone, Default)]
pub struct Reference {
    /// What each node is owed. A user's nodes are those that are here.
    pub owed: BTreeMap<Node, BTreeSet<Place>>,
    /// Requests and logins that have succeeded.
    requests: HashSet<(Node, Digest)>,
    logins: HashSet<u64>,
    /// What each message is.
    pub contents: HashMap<MsgId, Command>,
}

impl Reference {
    pub fn nodes_of(&self, uid: Uid) -> Vec<Node> {
        self.owed.keys().filter(|node| node.0 == uid).copied().collect()
    }

    /// Follows a command of a session at a node; `queued` are the effects that the home committed, of which this takes
    /// its own.
    pub fn follow(&mut self, session: u64, node: Node, command: &Command, queued: &mut impl Iterator<Item = Effect>) {
        let (uid, num) = node;
        let to: BTreeSet<Node> = match command {
            Command::Register { .. } => {
                self.owed.entry(node).or_default();
                return;
            }
            Command::Acks { ids } => {
                let owed = self.owed.get_mut(&node).unwrap();
                owed.retain(|(_, id)| !ids.contains(id));
                return;
            }
            Command::Attach(_) | Command::Detach | Command::Present { .. } => return,
            Command::Login { .. } if !self.logins.insert(session) => return,
            Command::Login { .. } => self.nodes_of(uid).into_iter().collect(),
            Command::Post { digest, .. } | Command::NewAlias { digest, .. } | Command::NewNode { digest, .. }
                if !self.requests.insert((node, *digest)) =>
            {
                return;
            }
            Command::Post { recipients, .. } => {
                let named: HashSet<Uid> = recipients.iter().map(|item| Uid::parse(&item.id).unwrap()).collect();
                let is_owed = |other: &Node| named.contains(&other.0) || other.0 == uid && *other != node;
                self.owed.keys().copied().filter(is_owed).collect()
            }
            Command::NewAlias { .. } => self.nodes_of(uid).into_iter().collect(),
            Command::NewNode { .. } => {
                let new = (uid, self.nodes_of(uid).iter().map(|node| node.1).max().unwrap() + 1);
                let backlog = self.owed[&(uid, num)].clone();
                assert!(self.owed.insert(new, backlog).is_none());
                self.nodes_of(uid).into_iter().collect()
            }
        };
        if !to.is_empty() {
            self.queue(uid, command, to, queued.next());
        }
    }

    /// Checks that the home queued the message for exactly these nodes, and takes its id from there.
    fn queue(&mut self, from: Uid, command: &Command, to: BTreeSet<Node>, effect: Option<Effect>) {
        let Some(Effect::Queued { message, owed, .. }) = effect else { panic!("{command:?} queued nothing") };
        let found: BTreeSet<Node> =
            owed.iter().flat_map(|user| user.nodes.iter().map(|&NodeNum(num)| (user.uid, num))).collect();
        assert_eq!(found, to, "who gets {command:?}");
        assert_eq!(message.from, from);
        let urgent = matches!(command, Command::NewAlias { .. } | Command::NewNode { .. });
        for node in to {
            assert!(self.owed.get_mut(&node).unwrap().insert((u8::from(!urgent), message.id)));
        }
        assert!(self.contents.insert(message.id, command.clone()).is_none(), "an id is given once");
    }

    /// Is this what the command said?
    pub fn check_content(&self, message: &tmtp_contract::Message) {
        let same = match (&self.contents[&message.id], &message.content) {
            (Command::Post { body, data, .. }, Content::Delivery { notify: 0 }) => {
                message.body == *body && message.data == *data
            }
            (Command::NewAlias { alias: said, .. }, Content::NewAlias { alias }) => alias == said,
            (Command::NewNode { node_id: said, .. }, Content::NewNode { node_id, .. }) => node_id == said,
            (Command::Login { .. }, Content::Login) => true,
            _ => false,
        };
        assert!(same, "{message:?} is not {:?}", self.contents[&message.id]);
    }
}
