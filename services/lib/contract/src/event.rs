//! Events: what a home worker tells gateways, always after the commit that it speaks of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tmtp_domain::{Epoch, MsgId, NodeNum, Posted, RequestId, SessionId, ShardId, Uid, WorkerId};

use crate::{AdminAnswer, Message, VERSION, Versioned};

/// One entry of a gateway's event stream: what one batch of a worker means for that gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Version of the encoding.
    pub v: u16,
    /// Who appends.
    #[serde(rename = "w")]
    pub worker: WorkerId,
    /// Counts this worker's entries for this gateway, from 1. A gap means that entries were lost.
    #[serde(rename = "n")]
    pub number: u64,
    /// Sessions whose commands up to this number are committed.
    #[serde(rename = "d", default)]
    pub done: Vec<(SessionId, u64)>,
    /// In order.
    #[serde(rename = "e")]
    pub events: Vec<Event>,
}

impl EventEntry {
    /// An entry of this release's version.
    pub fn new(worker: WorkerId, number: u64, done: Vec<(SessionId, u64)>, events: Vec<Event>) -> Self {
        Self { v: VERSION, worker, number, done, events }
    }
}

impl Versioned for EventEntry {
    fn version(&self) -> u16 {
        self.v
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A command was decided, and its effect committed.
    #[serde(rename = "a")]
    Answer {
        /// Whose.
        #[serde(rename = "s")]
        session: SessionId,
        /// Which of its commands.
        #[serde(rename = "q")]
        seq: u64,
        /// How.
        #[serde(rename = "a")]
        answer: Answer,
        /// W3C trace context of the worker's part, when it traces.
        #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
        trace: Option<String>,
    },
    /// A message for the session's node. It is owed until the node acks it.
    #[serde(rename = "d")]
    Deliver {
        /// Whose.
        #[serde(rename = "s")]
        session: SessionId,
        /// The number of the command that opened the session at this worker.
        #[serde(rename = "o")]
        opened: u64,
        /// The message.
        #[serde(rename = "m")]
        message: Arc<Message>,
        /// W3C trace context of the worker's part, when it traces.
        #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
        trace: Option<String>,
    },
    /// Who is online for the session's user, and who is not any more. These are states, not changes: what the client
    /// knows already need not be written. Not owed, not acked.
    #[serde(rename = "o")]
    Ohi {
        /// Whose.
        #[serde(rename = "s")]
        session: SessionId,
        /// The number of the command that opened the session at this worker.
        #[serde(rename = "o")]
        opened: u64,
        /// Users who show presence now.
        #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
        online: Vec<Uid>,
        /// Users who do not.
        #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
        offline: Vec<Uid>,
    },
    /// To whom the session's user shows presence from now on; for [`crate::Attach::showing`]. Only sessions that have
    /// told so themselves hear of it.
    #[serde(rename = "w")]
    Shows {
        /// Whose.
        #[serde(rename = "s")]
        session: SessionId,
        /// The number of the command that opened the session at this worker.
        #[serde(rename = "o")]
        opened: u64,
        /// The version that this change makes.
        #[serde(rename = "v")]
        version: u64,
        /// True when `added` is all, and what was before is forgotten.
        #[serde(rename = "f", default)]
        full: bool,
        /// New ones.
        #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
        added: Vec<Uid>,
        /// Those who are shown nothing any more.
        #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<Uid>,
    },
    /// The session has to end: its client gets `quit` with this text.
    #[serde(rename = "c")]
    Close {
        /// Whose.
        #[serde(rename = "s")]
        session: SessionId,
        /// The number of the command that opened the session at this worker.
        #[serde(rename = "o")]
        opened: u64,
        /// The text.
        #[serde(rename = "r")]
        reason: String,
    },
    /// A command could not be applied, because the worker does not know the session or misses a command before it.
    /// The gateway attaches the session again, unless it has done so since.
    #[serde(rename = "l")]
    Lost {
        /// Whose.
        #[serde(rename = "s")]
        session: SessionId,
        /// The number of the command.
        #[serde(rename = "q")]
        seq: u64,
    },
    /// Somebody wants the session's node. The gateway makes sure within its lease that the client's machine still
    /// answers (TCP keep-alive probes), and ends the session if not, so that a dead socket does not block a node.
    #[serde(rename = "k")]
    Probe {
        /// Whose.
        #[serde(rename = "s")]
        session: SessionId,
    },
    /// A shard has a new owner, or its owner lost its view: attach all sessions of the shard, then say `Present`.
    #[serde(rename = "h")]
    Rehome {
        /// Which shard.
        #[serde(rename = "s")]
        shard: ShardId,
        /// The owner's epoch.
        #[serde(rename = "e")]
        epoch: Epoch,
    },
    /// An admin's change was decided, and its effect committed. Only admin servers are told.
    #[serde(rename = "m")]
    Admin {
        /// Which.
        #[serde(rename = "i")]
        request: RequestId,
        /// How.
        #[serde(rename = "a")]
        answer: AdminAnswer,
    },
}

/// How a command was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// `Register`: the user exists and the session is open at its first node.
    #[serde(rename = "r")]
    Registered {
        /// Its first node.
        #[serde(rename = "n")]
        node: NodeNum,
        /// Why the wanted alias was refused, if it was.
        #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
        alias_error: Option<String>,
    },
    /// `Login`: the session is open.
    #[serde(rename = "l")]
    LoggedIn {
        /// The node that the password opened.
        #[serde(rename = "n")]
        node: NodeNum,
        /// Users online who show presence to this one.
        #[serde(rename = "o", default)]
        ohi: Vec<Uid>,
    },
    /// `Register` or `Login`: the connection gets `quit` with the reason's text.
    #[serde(rename = "x")]
    NotLoggedIn(LoginRefusal),
    /// `Register`: the user exists and waits for an admin's approval. No session is open.
    #[serde(rename = "w")]
    Waiting {
        /// Why it did not get the alias it wanted.
        #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
        alias_error: Option<String>,
    },
    /// `Attach`: the session is open again.
    #[serde(rename = "t")]
    Attached,
    /// An edit succeeded: ack with the id only.
    #[serde(rename = "d")]
    Done,
    /// A message was queued: ack with its id and time.
    #[serde(rename = "p")]
    Posted {
        /// Its id.
        #[serde(rename = "i")]
        msg_id: MsgId,
        /// Its time.
        #[serde(rename = "p")]
        posted: Posted,
    },
    /// The request was refused: ack with this text.
    #[serde(rename = "e")]
    Refused(String),
}

