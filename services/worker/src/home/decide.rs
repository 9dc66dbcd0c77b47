//! Deciding commands, one after the other: the rules of the protocol on the state of the site.

use tmtp_contract::{
    Answer, Body, Command, Content, Digest, Effect, Envelope, Event, LoginRefusal, Message, Receipt,
    ReceiptKey,
};
use tmtp_domain::{
    Alias, BodyId, GatewayId, GroupEdit, Member, MsgId, NODES_MAX, NameHolder, Node, Owed, Posted, Recipient,
    RecipientKind, Refusal, SecretHash, SiteId, Uid,
};
use tmtp_store::Change;

use super::admin::Needs;
use super::policy::correct_sender;
use super::posts::{Forward, Payload};
use super::receipts::request_key;
use super::{Facts, Home, NO_NODE, NodeKey, Now, SessionKey, Wanted, World, registration};

/// What a request is refused with for a reason that its client cannot mend.
const INTERNAL: &str = "internal error";

/// The command at hand: when, from whom, and which of theirs.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub now: Now,
    pub site: SiteId,
    pub from: SessionKey,
    pub seq: u64,
}

impl Home {
    /// Adds to `wanted` what the command needs and the home does not have.
    ///
    /// Some needs show only when others are met (who are the members of the group?), so this is asked again after each
    /// loading, with the `facts` found so far, until nothing new is wanted.
    pub fn wants(&self, from: GatewayId, envelope: &Envelope, facts: &Facts, wanted: &mut Wanted) {
        let site = envelope.site;
        let invite = registration::wants(envelope, facts, wanted);
        let mut member = |uid: Uid| {
            if !self.members.contains_key(&(site, uid)) {
                wanted.members.insert((site, uid));
            }
        };
        // A session's own member may have left the cache.
        if let Some(session) = self.sessions.get(&(from, envelope.session)) {
            member(session.node.uid);
        }
        let mut name = |text: &str| {
            // What is no name is nobody's; Postgres would not even take some of it as a parameter.
            if Alias::parse(text).is_ok() {
                wanted.names.insert((site, text.to_owned()));
            }
            match facts.names.get(&(site, text.to_owned())) {
                Some(NameHolder::Member(uid)) => Some(*uid),
                _ => None,
            }
        };
        let mut groups: Vec<&str> = Vec::new();
        let mut users: Vec<Uid> = Vec::new();
        match &envelope.command {
            Command::Register { uid, alias, credentials, .. } => {
                users.push(*uid);
                for text in registration::names(alias.as_deref(), credentials.as_deref(), invite) {
                    name(text);
                }
                groups.extend(invite.into_iter().flat_map(|invite| &invite.groups).map(String::as_str));
            }
            Command::Login { uid, .. } => users.push(*uid),
            Command::Attach(attach) => users.push(attach.uid),
            Command::NewAlias { alias, .. } => {
                name(alias);
            }
            Command::Post { recipients, body, .. } => {
                list(recipients, &mut users, &mut groups);
                wanted.bodies.extend(stored(site, body));
            }
            Command::PostNotify { recipients, note_recipients, body, note_body, .. } => {
                list(recipients, &mut users, &mut groups);
                list(note_recipients, &mut users, &mut groups);
                wanted.bodies.extend(stored(site, body));
                wanted.bodies.extend(stored(site, note_body));
            }
            Command::Ping { from, to, .. } => {
                name(from);
                users.extend(name(to));
            }
            Command::GroupInvite { gid, from, to, .. } => {
                name(gid);
                name(from);
                users.extend(name(to));
                groups.push(gid);
            }
            Command::GroupEdit { gid, edit, .. } => {
                groups.push(gid);
                match edit {
                    GroupEdit::Join { new_alias } => {
                        new_alias.as_deref().map(&mut name);
                    }
                    GroupEdit::Alias { new_alias } => {
                        name(new_alias);
                    }
                    GroupEdit::Drop { to } => users.extend(name(to)),
                }
            }
            Command::OhiEdit { list, .. } => {
                users.extend(list.iter().filter_map(|item| Uid::parse(&item.id).ok()));
            }
            Command::Admin(request) => {
                wanted.settled.insert((request.once.key, request.once.text.clone()));
                let needs = Needs::of(&request.change);
                users.extend(needs.users);
                groups.extend(needs.groups);
                for text in needs.names {
                    name(text);
                }
                wanted
                    .known
                    .extend(needs.known.into_iter().map(|(uid, alias)| (site, uid, alias.to_owned())));
            }
            Command::Detach | Command::Present { .. } | Command::NewNode { .. } | Command::Acks { .. } => {}
        }
        users.into_iter().for_each(&mut member);
        for gid in groups {
            match self.groups.get(&(site, gid.to_owned())) {
                Some(group) => group.joined().for_each(&mut member),
                None if Alias::parse(gid).is_ok() => {
                    wanted.groups.insert((site, gid.to_owned()));
                }
                None => {}
            }
        }
        // The gateway may know a site that this worker has yet to hear of.
        if !matches!(envelope.command, Command::Present { .. }) && !envelope.is_gone() {
            wanted.sites.insert(site);
        }
    }

