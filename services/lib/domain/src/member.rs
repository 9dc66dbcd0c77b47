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
}

impl MemberStatus {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

impl FromStr for MemberStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
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
    /// Its devices, in the order in which they were added; never empty.
    pub nodes: Vec<Node>,
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

    /// The number that its next node gets. Nodes are never removed from the list while the member lives, so numbers
    /// are not reused.
    pub fn next_node(&self) -> NodeNum {
        NodeNum(self.nodes.iter().map(|node| node.num.0).max().unwrap_or(0) + 1)
    }
}
