//! Deciding commands, one after the other: the rules of the protocol on the state of the site.

use std::collections::HashSet;

use tmtp_contract::{
    Answer, Attach, Body, Command, Content, DataInfo, Digest, Effect, Envelope, Event, LoginRefusal, Message,
    Receipt, ReceiptKey,
};
use tmtp_domain::{
    Alias, Epoch, GatewayId, Member, MemberStatus, MsgId, NODES_MAX, Node, NodeNum, Owed, Posted, Recipient,
    Refusal, Registration, SecretHash, Sender, SessionId, SiteId, SiteStatus, Uid, resolve,
};
use tmtp_store::Change;

use super::receipts::{login_key, request_key};
use super::session::Session;
use super::{Home, NodeKey, Now, SessionKey, Wanted, World};

/// What a request is refused with for a reason that its client cannot mend.
const INTERNAL: &str = "internal error";
/// The same when its data was removed before it came to its end.
const EXPIRED: &str = "data took too long";

/// The command at hand: when, from whom, and which of theirs.
#[derive(Clone, Copy)]
struct Call {
    now: Now,
    site: SiteId,
    from: SessionKey,
    seq: u64,
}

impl Home {
    /// Adds to `wanted` what the command needs and the home does not have.
    pub fn wants(&self, from: GatewayId, envelope: &Envelope, wanted: &mut Wanted) {
        let site = envelope.site;
        let mut member = |uid: Uid| {
            if !self.members.contains_key(&(site, uid)) {
                wanted.members.insert((site, uid));
            }
        };
        // A session's own member may have left the cache.
        if let Some(session) = self.sessions.get(&(from, envelope.session)) {
            member(session.node.uid);
        }
        match &envelope.command {
            Command::Register { uid, .. } | Command::Login { uid, .. } => member(*uid),
            Command::Attach(attach) => member(attach.uid),
            Command::Post { recipients, body, .. } => {
                recipients.iter().filter_map(|item| Uid::parse(&item.id).ok()).for_each(member);
                if let Body::Stored(body) = body {
                    wanted.bodies.insert((site, body.id));
                }
            }
            Command::Detach
            | Command::Present { .. }
            | Command::NewAlias { .. }
            | Command::NewNode { .. }
            | Command::Acks { .. } => {}
        }
        // What is no alias is refused without a look; Postgres would not even take some of it as a parameter.
        if let Command::NewAlias { alias, .. } | Command::Register { alias: Some(alias), .. } =
            &envelope.command
            && Alias::parse(alias).is_ok()
        {
            wanted.names.insert((site, alias.clone()));
        }
        // The gateway may know a site that this worker has yet to hear of.
        if !matches!(envelope.command, Command::Present { .. }) {
            wanted.sites.insert(site);
        }
    }

    /// Decides one command. What it needs has been loaded; what comes of it is in the outbox, the effects and the
    /// changes, and takes place in memory at once.
    pub fn apply(&mut self, now: Now, gateway: GatewayId, envelope: Envelope, world: &mut World<'_>) {
        if let Command::Present { epoch } = envelope.command {
            return self.gateway_is_present(gateway, epoch);
        }
        let call = Call { now, site: envelope.site, from: (gateway, envelope.session), seq: envelope.seq };
        if envelope.command.opens() {
            // An append that timed out may arrive after the one that was to replace it.
            let outdated = self.sessions.get(&call.from).is_some_and(|session| call.seq < session.opened);
            if !outdated {
                self.open(call, envelope, world);
            }
            return;
        }
        let known = self.sessions.get_mut(&call.from).filter(|session| session.expected == call.seq);
        let Some(session) = known else {
            if matches!(envelope.command, Command::Detach) && self.give_up_login(call) {
                self.outbox.done.insert(call.from, call.seq);
                return;
            }
            return self.tell_lost(call);
        };
        session.expected += 1;
        let node = session.node;
        match envelope.command {
            Command::Detach => self.end_session(call.from),
            Command::Acks { ids } => self.acks(call.from, node, &ids),
            Command::Post { digest, recipients, data, body } => {
                self.post(call, node, digest, &recipients, data, body);
            }
            Command::NewAlias { digest, alias } => self.new_alias(call, node, digest, &alias, world),
            Command::NewNode { digest, label, node_id, secret } => {
                self.new_node(call, node, digest, label, node_id, secret);
            }
            Command::Register { .. }
            | Command::Login { .. }
            | Command::Attach(_)
            | Command::Present { .. } => {}
        }
        self.outbox.done.insert(call.from, call.seq);
        self.hungry.insert(call.from);
    }

