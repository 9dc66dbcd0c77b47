//! The rules of names, groups and presence against a reference that knows nothing of how they are built: plain tables and
//! the sentences of PROTOCOL.md. Random requests of a few users who step on each other's feet.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use tmtp_domain::group::{self, GroupEdit};
use tmtp_domain::{
    Audience, Group, GroupStatus, Invitation, Member, MemberStatus, NameHolder, Node, NodeNum, OhiAct,
    Presence, Recipient, RecipientKind, Refusal, SecretHash, Sender, Uid, claim, ping,
};

const USERS: u8 = 6;
/// Names that everybody is after: aliases, group names, and two that nobody can have.
const NAMES: [&str; 8] =
    ["name one", "name two", "name three", "name four", "name five", "name six", "short", "odd\u{200B}name"];

fn uid(user: u8) -> Uid {
    Uid([user; 20])
}

/// Users have one node, two, or three; what they send comes from the first.
fn nodes(user: u8) -> std::ops::RangeInclusive<i16> {
    1..=i16::from(user % 3 + 1)
}

/// Users and their nodes that get a message.
type Audiences = Vec<BTreeSet<(u8, i16)>>;

#[derive(Debug, Clone)]
enum Request {
    Claim(usize),
    Ping(usize, usize),
    Invite(usize, usize, usize),
    Join(usize, Option<usize>),
    Alias(usize, usize),
    Drop(usize, usize),
    /// Types, and users (one more than there are) or names.
    Post(Vec<(RecipientKind, u8)>),
}

fn request() -> impl Strategy<Value = Request> {
    let name = || 0..NAMES.len();
    let kind =
        prop::sample::select(vec![RecipientKind::User, RecipientKind::Group, RecipientKind::GroupOthers]);
    prop_oneof![
        4 => name().prop_map(Request::Claim),
        1 => (name(), name()).prop_map(|(from, to)| Request::Ping(from, to)),
        6 => (name(), name(), name()).prop_map(|(gid, from, to)| Request::Invite(gid, from, to)),
        4 => (name(), prop::option::of(name())).prop_map(|(gid, alias)| Request::Join(gid, alias)),
        2 => (name(), name()).prop_map(|(gid, alias)| Request::Alias(gid, alias)),
        3 => (name(), name()).prop_map(|(gid, to)| Request::Drop(gid, to)),
        5 => vec((kind, 0..USERS + 2), 0..4).prop_map(Request::Post),
    ]
}

/// The reference: two tables, and what each request makes of them or is refused with.
#[derive(Debug, Default, Clone, PartialEq)]
struct Reference {
    aliases: BTreeMap<String, u8>,
    groups: BTreeMap<String, BTreeMap<u8, (GroupStatus, String)>>,
}

impl Reference {
    /// What comes of a request: who gets each of the messages that it causes. (Those of a new alias are not counted.)
    fn run(&mut self, user: u8, request: &Request) -> Result<Audiences, String> {
        self.decide(user, request)?;
        let name = |index: &usize| NAMES[*index].to_owned();
        let owner = |index: &usize| self.aliases.get(&name(index)).copied();
        let joined = |gid: &String| {
            let places = self.groups.get(gid).into_iter().flatten();
            places.filter(|(_, place)| place.0 == GroupStatus::Joined).map(|(user, _)| *user).collect()
        };
        Ok(match request {
            Request::Claim(_) => Vec::new(),
            Request::Ping(_, to) => vec![Self::told(user, owner(to).into_iter().collect())],
            Request::Invite(gid, _, to) => {
                vec![Self::told(user, owner(to).into_iter().collect()), Self::told(user, joined(&name(gid)))]
            }
            Request::Join(gid, _) | Request::Alias(gid, _) => vec![Self::told(user, joined(&name(gid)))],
            Request::Drop(gid, to) => {
                let members: BTreeSet<u8> = joined(&name(gid));
                vec![Self::told(user, members.into_iter().chain(owner(to)).collect())]
            }
            Request::Post(list) => vec![self.post(user, list)?],
        })
    }

