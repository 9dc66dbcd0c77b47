//! Reads responses, for clients and tests: names in any case, unknown fields ignored.
//! It must never guess where data ends: data behind a header that cannot have any is refused.

use std::borrow::Cow;

use crate::{
    AuthBy, DataInfo, Error, Header, Recipient, Response, Std, UserChange,
    json::{Scanner, Text},
};

type Owned = Cow<'static, str>;

/// Every field that a response may have, as it stands in the header.
#[derive(Debug, Default)]
struct Fields<'a> {
    op: Option<Text<'a>>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    uid: Option<Text<'a>>,
    node_id: Option<Text<'a>>,
    error: Option<Text<'a>>,
    info: Option<Text<'a>>,
    msgid: Option<Text<'a>>,
    posted: Option<Text<'a>>,
    from: Option<Text<'a>>,
    node: Option<Text<'a>>,
    new_alias: Option<Text<'a>>,
    new_node: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    gid: Option<Text<'a>>,
    alias: Option<Text<'a>>,
    to: Option<Text<'a>>,
    act: Option<Text<'a>>,
    post_id: Option<Text<'a>>,
    auth: Option<u8>,
    status: Option<u8>,
    notify: Option<u64>,
    data_len: Option<i64>,
    data_head: Option<i64>,
    data_sum: Option<u64>,
    auth_by: Option<Vec<AuthBy<'static>>>,
    ohi: Vec<Owned>,
    recipients: Vec<Recipient>,
}

impl Header for Response<'static> {
    fn decode(json: &[u8]) -> Result<Self, Error> {
        let fields = Fields::scan(json)?;
        let op = needed(fields.op)?;
        let response = match &*op {
            "tmtprev" | "registered" | "info" | "quit" | "ack" | "ohi" => fields.plain(&op)?,
            "login" | "user" | "ohiedit" | "invite" | "member" | "delivery" | "notify" | "ping" => {
                fields.queued(&op)?
            }
            _ => Self::Unknown { data_len: fields.data()?.len, op },
        };
        if response.data_len() == fields.data()?.len { Ok(response) } else { Err(Error::Header) }
    }

    fn data_len(&self) -> u64 {
        match (self, self.std()) {
            (Self::Unknown { data_len, .. }, _) => *data_len,
            (_, Some(std)) => std.data.len,
            _ => 0,
        }
    }
}

impl<'a> Fields<'a> {
    fn scan(json: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Self::default();
        Scanner::document(json, |scanner, name| match name.as_bytes() {
            b"op" => scanner.text(&mut fields.op),
            b"id" => scanner.text(&mut fields.id),
            b"name" => scanner.text(&mut fields.name),
            b"uid" => scanner.text(&mut fields.uid),
            b"nodeid" => scanner.text(&mut fields.node_id),
            b"error" => scanner.text(&mut fields.error),
            b"info" => scanner.text(&mut fields.info),
            b"msgid" => scanner.text(&mut fields.msgid),
            b"posted" => scanner.text(&mut fields.posted),
            b"from" => scanner.text(&mut fields.from),
            b"node" => scanner.text(&mut fields.node),
            b"newalias" => scanner.text(&mut fields.new_alias),
            b"newnode" => scanner.text(&mut fields.new_node),
            b"type" => scanner.text(&mut fields.kind),
            b"gid" => scanner.text(&mut fields.gid),
            b"alias" => scanner.text(&mut fields.alias),
            b"to" => scanner.text(&mut fields.to),
            b"act" => scanner.text(&mut fields.act),
            b"postid" => scanner.text(&mut fields.post_id),
            b"auth" => scanner.integer(&mut fields.auth),
            b"status" => scanner.integer(&mut fields.status),
            b"notify" => scanner.integer(&mut fields.notify),
            b"datalen" => scanner.integer(&mut fields.data_len),
            b"datahead" => scanner.integer(&mut fields.data_head),
            b"datasum" => scanner.integer(&mut fields.data_sum),
            b"authby" => scan_auth_by(scanner).map(|list| fields.auth_by = list),
            b"ohi" => scan_texts(scanner).map(|list| fields.ohi = list),
            b"for" => scan_recipients(scanner).map(|list| fields.recipients = list),
            _ => scanner.skip(),
        })?;
        Ok(fields)
    }

    /// `datahead` is not compared: the reference lets one pass that is larger than the data of its frame.
    fn data(&self) -> Result<DataInfo, Error> {
        let unsigned = |length: Option<i64>| u64::try_from(length.unwrap_or(0)).map_err(|_| Error::Header);
        Ok(DataInfo {
            len: unsigned(self.data_len)?,
            head: unsigned(self.data_head)?,
            sum: self.data_sum.unwrap_or(0),
        })
    }