    /// Ends a command that cannot be applied, whatever it says, because the database does not take what comes of it.
    pub fn refuse_command(&mut self, gateway: GatewayId, envelope: &Envelope, now: Now) {
        let call = Call { now, site: envelope.site, from: (gateway, envelope.session), seq: envelope.seq };
        match &envelope.command {
            Command::Register { .. } | Command::Login { .. } | Command::Attach(_) => {
                self.end_session(call.from);
                return self.answer(call, Answer::NotLoggedIn(LoginRefusal::Failed));
            }
            // It has no effect that could be refused.
            Command::Present { .. } => return,
            _ => {}
        }
        let Some(session) = self.sessions.get_mut(&call.from).filter(|open| open.expected == call.seq) else {
            return self.tell_lost(call);
        };
        session.expected += 1;
        match &envelope.command {
            Command::Detach => self.end_session(call.from),
            Command::Post { body, .. } => {
                self.orphan(call.site, body);
                self.answer(call, Answer::Refused(INTERNAL.to_owned()));
            }
            Command::NewAlias { .. } | Command::NewNode { .. } => {
                self.answer(call, Answer::Refused(INTERNAL.to_owned()));
            }
            _ => {}
        }
        self.outbox.done.insert(call.from, call.seq);
        self.hungry.insert(call.from);
    }

    /// A repetition of a command that was applied is not lost: its answer is on its way, and the gateway would only
    /// ask for it again if that got lost.
    fn tell_lost(&mut self, call: Call) {
        let repeated = self.sessions.get(&call.from).is_some_and(|session| call.seq < session.expected);
        if !repeated {
            let event = Event::Lost { session: call.from.1, seq: call.seq };
            self.outbox.answers.push((call.from.0, event));
        }
    }

    fn answer(&mut self, call: Call, answer: Answer) {
        self.outbox.done.insert(call.from, call.seq);
        let event = Event::Answer { session: call.from.1, seq: call.seq, answer, trace: None };
        self.outbox.answers.push((call.from.0, event));
    }

    fn refuse(&mut self, call: Call, refusal: &Refusal) {
        self.answer(call, Answer::Refused(refusal.to_string()));
    }

    // Opening and ending sessions.

    fn open(&mut self, call: Call, envelope: Envelope, world: &mut World<'_>) {
        let Envelope { command, trace, .. } = envelope;
        match command {
            Command::Register { uid, secret, label, alias } => {
                self.register(call, uid, secret, label, alias.as_deref(), world);
            }
            Command::Login { uid, secret } => self.login(call, uid, secret, trace, world),
            Command::Attach(attach) => self.attach(call, &attach),
            _ => {}
        }
    }

    fn register(
        &mut self,
        call: Call,
        uid: Uid,
        secret: SecretHash,
        label: String,
        alias: Option<&str>,
        world: &mut World<'_>,
    ) {
        let site = call.site;
        let open = world
            .sites
            .get(&site)
            .is_some_and(|site| site.registration == Registration::Open && site.status == SiteStatus::Active);
        let num = NodeNum(1);
        let repeated =
            self.members.get(&(site, uid)).is_some_and(|member| member.node_by_secret(&secret) == Some(num));
        if !open && !repeated {
            return self.answer(call, Answer::NotLoggedIn(LoginRefusal::RegistrationClosed));
        }
        if !repeated {
            let member = Member { uid, status: MemberStatus::Active, nodes: vec![Node { num, secret }] };
            self.members.insert((site, uid), member);
            self.changes.push(Change::Member { site, uid });
            self.changes.push(Change::Node { site, uid, num, secret, label });
        }
        let alias_error = alias.and_then(|alias| self.claim_alias(site, uid, alias, world).err());
        self.start_session(call, NodeKey { site, uid, node: num }, 0);
        self.answer(
            call,
            Answer::Registered { node: num, alias_error: alias_error.map(|error| error.to_string()) },
        );
    }

    fn login(&mut self, call: Call, uid: Uid, secret: SecretHash, trace: Option<String>, world: &World<'_>) {
        let active = world.sites.get(&call.site).is_some_and(|site| site.status == SiteStatus::Active);
        let member =
            self.members.get(&(call.site, uid)).filter(|m| active && m.status == MemberStatus::Active);
        let Some(num) = member.and_then(|member| member.node_by_secret(&secret)) else {
            return self.answer(call, Answer::NotLoggedIn(LoginRefusal::Failed));
        };
        let node = NodeKey { site: call.site, uid, node: num };
        match self.occupied.get(&node) {
            Some(other) if *other != call.from => {
                let (gateway, session) = *other;
                self.outbox.pushes.push((gateway, Event::Probe { session }));
                return self.answer(call, Answer::NotLoggedIn(LoginRefusal::AlreadyConnected));
            }
            None if !self.absent.is_empty() => {
                let command = Command::Login { uid, secret };
                let envelope =
                    Envelope { site: call.site, session: call.from.1, seq: call.seq, trace, command };
                return self.defer(call.from.0, envelope);
            }
            _ => {}
        }
        self.start_session(call, node, 0);
        self.answer(call, Answer::LoggedIn { node: num, ohi: Vec::new() });

        let key = login_key(node, call.from);
        if self.receipts.get(&key, call.now).is_none() {
            let owed = self.all_nodes(call.site, uid);
            self.post_message(call, node, key, Content::Login, DataInfo::default(), Body::Empty, owed);
        }
    }

