//! Commands: what gateways ask of a site's home worker.

use core::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tmtp_domain::{
    Epoch, GatewayId, GroupEdit, Identity, InviteRef, MsgId, NodeNum, OhiAct, OhiItem, Recipient, SecretHash,
    SessionId, SiteId, Uid,
};

use crate::{AdminRequest, Body, DataInfo, VERSION, Versioned};

/// One entry of a shard's command stream: what a gateway had gathered for the shard since its last append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandEntry {
    /// Version of the encoding.
    pub v: u16,
    /// Who appends.
    #[serde(rename = "g")]
    pub gateway: GatewayId,
    /// In order.
    #[serde(rename = "c")]
    pub commands: Vec<Envelope>,
}

impl CommandEntry {
    /// An entry of this release's version.
    pub fn new(gateway: GatewayId, commands: Vec<Envelope>) -> Self {
        Self { v: VERSION, gateway, commands }
    }
}

impl Versioned for CommandEntry {
    fn version(&self) -> u16 {
        self.v
    }
}

/// A command with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The site, as the gateway knows it from the connection.
    #[serde(rename = "s")]
    pub site: SiteId,
    /// The session; 0 for the gateway itself (`Present`).
    #[serde(rename = "n")]
    pub session: SessionId,
    /// The command's number in its session.
    #[serde(rename = "q")]
    pub seq: u64,
    /// W3C trace context, when the gateway traces.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What to do.
    #[serde(rename = "c")]
    pub command: Command,
}

impl Envelope {
    /// The number of a `Detach` that ends a session of which its gateway knows nothing, and so not its next number either.
    pub const GONE: u64 = u64::MAX;

    /// Says that this gateway has no such session. `site` is not looked at.
    pub fn gone(site: SiteId, session: SessionId) -> Self {
        Self { site, session, seq: Self::GONE, trace: None, command: Command::Detach }
    }

    /// What [`Self::gone`] says.
    pub fn is_gone(&self) -> bool {
        self.seq == Self::GONE && matches!(self.command, Command::Detach)
    }
}

/// A digest of a request's raw header, its id included, and data (the first half of a SHA-256). With the node it tells
/// a resent request from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(#[serde(with = "serde_bytes")] pub [u8; 16]);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes a user with its first node and opens the session there. Uid and password are the gateway's choice
    /// (random), so a repeated command makes no second user.
    #[serde(rename = "register")]
    Register {
        /// The new user.
        #[serde(rename = "u")]
        uid: Uid,
        /// What its first node's password hashes to.
        #[serde(rename = "s")]
        secret: SecretHash,
        /// The label of the node, as the client calls it.
        #[serde(rename = "l", default)]
        label: String,
        /// The wanted alias, unchecked; `None` for none.
        #[serde(rename = "a", default)]
        alias: Option<String>,
        /// By what the user may come in, where not everybody may.
        #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
        credentials: Option<Box<Credentials>>,
    },
    /// Opens the session at the node that this password opens, and posts the login notice.
    #[serde(rename = "login")]
    Login {
        /// The user.
        #[serde(rename = "u")]
        uid: Uid,
        /// What the password hashes to.
        #[serde(rename = "s")]
        secret: SecretHash,
    },
    /// Opens a session again that has been opened before: at a new owner of the shard, or after a loss.
    #[serde(rename = "attach")]
    Attach(Attach),
    /// Ends the session. Frees its node. Under the number [`Envelope::GONE`] it counts whatever the session expects next.
    #[serde(rename = "detach")]
    Detach,
    /// Says that this gateway has attached all its sessions of the shard to the owner of this epoch.
    #[serde(rename = "present")]
    Present {
        /// The epoch that was announced by [`crate::Event::Rehome`].
        #[serde(rename = "e")]
        epoch: Epoch,
    },
    /// UserEdit newalias.
    #[serde(rename = "alias")]
    NewAlias {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// The wanted alias, unchecked.
        #[serde(rename = "a")]
        alias: String,
    },
    /// UserEdit newnode.
    #[serde(rename = "node")]
    NewNode {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// What the user calls it.
        #[serde(rename = "l")]
        label: String,
        /// Its password in the text form (random, the gateway's choice): the user's nodes are told.
        #[serde(rename = "i")]
        node_id: String,
        /// What the password hashes to.
        #[serde(rename = "s")]
        secret: SecretHash,
    },
    /// Post.
    #[serde(rename = "post")]
    Post {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// `for`.
        #[serde(rename = "r")]
        recipients: Vec<Recipient>,
        /// What the request says of its data.
        #[serde(rename = "i")]
        data: DataInfo,
        /// The data.
        #[serde(rename = "b")]
        body: Body,
        /// The datahead of data that is in the body store, unless it is longer than anybody looks at
        /// ([`tmtp_domain::policy::FRONT_MAX`]): what it says of the sender may have to be true.
        #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
        front: Option<Bytes>,
    },
    /// PostNotify.
    #[serde(rename = "both")]
    PostNotify {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// `for`: who gets message and note.
        #[serde(rename = "r")]
        recipients: Vec<Recipient>,
        /// `notefor`: who gets the note alone.
        #[serde(rename = "n", default)]
        note_recipients: Vec<Recipient>,
        /// The sender's other nodes do not get the message.
        #[serde(rename = "x", default)]
        for_not_self: bool,
        /// What the request says of the message.
        #[serde(rename = "i")]
        data: DataInfo,
        /// The message.
        #[serde(rename = "b")]
        body: Body,
        /// What the request says of the note.
        #[serde(rename = "j")]
        note: DataInfo,
        /// The note.
        #[serde(rename = "c")]
        note_body: Body,
        /// The datahead of a message that is in the body store.
        #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
        front: Option<Bytes>,
        /// The same of the note.
        #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
        note_front: Option<Bytes>,
    },
    /// Ping. The text has been checked.
    #[serde(rename = "ping")]
    Ping {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// The alias that is to be the sender's, unchecked.
        #[serde(rename = "f")]
        from: String,
        /// The alias of who gets it, unchecked.
        #[serde(rename = "t")]
        to: String,
        /// What the request says of the text.
        #[serde(rename = "i", default)]
        data: DataInfo,
        /// The text.
        #[serde(rename = "b")]
        body: Body,
    },
    /// GroupInvite. The text has been checked.
    #[serde(rename = "invite")]
    GroupInvite {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// The group, unchecked.
        #[serde(rename = "g")]
        gid: String,
        /// The alias that is to be the sender's, unchecked.
        #[serde(rename = "f")]
        from: String,
        /// The alias of the invitee, unchecked.
        #[serde(rename = "t")]
        to: String,
        /// What the request says of the text.
        #[serde(rename = "i", default)]
        data: DataInfo,
        /// The text.
        #[serde(rename = "b")]
        body: Body,
    },
    /// GroupEdit.
    #[serde(rename = "group")]
    GroupEdit {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// The group, unchecked.
        #[serde(rename = "g")]
        gid: String,
        /// What to do in it.
        #[serde(rename = "e")]
        edit: GroupEdit,
    },
    /// OhiEdit.
    #[serde(rename = "ohi")]
    OhiEdit {
        /// Header and data of the request.
        #[serde(rename = "d")]
        digest: Digest,
        /// What to do with the list.
        #[serde(rename = "k")]
        act: OhiAct,
        /// The list, as the request says it: uids, unchecked.
        #[serde(rename = "l")]
        list: Vec<OhiItem>,
    },
    /// An admin's change. It belongs to no session (0), comes from an admin server, and is answered by
    /// [`crate::Event::Admin`].
    #[serde(rename = "admin")]
    Admin(Box<AdminRequest>),
    /// The session's node has acked these messages, in this order.
    #[serde(rename = "acks")]
    Acks {
        /// Their ids.
        #[serde(rename = "i")]
        ids: Vec<MsgId>,
    },
}

