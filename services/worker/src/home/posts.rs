//! Post, PostNotify and Ping: messages to users and groups.

use std::collections::BTreeSet;

use tmtp_contract::{Answer, Body, Content, DataInfo, Digest};
use tmtp_domain::{Audience, Owed, Recipient, Refusal, Sender, SiteId, Uid};

use super::decide::Call;
use super::receipts::request_key;
use super::{Home, NodeKey, World};

/// What a request with data is refused with when that was removed before the request came to its end.
const EXPIRED: &str = "data took too long";

/// Data of a request, with what it says of it.
#[derive(Debug)]
pub struct Payload {
    /// What the request says.
    pub info: DataInfo,
    /// Where the octets are.
    pub body: Body,
}

impl Payload {
    /// Of what has none.
    pub fn empty() -> Self {
        Self { info: DataInfo::default(), body: Body::Empty }
    }
}

/// A PostNotify.
#[derive(Debug)]
pub struct Forward {
    /// Who gets message and note.
    pub recipients: Vec<Recipient>,
    /// Who gets the note alone.
    pub note_recipients: Vec<Recipient>,
    /// The sender's other nodes do not get the message.
    pub for_not_self: bool,
    /// The message.
    pub message: Payload,
    /// The note.
    pub note: Payload,
}

impl Home {
    pub(super) fn post(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        recipients: &[Recipient],
        payload: Payload,
        world: &World<'_>,
    ) {
        let key = request_key(node, &digest);
        if let Some(receipt) = self.receipts.get(&key, call.now) {
            // When the gateway repeats a command whose answer got lost, this is the body of the message that was queued
            // then; when the client sends its request again, it is another one.
            self.orphan(call.site, &payload.body);
            return self.answer(call, Answer::Posted { msg_id: receipt.msg_id, posted: receipt.posted });
        }
        if self.is_condemned(call.site, &payload.body) {
            return self.answer(call, Answer::Refused(EXPIRED.to_owned()));
        }
        let mut audience = Audience::of(node.sender());
        match self.add_list(&mut audience, call.site, recipients) {
            Ok(()) => {
                let away = self.away_of(call, node.uid, recipients);
                self.delegates(call, node.uid, &away).into_iter().for_each(|uid| audience.add(uid));
                audience.add_own_nodes();
                let owed = self.owed(call.site, &audience);
                let content = Content::Delivery { notify: 0 };
                let (msg_id, posted) = self.post_message(call, node, content, payload, owed);
                self.tell_away(call, node.uid, &away, world);
                self.remember_request(key, msg_id, posted);
                self.answer(call, Answer::Posted { msg_id, posted });
            }
            Err(refusal) => {
                self.orphan(call.site, &payload.body);
                self.refuse(call, &refusal);
            }
        }
    }

    pub(super) fn post_notify(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        forward: Forward,
        world: &World<'_>,
    ) {
        let key = request_key(node, &digest);
        let Forward { recipients, note_recipients, for_not_self, message, note } = forward;
        if let Some(receipt) = self.receipts.get(&key, call.now) {
            self.orphan(call.site, &message.body);
            self.orphan(call.site, &note.body);
            return self.answer(call, Answer::Posted { msg_id: receipt.msg_id, posted: receipt.posted });
        }
        let condemned = [&message.body, &note.body].map(|body| self.is_condemned(call.site, body));
        let decided = if condemned.contains(&true) {
            Err(EXPIRED.to_owned())
        } else {
            self.forward_to(call, node.sender(), &recipients, &note_recipients, for_not_self)
                .map_err(|refusal| refusal.to_string())
        };
        let (owed, noted) = match decided {
            Ok(both) => both,
            Err(text) => {
                // A condemned one is the sweeper's; asking again does no harm.
                self.orphan(call.site, &message.body);
                self.orphan(call.site, &note.body);
                return self.answer(call, Answer::Refused(text));
            }
        };
        let told = recipients.len() + note_recipients.len() + usize::from(!for_not_self);
        let content = Content::Delivery { notify: u64::try_from(told).unwrap_or(u64::MAX) };
        let (msg_id, posted) = self.post_message(call, node, content, message, owed);
        self.post_message(call, node, Content::Notify { post_id: msg_id }, note, noted);
        let mut away = self.away_of(call, node.uid, &recipients);
        away.extend(self.away_of(call, node.uid, &note_recipients));
        self.tell_away(call, node.uid, &away, world);
        self.remember_request(key, msg_id, posted);
        self.answer(call, Answer::Posted { msg_id, posted });
    }

    /// Who is owed the message, and who the note. Errors of the message's list decide first; either means that nobody
    /// gets anything.
    fn forward_to(
        &self,
        call: Call,
        sender: Sender,
        recipients: &[Recipient],
        note_recipients: &[Recipient],
        for_not_self: bool,
    ) -> Result<(Vec<Owed>, Vec<Owed>), Refusal> {
        let site = call.site;
        let mut audience = Audience::of(sender);
        self.add_list(&mut audience, site, recipients)?;
        let away = self.away_of(call, sender.uid, recipients);
        self.delegates(call, sender.uid, &away).into_iter().for_each(|uid| audience.add(uid));
        let mut noted = audience.clone();
        self.add_list(&mut noted, site, note_recipients)?;
        let away = self.away_of(call, sender.uid, note_recipients);
        self.delegates(call, sender.uid, &away).into_iter().for_each(|uid| noted.add(uid));
        noted.add_own_nodes();
        if !for_not_self {
            audience.add_own_nodes();
        }
        Ok((self.owed(site, &audience), self.owed(site, &noted)))
    }

    pub(super) fn ping(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        (from, to): (String, String),
        payload: Payload,
        world: &World<'_>,
    ) {
        let key = request_key(node, &digest);
        if let Some(receipt) = self.receipts.get(&key, call.now) {
            return self.answer(call, Answer::Posted { msg_id: receipt.msg_id, posted: receipt.posted });
        }
        match tmtp_domain::ping(node.uid, &from, &to, |name| world.holder(call.site, name)) {
            Ok(uid) => {
                let mut audience = Audience::to_user(node.sender(), uid);
                let away: BTreeSet<Uid> = Some(uid)
                    .filter(|uid| *uid != node.uid && self.away(call, *uid).is_some())
                    .into_iter()
                    .collect();
                self.delegates(call, node.uid, &away).into_iter().for_each(|uid| audience.add(uid));
                let owed = self.owed(call.site, &audience);
                let content = Content::Ping { alias: from, to };
                let (msg_id, posted) = self.post_message(call, node, content, payload, owed);
                self.tell_away(call, node.uid, &away, world);
                self.remember_request(key, msg_id, posted);
                self.answer(call, Answer::Posted { msg_id, posted });
            }
            Err(refusal) => self.refuse(call, &refusal),
        }
    }

    fn add_list(&self, audience: &mut Audience, site: SiteId, list: &[Recipient]) -> Result<(), Refusal> {
        audience.add_list(
            list,
            |uid| self.members.contains_key(&(site, uid)),
            |gid| self.groups.get(&(site, gid.to_owned())),
        )
    }

    pub(super) fn owed(&self, site: SiteId, audience: &Audience) -> Vec<Owed> {
        audience.owed(|uid| self.members.get(&(site, uid)))
    }

    fn is_condemned(&self, site: SiteId, body: &Body) -> bool {
        matches!(body, Body::Stored(stored) if self.condemned.contains(&(site, stored.id)))
    }
}