    fn attach(&mut self, call: Call, attach: &Attach) {
        let node = NodeKey { site: call.site, uid: attach.uid, node: attach.node };
        let known = self.members.get(&(call.site, attach.uid)).is_some_and(|member| {
            member.status == MemberStatus::Active && member.nodes.iter().any(|known| known.num == attach.node)
        });
        if !known {
            return self.answer(call, Answer::NotLoggedIn(LoginRefusal::Failed));
        }
        if self.occupied.get(&node).is_some_and(|other| *other != call.from) {
            return self.answer(call, Answer::NotLoggedIn(LoginRefusal::AlreadyConnected));
        }
        self.start_session(call, node, attach.pending);
        self.resume_flight(call.from, &attach.in_flight);
        self.answer(call, Answer::Attached);
    }

    /// Opens the session, instead of what it was before.
    fn start_session(&mut self, call: Call, node: NodeKey, pending: u64) {
        self.end_session(call.from);
        let mut session = Session::new(node, call.seq);
        if pending > 0 {
            session.hold_until = call.seq.saturating_add(pending);
        }
        self.occupied.insert(node, call.from);
        self.sessions.insert(call.from, session);
        *self.gateways.entry(call.from.0).or_default() += 1;
        self.hungry.insert(call.from);
    }

    /// Ends a session, if it is open: its node is free, and what was in flight waits again.
    pub fn end_session(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.remove(&key) else { return };
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
    }

    // The time in which old sessions come back to a new owner.

    fn gateway_is_present(&mut self, gateway: GatewayId, epoch: Epoch) {
        if epoch == self.epoch {
            self.absent.remove(&gateway);
        }
    }

    /// Nobody is waited for any longer.
    pub fn stop_waiting(&mut self) {
        self.absent.clear();
    }

    /// True while some gateway has not said that its sessions are here.
    pub fn is_waiting(&self) -> bool {
        !self.absent.is_empty()
    }

    /// Logins that had to wait and need not any longer; to be decided like new ones.
    pub fn take_deferred(&mut self) -> Vec<(GatewayId, Envelope)> {
        if self.absent.is_empty() { std::mem::take(&mut self.deferred) } else { Vec::new() }
    }