    /// Decides one command. What it needs has been loaded; what comes of it is in the outbox, the effects and the
    /// changes, and takes place in memory at once.
    pub fn apply(&mut self, now: Now, gateway: GatewayId, mut envelope: Envelope, world: &mut World<'_>) {
        if let Command::Present { epoch } = envelope.command {
            return self.gateway_is_present(gateway, epoch);
        }
        if envelope.is_gone() {
            return self.session_is_gone((gateway, envelope.session));
        }
        let call = Call { now, site: envelope.site, from: (gateway, envelope.session), seq: envelope.seq };
        if let Command::Admin(request) = &envelope.command {
            return self.admin(call, request, world);
        }
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
        let others = match self.check_policy(call, node, &envelope.command, world) {
            Ok(others) => others,
            Err(refusal) => {
                self.orphan_data(call.site, &envelope.command);
                self.hungry.insert(call.from);
                return self.refuse(call, &refusal);
            }
        };
        correct_sender(node, &mut envelope.command, world);
        self.request(call, node, envelope.command, world);
        self.note_contacts(call, node.uid, others, world);
        self.outbox.done.insert(call.from, call.seq);
        self.hungry.insert(call.from);
    }

    /// Decides what a session's node asks for.
    fn request(&mut self, call: Call, node: NodeKey, command: Command, world: &mut World<'_>) {
        match command {
            Command::Detach => self.end_session(call.from),
            Command::Acks { ids } => self.acks(call, node, &ids),
            Command::Post { digest, recipients, data, body, .. } => {
                self.post(call, node, digest, &recipients, Payload { info: data, body }, world);
            }
            Command::PostNotify {
                digest,
                recipients,
                note_recipients,
                for_not_self,
                data,
                body,
                note,
                note_body,
                ..
            } => {
                let message = Payload { info: data, body };
                let note = Payload { info: note, body: note_body };
                let forward = Forward { recipients, note_recipients, for_not_self, message, note };
                self.post_notify(call, node, digest, forward, world);
            }
            Command::Ping { digest, from, to, data, body } => {
                self.ping(call, node, digest, (from, to), Payload { info: data, body }, world);
            }
            Command::GroupInvite { digest, gid, from, to, data, body } => {
                let text = Payload { info: data, body };
                self.group_invite(call, node, digest, [gid, from, to], text, world);
            }
            Command::GroupEdit { digest, gid, edit } => {
                self.group_edit(call, node, digest, gid, &edit, world);
            }
            Command::OhiEdit { digest, act, list } => self.ohi_edit(call, node, digest, act, list),
            Command::NewAlias { digest, alias } => self.new_alias(call, node, digest, &alias, world),
            Command::NewNode { digest, label, node_id, secret } => {
                self.new_node(call, node, digest, label, node_id, secret);
            }
            Command::Register { .. }
            | Command::Login { .. }
            | Command::Attach(_)
            | Command::Admin(_)
            | Command::Present { .. } => {}
        }
    }