/// By what somebody who registers may come in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Credentials {
    /// Who they are according to a sign-in token, which the gateway has checked.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The hash of the code of an invite, unchecked.
    #[serde(rename = "c", default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub code: Option<[u8; 32]>,
    /// The address that the client has connected from, for the audit log.
    #[serde(rename = "a", default, with = "address", skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

/// An address as text. One that cannot be read is none: nobody is kept out for it.
mod address {
    use core::net::IpAddr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(from: &Option<IpAddr>, to: S) -> Result<S::Ok, S::Error> {
        match from {
            Some(address) => to.collect_str(address),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.and_then(|text| text.parse().ok()))
    }
}

impl Credentials {
    /// The invite that they name: the code, or what the sign-in stands for.
    pub fn invite(&self) -> Option<InviteRef> {
        let signed_in = || self.identity.as_ref()?.invite.map(InviteRef::Id);
        self.code.map(InviteRef::Code).or_else(signed_in)
    }
}

impl Command {
    /// True for commands that give the session its numbering ([`crate`] docs).
    pub fn opens(&self) -> bool {
        matches!(self, Self::Register { .. } | Self::Login { .. } | Self::Attach(_))
    }
}

/// How a gateway resumes a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The user.
    #[serde(rename = "u")]
    pub uid: Uid,
    /// The node.
    #[serde(rename = "n")]
    pub node: NodeNum,
    /// Messages written to the client and not acked by it, oldest first: they are not sent again now. (Empty when the
    /// client did not ack in time: then the worker begins again with the first of them.)
    #[serde(rename = "f", default)]
    pub in_flight: Vec<MsgId>,
    /// How many commands follow that were published before. Deliveries wait for their answers, so that a client sees
    /// the ack of its post before anybody's answer to it.
    #[serde(rename = "p", default)]
    pub pending: u64,
    /// To whom the user shows presence, if this session has told so.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub showing: Option<Showing>,
    /// Whom the client believes to be online.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Uid>,
}

/// To whom a user shows presence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Showing {
    /// Counts the changes; of two sessions of a user, the one with the higher version is right.
    #[serde(rename = "v")]
    pub version: u64,
    /// Them.
    #[serde(rename = "u")]
    pub uids: Vec<Uid>,
}
