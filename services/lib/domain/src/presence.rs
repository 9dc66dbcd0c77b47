//! Presence ("ohi") of a site's users: PROTOCOL.md, "Presence". Who shows presence to whom, as long as a session
//! holds it up; every change comes with the notices that it means. State: in memory only, rebuilt from the sessions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::{Refusal, Uid};

/// Users that one shows presence to, at most.
pub const CONTACTS_MAX: usize = 10_000;

/// What an OhiEdit does with its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OhiAct {
    /// As `Add`, without telling the user's nodes: what a client begins with.
    #[serde(rename = "i")]
    Init,
    /// Shows presence to these, too.
    #[serde(rename = "a")]
    Add,
    /// Shows it to them no more.
    #[serde(rename = "d")]
    Drop,
}

impl OhiAct {
    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Add => "add",
            Self::Drop => "drop",
        }
    }
}

/// An item of an OhiEdit's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OhiItem {
    /// A uid, unchecked.
    #[serde(rename = "i")]
    pub id: String,
    /// Has no meaning, but is passed on.
    #[serde(rename = "t", default)]
    pub kind: i8,
}

/// Somebody's presence has changed for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// Who is told: all sessions of this user.
    pub to: Uid,
    /// Whose presence.
    pub from: Uid,
    /// Shown from now on, or not any more.
    pub online: bool,
}

/// The presence of one site's users; `S` names sessions.
#[derive(Debug, Clone)]
pub struct Presence<S> {
    showing: HashMap<Uid, Shown<S>>,
    /// The same from the other side: who shows presence to a user.
    watched: HashMap<Uid, BTreeSet<Uid>>,
}

/// To whom a user shows presence.
#[derive(Debug, Clone)]
struct Shown<S> {
    set: BTreeSet<Uid>,
    /// Sessions that have issued an OhiEdit; the set ends with the last of them.
    holders: BTreeSet<S>,
    version: u64,
}

/// Whether a message that passes this list on can be written as a frame, whose header has 65,535 octets at most. Its items
/// are spelled longer than in the request. All of them name users; so nothing has to be escaped.
pub fn list_fits(act: OhiAct, list: &[OhiItem]) -> bool {
    // The other fields, all of a fixed length but the headsum, of which the longest counts.
    const REST: usize = 170;
    let digits = |number: i8| number.to_string().len();
    let items: usize =
        list.iter().map(|item| r#"{"Id":"","Type":},"#.len() + item.id.len() + digits(item.kind)).sum();
    // There is no comma behind the last.
    REST + act.word().len() + items <= 65_535 + 1
}

impl<S> Default for Presence<S> {
    fn default() -> Self {
        Self { showing: HashMap::new(), watched: HashMap::new() }
    }
}

impl<S: Copy + Ord> Presence<S> {
    /// An OhiEdit of a session, whose list has been found to name users of the site. `now` makes versions that
    /// grow from owner to owner of the shard (any clock that does not go back).
    pub fn edit(
        &mut self,
        from: Uid,
        session: S,
        act: OhiAct,
        list: &[Uid],
        now: u64,
    ) -> Result<Vec<Notice>, Refusal> {
        let shown = self.showing.get(&from);
        if act != OhiAct::Drop {
            let is_new = |uid: &&Uid| shown.is_none_or(|shown| !shown.set.contains(uid));
            let new: BTreeSet<Uid> = list.iter().filter(is_new).copied().collect();
            if shown.map_or(0, |shown| shown.set.len()) + new.len() > CONTACTS_MAX {
                return Err(Refusal::ContactsExceeded);
            }
        }
        let shown = self.showing.entry(from).or_insert_with(|| Shown {
            set: BTreeSet::new(),
            holders: BTreeSet::new(),
            version: 0,
        });
        shown.holders.insert(session);
        shown.version = now.max(shown.version + 1);
        let online = act != OhiAct::Drop;
        let mut notices = Vec::new();
        for &to in list {
            let changed = if online { shown.set.insert(to) } else { shown.set.remove(&to) };
            if changed {
                watch(&mut self.watched, from, to, online);
                notices.push(Notice { to, from, online });
            }
        }
        Ok(notices)
    }

    /// A session has ended. The set goes with the last that held it.
    pub fn end(&mut self, from: Uid, session: S) -> Vec<Notice> {
        let Some(shown) = self.showing.get_mut(&from) else { return Vec::new() };
        shown.holders.remove(&session);
        if !shown.holders.is_empty() {
            return Vec::new();
        }
        let Some(shown) = self.showing.remove(&from) else { return Vec::new() };
        let notices = shown.set.into_iter().map(|to| {
            watch(&mut self.watched, from, to, false);
            Notice { to, from, online: false }
        });
        notices.collect()
    }

    /// A session comes back with what it knew. The highest version of a user's set wins.
    pub fn resume(&mut self, from: Uid, session: S, version: u64, set: &[Uid]) -> Vec<Notice> {
        let shown = self.showing.entry(from).or_insert_with(|| Shown {
            set: BTreeSet::new(),
            holders: BTreeSet::new(),
            version: 0,
        });
        shown.holders.insert(session);
        if version <= shown.version {
            return Vec::new();
        }
        shown.version = version;
        let new: BTreeSet<Uid> = set.iter().take(CONTACTS_MAX).copied().collect();
        let old = std::mem::replace(&mut shown.set, new.clone());
        let changes = old.symmetric_difference(&new).map(|to| (*to, new.contains(to)));
        let notices = changes.map(|(to, online)| {
            watch(&mut self.watched, from, to, online);
            Notice { to, from, online }
        });
        notices.collect()
    }

    /// Who shows presence to this user.
    pub fn shown_to(&self, uid: Uid) -> impl Iterator<Item = Uid> {
        self.watched.get(&uid).into_iter().flatten().copied()
    }

    /// Whether `from` shows presence to `to`.
    pub fn is_shown(&self, from: Uid, to: Uid) -> bool {
        self.showing.get(&from).is_some_and(|shown| shown.set.contains(&to))
    }

    /// To whom a user shows presence, with the version; `None` when nothing holds a set up.
    pub fn shown_by(&self, uid: Uid) -> Option<(u64, impl Iterator<Item = Uid>)> {
        self.showing.get(&uid).map(|shown| (shown.version, shown.set.iter().copied()))
    }

    /// The sessions that hold a user's set up.
    pub fn holders(&self, uid: Uid) -> impl Iterator<Item = S> {
        self.showing.get(&uid).into_iter().flat_map(|shown| shown.holders.iter().copied())
    }

    /// True when nobody shows presence to anybody.
    pub fn is_empty(&self) -> bool {
        self.showing.is_empty()
    }
}

fn watch(watched: &mut HashMap<Uid, BTreeSet<Uid>>, from: Uid, to: Uid, online: bool) {
    if online {
        watched.entry(to).or_default().insert(from);
    } else if let Some(watchers) = watched.get_mut(&to) {
        watchers.remove(&from);
        if watchers.is_empty() {
            watched.remove(&to);
        }
    }
}

/// Sorts notices by who is told: online and offline ones of each.
pub fn by_receiver(notices: impl IntoIterator<Item = Notice>) -> BTreeMap<Uid, (Vec<Uid>, Vec<Uid>)> {
    let mut told: BTreeMap<Uid, (Vec<Uid>, Vec<Uid>)> = BTreeMap::new();
    for notice in notices {
        let (online, offline) = told.entry(notice.to).or_default();
        if notice.online { online.push(notice.from) } else { offline.push(notice.from) }
    }
    told
}