/// Why a session was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginRefusal {
    /// Unknown user, wrong password, suspended member.
    #[serde(rename = "f")]
    Failed,
    /// The node has a session.
    #[serde(rename = "c")]
    AlreadyConnected,
    /// The site takes no registrations, or none like this one: without a sign-in, or with a token that was used before.
    #[serde(rename = "n")]
    RegistrationClosed,
    /// There is no such invite, or it can no longer be used.
    #[serde(rename = "i")]
    Invite,
    /// The person who signed in is a member already.
    #[serde(rename = "m")]
    AlreadyMember,
    /// The invite leads into groups, for which the user needs an alias, and did not get the one it wanted.
    #[serde(rename = "a")]
    Alias,
    /// The database does not take the new user.
    #[serde(rename = "r")]
    RegistrationFailed,
}

impl LoginRefusal {
    /// The text of the `quit` frame.
    pub fn text(self) -> &'static str {
        match self {
            Self::Failed => "login failed",
            Self::AlreadyConnected => "node already connected",
            // The protocol has no text of its own for a site that takes nobody; this one is what clients know.
            Self::RegistrationClosed => "authentication required",
            Self::Invite => "this invitation is not valid, or no longer",
            Self::AlreadyMember => "you are a member of this site already",
            Self::Alias => "alias not available, please register with another one",
            Self::RegistrationFailed => "register failure",
        }
    }
}
