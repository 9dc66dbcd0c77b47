//! The operations with data, and those of groups and presence: what is checked here, in the protocol's order, before the
//! home hears of a request.

use std::borrow::Cow;

use tmtp_contract::Command;
use tmtp_domain::{GroupEdit, OhiAct, OhiItem, PolicyRefusal};
use tmtp_wire::{DataInfo, Op};

use super::post::{
    Addressing, COMMAND_OCTETS, Demand, Incoming, Part, Post, TEXT_OCTETS_MAX, Text, TextError, header_digest,
};
use super::{Count, Reason, Session, Turn, quit, refused};

impl Session {
    /// Begins to take the data of a post; `note` describes the part of it that comes first, if there is one.
    pub(super) fn post(
        &mut self,
        t: &mut Turn<'_>,
        id: String,
        demand: Demand,
        note: Option<DataInfo>,
        message: DataInfo,
        raw: &[u8],
    ) {
        if let Some(error) = self.too_large(t, note, message) {
            t.host.count(Count::Refused(Reason::TooLarge));
            self.incoming = Some(Incoming::Refused { id, error });
            return;
        }
        let part = |info: DataInfo| {
            let store = (info.len > t.limits.inline_max).then(|| (t.host.body_id(), t.limits.chunk_octets));
            Part::new(info, store)
        };
        let (note, message) = (note.map(part), part(message));
        self.incoming = Some(Incoming::Post(Box::new(Post::new(id, demand, raw, note, message))));
    }

    /// Why the data of a post is too large, for this gateway or for the site. The home would say the latter, too, but only
    /// after all of it has been stored.
    fn too_large(
        &self,
        t: &Turn<'_>,
        note: Option<DataInfo>,
        message: DataInfo,
    ) -> Option<Cow<'static, str>> {
        let note = note.map_or(0, |note| note.len);
        if message.len.max(note) > t.limits.body_max {
            return Some(refused::BODY_TOO_LARGE.into());
        }
        let most = t.host.site(self.site.id)?.policy.posts.octets_max?;
        let is_over = message.len.saturating_add(note) > most;
        is_over.then(|| PolicyRefusal::PostOctets(most).to_string().into())
    }

    /// `data.len` counts note and message together; `head` and `sum` are the message's.
    pub(super) fn post_notify(
        &mut self,
        t: &mut Turn<'_>,
        id: String,
        demand: Demand,
        data: DataInfo,
        note: DataInfo,
        raw: &[u8],
    ) {
        let Some(len) = data.len.checked_sub(note.len).filter(|len| *len > 0) else {
            return self.quit(t, Reason::Data, quit::TOO_SHORT);
        };
        let nobody = matches!(&demand, Demand::PostNotify { recipients, for_not_self: true, .. } if recipients.is_empty());
        if nobody {
            return self.quit(t, Reason::Data, quit::NO_RECIPIENTS);
        }
        if data.head > len {
            return self.quit(t, Reason::Header, quit::HEADER);
        }
        self.post(t, id, demand, Some(note), DataInfo { len, ..data }, raw);
    }

    /// Begins to take the text of a ping or an invitation. One that is too long is refused when it is announced.
    pub(super) fn text(
        &mut self,
        t: &mut Turn<'_>,
        id: String,
        addressing: Addressing,
        data: DataInfo,
        raw: &[u8],
    ) {
        if data.len > TEXT_OCTETS_MAX {
            return self.quit(t, Reason::Data, quit::TOO_LONG);
        }
        let text = Text::new(id, addressing, data, raw);
        self.incoming = Some(Incoming::Text(Box::new(text)));
    }

    /// The text has come.
    pub(super) fn end_text(&mut self, t: &mut Turn<'_>) {
        let Some(Incoming::Text(text)) = self.incoming.take() else { return };
        match text.complete() {
            Ok(complete) => {
                let op =
                    if matches!(complete.command, Command::Ping { .. }) { Op::Ping } else { Op::GroupInvite };
                self.request(t, op, complete.id, complete.command, complete.octets);
            }
            Err(TextError::Encoding) => self.quit(t, Reason::Data, quit::NOT_UTF8),
            Err(TextError::Length) => self.quit(t, Reason::Data, quit::TOO_LONG),
        }
    }

    pub(super) fn edit_group(
        &mut self,
        t: &mut Turn<'_>,
        id: String,
        gid: String,
        (act, to, new_alias): (&str, Option<String>, Option<String>),
        raw: &[u8],
    ) {
        let edit = match (act, to, new_alias) {
            ("join", _, new_alias) => GroupEdit::Join { new_alias },
            ("alias", _, Some(new_alias)) => GroupEdit::Alias { new_alias },
            ("drop", Some(to), _) => GroupEdit::Drop { to },
            _ => return self.quit(t, Reason::Header, quit::HEADER),
        };
        let command = Command::GroupEdit { digest: header_digest(raw), gid, edit };
        self.request(t, Op::GroupEdit, id, command, COMMAND_OCTETS + raw.len());
    }

    pub(super) fn edit_ohi(
        &mut self,
        t: &mut Turn<'_>,
        id: String,
        recipients: Vec<tmtp_wire::Recipient>,
        kind: &str,
        raw: &[u8],
    ) {
        let act = match kind {
            "init" => OhiAct::Init,
            "add" => OhiAct::Add,
            "drop" => OhiAct::Drop,
            _ => return self.quit(t, Reason::Header, quit::HEADER),
        };
        if recipients.is_empty() {
            return self.quit(t, Reason::Header, quit::HEADER);
        }
        let list: Vec<OhiItem> =
            recipients.into_iter().map(|item| OhiItem { id: item.id, kind: item.kind }).collect();
        let command = Command::OhiEdit { digest: header_digest(raw), act, list };
        self.request(t, Op::OhiEdit, id, command, COMMAND_OCTETS + raw.len());
    }
}