    /// Ends a command that cannot be applied, whatever it says, because the database does not take what comes of it.
    pub fn refuse_command(&mut self, gateway: GatewayId, envelope: &Envelope, now: Now) {
        let call = Call { now, site: envelope.site, from: (gateway, envelope.session), seq: envelope.seq };
        match &envelope.command {
            Command::Register { .. } | Command::Login { .. } | Command::Attach(_) => {
                let registers = matches!(envelope.command, Command::Register { .. });
                let refusal = if registers { LoginRefusal::RegistrationFailed } else { LoginRefusal::Failed };
                self.end_session(call.from);
                return self.answer(call, Answer::NotLoggedIn(refusal));
            }
            Command::Admin(request) => return self.refuse_admin(call, request),
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
            Command::Post { .. } | Command::PostNotify { .. } => {
                self.orphan_data(call.site, &envelope.command);
                self.answer(call, Answer::Refused(INTERNAL.to_owned()));
            }
            Command::Acks { .. }
            | Command::Register { .. }
            | Command::Login { .. }
            | Command::Attach(_)
            | Command::Admin(_)
            | Command::Present { .. } => {}
            Command::NewAlias { .. }
            | Command::NewNode { .. }
            | Command::Ping { .. }
            | Command::GroupInvite { .. }
            | Command::GroupEdit { .. }
            | Command::OhiEdit { .. } => self.answer(call, Answer::Refused(INTERNAL.to_owned())),
        }
        self.outbox.done.insert(call.from, call.seq);
        self.hungry.insert(call.from);
    }

    /// Nobody will refer to the data of this command.
    fn orphan_data(&mut self, site: SiteId, command: &Command) {
        match command {
            Command::Post { body, .. } => self.orphan(site, body),
            Command::PostNotify { body, note_body, .. } => {
                self.orphan(site, body);
                self.orphan(site, note_body);
            }
            _ => {}
        }
    }

    /// A repetition of a command that was applied is not lost: its answer is on its way, and the gateway would only
    /// ask for it again if that got lost.
    pub(super) fn tell_lost(&mut self, call: Call) {
        let repeated = self.sessions.get(&call.from).is_some_and(|session| call.seq < session.expected);
        if !repeated {
            let event = Event::Lost { session: call.from.1, seq: call.seq };
            self.outbox.answers.push((call.from.0, event));
        }
    }

    pub(super) fn answer(&mut self, call: Call, answer: Answer) {
        self.outbox.done.insert(call.from, call.seq);
        let event = Event::Answer { session: call.from.1, seq: call.seq, answer, trace: None };
        self.outbox.answers.push((call.from.0, event));
    }

    pub(super) fn refuse(&mut self, call: Call, refusal: &Refusal) {
        self.answer(call, Answer::Refused(refusal.to_string()));
    }

    // Requests.

    fn new_alias(&mut self, call: Call, node: NodeKey, digest: Digest, alias: &str, world: &mut World<'_>) {
        let key = request_key(node, &digest);
        if self.receipts.get(&key, call.now).is_some() {
            return self.answer(call, Answer::Done);
        }
        if let Err(refusal) = self.choose_alias(call.site, node.uid, alias, world) {
            return self.refuse(call, &refusal);
        }
        let owed = self.all_nodes(call.site, node.uid);
        let content = Content::NewAlias { alias: alias.to_owned() };
        let (msg_id, posted) = self.post_message(call, node, content, Payload::empty(), owed);
        self.remember_request(key, msg_id, posted);
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
        self.copy_queue(site, uid, (from, num), call.now.millis());
        self.effects.push(Effect::Copied { site, uid, from, to: num });
        let except: Vec<MsgId> = self.row_acks.get(&node).into_iter().flatten().copied().collect();
        self.changes.push(Change::CopyInbox { site, uid, from, to: num, except });

        let owed = self.all_nodes(site, uid);
        let content = Content::NewNode { label, node_id };
        let (msg_id, posted) = self.post_message(call, node, content, Payload::empty(), owed);
        self.remember_request(key, msg_id, posted);
        self.answer(call, Answer::Done);
    }

