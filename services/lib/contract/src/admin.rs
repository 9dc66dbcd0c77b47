//! Changes that admins ask for. They go through the same streams as members' requests, so that the site's home takes
//! them in order with those, and answers when they are committed.
//!
//! A change is committed together with its entry in the audit log and with what it came to, under the key and the text
//! by which it is recognised ([`Once`]). So the admin server repeats a change until it hears of it, and a client of
//! the API may repeat its request: neither makes it happen twice.

use serde::{Deserialize, Serialize};
use tmtp_domain::{KeyId, MemberStatus, NodeNum, RequestId, Uid};

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
