//! The requests of a session: which may come when, what is checked here, and what goes to the home as a command.

use tmtp_contract::Command;
use tmtp_domain::{MsgId, NodeSecret, Refusal, Uid};
use tmtp_wire::id::{base32, parse_message_id};
use tmtp_wire::{Op, Request};

use super::deliveries::new_node_fits;
use super::frames::{ack_error, ack_fits};
use super::home::Expect;
use super::post::{Addressing, COMMAND_OCTETS, Demand, Incoming, header_digest, recipient};
use super::{Count, Opening, Phase, Reason, Session, Turn, quit, refused};

/// Requests.
impl Session {
    /// A header has come: the table of link states, and then the operation.
    pub(super) fn begin(&mut self, t: &mut Turn<'_>, request: Request, raw: &[u8]) {
        match (&self.phase, request) {
            (Phase::New, Request::TmtpRev { .. }) => self.greet(t),
            (Phase::Greeted, Request::Register { new_node, new_alias, oidc, invite }) => {
                self.register(t, new_node, new_alias, oidc, invite);
            }
            (Phase::Greeted, Request::Login { uid, node }) => self.login(t, &uid, &node),
            (Phase::Open { .. }, request) => self.serve(t, request, raw),
            (Phase::New, _) => self.quit(t, Reason::Order, ""),
            (Phase::Greeted, Request::TmtpRev { .. }) => self.quit(t, Reason::Order, quit::REPETITION),
            (Phase::Greeted | Phase::SigningIn(_) | Phase::Opening(_), _) => {
                self.quit(t, Reason::Order, quit::UNAUTHENTICATED);
            }
        }
    }

    fn login(&mut self, t: &mut Turn<'_>, uid: &str, node: &str) {
        let Ok(octets) = base32::decode(node) else { return self.quit(t, Reason::Login, quit::BASE32) };
        let (Some(secret), Ok(uid)) = (NodeSecret::from_octets(&octets), Uid::parse(uid)) else {
            return self.quit(t, Reason::Login, quit::LOGIN);
        };
        self.home.publish(t, Command::Login { uid, secret: secret.hash() }, Expect::Opening, 0, None);
        self.phase = Phase::Opening(Box::new(Opening::Login { uid }));
    }

    /// The operations of a client that is logged in.
    fn serve(&mut self, t: &mut Turn<'_>, request: Request, raw: &[u8]) {
        match request {
            Request::Pulse => {}
            Request::Ack { id, .. } => self.acked(t, &id),
            Request::Quit => self.say_farewell(t, Some(quit::LOGOUT.into())),
            Request::TmtpRev { .. } => self.quit(t, Reason::Order, quit::REPETITION),
            Request::Register { .. } | Request::Login { .. } => self.quit(t, Reason::Order, quit::CONNECTED),
            Request::UserEdit { id, new_node, new_alias } if ack_fits(&id) => {
                self.edit_user(t, id, new_node, new_alias, raw);
            }
            Request::Post { id, recipients, data } if ack_fits(&id) => {
                let recipients = recipients.into_iter().map(recipient).collect();
                self.post(t, id, Demand::Post { recipients }, None, data, raw);
            }
            Request::OhiEdit { id, recipients, kind } if ack_fits(&id) => {
                self.edit_ohi(t, id, recipients, &kind, raw);
            }
            Request::GroupInvite { id, gid, from, to, data } if ack_fits(&id) => {
                self.text(t, id, Addressing::Invite { gid, from, to }, data, raw);
            }
            Request::GroupEdit { id, act, gid, to, new_alias } if ack_fits(&id) => {
                self.edit_group(t, id, gid, (&act, to, new_alias), raw);
            }
            Request::PostNotify { id, recipients, note_recipients, for_not_self, data, note }
                if ack_fits(&id) =>
            {
                let demand = Demand::PostNotify {
                    recipients: recipients.into_iter().map(recipient).collect(),
                    note_recipients: note_recipients.into_iter().map(recipient).collect(),
                    for_not_self,
                };
                self.post_notify(t, id, demand, data, note, raw);
            }
            Request::Ping { id, from, to, data } if ack_fits(&id) => {
                self.text(t, id, Addressing::Ping { from, to }, data, raw);
            }
            // Its ack would not fit into a header, so it must not have an effect either.
            _ => self.quit(t, Reason::Header, quit::HEADER),
        }
    }