    fn acks(&mut self, call: Call, node: NodeKey, ids: &[MsgId]) {
        let mut acked = Vec::with_capacity(ids.len());
        for &id in ids {
            let flight = self.sessions.get_mut(&call.from).and_then(|session| session.acked(id));
            // A spill may have moved it to the rows meanwhile. And it need not be in flight: an ack that was on its way
            // when the session was opened anew comes behind the `Attach`, which does not name its message any more.
            if flight.is_some_and(|flight| flight.in_rows) || !self.remove(node, id) {
                self.ack_row(node, id);
            }
            acked.push(id);
        }
        if !acked.is_empty() {
            self.note_done(node, &acked, None, call.now.millis());
            let NodeKey { site, uid, node } = node;
            self.effects.push(Effect::Acked { site, uid, node, ids: acked, ended: None });
        }
    }

    // What they share.

    /// Gives a message its id and time, and queues it.
    pub(super) fn post_message(
        &mut self,
        call: Call,
        node: NodeKey,
        content: Content,
        payload: Payload,
        owed: Vec<Owed>,
    ) -> (MsgId, Posted) {
        let id = self.next_msg_id(call.now);
        let posted = Posted(call.now.millis());
        let Payload { info: data, body } = payload;
        let from = Some(node.node).filter(|num| *num != NO_NODE);
        self.queue(call.site, Message { id, posted, from: node.uid, content, data, body }, from, owed);
        (id, posted)
    }

    /// Remembers a request that succeeded.
    pub(super) fn remember_request(&mut self, key: ReceiptKey, msg_id: MsgId, posted: Posted) {
        let receipt = Receipt { key, posted, msg_id };
        self.receipts.add(receipt);
        self.effects.push(Effect::Receipt(receipt));
    }

    pub(super) fn claim_alias(
        &mut self,
        site: SiteId,
        uid: Uid,
        text: &str,
        world: &mut World<'_>,
    ) -> Result<(), Refusal> {
        let alias = Alias::parse(text)?;
        if tmtp_domain::claim(uid, alias.as_str(), world.holder(site, alias.as_str()))? {
            world.facts.take_name(site, text, NameHolder::Member(uid));
            self.changes.push(Change::Name { site, name: text.to_owned(), uid });
        }
        Ok(())
    }

    pub(super) fn all_nodes(&self, site: SiteId, uid: Uid) -> Vec<Owed> {
        let nodes = |member: &Member| member.nodes.iter().map(|node| node.num).collect::<Vec<_>>();
        let member = self.members.get(&(site, uid)).filter(|member| member.receives());
        let nodes = member.map(nodes).filter(|nodes| !nodes.is_empty());
        nodes.map(|nodes| Owed { uid, nodes }).into_iter().collect()
    }
}

/// What a list of recipients names.
fn list<'l>(list: &'l [Recipient], users: &mut Vec<Uid>, groups: &mut Vec<&'l str>) {
    for item in list {
        match item.kind {
            RecipientKind::User => users.extend(Uid::parse(&item.id).ok()),
            RecipientKind::Group | RecipientKind::GroupOthers => groups.push(&item.id),
        }
    }
}

fn stored(site: SiteId, body: &Body) -> Option<(SiteId, BodyId)> {
    match body {
        Body::Stored(stored) => Some((site, stored.id)),
        Body::Empty | Body::Inline(_) => None,
    }
}
