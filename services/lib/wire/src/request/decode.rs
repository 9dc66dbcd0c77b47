//! Turns a request's header into a [`Request`], after all the checks that need nothing but the header.
//! It must never let a header pass that a session would have to check again for presence or range.

use super::fields::{Fields, Lengths, owned};
use crate::{DataInfo, Error, Header, Op, Request, json::Text};

impl Header for Request {
    fn decode(json: &[u8]) -> Result<Self, Error> {
        let fields = Fields::scan(json)?;
        let op = fields.op.and_then(Op::from_number).ok_or(Error::Header)?;
        let (data, note) = (lengths(&fields.data)?, lengths(&fields.note)?);
        check_lengths(op, data, note)?;
        check_lists(op, &fields)?;
        build(op, &fields, data, note)
    }

    fn data_len(&self) -> u64 {
        self.data().len
    }
}

/// None may be negative, and the head is a part of the whole.
fn lengths(fields: &Lengths) -> Result<DataInfo, Error> {
    let unsigned = |length: Option<i64>| u64::try_from(length.unwrap_or(0)).map_err(|_| Error::Header);
    let data =
        DataInfo { len: unsigned(fields.len)?, head: unsigned(fields.head)?, sum: fields.sum.unwrap_or(0) };
    if data.head > data.len { Err(Error::Header) } else { Ok(data) }
}

/// Whether there has to be, or may be, data and a note.
fn check_lengths(op: Op, data: DataInfo, note: DataInfo) -> Result<(), Error> {
    let data_fits = match op {
        Op::Post | Op::PostNotify => data.len > 0,
        Op::GroupInvite | Op::Ping => true,
        _ => data.len == 0,
    };
    let note_fits = (op == Op::PostNotify) == (note.len > 0);
    if data_fits && note_fits { Ok(()) } else { Err(Error::Header) }
}

/// The elements of both lists are checked whatever the operation, even where it has no use for them.
fn check_lists(op: Op, fields: &Fields<'_>) -> Result<(), Error> {
    for list in [&fields.recipients, &fields.note_recipients] {
        if list.nameless || (list.odd_kind && op != Op::OhiEdit) {
            return Err(Error::Header);
        }
    }
    if matches!(op, Op::Post | Op::PostNotify) && !fields.recipients.is_present() {
        return Err(Error::Header);
    }
    Ok(())
}

fn build(op: Op, fields: &Fields<'_>, data: DataInfo, note: DataInfo) -> Result<Request, Error> {
    Ok(match op {
        Op::TmtpRev => Request::TmtpRev { id: needed(fields.id)? },
        Op::Register => Request::Register {
            new_node: needed(fields.new_node)?,
            new_alias: needed(fields.new_alias)?,
            oidc: fields.oidc.as_ref().map(super::fields::Tokens::collect),
            invite: optional(fields.invite),
        },
        Op::Login => Request::Login { uid: needed(fields.uid)?, node: needed(fields.node)? },
        Op::UserEdit => Request::UserEdit {
            id: needed(fields.id)?,
            new_node: optional(fields.new_node),
            new_alias: optional(fields.new_alias),
        },
        Op::OhiEdit => Request::OhiEdit {
            id: needed(fields.id)?,
            recipients: fields.recipients.collect()?,
            kind: owned(fields.kind),
        },
        Op::GroupInvite => Request::GroupInvite {
            id: needed(fields.id)?,
            gid: needed(fields.gid)?,
            from: needed(fields.from)?,
            to: needed(fields.to)?,
            data,
        },
        Op::GroupEdit => Request::GroupEdit {
            id: needed(fields.id)?,
            act: needed(fields.act)?,
            gid: needed(fields.gid)?,
            to: optional(fields.to),
            new_alias: optional(fields.new_alias),
        },
        Op::Post => Request::Post { id: needed(fields.id)?, recipients: fields.recipients.collect()?, data },
        Op::PostNotify => Request::PostNotify {
            id: needed(fields.id)?,
            recipients: fields.recipients.collect()?,
            note_recipients: fields.note_recipients.collect()?,
            for_not_self: fields.for_not_self,
            data,
            note,
        },
        Op::Ping => {
            Request::Ping { id: needed(fields.id)?, from: needed(fields.from)?, to: needed(fields.to)?, data }
        }
        Op::Ack => Request::Ack { id: needed(fields.id)?, kind: needed(fields.kind)? },
        Op::Pulse => Request::Pulse,
        Op::Quit => Request::Quit,
    })
}

/// A field that has to be there and not be empty.
fn needed(text: Option<Text<'_>>) -> Result<String, Error> {
    optional(text).ok_or(Error::Header)
}

/// A field that may be absent; an empty one counts as absent.
fn optional(text: Option<Text<'_>>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(|text| text.decode().into_owned())
}
