//! The texts of `ack.error` and `registered.error`, exactly as clients of the protocol know them.

/// Why a request was refused. `Display` is the text on the wire; offending values stand in it as they came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An alias of fewer than eight octets.
    #[error("newalias must be 8+ characters")]
    AliasShort,
    /// An alias with a character that is not printable, or of more than 255 octets.
    #[error("AddAlias: invalid string '{0}'")]
    AliasInvalid(String),
    /// Another user's alias.
    #[error("AddAlias: alias {0} already taken")]
    AliasTaken(String),
    /// The name of a group.
    #[error("AddAlias: alias {0} not available")]
    AliasNotAvailable(String),
    /// A user may have no more nodes ([`crate::NODES_MAX`]).
    #[error("AddNode: Exceeds 100 nodes")]
    NodesExceeded,
    /// A recipient's uid is nobody's.
    #[error("OpenNodes: iUid {0} not found")]
    UidNotFound(String),
    /// A recipient's uid has a character outside A-Z a-z 0-9 + %.
    #[error("fetchUser: invalid string '{0}'")]
    UidInvalid(String),
    /// A recipient is a group that does not exist.
    #[error("GroupGetUsers: iGid {0} not found")]
    GroupNotFound(String),
    /// The result does not fit a header of 65535 octets.
    #[error("request too large to express in a header")]
    TooLarge,
}