    /// A gateway is gone: its sessions end, and nobody waits for it.
    pub fn gateway_is_gone(&mut self, gateway: GatewayId) {
        self.absent.remove(&gateway);
        self.deferred.retain(|(from, _)| *from != gateway);
        let gone: Vec<SessionKey> = self.sessions.keys().filter(|key| key.0 == gateway).copied().collect();
        for key in gone {
            self.end_session(key);
        }
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
    fn give_up_login(&mut self, call: Call) -> bool {
        let before = self.deferred.len();
        self.deferred.retain(|(from, login)| (*from, login.session) != call.from || login.seq >= call.seq);
        self.deferred.len() < before
    }

    // Requests.

    fn post(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        recipients: &[Recipient],
        data: DataInfo,
        body: Body,
    ) {
        let key = request_key(node, &digest);
        if let Some(receipt) = self.receipts.get(&key, call.now) {
            // When the gateway repeats a command whose answer got lost, this is the body of the message that was queued
            // then; when the client sends its request again, it is another one.
            self.orphan(call.site, &body);
            return self.answer(call, Answer::Posted { msg_id: receipt.msg_id, posted: receipt.posted });
        }
        if let Body::Stored(stored) = &body
            && self.condemned.contains(&(call.site, stored.id))
        {
            return self.answer(call, Answer::Refused(EXPIRED.to_owned()));
        }
        let sender = Sender { uid: node.uid, node: node.node };
        let site = call.site;
        match resolve(recipients, sender, |uid| self.members.get(&(site, uid))) {
            Ok(owed) => {
                let content = Content::Delivery { notify: 0 };
                let (msg_id, posted) = self.post_message(call, node, key, content, data, body, owed);
                self.answer(call, Answer::Posted { msg_id, posted });
            }
            Err(refusal) => {
                self.orphan(site, &body);
                self.refuse(call, &refusal);
            }
        }
    }

    fn new_alias(&mut self, call: Call, node: NodeKey, digest: Digest, alias: &str, world: &mut World<'_>) {
        let key = request_key(node, &digest);
        if self.receipts.get(&key, call.now).is_some() {
            return self.answer(call, Answer::Done);
        }
        if let Err(refusal) = self.claim_alias(call.site, node.uid, alias, world) {
            return self.refuse(call, &refusal);
        }
        let owed = self.all_nodes(call.site, node.uid);
        let content = Content::NewAlias { alias: alias.to_owned() };
        self.post_message(call, node, key, content, DataInfo::default(), Body::Empty, owed);
        self.answer(call, Answer::Done);
    }

    fn new_node(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        label: String,
        node_id: String,
        secret: SecretHash,
    ) {
        let key = request_key(node, &digest);
        if self.receipts.get(&key, call.now).is_some() {
            return self.answer(call, Answer::Done);
        }
        let (site, uid, from) = (call.site, node.uid, node.node);
        let Some(member) = self.members.get_mut(&(site, uid)) else {
            return self.tell_lost(call);
        };
        if member.nodes.len() >= NODES_MAX {
            return self.refuse(call, &Refusal::NodesExceeded);
        }
        let num = member.next_node();
        member.nodes.push(Node { num, secret });
        self.changes.push(Change::Node { site, uid, num, secret, label: label.clone() });

        // All that waits for the node that asks waits for the new one, too: part of it in memory, part of it in rows.
        self.copy_queue(site, uid, from, num);
        self.effects.push(Effect::Copied { site, uid, from, to: num });
        let except: Vec<MsgId> = self.row_acks.get(&node).into_iter().flatten().copied().collect();
        self.changes.push(Change::CopyInbox { site, uid, from, to: num, except });

        let owed = self.all_nodes(site, uid);
        let content = Content::NewNode { label, node_id };
        self.post_message(call, node, key, content, DataInfo::default(), Body::Empty, owed);
        self.answer(call, Answer::Done);
    }

    fn acks(&mut self, from: SessionKey, node: NodeKey, ids: &[MsgId]) {
        let mut acked = Vec::with_capacity(ids.len());
        for &id in ids {
            let flight = self.sessions.get_mut(&from).and_then(|session| session.acked(id));
            // A spill may have moved it to the rows meanwhile. And it need not be in flight: an ack that was on its way
            // when the session was opened anew comes behind the `Attach`, which does not name its message any more.
            if flight.is_some_and(|flight| flight.in_rows) || !self.remove(node, id) {
                self.ack_row(node, id);
            }
            acked.push(id);
        }
        if !acked.is_empty() {
            self.effects.push(Effect::Acked { site: node.site, uid: node.uid, node: node.node, ids: acked });
        }
    }

    // What they share.

    /// Gives a message its id and time, queues it and remembers the request.
    #[expect(clippy::too_many_arguments, reason = "a message is made of that many things")]
    fn post_message(
        &mut self,
        call: Call,
        node: NodeKey,
        key: ReceiptKey,
        content: Content,
        data: DataInfo,
        body: Body,
        owed: Vec<Owed>,
    ) -> (MsgId, Posted) {
        let id = self.next_msg_id(call.now);
        let posted = Posted(call.now.millis());
        self.queue(call.site, Message { id, posted, from: node.uid, content, data, body }, owed);
        let receipt = Receipt { key, posted, msg_id: id };
        self.receipts.add(receipt);
        self.effects.push(Effect::Receipt(receipt));
        (id, posted)
    }

    fn claim_alias(
        &mut self,
        site: SiteId,
        uid: Uid,
        text: &str,
        world: &mut World<'_>,
    ) -> Result<(), Refusal> {
        let alias = Alias::parse(text)?;
        match world.names.get(&(site, alias.as_str().to_owned())) {
            Some(owner) if *owner == uid => {}
            Some(_) => return Err(Refusal::AliasTaken(text.to_owned())),
            None => {
                world.names.insert((site, text.to_owned()), uid);
                self.changes.push(Change::Name { site, name: text.to_owned(), uid });
            }
        }
        Ok(())
    }

    fn all_nodes(&self, site: SiteId, uid: Uid) -> Vec<Owed> {
        let nodes = |member: &Member| member.nodes.iter().map(|node| node.num).collect();
        self.members.get(&(site, uid)).map(|member| Owed { uid, nodes: nodes(member) }).into_iter().collect()
    }
}