    /// The nodes of those who are named, and the sender's; the sending one only if the sender is named.
    fn told(sender: u8, named: BTreeSet<u8>) -> BTreeSet<(u8, i16)> {
        let is_named = named.contains(&sender);
        let all =
            named.into_iter().chain([sender]).flat_map(|user| nodes(user).map(move |node| (user, node)));
        all.filter(|node| is_named || *node != (sender, 1)).collect()
    }

    fn post(&self, user: u8, list: &[(RecipientKind, u8)]) -> Result<BTreeSet<(u8, i16)>, String> {
        let mut named = BTreeSet::new();
        for (kind, item) in list {
            if *kind == RecipientKind::User {
                if !(1..=USERS).contains(item) {
                    return Err(format!("OpenNodes: iUid {} not found", uid(*item)));
                }
                named.insert(*item);
                continue;
            }
            let gid = NAMES[usize::from(*item) % NAMES.len()];
            let group = self.groups.get(gid).ok_or(format!("GroupGetUsers: iGid {gid} not found"))?;
            if matches!(group.get(&user), None | Some((GroupStatus::Barred, _))) {
                return Err(format!("GroupGetUsers: iByUid {} not a member", uid(user)));
            }
            let joined =
                group.iter().filter(|(_, place)| place.0 == GroupStatus::Joined).map(|(user, _)| *user);
            named.extend(joined.filter(|other| *kind == RecipientKind::Group || *other != user));
        }
        Ok(Self::told(user, named))
    }

    fn decide(&mut self, user: u8, request: &Request) -> Result<(), String> {
        let name = |index: &usize| NAMES[*index].to_owned();
        let me = uid(user);
        match request {
            Request::Claim(alias) => {
                let alias = name(alias);
                match self.aliases.get(&alias) {
                    _ if alias.len() < 8 => Err("newalias must be 8+ characters".into()),
                    _ if alias.contains('\u{200B}') => Err(format!("AddAlias: invalid string '{alias}'")),
                    Some(owner) if *owner != user => Err(format!("AddAlias: alias {alias} already taken")),
                    _ if self.groups.contains_key(&alias) => {
                        Err(format!("AddAlias: alias {alias} not available"))
                    }
                    _ => {
                        self.aliases.insert(alias, user);
                        Ok(())
                    }
                }
            }
            Request::Ping(from, to) => {
                if self.aliases.get(&name(from)) != Some(&user) {
                    return Err("from must identify sender".into());
                }
                let found = self.aliases.contains_key(&name(to));
                if found { Ok(()) } else { Err(format!("Lookup: iAlias {} not found", name(to))) }
            }
            Request::Invite(gid, from, to) => self.invite(user, &name(gid), &name(from), &name(to)),
            Request::Join(gid, alias) => {
                let (gid, alias) = (name(gid), alias.as_ref().map(name));
                let Some(group) = self.groups.get_mut(&gid) else {
                    return Err(format!("GroupJoin: iGid {gid} not found"));
                };
                let Some(place) = group.get_mut(&user).filter(|place| place.0 != GroupStatus::Barred) else {
                    return Err(format!("GroupJoin: iUid {me} not invited"));
                };
                let alias = alias.filter(|alias| !(place.0 == GroupStatus::Joined && *alias == place.1));
                if let Some(alias) = alias {
                    if self.aliases.get(&alias) != Some(&user) {
                        return Err(format!("GroupJoin: iNewAlias {alias} not for iUid {me}"));
                    }
                    place.1 = alias;
                }
                place.0 = GroupStatus::Joined;
                Ok(())
            }
            Request::Alias(gid, alias) => {
                let (gid, alias) = (name(gid), name(alias));
                let Some(group) = self.groups.get_mut(&gid) else {
                    return Err(format!("GroupAlias: iGid {gid} not found"));
                };
                let Some(place) = group.get_mut(&user).filter(|place| place.0 == GroupStatus::Joined) else {
                    return Err(format!("GroupAlias: iUid {me} not a member"));
                };
                if alias != place.1 && self.aliases.get(&alias) != Some(&user) {
                    return Err(format!("GroupAlias: iNewAlias {alias} not for iUid {me}"));
                }
                place.1 = alias;
                Ok(())
            }
            Request::Drop(gid, to) => self.drop_from(user, &name(gid), &name(to)),
            Request::Post(_) => Ok(()),
        }
    }