    fn plain(&self, op: &str) -> Result<Response<'static>, Error> {
        Ok(match op {
            "tmtprev" => {
                Response::TmtpRev { name: needed(self.name)?, auth: self.auth, auth_by: self.auth_by.clone() }
            }
            "registered" => Response::Registered {
                uid: needed(self.uid)?,
                node_id: needed(self.node_id)?,
                error: optional(self.error),
            },
            "info" => Response::Info { info: needed(self.info)?, ohi: self.ohi.clone() },
            "quit" => Response::Quit { error: needed(self.error)? },
            "ack" => Response::Ack {
                id: needed(self.id)?,
                receipt: optional(self.msgid).zip(optional(self.posted)),
                error: optional(self.error),
            },
            "ohi" => Response::Ohi { from: needed(self.from)?, status: self.status.ok_or(Error::Header)? },
            _ => return Err(Error::Header),
        })
    }

    fn queued(&self, op: &str) -> Result<Response<'static>, Error> {
        let std = Std {
            from: needed(self.from)?,
            id: needed(self.id)?,
            posted: needed(self.posted)?,
            data: self.data()?,
        };
        Ok(match op {
            "login" => Response::Login { std, node: needed(self.node)? },
            "user" => Response::User { std, change: self.change()? },
            "ohiedit" => Response::OhiEdit {
                std,
                recipients: self.recipients.clone().into(),
                kind: needed(self.kind)?,
            },
            "invite" => Response::Invite {
                std,
                gid: needed(self.gid)?,
                alias: needed(self.alias)?,
                to: needed(self.to)?,
            },
            "member" => Response::Member {
                std,
                act: needed(self.act)?,
                gid: needed(self.gid)?,
                alias: needed(self.alias)?,
                new_alias: optional(self.new_alias),
            },
            "delivery" => Response::Delivery { std, notify: self.notify.unwrap_or(0) },
            "notify" => Response::Notify { std, post_id: needed(self.post_id)? },
            "ping" => Response::Ping { std, alias: needed(self.alias)?, to: needed(self.to)? },
            _ => return Err(Error::Header),
        })
    }

    fn change(&self) -> Result<UserChange<'static>, Error> {
        match optional(self.new_alias) {
            Some(alias) => Ok(UserChange::Alias(alias)),
            None => Ok(UserChange::Node { label: needed(self.new_node)?, node_id: needed(self.node_id)? }),
        }
    }
}

fn scan_texts(scanner: &mut Scanner<'_>) -> Result<Vec<Owned>, Error> {
    let mut texts = Vec::new();
    scanner.array(|scanner| {
        let mut text = None;
        scanner.text(&mut text)?;
        texts.push(optional(text).unwrap_or_default());
        Ok(())
    })?;
    Ok(texts)
}

fn scan_recipients(scanner: &mut Scanner<'_>) -> Result<Vec<Recipient>, Error> {
    let mut recipients = Vec::new();
    scanner.array(|scanner| {
        let (mut id, mut kind) = (None, None);
        scanner.object(|scanner, name| match name.as_bytes() {
            b"id" => scanner.text(&mut id),
            b"type" => scanner.integer(&mut kind),
            _ => scanner.skip(),
        })?;
        recipients.push(Recipient { id: needed(id)?.into_owned(), kind: kind.unwrap_or(0) });
        Ok(())
    })?;
    Ok(recipients)
}

fn scan_auth_by(scanner: &mut Scanner<'_>) -> Result<Option<Vec<AuthBy<'static>>>, Error> {
    let mut providers = Vec::new();
    let present = scanner.array(|scanner| {
        let (mut label, mut login, mut token) = (None, Vec::new(), Vec::new());
        scanner.object(|scanner, name| match name.as_bytes() {
            b"label" => scanner.text(&mut label),
            b"login" => scan_texts(scanner).map(|texts| login = texts),
            b"token" => scan_texts(scanner).map(|texts| token = texts),
            _ => scanner.skip(),
        })?;
        let pair = |texts: Vec<Owned>| <[Owned; 2]>::try_from(texts).map_err(|_| Error::Header);
        providers.push(AuthBy { label: needed(label)?, login: pair(login)?, token: pair(token)? });
        Ok(())
    })?;
    Ok(present.then_some(providers))
}

fn needed(text: Option<Text<'_>>) -> Result<Owned, Error> {
    optional(text).ok_or(Error::Header)
}

fn optional(text: Option<Text<'_>>) -> Option<Owned> {
    text.map(|text| Cow::Owned(text.decode().into_owned()))
}
