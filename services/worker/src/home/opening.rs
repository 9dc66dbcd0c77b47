//! Opening and ending sessions, and the time in which old ones come back to a new owner of the shard.

use std::collections::HashSet;

use tmtp_contract::{Answer, Attach, Command, Content, Envelope, Event, LoginRefusal};
use tmtp_domain::{Epoch, GatewayId, Member, MemberStatus, SecretHash, SessionId, Site, SiteStatus, Uid};
use tmtp_store::Change;

use super::decide::Call;
use super::posts::Payload;
use super::receipts::login_key;
use super::registration::Registering;
use super::session::Session;
use super::{Home, NodeKey, SessionKey, World};

impl Home {
    pub(super) fn open(&mut self, call: Call, envelope: Envelope, world: &mut World<'_>) {
        let Envelope { command, trace, .. } = envelope;
        match command {
            Command::Register { uid, secret, label, alias, credentials } => {
                let credentials = credentials.map(|credentials| *credentials).unwrap_or_default();
                self.register(call, Registering { uid, secret, label, alias, credentials }, world);
            }
            Command::Login { uid, secret } => self.login(call, uid, secret, trace, world),
            Command::Attach(attach) => self.attach(call, &attach),
            _ => {}
        }
    }

    fn login(&mut self, call: Call, uid: Uid, secret: SecretHash, trace: Option<String>, world: &World<'_>) {
        let member = self.members.get(&(call.site, uid));
        // Only who knows uid and password hears more than that the login failed.
        let Some((member, num)) = member.and_then(|m| Some((m, m.node_by_secret(&secret)?))) else {
            return self.answer(call, Answer::NotLoggedIn(LoginRefusal::Failed));
        };
        if let Err(notice) = may_be_served(member, world.sites.get(&call.site)) {
            return self.keep_out(call, notice);
        }
        let node = NodeKey { site: call.site, uid, node: num };
        match self.occupied.get(&node) {
            Some(other) if *other != call.from => {
                let (gateway, session) = *other;
                self.outbox.pushes.push((gateway, Event::Probe { session }));
                return self.answer(call, Answer::NotLoggedIn(LoginRefusal::AlreadyConnected));
            }
            None if self.is_waiting() => {
                let command = Command::Login { uid, secret };
                let envelope =
                    Envelope { site: call.site, session: call.from.1, seq: call.seq, trace, command };
                return self.defer(call.from.0, envelope);
            }
            _ => {}
        }
        self.start_session(call, node, 0);
        self.see(node);
        self.answer(call, Answer::LoggedIn { node: num, ohi: self.shown_to(call.site, uid) });

        let key = login_key(node, call.from);
        if self.receipts.get(&key, call.now).is_none() {
            let owed = self.all_nodes(call.site, uid);
            let (msg_id, posted) = self.post_message(call, node, Content::Login, Payload::empty(), owed);
            self.remember_request(key, msg_id, posted);
        }
    }

    /// Says no to a login. A notice goes before the answer, as the end of the session that there would be: it is the first
    /// of them that ends the link, and every gateway knows it.
    fn keep_out(&mut self, call: Call, notice: Option<String>) {
        if let Some(reason) = notice {
            let event = Event::Close { session: call.from.1, opened: call.seq, reason };
            self.outbox.answers.push((call.from.0, event));
        }
        self.answer(call, Answer::NotLoggedIn(LoginRefusal::Failed));
    }

    fn attach(&mut self, call: Call, attach: &Attach) {
        let node = NodeKey { site: call.site, uid: attach.uid, node: attach.node };
        let known = self.members.get(&(call.site, attach.uid)).is_some_and(|member| {
            member.status == MemberStatus::Active && member.nodes.iter().any(|known| known.num == attach.node)
        });
        if !known {
            self.end_session(call.from);
            return self.answer(call, Answer::NotLoggedIn(LoginRefusal::Failed));
        }
        if self.occupied.get(&node).is_some_and(|other| *other != call.from) {
            self.end_session(call.from);
            return self.answer(call, Answer::NotLoggedIn(LoginRefusal::AlreadyConnected));
        }
        self.start_session(call, node, attach.pending);
        self.resume_flight(call.from, &attach.in_flight);
        self.answer(call, Answer::Attached);
        self.resume_presence(call, node, attach);
    }

    /// Opens the session, instead of what it was before; the presence that it holds up stays.
    pub(super) fn start_session(&mut self, call: Call, node: NodeKey, pending: u64) {
        self.close_session(call.from);
        let mut session = Session::new(node, call.seq);
        if pending > 0 {
            session.hold_until = call.seq.saturating_add(pending);
        }
        self.occupied.insert(node, call.from);
        self.sessions.insert(call.from, session);
        *self.gateways.entry(call.from.0).or_default() += 1;
        self.hungry.insert(call.from);
    }

