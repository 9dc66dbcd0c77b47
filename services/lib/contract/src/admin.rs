//! Changes that admins ask for. They go through the same streams as members' requests, so that the site's home takes
//! them in order with those, and answers when they are committed.
//!
//! A change is committed together with its entry in the audit log and with what it came to, under the key and the text
//! by which it is recognised ([`Once`]). So the admin server repeats a change until it hears of it, and a client of
//! the API may repeat its request: neither makes it happen twice.

use serde::{Deserialize, Serialize};
use tmtp_domain::{Away, GroupRule, KeyId, MemberStatus, MsgId, NodeNum, RequestId, Uid};

use crate::TracePack;

/// A change with who asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminRequest {
    /// Names the answer. Every attempt has the same.
    #[serde(rename = "i")]
    pub id: RequestId,
    /// How it is recognised when it comes again.
    #[serde(rename = "k")]
    pub once: Once,
    /// For the audit log.
    #[serde(rename = "n")]
    pub note: AuditNote,
    /// What to do.
    #[serde(rename = "c")]
    pub change: AdminChange,
}

/// How a request to the admin API is recognised when it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Once {
    /// The API key it came with.
    #[serde(rename = "k")]
    pub key: KeyId,
    /// The client's idempotency key, or one made for it.
    #[serde(rename = "t")]
    pub text: String,
    /// SHA-256 of what the request says.
    #[serde(rename = "d", with = "serde_bytes")]
    pub digest: [u8; 32],
}

/// What the audit log has to know besides the change itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditNote {
    /// What is done, such as `member.suspend`.
    #[serde(rename = "d")]
    pub action: String,
    /// To what: its id as the API shows it.
    #[serde(rename = "t")]
    pub target: String,
    /// The address that the request came from.
    #[serde(rename = "f")]
    pub from: String,
}

/// A change of a site's live state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminChange {
    /// The site's row has changed: read it again, and close its sessions if it is not served any more.
    #[serde(rename = "site")]
    SiteChanged,
    /// Lets a member in, or keeps it out and closes its sessions.
    #[serde(rename = "member")]
    MemberStatus {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
        /// What it is to be.
        #[serde(rename = "s")]
        status: MemberStatus,
    },
    /// Keeps a member out and closes its sessions.
    #[serde(rename = "suspend")]
    Suspend {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
        /// Why, for admins.
        #[serde(rename = "r")]
        reason: String,
        /// What the member is told.
        #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
        notice: Option<String>,
        /// When it ends (ms since 1970); somebody has to ask for that then.
        #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
    },
    /// Asks which nodes of a member have a session. Changes nothing, and leaves no trace.
    #[serde(rename = "online")]
    Online {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
    },
    /// Asks for the steps of a message that are not in rows yet. Changes nothing, and is not noted.
    #[serde(rename = "trace")]
    Trace {
        /// Which.
        #[serde(rename = "i")]
        id: MsgId,
    },
    /// Forgets what one node is owed, and closes its session.
    #[serde(rename = "drop")]
    DropQueue {
        /// Whose.
        #[serde(rename = "u")]
        uid: Uid,
        /// Which.
        #[serde(rename = "n")]
        node: NodeNum,
    },
    /// Ends a node for good: no login, no messages.
    #[serde(rename = "revoke")]
    RevokeNode {
        /// Whose.
        #[serde(rename = "u")]
        uid: Uid,
        /// Which.
        #[serde(rename = "n")]
        node: NodeNum,
    },
    /// Gives a member an alias, and tells its nodes.
    #[serde(rename = "alias")]
    AddAlias {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
        /// The alias, unchecked.
        #[serde(rename = "n")]
        alias: String,
    },
    /// Takes an alias away, if no group knows the member by it.
    #[serde(rename = "unalias")]
    DropAlias {
        /// Whose.
        #[serde(rename = "u")]
        uid: Uid,
        /// Which.
        #[serde(rename = "n")]
        alias: String,
    },
    /// Keeps a free name from being taken.
    #[serde(rename = "reserve")]
    Reserve {
        /// It, unchecked.
        #[serde(rename = "n")]
        name: String,
    },
    /// Makes a reserved name free again.
    #[serde(rename = "release")]
    Release {
        /// It.
        #[serde(rename = "n")]
        name: String,
    },
    /// Makes a group, or changes who belongs to it.
    #[serde(rename = "group")]
    Places {
        /// The group's name, unchecked.
        #[serde(rename = "g")]
        gid: String,
        /// It is to be made; otherwise it must be there.
        #[serde(rename = "f", default)]
        founds: bool,
        /// Who is to belong to it.
        #[serde(rename = "j", default)]
        add: Vec<NewPlace>,
        /// Who is not, and may not come back uninvited.
        #[serde(rename = "d", default)]
        drop: Vec<Uid>,
        /// Whom the admin asked for, to be kept with what it came to.
        #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
        asked: Vec<AskedPlace>,
    },
    /// Decides about a member that waits for approval: it is let in, or deactivated and its aliases are free.
    #[serde(rename = "decide")]
    Decide {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
        /// It is let in.
        #[serde(rename = "y")]
        admits: bool,
        /// Its aliases, as the rows have them, the oldest first. Those that are not its own are passed over.
        #[serde(rename = "n", default)]
        names: Vec<String>,
        /// Groups that it belongs to once it is let in, under its first alias. Those that are not there are passed over.
        #[serde(rename = "g", default)]
        groups: Vec<String>,
    },
    /// Ends a member for good: with its devices, aliases and places in groups, and with what waits for it.
    #[serde(rename = "erase")]
    Erase {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
    },
    /// Ends a group. Each of its members is told that it does not belong to it any longer.
    #[serde(rename = "ungroup")]
    DeleteGroup {
        /// The group's name, unchecked.
        #[serde(rename = "g")]
        gid: String,
    },
    /// Gives a group another rule.
    #[serde(rename = "rule")]
    GroupRule {
        /// The group's name, unchecked.
        #[serde(rename = "g")]
        gid: String,
        /// The rule.
        #[serde(rename = "r")]
        rule: GroupRule,
    },
    /// Sets what a member may do, and whether it is away.
    #[serde(rename = "flags")]
    MemberFlags {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
        /// Whether it only receives; `None` leaves that as it is.
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        receive_only: Option<bool>,
        /// Whether it is away; `None` leaves that as it is.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        away: Option<SetAway>,
    },
    /// Closes sessions of a member. Its devices may log in again at once.
    #[serde(rename = "disconnect")]
    Disconnect {
        /// Who.
        #[serde(rename = "u")]
        uid: Uid,
        /// Only at this node; `None` for all of them.
        #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeNum>,
    },
}

