//! Who gets a message: PROTOCOL.md, "Who gets a message". A function of the request and of what is known of the site.

use crate::{Member, NodeNum, Refusal, Uid};

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

/// Walks the list in order, then the sender as an implicit item, and collects each node once.
///
/// The sending node is left out unless an explicit item names the sender. The first error decides; then nobody gets
/// anything. `member` looks a user of the same site up.
pub fn resolve<'m>(
    list: &[Recipient],
    sender: Sender,
    member: impl Fn(Uid) -> Option<&'m Member>,
) -> Result<Vec<Owed>, Refusal> {
    let mut users: Vec<Uid> = Vec::with_capacity(list.len() + 1);
    let mut sender_named = false;
    for item in list {
        if item.kind != RecipientKind::User {
            // Groups are founded by invitations, which no site has yet.
            return Err(Refusal::GroupNotFound(item.id.clone()));
        }
        let uid = parse_recipient(&item.id)?;
        if member(uid).is_none() {
            return Err(Refusal::UidNotFound(item.id.clone()));
        }
        sender_named |= uid == sender.uid;
        users.push(uid);
    }
    users.push(sender.uid);
    users.sort_unstable();
    users.dedup();

    let owed = users.into_iter().filter_map(|uid| {
        let skipped = (uid == sender.uid && !sender_named).then_some(sender.node);
        let nodes: Vec<NodeNum> =
            member(uid)?.nodes.iter().map(|node| node.num).filter(|num| Some(*num) != skipped).collect();
        (!nodes.is_empty()).then_some(Owed { uid, nodes })
    });
    Ok(owed.collect())
}

/// A uid of a list. Characters outside the uid character set have an error text of their own.
fn parse_recipient(text: &str) -> Result<Uid, Refusal> {
    let well_formed = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'%');
    if !well_formed {
        return Err(Refusal::UidInvalid(text.to_owned()));
    }
    Uid::parse(text).map_err(|_| Refusal::UidNotFound(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberStatus, Node, SecretHash};

    fn member(n: u8, nodes: i16) -> Member {
        let node = |num| Node { num: NodeNum(num), secret: SecretHash([n; 32]) };
        Member { uid: Uid([n; 20]), status: MemberStatus::Active, nodes: (1..=nodes).map(node).collect() }
    }

    fn user(uid: Uid) -> Recipient {
        Recipient { id: uid.to_string(), kind: RecipientKind::User }
    }

    /// Resolves for a site of Ann (two nodes) and Ben (one), sent from Ann's first node.
    fn run(list: &[Recipient]) -> Result<Vec<Owed>, Refusal> {
        let people = [member(1, 2), member(2, 1)];
        let sender = Sender { uid: people[0].uid, node: NodeNum(1) };
        resolve(list, sender, |uid| people.iter().find(|m| m.uid == uid))
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
