//! Who gets a message: PROTOCOL.md, "Who gets a message". A function of the request and of what is known of the site.

use std::collections::BTreeSet;

use crate::{Group, Member, NodeNum, Refusal, Uid};

/// What an item of `for` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RecipientKind {
    /// A user, by uid.
    User,
    /// A group's joined members, the sender too if it is one.
    Group,
    /// The same without the sender.
    GroupOthers,
}

/// An item of `for`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recipient {
    /// A uid or a group name, as the request has it.
    #[serde(rename = "i")]
    pub id: String,
    /// Which of the two.
    #[serde(rename = "k")]
    pub kind: RecipientKind,
}

/// Who sends: a user at one of its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The user.
    pub uid: Uid,
    /// The node that the request came from.
    pub node: NodeNum,
}

/// The nodes of one user that are owed a message; never empty.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Owed {
    /// The user.
    #[serde(rename = "u")]
    pub uid: Uid,
    /// Its nodes.
    #[serde(rename = "n")]
    pub nodes: Vec<NodeNum>,
}

/// Who is to get a message, item by item. A node gets one copy however often its user is named.
#[derive(Debug, Clone)]
pub struct Audience {
    sender: Sender,
    users: BTreeSet<Uid>,
    /// An explicit item has named the sender: then its sending node gets a copy, too.
    names_sender: bool,
}

impl Audience {
    /// Nobody yet.
    pub fn of(sender: Sender) -> Self {
        Self { sender, users: BTreeSet::new(), names_sender: false }
    }

    /// Of what the sender writes to one user: that user, and the sender's other nodes.
    pub fn to_user(sender: Sender, uid: Uid) -> Self {
        let mut audience = Self::of(sender);
        audience.add(uid);
        audience.add_own_nodes();
        audience
    }

    /// Of what the sender has done to a group: those who belong to it now, also somebody who does not any more, and the
    /// sender's other nodes.
    pub fn to_group(sender: Sender, group: &Group, also: Option<Uid>) -> Self {
        let mut audience = Self::of(sender);
        group.joined().chain(also).for_each(|uid| audience.add(uid));
        audience.add_own_nodes();
        audience
    }

    /// Walks a request's list in order; the first error decides. `member` and `group` look up what the same site has.
    pub fn add_list<'g>(
        &mut self,
        list: &[Recipient],
        member: impl Fn(Uid) -> bool,
        group: impl Fn(&str) -> Option<&'g Group>,
    ) -> Result<(), Refusal> {
        for item in list {
            if item.kind == RecipientKind::User {
                let uid = parse_uid(&item.id)?;
                if !member(uid) {
                    return Err(Refusal::UidNotFound(item.id.clone()));
                }
                self.add(uid);
                continue;
            }
            let group = group(&item.id).ok_or_else(|| Refusal::GroupNotFound(item.id.clone()))?;
            group.check_post(&item.id, self.sender.uid)?;
            let left_out = (item.kind == RecipientKind::GroupOthers).then_some(self.sender.uid);
            group.joined().filter(|uid| Some(*uid) != left_out).for_each(|uid| self.add(uid));
        }
        Ok(())
    }

    /// A user as an explicit item.
    pub fn add(&mut self, uid: Uid) {
        self.names_sender |= uid == self.sender.uid;
        self.users.insert(uid);
    }

    /// The sender as an implicit item: its other nodes get copies of what it sends.
    pub fn add_own_nodes(&mut self) {
        self.users.insert(self.sender.uid);
    }

    /// Everybody in it.
    pub fn users(&self) -> impl Iterator<Item = Uid> {
        self.users.iter().copied()
    }

    /// The nodes that are owed the message: all of everybody's, but for the sending node unless an explicit item has
    /// named the sender. Who is deactivated is owed nothing.
    pub fn owed<'m>(&self, member: impl Fn(Uid) -> Option<&'m Member>) -> Vec<Owed> {
        let owed = self.users.iter().filter_map(|&uid| {
            let skipped = (uid == self.sender.uid && !self.names_sender).then_some(self.sender.node);
            let member = member(uid).filter(|member| member.receives())?;
            let nodes: Vec<NodeNum> =
                member.nodes.iter().map(|node| node.num).filter(|num| Some(*num) != skipped).collect();
            (!nodes.is_empty()).then_some(Owed { uid, nodes })
        });
        owed.collect()
    }
}