    fn acked(&mut self, t: &mut Turn<'_>, id: &str) {
        let Some(id) = parse_message_id(id) else { return };
        if self.deliveries.ack(MsgId(id), t.now) {
            t.host.count(Count::Ack);
            self.pass_acks(t);
        }
    }

    fn edit_user(
        &mut self,
        t: &mut Turn<'_>,
        id: String,
        new_node: Option<String>,
        new_alias: Option<String>,
        raw: &[u8],
    ) {
        let digest = header_digest(raw);
        let command = match (new_node, new_alias) {
            (None, Some(alias)) => Command::NewAlias { digest, alias },
            (Some(label), None) => {
                let secret = t.host.secret();
                let node_id = secret.reveal();
                if !new_node_fits(&label, &node_id) {
                    let text = Refusal::TooLarge.to_string();
                    return self.refuse(t, Reason::TooLarge, &id, &text);
                }
                Command::NewNode { digest, label, node_id, secret: secret.hash() }
            }
            _ => return self.quit(t, Reason::Header, quit::HEADER),
        };
        self.request(t, Op::UserEdit, id, command, COMMAND_OCTETS + raw.len());
    }

    pub(super) fn take_data(&mut self, t: &mut Turn<'_>, piece: &[u8]) {
        t.host.count(Count::BodyIn(piece.len()));
        match &mut self.incoming {
            Some(Incoming::Post(post)) => {
                post.take(piece);
                self.go_on_with_post(t, false);
            }
            Some(Incoming::Text(text)) => text.take(piece),
            Some(Incoming::Refused { .. }) | None => {}
        }
    }

    /// The frame is complete.
    pub(super) fn end_data(&mut self, t: &mut Turn<'_>) {
        match &self.incoming {
            Some(Incoming::Post(_)) => self.go_on_with_post(t, true),
            Some(Incoming::Text(_)) => self.end_text(t),
            Some(Incoming::Refused { id, error }) => {
                let frame = ack_error(id, error);
                self.incoming = None;
                self.home.reply(frame, &mut self.replies);
            }
            // What has no data was dealt with when its header came.
            None => {}
        }
    }

    /// Hands out the next chunk, or publishes the post when all its data has come and is stored.
    pub(super) fn go_on_with_post(&mut self, t: &mut Turn<'_>, complete: bool) {
        let Some(Incoming::Post(post)) = &mut self.incoming else { return };
        self.uploads.extend(post.next_chunk());
        if !complete || post.is_busy() {
            return;
        }
        let Some(Incoming::Post(post)) = self.incoming.take() else { return };
        if post.has_failed() {
            return self.refuse(t, Reason::Store, post.id(), refused::STORE);
        }
        let discard = post.discard();
        let complete = post.complete();
        let op =
            if matches!(complete.command, Command::PostNotify { .. }) { Op::PostNotify } else { Op::Post };
        if !self.request(t, op, complete.id, complete.command, complete.octets) {
            self.uploads.extend(discard);
        }
    }

    /// Publishes a complete request, or refuses it when the gateway holds too much already.
    pub(super) fn request(
        &mut self,
        t: &mut Turn<'_>,
        op: Op,
        id: String,
        command: Command,
        octets: usize,
    ) -> bool {
        if !t.host.reserve(octets) {
            self.refuse(t, Reason::Overloaded, &id, refused::OVERLOADED);
            return false;
        }
        let trace = t.host.trace(op);
        self.home.publish(t, command, Expect::Ack(id), octets, trace);
        true
    }

    pub(super) fn refuse(&mut self, t: &Turn<'_>, reason: Reason, id: &str, text: &str) {
        t.host.count(Count::Refused(reason));
        self.home.reply(ack_error(id, text), &mut self.replies);
    }

    /// Passes acks up: at once if none are under way, else all that gathered meanwhile together.
    pub(super) fn pass_acks(&mut self, t: &mut Turn<'_>) {
        if self.deliveries.has_acked() && self.home.accepts_commands() && !self.home.has_acks_under_way() {
            let ids = self.deliveries.take_acked();
            self.home.publish(t, Command::Acks { ids }, Expect::Done, 0, None);
        }
    }
}