    fn invite(&mut self, user: u8, gid: &str, from: &str, to: &str) -> Result<(), String> {
        if gid.len() < 8 {
            return Err("gid must be 8+ characters".into());
        }
        if self.aliases.get(from) != Some(&user) {
            return Err(format!("GroupInvite: iByAlias {from} not for iByUid {}", uid(user)));
        }
        let Some(&invitee) = self.aliases.get(to) else {
            return Err(format!("GroupInvite: iAlias {to} not found"));
        };
        let invited = (GroupStatus::Invited, to.to_owned());
        if let Some(group) = self.groups.get_mut(gid) {
            if group.get(&user).map(|place| place.0) != Some(GroupStatus::Joined) {
                return Err(format!("GroupInvite: iByUid {} not a member", uid(user)));
            }
            match group.get(&invitee).map(|place| place.0) {
                Some(GroupStatus::Joined) => {
                    return Err(format!("GroupInvite: iAlias {to} already joined"));
                }
                Some(GroupStatus::Invited) => {}
                _ => {
                    group.insert(invitee, invited);
                }
            }
            return Ok(());
        }
        if self.aliases.contains_key(gid) {
            return Err(format!("GroupInvite: gid {gid} not available"));
        }
        if gid.contains('\u{200B}') {
            return Err(format!("GroupInvite: invalid string '{gid}'"));
        }
        let mut group = BTreeMap::from([(user, (GroupStatus::Joined, from.to_owned()))]);
        group.insert(invitee, invited);
        self.groups.insert(gid.to_owned(), group);
        Ok(())
    }

    fn drop_from(&mut self, user: u8, gid: &str, to: &str) -> Result<(), String> {
        let owner = self.aliases.get(to).copied();
        let Some(group) = self.groups.get_mut(gid) else {
            return Err(format!("GroupQuit: iGid {gid} not found"));
        };
        let Some(target) = owner.filter(|owner| group.get(owner).is_some_and(|place| place.1 == to)) else {
            return Err(format!("GroupQuit: iAlias {to} not a member"));
        };
        let mine = group.get(&user).map(|place| place.0);
        let allowed = if target == user {
            mine != Some(GroupStatus::Barred)
        } else {
            mine == Some(GroupStatus::Joined)
        };
        if !allowed {
            return Err(format!("GroupQuit: iByUid {} not a member", uid(user)));
        }
        let status = if target == user { GroupStatus::Invited } else { GroupStatus::Barred };
        group.entry(target).and_modify(|place| place.0 = status);
        Ok(())
    }
}

/// A member with its nodes, if there is one of this uid.
fn member(uid: Uid) -> Option<Member> {
    let user = uid.0[0];
    let node = |num| Node { num: NodeNum(num), secret: SecretHash([user; 32]) };
    (1..=USERS).contains(&user).then(|| Member {
        uid,
        status: MemberStatus::Active,
        revoked: Vec::new(),
        flags: tmtp_domain::MemberFlags::default(),
        notice: None,
        nodes: nodes(user).map(node).collect(),
    })
}

/// Who gets a message, in the reference's words.
fn told(audience: &Audience) -> BTreeSet<(u8, i16)> {
    let members: BTreeMap<Uid, Member> =
        (1..=USERS).filter_map(|user| Some((uid(user), member(uid(user))?))).collect();
    let owed = audience.owed(|uid| members.get(&uid));
    owed.into_iter().flat_map(|owed| owed.nodes.into_iter().map(move |num| (owed.uid.0[0], num.0))).collect()
}

/// The rules, with the tables that a home keeps.
#[derive(Debug, Default)]
struct Rules {
    names: BTreeMap<String, NameHolder>,
    groups: BTreeMap<String, Group>,
}

