//! Writes requests as clients do: capitalised names in order, fields without meaning left out.
//! It must never refuse a request for what it says: tests send wrong ones too.

use crate::{DataInfo, Oidc, Recipient, Request, TooLong, encode::append_header, json::Object};

impl Request {
    /// Appends length digits and header. If the header would be too long, `out` stays as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        append_header(out, |out| {
            let mut object = Object::open(out);
            self.write_fields(&mut object);
            object.close();
        })
    }

    /// The fields of each request in bytewise order of their names.
    fn write_fields(&self, object: &mut Object<'_>) {
        let op = u64::from(self.op().number());
        match self {
            Self::TmtpRev { id } => object.text("Id", id).number("Op", op),
            Self::Register { new_node, new_alias, oidc, invite } => {
                object.optional("Invite", invite.as_deref());
                object.text("NewAlias", new_alias).text("NewNode", new_node);
                write_oidc(oidc.as_ref(), object).number("Op", op)
            }
            Self::Login { uid, node } => object.text("Node", node).number("Op", op).text("Uid", uid),
            Self::UserEdit { id, new_node, new_alias } => object
                .text("Id", id)
                .optional("NewAlias", new_alias.as_deref())
                .optional("NewNode", new_node.as_deref())
                .number("Op", op),
            Self::OhiEdit { id, recipients, kind } => object
                .list("For", recipients, write_recipient)
                .text("Id", id)
                .number("Op", op)
                .text("Type", kind),
            Self::GroupInvite { id, gid, from, to, data } => write_data(data, object)
                .text("From", from)
                .text("Gid", gid)
                .text("Id", id)
                .number("Op", op)
                .text("To", to),
            Self::GroupEdit { id, act, gid, to, new_alias } => object
                .text("Act", act)
                .text("Gid", gid)
                .text("Id", id)
                .optional("NewAlias", new_alias.as_deref())
                .number("Op", op)
                .optional("To", to.as_deref()),
            Self::Post { id, recipients, data } => write_data(data, object)
                .list("For", recipients, write_recipient)
                .text("Id", id)
                .number("Op", op),
            Self::PostNotify { id, recipients, note_recipients, for_not_self, data, note } => {
                write_data(data, object)
                    .list("For", recipients, write_recipient)
                    .flag("ForNotSelf", *for_not_self)
                    .text("Id", id)
                    .list("NoteFor", note_recipients, write_recipient)
                    .positive("NoteHead", note.head)
                    .positive("NoteLen", note.len)
                    .positive("NoteSum", note.sum)
                    .number("Op", op)
            }
            Self::Ping { id, from, to, data } => {
                write_data(data, object).text("From", from).text("Id", id).number("Op", op).text("To", to)
            }
            Self::Ack { id, kind } => object.text("Id", id).number("Op", op).text("Type", kind),
            Self::Pulse | Self::Quit => object.number("Op", op),
        };
    }
}

fn write_data<'w, 'o>(data: &DataInfo, object: &'w mut Object<'o>) -> &'w mut Object<'o> {
    object.positive("DataHead", data.head).positive("DataLen", data.len).positive("DataSum", data.sum)
}

fn write_recipient(recipient: &Recipient, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.text("Id", &recipient.id);
    if recipient.kind != 0 {
        object.signed("Type", recipient.kind);
    }
    object.close();
}

/// The names inside are the provider's, which clients pass on as they got them.
fn write_oidc<'w, 'o>(oidc: Option<&Oidc>, object: &'w mut Object<'o>) -> &'w mut Object<'o> {
    let Some(oidc) = oidc else { return object };
    object.object("Oidc", |inner| {
        inner
            .text("access_token", &oidc.access_token)
            .number("expires_in", oidc.expires_in)
            .text("id_token", &oidc.id_token)
            .text("refresh_token", &oidc.refresh_token)
            .text("scope", &oidc.scope)
            .text("token_type", &oidc.token_type);
    })
}
