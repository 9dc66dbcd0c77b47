//! Presence: OhiEdit, and what becomes of it when sessions come, come back, and go.

use std::collections::BTreeSet;

use tmtp_contract::{Answer, Attach, Content, Digest, Event};
use tmtp_domain::{Notice, OhiAct, OhiItem, Refusal, SiteId, Uid, by_receiver, list_fits, parse_uid};

use super::decide::Call;
use super::posts::Payload;
use super::receipts::request_key;
use super::{Home, NodeKey, SessionKey};

/// What a session that holds a user's set up is told of it.
enum News<'n> {
    /// All of it.
    Everything,
    /// What has changed.
    Changes(&'n [Notice]),
}

impl Home {
    pub(super) fn ohi_edit(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        act: OhiAct,
        list: Vec<OhiItem>,
    ) {
        let site = call.site;
        let known = |item: &OhiItem| {
            let uid = parse_uid(&item.id)?;
            let is_member = self.members.contains_key(&(site, uid));
            if is_member { Ok(uid) } else { Err(Refusal::UidNotFound(item.id.clone())) }
        };
        let uids: Vec<Uid> = match list.iter().map(known).collect() {
            Ok(uids) => uids,
            Err(refusal) => return self.refuse(call, &refusal),
        };
        if act != OhiAct::Init && !list_fits(act, &list) {
            return self.refuse(call, &Refusal::TooLarge);
        }
        let presence = self.presence.entry(site).or_default();
        let held = presence.holders(node.uid).any(|holder| holder == call.from);
        let notices = match presence.edit(node.uid, call.from, act, &uids, call.now.nanos) {
            Ok(notices) => notices,
            Err(refusal) => return self.refuse(call, &refusal),
        };
        for holder in self.holders(site, node.uid) {
            if holder == call.from && !held {
                self.tell_holder(site, node.uid, holder, &News::Everything);
            } else if !notices.is_empty() {
                self.tell_holder(site, node.uid, holder, &News::Changes(&notices));
            }
        }
        // The request may be a repetition: then the nodes know already, unless it has changed something again.
        let key = request_key(node, &digest);
        let is_news = self.receipts.get(&key, call.now).is_none() || !notices.is_empty();
        self.tell_notices(site, notices);
        if act != OhiAct::Init && is_news {
            let owed = self.all_nodes(site, node.uid);
            let content = Content::OhiEdit { act, list };
            let (msg_id, posted) = self.post_message(call, node, content, Payload::empty(), owed);
            self.remember_request(key, msg_id, posted);
        }
        self.answer(call, Answer::Done);
    }

    /// Who shows presence to a user.
    pub(super) fn shown_to(&self, site: SiteId, uid: Uid) -> Vec<Uid> {
        self.presence.get(&site).map(|presence| presence.shown_to(uid).collect()).unwrap_or_default()
    }

    /// A session that came back tells what it knew. As long as others may come back, nobody is told of it: what looks
    /// like news would be none.
    pub(super) fn resume_presence(&mut self, call: Call, node: NodeKey, attach: &Attach) {
        if let Some(showing) = &attach.showing {
            let presence = self.presence.entry(call.site).or_default();
            let notices = presence.resume(node.uid, call.from, showing.version, &showing.uids);
            let version = presence.shown_by(node.uid).map_or(0, |(version, _)| version);
            let knows_more = !notices.is_empty();
            for holder in self.holders(call.site, node.uid) {
                let is_behind = if holder == call.from { version > showing.version } else { knows_more };
                if is_behind {
                    self.tell_holder(call.site, node.uid, holder, &News::Everything);
                }
            }
            if !self.is_waiting() {
                self.tell_notices(call.site, notices);
            }
        } else if self.holders(call.site, node.uid).contains(&call.from) {
            // It never heard what became of its OhiEdit, and would bring no set to the shard's next owner.
            self.tell_holder(call.site, node.uid, call.from, &News::Everything);
        }
        let seen = attach.seen.iter().copied().collect();
        if self.is_waiting() {
            self.unsettled.insert(call.from, seen);
        } else {
            self.settle(call.from, &seen);
        }
    }

    /// Once nobody is waited for, sessions are told what is different from what they know.
    pub(super) fn settle_presence(&mut self) {
        if self.is_waiting() {
            return;
        }
        for (key, seen) in std::mem::take(&mut self.unsettled) {
            self.settle(key, &seen);
        }
    }

    fn settle(&mut self, key: SessionKey, seen: &BTreeSet<Uid>) {
        let Some(session) = self.sessions.get(&key) else { return };
        let shown: BTreeSet<Uid> = self.shown_to(session.node.site, session.node.uid).into_iter().collect();
        let online: Vec<Uid> = shown.difference(seen).copied().collect();
        let offline: Vec<Uid> = seen.difference(&shown).copied().collect();
        if !online.is_empty() || !offline.is_empty() {
            let event = Event::Ohi { session: key.1, opened: session.opened, online, offline };
            self.outbox.pushes.push((key.0, event));
        }
    }

    /// A session has ended; with the last that held it up, its user's presence ends.
    pub(super) fn end_presence(&mut self, key: SessionKey, node: NodeKey) {
        self.unsettled.remove(&key);
        let Some(presence) = self.presence.get_mut(&node.site) else { return };
        let notices = presence.end(node.uid, key);
        if presence.is_empty() {
            self.presence.remove(&node.site);
        }
        self.tell_notices(node.site, notices);
    }

    /// Tells all sessions of those whom it concerns.
    fn tell_notices(&mut self, site: SiteId, notices: Vec<Notice>) {
        for (uid, (online, offline)) in by_receiver(notices) {
            for (key, opened) in self.sessions_of(site, uid) {
                let (online, offline) = (online.clone(), offline.clone());
                self.outbox.pushes.push((key.0, Event::Ohi { session: key.1, opened, online, offline }));
            }
        }
    }

    /// Tells a session that holds a user's set up what has become of it.
    fn tell_holder(&mut self, site: SiteId, uid: Uid, holder: SessionKey, news: &News<'_>) {
        let shown = self.presence.get(&site).and_then(|presence| presence.shown_by(uid));
        let (Some((version, set)), Some(session)) = (shown, self.sessions.get(&holder)) else { return };
        let changed = |changes: &[Notice], online| {
            changes.iter().filter(|change| change.online == online).map(|change| change.to).collect()
        };
        let (full, added, dropped) = match news {
            News::Everything => (true, set.collect(), Vec::new()),
            News::Changes(changes) => (false, changed(changes, true), changed(changes, false)),
        };
        let event = Event::Shows { session: holder.1, opened: session.opened, version, full, added, dropped };
        self.outbox.pushes.push((holder.0, event));
    }

    /// The sessions that hold a user's set up.
    fn holders(&self, site: SiteId, uid: Uid) -> Vec<SessionKey> {
        self.presence.get(&site).map(|presence| presence.holders(uid).collect()).unwrap_or_default()
    }

    /// A user's sessions, with the numbers of the commands that opened them.
    fn sessions_of(&self, site: SiteId, uid: Uid) -> Vec<(SessionKey, u64)> {
        // A member that is not cached has no session.
        let nodes = self.members.get(&(site, uid)).into_iter().flat_map(|member| &member.nodes);
        let open = nodes.filter_map(|node| {
            let key = *self.occupied.get(&NodeKey { site, uid, node: node.num })?;
            Some((key, self.sessions.get(&key)?.opened))
        });
        open.collect()
    }
}
