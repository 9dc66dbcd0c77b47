//! Properties of an audience, against a site of a few members: who is owed, how often, and which error decides.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use tmtp_domain::{
    Audience, Member, MemberStatus, Node, NodeNum, Owed, Recipient, RecipientKind, Refusal, SecretHash,
    Sender, Uid,
};

/// A site, one of its nodes that sends, and members that the list names.
#[derive(Debug, Clone)]
struct Scene {
    members: BTreeMap<Uid, Member>,
    sender: Sender,
    named: Vec<Uid>,
}

impl Scene {
    fn resolve(&self, list: &[Recipient]) -> Result<Vec<Owed>, Refusal> {
        let mut audience = Audience::of(self.sender);
        audience.add_list(list, |uid| self.members.contains_key(&uid), |_| None)?;
        audience.add_own_nodes();
        Ok(audience.owed(|uid| self.members.get(&uid)))
    }

    fn list(&self) -> Vec<Recipient> {
        self.named.iter().map(user).collect()
    }

    /// The rule in other words: all nodes of those named and of the sender, but not the sending one unless named.
    fn expected(&self) -> BTreeSet<(Uid, NodeNum)> {
        let mut nodes = BTreeSet::new();
        for (uid, member) in &self.members {
            for node in &member.nodes {
                let named = self.named.contains(uid);
                let own_other = *uid == self.sender.uid && node.num != self.sender.node;
                if named || own_other {
                    nodes.insert((*uid, node.num));
                }
            }
        }
        nodes
    }
}

fn user(uid: &Uid) -> Recipient {
    Recipient { id: uid.to_string(), kind: RecipientKind::User }
}

fn member() -> impl Strategy<Value = Member> {
    (any::<[u8; 20]>(), any::<bool>(), btree_set(1..=100_i16, 1..5)).prop_map(|(uid, active, nodes)| Member {
        uid: Uid(uid),
        status: if active { MemberStatus::Active } else { MemberStatus::Suspended },
        nodes: nodes.into_iter().map(|num| Node { num: NodeNum(num), secret: SecretHash([0; 32]) }).collect(),
        revoked: Vec::new(),
        flags: tmtp_domain::MemberFlags::default(),
        notice: None,
    })
}

fn scene() -> impl Strategy<Value = Scene> {
    let picks = vec(any::<Index>(), 0..12);
    (vec(member(), 1..6), any::<Index>(), any::<Index>(), picks).prop_map(|(members, user, node, picks)| {
        let sender = user.get(&members);
        let sender = Sender { uid: sender.uid, node: node.get(&sender.nodes).num };
        let named = picks.iter().map(|pick| pick.get(&members).uid).collect();
        Scene { members: members.into_iter().map(|member| (member.uid, member)).collect(), sender, named }
    })
}

/// An item that nobody of the site is, with the error that it means.
fn bad_item() -> impl Strategy<Value = (Recipient, Refusal)> {
    let item = |id: String, kind| Recipient { id, kind };
    prop_oneof![
        "[A-Za-z0-9+%]{0,50}"
            .prop_map(move |id| (item(id.clone(), RecipientKind::User), Refusal::UidNotFound(id))),
        any::<[u8; 20]>().prop_map(move |uid| {
            let id = Uid(uid).to_string();
            (item(id.clone(), RecipientKind::User), Refusal::UidNotFound(id))
        }),
        ("[A-Za-z0-9+%]{0,40}", "[^A-Za-z0-9+%]", any::<String>()).prop_map(move |(start, odd, end)| {
            let id = [start, odd, end].concat();
            (item(id.clone(), RecipientKind::User), Refusal::UidInvalid(id))
        }),
        (any::<String>(), any::<bool>()).prop_map(move |(id, others)| {
            let kind = if others { RecipientKind::GroupOthers } else { RecipientKind::Group };
            (item(id.clone(), kind), Refusal::GroupNotFound(id))
        }),
    ]
}

proptest! {
    /// Goal: exactly those are owed whom the rule says, each node once; the sending node only when its user is named.
    /// Method: compare with the rule in other words.
    #[test]
    fn each_node_is_owed_once(scene in scene()) {
        let owed = scene.resolve(&scene.list()).unwrap();
        let pairs: Vec<(Uid, NodeNum)> =
            owed.iter().flat_map(|owed| owed.nodes.iter().map(|node| (owed.uid, *node))).collect();
        let set: BTreeSet<_> = pairs.iter().copied().collect();
        prop_assert_eq!(set.len(), pairs.len(), "a node twice");
        prop_assert_eq!(&set, &scene.expected());
        let sending = (scene.sender.uid, scene.sender.node);
        prop_assert_eq!(set.contains(&sending), scene.named.contains(&scene.sender.uid));
        let users: BTreeSet<Uid> = owed.iter().map(|owed| owed.uid).collect();
        prop_assert_eq!(users.len(), owed.len(), "a user twice");
        prop_assert!(owed.iter().all(|owed| !owed.nodes.is_empty()));
    }

    /// Goal: order and repetition of the names change nothing, so a resent request resolves alike. Method: repeat some
    /// names, shuffle all, and compare.
    #[test]
    fn order_and_repetition_do_not_matter(
        (scene, list) in scene().prop_flat_map(|scene| {
            let list = scene.list();
            let repeated = vec(any::<Index>(), 0..6).prop_map(move |again| {
                let again = again.iter().filter(|_| !list.is_empty()).map(|place| place.get(&list).clone());
                let again: Vec<Recipient> = again.collect();
                [list.clone(), again].concat()
            });
            (Just(scene), repeated.prop_shuffle())
        })
    ) {
        prop_assert_eq!(scene.resolve(&list), scene.resolve(&scene.list()));
    }

    /// Goal: the first error decides, and nobody gets anything. Method: put bad items into a good list.
    #[test]
    fn the_first_error_decides(
        scene in scene(),
        bad in vec((bad_item(), any::<Index>()), 1..4),
    ) {
        let mut list: Vec<(Recipient, Option<Refusal>)> =
            scene.list().into_iter().map(|item| (item, None)).collect();
        for ((item, refusal), place) in bad {
            list.insert(place.index(list.len() + 1), (item, Some(refusal)));
        }
        let first = list.iter().find_map(|(_, refusal)| refusal.clone()).unwrap();
        let items: Vec<Recipient> = list.into_iter().map(|(item, _)| item).collect();
        prop_assert_eq!(scene.resolve(&items), Err(first));
    }
}
