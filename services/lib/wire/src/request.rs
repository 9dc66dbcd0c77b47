//! What clients send: one variant for each operation, with the fields that the operation uses.
//! It must never know what a link has said before; what depends on that is the session's business.

mod decode;
mod encode;
mod fields;

/// The operations of a client, with their numbers on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// Says which revision of TMTP the client speaks; the first request of a link.
    TmtpRev = 0,
    /// Makes a user with one node, and logs it in.
    Register = 1,
    /// Logs a node in.
    Login = 2,
    /// Adds a node or an alias to the user.
    UserEdit = 3,
    /// Changes to whom the user shows presence.
    OhiEdit = 4,
    /// Invites somebody into a group.
    GroupInvite = 5,
    /// Joins or leaves a group, changes the alias in it, drops a member.
    GroupEdit = 6,
    /// Sends a message.
    Post = 7,
    /// Sends a message, and a notice of it to more recipients.
    PostNotify = 8,
    /// Sends a short text to an alias.
    Ping = 9,
    /// Says that a message has been stored.
    Ack = 10,
    /// Keeps the link alive.
    Pulse = 11,
    /// Ends the link.
    Quit = 12,
}

impl Op {
    /// All operations, each at the index that is its number.
    pub const ALL: [Self; 13] = [
        Self::TmtpRev,
        Self::Register,
        Self::Login,
        Self::UserEdit,
        Self::OhiEdit,
        Self::GroupInvite,
        Self::GroupEdit,
        Self::Post,
        Self::PostNotify,
        Self::Ping,
        Self::Ack,
        Self::Pulse,
        Self::Quit,
    ];

    /// The operation of this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name in lower case and without blanks, for labels of metrics and spans.
    pub fn name(self) -> &'static str {
        match self {
            Self::TmtpRev => "tmtprev",
            Self::Register => "register",
            Self::Login => "login",
            Self::UserEdit => "useredit",
            Self::OhiEdit => "ohiedit",
            Self::GroupInvite => "groupinvite",
            Self::GroupEdit => "groupedit",
            Self::Post => "post",
            Self::PostNotify => "postnotify",
            Self::Ping => "ping",
            Self::Ack => "ack",
            Self::Pulse => "pulse",
            Self::Quit => "quit",
        }
    }
}

/// An element of `for` or `notefor`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// A uid, or the name of a group; never empty in what was decoded.
    pub id: String,
    /// 1 a user, 2 a group, 3 a group without the sender; 0 if the field was absent (only OhiEdit allows that).
    pub kind: i8,
}

/// What a header says about the data behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DataInfo {
    /// Octets of data; at most 2^63-1 in what was decoded.
    pub len: u64,
    /// How many of them, at the front, are a header for the receiving client.
    pub head: u64,
    /// A checksum that servers pass on and never look at; 0 if absent.
    pub sum: u64,
}

/// What a sign-in with OpenID Connect gave the client. Absent fields are empty. `Debug` shows no tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Oidc {
    /// By convention `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u64,
    /// The signed claims; the only field that servers use.
    pub id_token: String,
    /// For the provider's own interfaces.
    pub access_token: String,
    /// For a new token without the user.
    pub refresh_token: String,
    /// What the user has agreed to.
    pub scope: String,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Oidc")
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A header from a client.
///
/// Texts are never empty in what was decoded, except where said; an optional text that was empty is `None`.
/// `Debug` shows node ids, which are passwords, and codes of invites: do not log a `Login` or a `Register`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Op 0.
    TmtpRev {
        /// The revision that the client speaks.
        id: String,
    },
    /// Op 1.
    Register {
        /// A label for the node.
        new_node: String,
        /// The user's first alias; `_` for none.
        new_alias: String,
        /// Who the user is elsewhere.
        oidc: Option<Oidc>,
        /// The code of an invite. An addition of ours: clients of the first version have no such field, servers of it
        /// pass over it.
        invite: Option<String>,
    },
    /// Op 2.
    Login {
        /// The user.
        uid: String,
        /// The node id.
        node: String,
    },
    /// Op 3. That exactly one of the two is there is checked by the session.
    UserEdit {
        /// The request's name, for its ack.
        id: String,
        /// A label; asks for another node.
        new_node: Option<String>,
        /// Asks for another alias.
        new_alias: Option<String>,
    },
    /// Op 4. Whether there are recipients, and a known kind, is checked by the session.
    OhiEdit {
        /// The request's name, for its ack.
        id: String,
        /// The uids; may be empty. Their kind may be anything.
        recipients: Vec<Recipient>,
        /// `init`, `add` or `drop`, if it is valid; may be empty.
        kind: String,
    },
    /// Op 5.
    GroupInvite {
        /// The request's name, for its ack.
        id: String,
        /// The group.
        gid: String,
        /// An alias of the sender.
        from: String,
        /// An alias of the invitee.
        to: String,
        /// A text.
        data: DataInfo,
    },
    /// Op 6. Which act needs which of the options is checked by the session.
    GroupEdit {
        /// The request's name, for its ack.
        id: String,
        /// `join`, `alias` or `drop`, if it is valid.
        act: String,
        /// The group.
        gid: String,
        /// The alias of the member to drop.
        to: Option<String>,
        /// The alias to use from now on.
        new_alias: Option<String>,
    },
    /// Op 7.
    Post {
        /// The request's name, for its ack.
        id: String,
        /// Who gets the message; may be empty.
        recipients: Vec<Recipient>,
        /// The message; never empty.
        data: DataInfo,
    },
    /// Op 8.
    PostNotify {
        /// The request's name, for its ack.
        id: String,
        /// Who gets message and note; may be empty.
        recipients: Vec<Recipient>,
        /// Who gets only the note; may be empty.
        note_recipients: Vec<Recipient>,
        /// The sender's other nodes do not get the message.
        for_not_self: bool,
        /// `len` counts note and message together; `head` and `sum` are the message's.
        data: DataInfo,
        /// The note, which is the first part of the data; never empty.
        note: DataInfo,
    },
    /// Op 9.
    Ping {
        /// The request's name, for its ack.
        id: String,
        /// An alias of the sender.
        from: String,
        /// The alias of who gets the text.
        to: String,
        /// The text.
        data: DataInfo,
    },
    /// Op 10.
    Ack {
        /// The message id.
        id: String,
        /// `ok` by convention.
        kind: String,
    },
    /// Op 11.
    Pulse,
    /// Op 12.
    Quit,
}

impl Request {
    /// Which operation this is.
    pub fn op(&self) -> Op {
        match self {
            Self::TmtpRev { .. } => Op::TmtpRev,
            Self::Register { .. } => Op::Register,
            Self::Login { .. } => Op::Login,
            Self::UserEdit { .. } => Op::UserEdit,
            Self::OhiEdit { .. } => Op::OhiEdit,
            Self::GroupInvite { .. } => Op::GroupInvite,
            Self::GroupEdit { .. } => Op::GroupEdit,
            Self::Post { .. } => Op::Post,
            Self::PostNotify { .. } => Op::PostNotify,
            Self::Ping { .. } => Op::Ping,
            Self::Ack { .. } => Op::Ack,
            Self::Pulse => Op::Pulse,
            Self::Quit => Op::Quit,
        }
    }

    /// What the header says about its data; all zero for operations that have none.
    pub fn data(&self) -> DataInfo {
        match self {
            Self::GroupInvite { data, .. }
            | Self::Post { data, .. }
            | Self::PostNotify { data, .. }
            | Self::Ping { data, .. } => *data,
            _ => DataInfo::default(),
        }
    }
}
