//! A member and its nodes, as the home worker knows them.

use std::str::FromStr;

use crate::{NodeNum, SecretHash, Uid};

/// Nodes that a user may have.
pub const NODES_MAX: usize = 100;

/// Whether a member may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// May log in, and receives.
    Active,
    /// May not log in; messages to it wait.
    Suspended,
    /// May not log in, and receives nothing; keeps its names.
    Deactivated,
    /// Has registered and waits for an admin's approval: may not log in, and receives nothing; has its names.
    Pending,
}

impl MemberStatus {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Pending => "pending",
        }
    }
}

impl FromStr for MemberStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            "deactivated" => Ok(Self::Deactivated),
            "pending" => Ok(Self::Pending),
            other => Err(format!("unknown member status {other:?}")),
        }
    }
}

/// A user of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub uid: Uid,
    /// Whether it may log in.
    pub status: MemberStatus,
    /// Its devices, in the order in which they were added; empty when all were revoked.
    pub nodes: Vec<Node>,
    /// Numbers of devices that were revoked.
    pub revoked: Vec<NodeNum>,
    /// What admins have set of it.
    pub flags: MemberFlags,
    /// What it is told when it logs in while it is suspended, if there is something to tell.
    pub notice: Option<String>,
}

/// What admins set of a single member.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemberFlags {
    /// It gets messages and cannot send any: no posts, pings and invitations.
    #[serde(rename = "r", default)]
    pub receive_only: bool,
    /// It is away.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub away: Option<Away>,
}

/// That a member is away.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Away {
    /// What those who write to it are told: what a ping can say.
    #[serde(rename = "t")]
    pub text: String,
    /// Until when (ms since 1970); `None` until it is set otherwise.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Who gets copies of what names the member.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<Uid>,
}

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number within the user.
    pub num: NodeNum,
    /// What its password hashes to.
    pub secret: SecretHash,
}

impl Member {
    /// The node that this password opens.
    pub fn node_by_secret(&self, secret: &SecretHash) -> Option<NodeNum> {
        self.nodes.iter().find(|node| node.secret == *secret).map(|node| node.num)
    }

    /// The number that its next node gets. Numbers of revoked ones are not reused, because receipts of requests are kept
    /// by number.
    pub fn next_node(&self) -> NodeNum {
        let revoked = self.revoked.iter().map(|num| num.0);
        NodeNum(self.nodes.iter().map(|node| node.num.0).chain(revoked).max().unwrap_or(0) + 1)
    }

    /// Messages are queued for it.
    pub fn receives(&self) -> bool {
        !matches!(self.status, MemberStatus::Deactivated | MemberStatus::Pending)
    }

    /// Ends a node. False when there is none of this number.
    pub fn revoke(&mut self, num: NodeNum) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|node| node.num != num);
        let found = self.nodes.len() < before;
        if found {
            self.revoked.push(num);
        }
        found
    }
}
