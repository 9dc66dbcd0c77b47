//! Presence as one client sees it: whom it believes to be online, what it has to be told, and to whom its user shows
//! presence. It must never tell a client what it knows already, nor hold more than the latest state of each user.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tmtp_contract::Showing;
use tmtp_domain::Uid;
use tmtp_wire::Response;

use super::frames::push_frame;

/// Notices that wait for a client at most. Users beyond are not told of until they change again.
const NOTICES_MAX: usize = 10_000;
/// Notices that are written at once.
const NOTICES_AT_ONCE: usize = 200;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Presence {
    /// Whom the client believes to be online.
    believed: HashSet<Uid>,
    /// What is different from that, and not written yet.
    notices: BTreeMap<Uid, bool>,
    /// To whom the user shows presence, and the version of that; if this session has told so.
    showing: Option<(u64, BTreeSet<Uid>)>,
}

impl Presence {
    /// The client was told of these in `info`.
    pub fn of(online: &[Uid]) -> Self {
        Self { believed: online.iter().copied().collect(), ..Self::default() }
    }

    /// Takes in who is online, and who is not. Gives how many had to be dropped.
    pub fn learn(&mut self, online: &[Uid], offline: &[Uid]) -> usize {
        let states = online.iter().map(|uid| (uid, true)).chain(offline.iter().map(|uid| (uid, false)));
        let mut dropped = 0;
        for (uid, is_online) in states {
            if self.believed.contains(uid) == is_online {
                self.notices.remove(uid);
            } else if self.notices.len() < NOTICES_MAX || self.notices.contains_key(uid) {
                self.notices.insert(*uid, is_online);
            } else {
                dropped += 1;
            }
        }
        dropped
    }

    /// Something waits to be written.
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Appends the next notices.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        for _ in 0..NOTICES_AT_ONCE {
            let Some((uid, online)) = self.notices.pop_first() else { return };
            if online {
                self.believed.insert(uid);
            } else {
                self.believed.remove(&uid);
            }
            let status = if online { 1 } else { 2 };
            push_frame(out, &Response::Ohi { from: uid.to_string().into(), status });
        }
    }

    /// Takes in to whom the user shows presence.
    pub fn shows(&mut self, version: u64, full: bool, added: &[Uid], dropped: &[Uid]) {
        let mut set = match self.showing.take() {
            Some((_, set)) if !full => set,
            _ => BTreeSet::new(),
        };
        set.extend(added);
        set.retain(|uid| !dropped.contains(uid));
        self.showing = Some((version, set));
    }

    /// What the home has to know when the session is opened again. What is not written yet is forgotten: the home tells
    /// what is different from what the client believes.
    pub fn attach(&mut self) -> (Option<Showing>, Vec<Uid>) {
        self.notices.clear();
        let showing = self
            .showing
            .as_ref()
            .map(|(version, set)| Showing { version: *version, uids: set.iter().copied().collect() });
        (showing, self.believed.iter().copied().collect())
    }
}