/// Whether a member is to be away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetAway {
    /// It is there again.
    #[serde(rename = "b")]
    Back,
    /// It is away.
    #[serde(rename = "a")]
    Away {
        /// What those who write to it are told, and the rest.
        #[serde(rename = "a")]
        away: Away,
    },
}

/// Somebody who is to belong to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPlace {
    /// Who.
    #[serde(rename = "u")]
    pub uid: Uid,
    /// Under which of its aliases, unchecked.
    #[serde(rename = "n")]
    pub alias: String,
}

/// Somebody whom an admin wants to belong to a group or not, in the order of the request. Those without a `problem` are in
/// the change, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedPlace {
    /// Who it was when the request came; `None` when nobody was found.
    #[serde(rename = "u", default)]
    pub uid: Option<Uid>,
    /// Why nothing is asked of the home.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminAnswer {
    /// It is committed.
    #[serde(rename = "d")]
    Done {
        /// What is so now.
        #[serde(rename = "a")]
        outcome: AdminOutcome,
    },
    /// It was not made, and nothing else was.
    #[serde(rename = "e")]
    Refused {
        /// Of which kind the reason is.
        #[serde(rename = "r")]
        reason: AdminRefusal,
        /// The reason in words.
        #[serde(rename = "t")]
        text: String,
    },
}

/// What is so after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminOutcome {
    /// The site is as its row says.
    #[serde(rename = "site")]
    Site,
    /// The member is so.
    #[serde(rename = "member")]
    Member {
        /// Whether it may log in.
        #[serde(rename = "s")]
        status: MemberStatus,
    },
    /// It is as it was to be.
    #[serde(rename = "ok")]
    Changed,
    /// These nodes have a session.
    #[serde(rename = "online")]
    Online {
        /// In the order of their numbers.
        #[serde(rename = "n")]
        nodes: Vec<NodeNum>,
    },
    /// Of each who was to be added and then of each who was to be dropped: why that was not done, if it was not.
    #[serde(rename = "places")]
    Places {
        /// In the order of the change.
        #[serde(rename = "r")]
        refusals: Vec<Option<String>>,
        /// What the change had with it.
        #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
        asked: Vec<AskedPlace>,
    },
    /// What the home knows of a message.
    #[serde(rename = "trace")]
    Trace {
        /// Its steps since the last spill.
        #[serde(rename = "p")]
        pack: Box<TracePack>,
        /// To how many nodes it is owed that has not become rows yet.
        #[serde(rename = "o", default)]
        owed: u32,
        /// How many acks of it have come that its rows do not know yet.
        #[serde(rename = "a", default)]
        acks: u32,
    },
    /// So many sessions were closed.
    #[serde(rename = "closed")]
    Closed {
        /// How many.
        #[serde(rename = "n")]
        sessions: u32,
    },
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminRefusal {
    /// What it is about is not there.
    #[serde(rename = "n")]
    NotFound,
    /// It does not go with what is there.
    #[serde(rename = "c")]
    Conflict,
    /// It makes no sense, whatever is there.
    #[serde(rename = "i")]
    Invalid,
    /// Another request came with the same [`Once::key`] and [`Once::text`].
    #[serde(rename = "r")]
    Reused,
    /// For a reason that its client cannot mend.
    #[serde(rename = "x")]
    Internal,
}
