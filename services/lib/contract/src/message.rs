//! A message: what is queued for nodes, journalled, spilled and delivered. Its frame is rendered at the gateway.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tmtp_domain::{BodyId, GroupAct, MsgId, OhiAct, OhiItem, Posted, Uid};

use crate::{VERSION, Versioned};

/// Where the octets of a message are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// There are none.
    #[serde(rename = "e")]
    Empty,
    /// Here; at most the inline limit (default 32 KiB).
    #[serde(rename = "i")]
    Inline(Bytes),
    /// In the body store.
    #[serde(rename = "s")]
    Stored(BodyRef),
}

impl Body {
    /// Octets that this holds in memory.
    pub fn inline_len(&self) -> usize {
        match self {
            Self::Inline(octets) => octets.len(),
            Self::Empty | Self::Stored(_) => 0,
        }
    }
}

/// Names a body in the body store, and tells how it is cut, so that readers and sweepers need no listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BodyRef {
    /// Which one.
    #[serde(rename = "i")]
    pub id: BodyId,
    /// Octets in all.
    #[serde(rename = "l")]
    pub len: u64,
    /// Octets of each chunk but the last.
    #[serde(rename = "c")]
    pub chunk: u32,
}

impl BodyRef {
    /// How many chunks it has.
    pub fn chunks(&self) -> u64 {
        self.len.div_ceil(u64::from(self.chunk.max(1)))
    }
}

/// What a request says of its data; passed on to the receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DataInfo {
    /// Octets.
    #[serde(rename = "l", default)]
    pub len: u64,
    /// Octets of the JSON object at the front, for the receiving client.
    #[serde(rename = "h", default)]
    pub head: u64,
    /// A checksum that the server neither makes nor verifies.
    #[serde(rename = "s", default)]
    pub sum: u64,
}

/// What kind of frame the message becomes, with that kind's own fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// `delivery`; `notify` is 0 for a plain post.
    #[serde(rename = "d")]
    Delivery {
        /// How many are told of the message by notes.
        #[serde(rename = "n", default)]
        notify: u64,
    },
    /// `login`: somebody logged in at a node of this user.
    #[serde(rename = "l")]
    Login,
    /// `user`: the user has a new alias.
    #[serde(rename = "a")]
    NewAlias {
        /// It.
        #[serde(rename = "a")]
        alias: String,
    },
    /// `user`: the user has a new node.
    #[serde(rename = "n")]
    NewNode {
        /// What the user calls it.
        #[serde(rename = "l")]
        label: String,
        /// Its password, in the text form; the user's other nodes pass it on.
        #[serde(rename = "s")]
        node_id: String,
    },
    /// `notify`: a note of a message.
    #[serde(rename = "f")]
    Notify {
        /// Of which.
        #[serde(rename = "p")]
        post_id: MsgId,
    },
    /// `ping`.
    #[serde(rename = "p")]
    Ping {
        /// The sender's alias.
        #[serde(rename = "a")]
        alias: String,
        /// The alias that it was sent to.
        #[serde(rename = "t")]
        to: String,
    },
    /// `invite`: somebody is invited into a group.
    #[serde(rename = "i")]
    Invite {
        /// The group.
        #[serde(rename = "g")]
        gid: String,
        /// The inviter's alias.
        #[serde(rename = "a")]
        alias: String,
        /// The invitee's.
        #[serde(rename = "t")]
        to: String,
    },
    /// `member`: something happened to a member of a group.
    #[serde(rename = "m")]
    Member {
        /// What.
        #[serde(rename = "c")]
        act: GroupAct,
        /// The group.
        #[serde(rename = "g")]
        gid: String,
        /// The member's alias, before it happened.
        #[serde(rename = "a")]
        alias: String,
        /// Its alias from now on, if the act is `alias`.
        #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
        new_alias: Option<String>,
    },
    /// `ohiedit`: the user shows presence to others than before.
    #[serde(rename = "o")]
    OhiEdit {
        /// `add` or `drop`.
        #[serde(rename = "k")]
        act: OhiAct,
        /// The list, as the request said it.
        #[serde(rename = "l")]
        list: Vec<OhiItem>,
    },
}

impl Content {
    /// True for what overtakes everything else that waits.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Self::NewAlias { .. } | Self::NewNode { .. })
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    #[serde(rename = "i")]
    pub id: MsgId,
    /// When it was posted.
    #[serde(rename = "p")]
    pub posted: Posted,
    /// Who sent it.
    #[serde(rename = "f")]
    pub from: Uid,
    /// What it is.
    #[serde(rename = "c")]
    pub content: Content,
    /// What its sender said of the data.
    #[serde(rename = "d", default)]
    pub data: DataInfo,
    /// The data.
    #[serde(rename = "b")]
    pub body: Body,
}

/// A message as a row of the database keeps it. An inline body has a column of its own and is [`Body::Empty`] here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Version of the encoding.
    pub v: u16,
    /// The message.
    #[serde(rename = "m")]
    pub message: Message,
}

impl MessageRecord {
    /// A record of this release's version, and the inline body beside it.
    pub fn split(message: &Message) -> (Self, Option<Bytes>) {
        let (body, inline) = match &message.body {
            Body::Inline(octets) => (Body::Empty, Some(octets.clone())),
            other => (other.clone(), None),
        };
        let message = Message { content: message.content.clone(), body, ..*message };
        (Self { v: VERSION, message }, inline)
    }

    /// The message with its inline body.
    pub fn join(self, inline: Option<Bytes>) -> Message {
        let mut message = self.message;
        if let Some(octets) = inline {
            message.body = Body::Inline(octets);
        }
        message
    }
}

impl Versioned for MessageRecord {
    fn version(&self) -> u16 {
        self.v
    }
}
