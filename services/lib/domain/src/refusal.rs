//! The texts of `ack.error` and `registered.error`, exactly as clients of the protocol know them.

use crate::{PolicyRefusal, Uid};

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
    /// A recipient is a group that the sender may not write to.
    #[error("GroupGetUsers: iByUid {0} not a member")]
    GroupOutsider(Uid),
    /// A ping's `from` is not the sender's.
    #[error("from must identify sender")]
    FromNotSender,
    /// A ping's `to` is nobody's alias.
    #[error("Lookup: iAlias {0} not found")]
    PingTo(String),
    /// A group's name of fewer than eight octets.
    #[error("gid must be 8+ characters")]
    GidShort,
    /// An invitation's `from` is not the sender's.
    #[error("GroupInvite: iByAlias {from} not for iByUid {uid}")]
    InviteFrom {
        /// As the request has it.
        from: String,
        /// The sender.
        uid: Uid,
    },
    /// An invitation's `to` is nobody's alias.
    #[error("GroupInvite: iAlias {0} not found")]
    InviteTo(String),
    /// The name of a group to be made is an alias.
    #[error("GroupInvite: gid {0} not available")]
    GidNotAvailable(String),
    /// The name of a group to be made has a character that is not printable, or more than 255 octets.
    #[error("GroupInvite: invalid string '{0}'")]
    GidInvalid(String),
    /// Only who belongs to a group can invite.
    #[error("GroupInvite: iByUid {0} not a member")]
    InviteByOutsider(Uid),
    /// The invitee belongs to the group.
    #[error("GroupInvite: iAlias {0} already joined")]
    AlreadyJoined(String),
    /// A group may have no more members ([`crate::GROUP_MEMBERS_MAX`]).
    #[error("GroupInvite: gid {0} is full")]
    GroupFull(String),
    /// The group to join does not exist.
    #[error("GroupJoin: iGid {0} not found")]
    JoinGid(String),
    /// Only who is invited can join.
    #[error("GroupJoin: iUid {0} not invited")]
    JoinNotInvited(Uid),
    /// The alias to join under is not one's own.
    #[error("GroupJoin: iNewAlias {alias} not for iUid {uid}")]
    JoinAlias {
        /// As the request has it.
        alias: String,
        /// The sender.
        uid: Uid,
    },
    /// The group to be known in by another alias does not exist.
    #[error("GroupAlias: iGid {0} not found")]
    AliasGid(String),
    /// Only who belongs to a group has an alias there.
    #[error("GroupAlias: iUid {0} not a member")]
    AliasOutsider(Uid),
    /// The alias to be known by is not one's own.
    #[error("GroupAlias: iNewAlias {alias} not for iUid {uid}")]
    AliasNotOwn {
        /// As the request has it.
        alias: String,
        /// The sender.
        uid: Uid,
    },
    /// The group to leave does not exist.
    #[error("GroupQuit: iGid {0} not found")]
    DropGid(String),
    /// Nobody is recorded in the group under the alias to drop.
    #[error("GroupQuit: iAlias {0} not a member")]
    DropAlias(String),
    /// Only who belongs to a group can drop others; who was dropped cannot leave.
    #[error("GroupQuit: iByUid {0} not a member")]
    DropByOutsider(Uid),
    /// A user may show presence to no more users ([`crate::CONTACTS_MAX`]).
    #[error("presence shown to more than 10000 users")]
    ContactsExceeded,
    /// The result does not fit a header of 65535 octets.
    #[error("request too large to express in a header")]
    TooLarge,
    /// The site does not allow it.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
}
