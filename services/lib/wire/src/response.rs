//! What servers send: one variant for each operation. Texts may be borrowed, so that a server need not copy what
//! it only passes on. It must never hold a field that the wire does not have, except by name of `Unknown`.

mod decode;
mod encode;

use std::borrow::Cow;

use crate::{DataInfo, Recipient};

/// What all queued messages have in common. Exactly these have both a sender and an id, and clients acknowledge
/// exactly those. The `headsum` is computed by [`Response::encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Std<'a> {
    /// The sender's uid.
    pub from: Cow<'a, str>,
    /// The message id.
    pub id: Cow<'a, str>,
    /// When the message was taken in, `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    pub posted: Cow<'a, str>,
    /// The data behind the header.
    pub data: DataInfo,
}

/// A provider that users may sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthBy<'a> {
    /// What users see.
    pub label: Cow<'a, str>,
    /// Where to sign in: address and parameters.
    pub login: [Cow<'a, str>; 2],
    /// Where to get the token: address and parameters.
    pub token: [Cow<'a, str>; 2],
}

/// What has changed for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange<'a> {
    /// Another alias.
    Alias(Cow<'a, str>),
    /// Another node.
    Node {
        /// What the user calls it.
        label: Cow<'a, str>,
        /// Its node id, which is a password.
        node_id: Cow<'a, str>,
    },
}

/// A header from a server. `Debug` shows node ids, which are passwords: do not log `Registered` or `User`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response<'a> {
    /// The site's name, and how to sign in there.
    TmtpRev {
        /// The site's name.
        name: Cow<'a, str>,
        /// 1: needed to register; 2: also to log in.
        auth: Option<u8>,
        /// The providers; may be there and empty.
        auth_by: Option<Vec<AuthBy<'a>>>,
    },
    /// The user exists now.
    Registered {
        /// The new user.
        uid: Cow<'a, str>,
        /// Its first node's id, which is a password.
        node_id: Cow<'a, str>,
        /// Why the user did not get the alias asked for.
        error: Option<Cow<'a, str>>,
    },
    /// The login succeeded.
    Info {
        /// `login ok`.
        info: Cow<'a, str>,
        /// Who is online and shows it to the user; left out if empty.
        ohi: Vec<Cow<'a, str>>,
    },
    /// The link ends.
    Quit {
        /// Why.
        error: Cow<'a, str>,
    },
    /// A request has been dealt with.
    Ack {
        /// The request's own `id`.
        id: Cow<'a, str>,
        /// Message id and time of what was stored.
        receipt: Option<(Cow<'a, str>, Cow<'a, str>)>,
        /// Why the request was refused.
        error: Option<Cow<'a, str>>,
    },
    /// Somebody comes or goes.
    Ohi {
        /// Who.
        from: Cow<'a, str>,
        /// 1 online, 2 offline.
        status: u8,
    },
    /// A node of the user has logged in.
    Login {
        /// Sender and so on.
        std: Std<'a>,
        /// `tbd`.
        node: Cow<'a, str>,
    },
    /// The user has changed.
    User {
        /// Sender and so on.
        std: Std<'a>,
        /// How.
        change: UserChange<'a>,
    },
    /// The user shows presence to others than before.
    OhiEdit {
        /// Sender and so on.
        std: Std<'a>,
        /// To whom, as the request said it.
        recipients: Cow<'a, [Recipient]>,
        /// `add` or `drop`.
        kind: Cow<'a, str>,
    },
    /// Somebody is invited into a group.
    Invite {
        /// Sender and so on.
        std: Std<'a>,
        /// The group.
        gid: Cow<'a, str>,
        /// Who invites.
        alias: Cow<'a, str>,
        /// Who is invited.
        to: Cow<'a, str>,
    },
    /// Something happened to a member of a group.
    Member {
        /// Sender and so on.
        std: Std<'a>,
        /// `invite`, `join`, `alias` or `drop`.
        act: Cow<'a, str>,
        /// The group.
        gid: Cow<'a, str>,
        /// The member.
        alias: Cow<'a, str>,
        /// The member's alias from now on, if the act is `alias`.
        new_alias: Option<Cow<'a, str>>,
    },
    /// A message.
    Delivery {
        /// Sender and so on.
        std: Std<'a>,
        /// To how many list items the sender addressed a note of it; 0 if there is none.
        notify: u64,
    },
    /// A note of a message.
    Notify {
        /// Sender and so on.
        std: Std<'a>,
        /// The id of the message.
        post_id: Cow<'a, str>,
    },
    /// A short text.
    Ping {
        /// Sender and so on.
        std: Std<'a>,
        /// The sender's alias.
        alias: Cow<'a, str>,
        /// The alias that it was sent to.
        to: Cow<'a, str>,
    },
    /// An operation that this revision does not know. Only decoded; encoding writes it without other fields.
    Unknown {
        /// Its name.
        op: Cow<'a, str>,
        /// Octets of data behind the header.
        data_len: u64,
    },
}

impl<'a> Response<'a> {
    /// The name of the operation on the wire.
    pub fn op(&self) -> &str {
        match self {
            Self::TmtpRev { .. } => "tmtprev",
            Self::Registered { .. } => "registered",
            Self::Info { .. } => "info",
            Self::Quit { .. } => "quit",
            Self::Ack { .. } => "ack",
            Self::Ohi { .. } => "ohi",
            Self::Login { .. } => "login",
            Self::User { .. } => "user",
            Self::OhiEdit { .. } => "ohiedit",
            Self::Invite { .. } => "invite",
            Self::Member { .. } => "member",
            Self::Delivery { .. } => "delivery",
            Self::Notify { .. } => "notify",
            Self::Ping { .. } => "ping",
            Self::Unknown { op, .. } => op,
        }
    }

    /// What it has if it is a queued message, one that has to be acknowledged.
    pub fn std(&self) -> Option<&Std<'a>> {
        match self {
            Self::Login { std, .. }
            | Self::User { std, .. }
            | Self::OhiEdit { std, .. }
            | Self::Invite { std, .. }
            | Self::Member { std, .. }
            | Self::Delivery { std, .. }
            | Self::Notify { std, .. }
            | Self::Ping { std, .. } => Some(std),
            _ => None,
        }
    }
}