    /// Ends a session, if it is open: its node is free, what was in flight waits again, and its user may be offline.
    pub fn end_session(&mut self, key: SessionKey) {
        if let Some(node) = self.close_session(key) {
            self.see(node);
            self.end_presence(key, node);
        }
    }

    /// A session has begun or ended there.
    fn see(&mut self, NodeKey { site, uid, node }: NodeKey) {
        self.changes.push(Change::NodeSeen { site, uid, node });
    }

    fn close_session(&mut self, key: SessionKey) -> Option<NodeKey> {
        let session = self.sessions.remove(&key)?;
        self.occupied.remove(&session.node);
        if let Some(sessions) = self.gateways.get_mut(&key.0) {
            *sessions -= 1;
            if *sessions == 0 {
                self.gateways.remove(&key.0);
            }
        }
        self.hungry.remove(&key);
        if let Some(queue) = self.queues.get_mut(&session.node) {
            for queued in queue.values_mut() {
                queued.in_flight = false;
            }
        }
        Some(session.node)
    }

    /// Its gateway was told something of a session that it does not have: an opening command was read after the session's
    /// end, as happens when an append comes through that was believed to have failed.
    pub(super) fn session_is_gone(&mut self, key: SessionKey) {
        self.deferred.retain(|(gateway, login)| (*gateway, login.session) != key);
        self.end_session(key);
    }

    // The time in which old sessions come back to a new owner.

    pub(super) fn gateway_is_present(&mut self, gateway: GatewayId, epoch: Epoch) {
        if epoch == self.epoch {
            self.absent.remove(&gateway);
            self.settle_presence();
        }
    }

    /// Waits also for gateways that nobody has heard of yet, until [`Self::stop_waiting`].
    pub fn expect_unknown(&mut self) {
        self.expects_unknown = true;
    }

    /// Nobody is waited for any longer.
    pub fn stop_waiting(&mut self) {
        self.absent.clear();
        self.expects_unknown = false;
        self.settle_presence();
    }

    /// True while some gateway has not said that its sessions are here.
    pub fn is_waiting(&self) -> bool {
        self.expects_unknown || !self.absent.is_empty()
    }

    /// Logins that had to wait and need not any longer; to be decided like new ones.
    pub fn take_deferred(&mut self) -> Vec<(GatewayId, Envelope)> {
        if self.is_waiting() { Vec::new() } else { std::mem::take(&mut self.deferred) }
    }

    /// A gateway is gone: its sessions end, and nobody waits for it.
    pub fn gateway_is_gone(&mut self, gateway: GatewayId) {
        self.absent.remove(&gateway);
        self.deferred.retain(|(from, _)| *from != gateway);
        let gone: Vec<SessionKey> = self.sessions.keys().filter(|key| key.0 == gateway).copied().collect();
        // All are closed before anybody is told, so that the gone ones are not.
        let closed: Vec<_> = gone.iter().map(|key| (*key, self.close_session(*key))).collect();
        for (key, node) in closed {
            if let Some(node) = node {
                self.see(node);
                self.end_presence(key, node);
            }
        }
        self.settle_presence();
    }

    /// Gateways that have sessions here.
    pub fn gateways(&self) -> HashSet<GatewayId> {
        self.gateways.keys().copied().collect()
    }

    /// A gateway repeats what is not answered, so the latest login of a session stands for all of them.
    fn defer(&mut self, gateway: GatewayId, envelope: Envelope) {
        let session: SessionId = envelope.session;
        self.deferred.retain(|(from, old)| (*from, old.session) != (gateway, session));
        self.deferred.push((gateway, envelope));
    }

    /// The client has hung up while its login waits: let in later, it would sit at its node for nobody.
    pub(super) fn give_up_login(&mut self, call: Call) -> bool {
        let before = self.deferred.len();
        self.deferred.retain(|(from, login)| (*from, login.session) != call.from || login.seq >= call.seq);
        self.deferred.len() < before
    }
}

/// Whether a member who has shown its password may come in; else what it is told, if there is more to tell than that the
/// login failed.
fn may_be_served(member: &Member, site: Option<&Site>) -> Result<(), Option<String>> {
    match (site.map(|site| (site.status, &site.notice)), member.status) {
        (Some((SiteStatus::Active, _)), MemberStatus::Active) => Ok(()),
        (Some((SiteStatus::Suspended, notice)), MemberStatus::Active | MemberStatus::Suspended) => {
            Err(notice.clone())
        }
        (Some((SiteStatus::Active, _)), MemberStatus::Suspended) => Err(member.notice.clone()),
        _ => Err(None),
    }
}