/// A uid of a list. Characters outside the uid character set have an error text of their own.
pub fn parse_uid(text: &str) -> Result<Uid, Refusal> {
    let well_formed = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'%');
    if !well_formed {
        return Err(Refusal::UidInvalid(text.to_owned()));
    }
    Uid::parse(text).map_err(|_| Refusal::UidNotFound(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupStatus, MemberStatus, Membership, Node, SecretHash};

    fn member(n: u8, nodes: i16) -> Member {
        let node = |num| Node { num: NodeNum(num), secret: SecretHash([n; 32]) };
        Member {
            uid: Uid([n; 20]),
            status: MemberStatus::Active,
            nodes: (1..=nodes).map(node).collect(),
            revoked: Vec::new(),
            flags: crate::MemberFlags::default(),
            notice: None,
        }
    }

    fn user(uid: Uid) -> Recipient {
        Recipient { id: uid.to_string(), kind: RecipientKind::User }
    }

    /// Resolves for a site of Ann (two nodes) and Ben (one), sent from Ann's first node.
    fn run(list: &[Recipient]) -> Result<Vec<Owed>, Refusal> {
        let people = [member(1, 2), member(2, 1)];
        let sender = Sender { uid: people[0].uid, node: NodeNum(1) };
        let find = |uid| people.iter().find(|m| m.uid == uid);
        let group = Group::new([
            (Uid([1; 20]), Membership { status: GroupStatus::Joined, alias: "Ann Lee A".into() }),
            (Uid([2; 20]), Membership { status: GroupStatus::Joined, alias: "Ben Lee B".into() }),
        ]);
        let mut audience = Audience::of(sender);
        audience.add_list(list, |uid| find(uid).is_some(), |gid| (gid == "the group").then_some(&group))?;
        audience.add_own_nodes();
        Ok(audience.owed(find))
    }

    fn owed(n: u8, nodes: &[i16]) -> Owed {
        Owed { uid: Uid([n; 20]), nodes: nodes.iter().map(|&num| NodeNum(num)).collect() }
    }

    /// Goal: the sender's other nodes get a copy, its sending node only when named; method: the three cases.
    #[test]
    fn sender_copies() {
        let (ann, ben) = (Uid([1; 20]), Uid([2; 20]));
        assert_eq!(run(&[user(ben)]), Ok(vec![owed(1, &[2]), owed(2, &[1])]));
        assert_eq!(run(&[user(ben), user(ann)]), Ok(vec![owed(1, &[1, 2]), owed(2, &[1])]));
        assert_eq!(run(&[]), Ok(vec![owed(1, &[2])]));
    }

    /// Goal: a group brings its joined members, the sending node only where the group includes it; method: both kinds.
    #[test]
    fn groups() {
        let group = |kind| Recipient { id: "the group".into(), kind };
        assert_eq!(run(&[group(RecipientKind::Group)]), Ok(vec![owed(1, &[1, 2]), owed(2, &[1])]));
        assert_eq!(run(&[group(RecipientKind::GroupOthers)]), Ok(vec![owed(1, &[2]), owed(2, &[1])]));
    }

    /// Goal: nobody is owed twice; method: name one user three times.
    #[test]
    fn named_often_owed_once() {
        let ben = user(Uid([2; 20]));
        assert_eq!(run(&[ben.clone(), ben.clone(), ben]), Ok(vec![owed(1, &[2]), owed(2, &[1])]));
    }

    /// Goal: the first error decides, each with its text; method: unknown, malformed, over-long, and a group.
    #[test]
    fn errors() {
        let text = |list: &[Recipient]| run(list).unwrap_err().to_string();
        let raw = |id: &str| Recipient { id: id.to_owned(), kind: RecipientKind::User };
        let nobody = Uid([9; 20]).to_string();
        assert_eq!(text(&[raw(&nobody)]), format!("OpenNodes: iUid {nobody} not found"));
        assert_eq!(text(&[raw("a b"), raw(&nobody)]), "fetchUser: invalid string 'a b'");
        let long = "Z".repeat(4_000);
        assert_eq!(text(&[raw(&long)]), format!("OpenNodes: iUid {long} not found"));
        let group = Recipient { id: "g".into(), kind: RecipientKind::GroupOthers };
        assert_eq!(text(&[group]), "GroupGetUsers: iGid g not found");
    }
}