impl Rules {
    fn run(&mut self, user: u8, request: &Request) -> Result<Audiences, Refusal> {
        let me = uid(user);
        let sender = Sender { uid: me, node: NodeNum(1) };
        let holder = |name: &str| self.names.get(name).copied();
        let edit = |gid: &usize, edit: GroupEdit| (NAMES[*gid], edit);
        let (gid, edit) = match request {
            Request::Claim(alias) => {
                let alias = tmtp_domain::Alias::parse(NAMES[*alias])?;
                if claim(me, alias.as_str(), holder(alias.as_str()))? {
                    self.names.insert(alias.as_str().to_owned(), NameHolder::Member(me));
                }
                return Ok(Vec::new());
            }
            Request::Ping(from, to) => {
                let uid = ping(me, NAMES[*from], NAMES[*to], holder)?;
                return Ok(vec![told(&Audience::to_user(sender, uid))]);
            }
            Request::Post(list) => {
                let item = |(kind, item): &(RecipientKind, u8)| Recipient {
                    id: match kind {
                        RecipientKind::User => uid(*item).to_string(),
                        _ => NAMES[usize::from(*item) % NAMES.len()].to_owned(),
                    },
                    kind: *kind,
                };
                let list: Vec<Recipient> = list.iter().map(item).collect();
                let mut audience = Audience::of(sender);
                audience.add_list(&list, |uid| member(uid).is_some(), |gid| self.groups.get(gid))?;
                audience.add_own_nodes();
                return Ok(vec![told(&audience)]);
            }
            Request::Invite(gid, from, to) => {
                let request = Invitation { gid: NAMES[*gid], from: NAMES[*from], to: NAMES[*to] };
                let invited = group::invite(self.groups.get(request.gid), me, request, holder)?;
                if invited.founds {
                    self.names.insert(request.gid.to_owned(), NameHolder::Group);
                }
                let group = self.groups.entry(request.gid.to_owned()).or_default();
                invited.changes.into_iter().for_each(|(uid, place)| group.set(uid, place));
                let invite = Audience::to_user(sender, invited.invitee);
                return Ok(vec![told(&invite), told(&Audience::to_group(sender, group, None))]);
            }
            Request::Join(gid, alias) => {
                edit(gid, GroupEdit::Join { new_alias: alias.map(|alias| NAMES[alias].to_owned()) })
            }
            Request::Alias(gid, alias) => edit(gid, GroupEdit::Alias { new_alias: NAMES[*alias].to_owned() }),
            Request::Drop(gid, to) => edit(gid, GroupEdit::Drop { to: NAMES[*to].to_owned() }),
        };
        let edited = group::edit(self.groups.get(gid), gid, me, &edit, holder)?;
        let group = self.groups.entry(gid.to_owned()).or_default();
        if let Some((uid, place)) = edited.change {
            group.set(uid, place);
        }
        Ok(vec![told(&Audience::to_group(sender, group, edited.also))])
    }

    /// In the reference's words.
    fn tables(&self) -> Reference {
        let user = |uid: Uid| uid.0[0];
        let place = |group: &Group| {
            let users = (1..=USERS).filter_map(|user| Some((user, group.get(uid(user))?)));
            users.map(|(user, place)| (user, (place.status, place.alias.clone()))).collect()
        };
        let alias = |(name, holder): (&String, &NameHolder)| match holder {
            NameHolder::Member(uid) => Some((name.clone(), user(*uid))),
            NameHolder::Group | NameHolder::Reserved => None,
        };
        Reference {
            aliases: self.names.iter().filter_map(alias).collect(),
            groups: self.groups.iter().map(|(gid, group)| (gid.clone(), place(group))).collect(),
        }
    }
}

/// What the reference of presence knows: who shows presence to whom, and which sessions have said so.
#[derive(Debug, Default)]
struct Shown {
    sets: BTreeMap<u8, BTreeSet<u8>>,
    holders: BTreeMap<u8, BTreeSet<u8>>,
}

