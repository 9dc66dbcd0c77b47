//! Writes responses: sorted names, Go's spelling, and the headsum where a response has one.
//! It must never write a header whose headsum does not hold.

use crate::{
    Recipient, Response, Std, TooLong, UserChange,
    encode::{DIGITS, append_header, length_digits},
    id::crc32c,
    json::{Object, write_decimal, write_text},
    response::AuthBy,
};

/// Names the field; digits and a comma follow.
const HEADSUM: &[u8] = b"\"headsum\":";

impl Response<'_> {
    /// Appends length digits and header. If the header would be too long, `out` stays as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        append_header(out, |out| {
            let start = out.len() - DIGITS;
            let mut object = Object::open(out);
            let headsum_place = self.write_fields(&mut object);
            object.close();
            if let Some(place) = headsum_place {
                insert_headsum(out, start, place);
            }
        })
    }

    /// The fields of each response in bytewise order of their names. Says where the headsum belongs, if anywhere.
    fn write_fields(&self, object: &mut Object<'_>) -> Option<usize> {
        let Some(std) = self.std() else {
            self.write_plain(object);
            return None;
        };
        match self {
            Self::Invite { alias, .. } | Self::Ping { alias, .. } => object.text("alias", alias),
            Self::Member { act, alias, .. } => object.text("act", act).text("alias", alias),
            _ => object,
        }
        .positive("datahead", std.data.head)
        .number("datalen", std.data.len)
        .positive("datasum", std.data.sum);
        if let Self::OhiEdit { recipients, .. } = self {
            object.list("for", recipients, write_recipient);
        }
        object.text("from", &std.from);
        if let Self::Invite { gid, .. } | Self::Member { gid, .. } = self {
            object.text("gid", gid);
        }
        // Behind the comma that comes before "id".
        let place = object.place() + 1;
        object.text("id", &std.id);
        self.write_rest(std, object);
        Some(place)
    }

    /// The fields of a queued message that sort behind `id`.
    fn write_rest(&self, std: &Std<'_>, object: &mut Object<'_>) {
        match self {
            Self::Login { node, .. } => object.text("node", node),
            Self::User { change: UserChange::Alias(alias), .. } => object.text("newalias", alias),
            Self::User { change: UserChange::Node { label, node_id }, .. } => {
                object.text("newnode", label).text("nodeid", node_id)
            }
            Self::Member { new_alias, .. } => object.optional("newalias", new_alias.as_deref()),
            Self::Delivery { notify, .. } => object.positive("notify", *notify),
            _ => object,
        }
        .text("op", self.op())
        .text("posted", &std.posted);
        match self {
            Self::OhiEdit { kind, .. } => object.text("type", kind),
            Self::Invite { to, .. } | Self::Ping { to, .. } => object.text("to", to),
            Self::Notify { post_id, .. } => object.text("postid", post_id),
            _ => object,
        };
    }

    /// The fields of what is not queued.
    fn write_plain(&self, object: &mut Object<'_>) {
        let op = self.op();
        match self {
            Self::TmtpRev { name, auth, auth_by } => {
                if let Some(auth) = auth {
                    object.number("auth", u64::from(*auth));
                }
                if let Some(auth_by) = auth_by {
                    object.list("authby", auth_by, write_auth_by);
                }
                object.text("id", "1").text("name", name).text("op", op)
            }
            Self::Registered { uid, node_id, error } => object
                .optional("error", error.as_deref())
                .text("nodeid", node_id)
                .text("op", op)
                .text("uid", uid),
            Self::Info { info, ohi } => {
                object.text("info", info);
                if !ohi.is_empty() {
                    object.list("ohi", ohi, |uid, out| write_text(uid, out));
                }
                object.text("op", op)
            }
            Self::Quit { error } => object.text("error", error).text("op", op),
            Self::Ack { id, receipt, error } => {
                object.optional("error", error.as_deref()).text("id", id);
                match receipt {
                    Some((msgid, posted)) => {
                        object.text("msgid", msgid).text("op", op).text("posted", posted)
                    }
                    None => object.text("op", op),
                }
            }
            Self::Ohi { from, status } => {
                object.text("from", from).text("op", op).number("status", u64::from(*status))
            }
            Self::Unknown { op, data_len } => object.positive("datalen", *data_len).text("op", op),
            // What is queued has been written by `write_fields`.
            _ => object,
        };
    }
}

fn write_auth_by(provider: &AuthBy<'_>, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object
        .text("label", &provider.label)
        .list("login", &provider.login, |text, out| write_text(text, out))
        .list("token", &provider.token, |text, out| write_text(text, out))
        .close();
}

/// The reference spells these with capitals and never leaves the type out; receivers know it so.
fn write_recipient(recipient: &Recipient, out: &mut Vec<u8>) {
    Object::open(out).text("Id", &recipient.id).signed("Type", recipient.kind).close();
}

/// Computes the sum over the header as it stands behind `start`, with the digits of its length, and inserts it.
fn insert_headsum(out: &mut Vec<u8>, start: usize, place: usize) {
    let json_len = out.len() - start - DIGITS;
    out[start..start + DIGITS].copy_from_slice(&length_digits(json_len));
    let sum = crc32c(&out[start..]);
    let without = out.len();
    out.extend_from_slice(HEADSUM);
    write_decimal(u64::from(sum), out);
    out.push(b',');
    let field_len = out.len() - without;
    out[place..].rotate_right(field_len);
}