proptest! {
    /// Goal: names and groups are what the protocol says, everybody gets what is due, and refusals have its words in its
    /// order. Method: random requests; after each the answers, the audiences and all tables are compared.
    #[test]
    fn groups_follow_the_reference(requests in vec((1..=USERS, request()), 1..120)) {
        let (mut rules, mut reference) = (Rules::default(), Reference::default());
        // Otherwise most requests fail for want of an alias.
        for (user, alias) in [(1, 0), (2, 1), (3, 2)] {
            let _ = rules.run(user, &Request::Claim(alias));
            let _ = reference.run(user, &Request::Claim(alias));
        }
        for (user, request) in requests {
            let expected = reference.run(user, &request);
            let found = rules.run(user, &request).map_err(|refusal| refusal.to_string());
            prop_assert_eq!(found, expected, "{} {:?}", user, request);
            prop_assert_eq!(rules.tables(), reference.clone(), "{} {:?}", user, request);
        }
    }

    /// Goal: every change of presence is told once, and nothing else, and the set goes with its last holder. Method: random
    /// edits and ends of sessions (two for each user); the notices are replayed onto what everybody believes.
    #[test]
    fn presence_follows_the_reference(steps in vec((1..=USERS, 0_u8..2, 0_u8..4, vec(1..=USERS, 1..4)), 1..80)) {
        let mut presence: Presence<u8> = Presence::default();
        let mut reference = Shown::default();
        let mut believed: BTreeSet<(u8, u8)> = BTreeSet::new();
        for (now, (user, session, act, list)) in (0_u64..).zip(steps) {
            let uids: Vec<Uid> = list.iter().map(|user| uid(*user)).collect();
            let acts = [OhiAct::Init, OhiAct::Add, OhiAct::Drop];
            let notices = if let Some(act) = acts.get(usize::from(act)) {
                reference.holders.entry(user).or_default().insert(session);
                let set = reference.sets.entry(user).or_default();
                for other in list {
                    if *act == OhiAct::Drop { set.remove(&other) } else { set.insert(other) };
                }
                presence.edit(uid(user), session, *act, &uids, now).unwrap()
            } else {
                let holders = reference.holders.entry(user).or_default();
                holders.remove(&session);
                if holders.is_empty() {
                    reference.sets.remove(&user);
                }
                presence.end(uid(user), session)
            };
            for notice in notices {
                let pair = (notice.from.0[0], notice.to.0[0]);
                let is_news = if notice.online { believed.insert(pair) } else { believed.remove(&pair) };
                prop_assert!(is_news, "{:?} was known", notice);
            }
            let pairs = |(from, set): (&u8, &BTreeSet<u8>)| set.iter().map(|to| (*from, *to)).collect::<Vec<_>>();
            let expected: BTreeSet<(u8, u8)> = reference.sets.iter().flat_map(pairs).collect();
            prop_assert_eq!(&believed, &expected);
            for to in 1..=USERS {
                let shown: BTreeSet<u8> = presence.shown_to(uid(to)).map(|from| from.0[0]).collect();
                prop_assert!(shown.iter().all(|from| expected.contains(&(*from, to))));
                prop_assert_eq!(shown.len(), expected.iter().filter(|(_, other)| *other == to).count());
            }
            prop_assert_eq!(presence.is_empty(), reference.holders.values().all(BTreeSet::is_empty));
        }
    }

    /// Goal: after a take-over the newest set of each user holds, whatever the order in which sessions come back. Method: the
    /// same sets in two orders.
    #[test]
    fn the_newest_set_wins(
        (sets, shuffled) in vec((1..=USERS, 1_u64..50, vec(1..=USERS, 0..4)), 1..12).prop_flat_map(|sets| {
            // One set for each version of a user.
            let unique: BTreeMap<(u8, u64), Vec<u8>> =
                sets.into_iter().map(|(user, version, set)| ((user, version), set)).collect();
            let sets: Vec<_> = unique.into_iter().collect();
            (Just(sets.clone()), Just(sets).prop_shuffle())
        })
    ) {
        let resumed = |sets: &[((u8, u64), Vec<u8>)]| {
            let mut presence: Presence<u64> = Presence::default();
            for ((user, version), set) in sets {
                let set: Vec<Uid> = set.iter().map(|user| uid(*user)).collect();
                presence.resume(uid(*user), *version, *version, &set);
            }
            let shown = |user| presence.shown_by(uid(user)).map(|(version, set)| (version, set.collect::<Vec<_>>()));
            (1..=USERS).map(shown).collect::<Vec<_>>()
        };
        prop_assert_eq!(resumed(&sets), resumed(&shuffled));
    }
}
