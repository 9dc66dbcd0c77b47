//! The words and rules of TMTP as Postern speaks it. Pure: no I/O, no clock, no randomness.
//!
//! # Glossary
//!
//! | word | is |
//! |---|---|
//! | site | a private, members-only network of one organisation; nothing crosses from one to another |
//! | member, user | a person or program of a site, known by its [`Uid`] |
//! | node | a device of a user: a password of its own and a queue of its own ([`NodeNum`]) |
//! | alias | a name under which others reach a user; unique in its site |
//! | message | what waits in queues until acked; has a [`MsgId`] and a [`Posted`] time |
//! | owed | a node is owed a message from the commit that queues it until the commit that holds the node's ack |
//! | group | a name, and for each user an alias in it and a status: invited, joined, barred |
//! | invite, code | lets somebody join; its code is told to them ([`InviteCode`]) |
//! | provider | an OpenID Connect provider whose sign-in tokens a site takes ([`Provider`]) |
//! | ohi, presence | a user shows others that it is online; kept in memory only |
//! | policy | what a site allows its members beyond the protocol's own rules ([`Policy`]) |
//! | shard | the unit of ownership: a site belongs to exactly one ([`ShardId`]) |
//! | gateway, worker | the process at the socket; the process that decides and commits |
//! | link, session | a connection of a client; what it means to the cluster once it is a member's |

mod access;
mod alias;
mod certificate;
pub mod group;
mod group_rule;
mod host;
mod id;
mod invite;
mod key;
mod member;
mod name;
pub mod policy;
mod posted;
mod presence;
mod provider;
mod recipients;
mod refusal;
mod registration;
mod site;

pub use access::{Role, Scope};
pub use alias::Alias;
pub use certificate::{CertificateContent, SiteCertificate, covers, seal_context};
pub use group::{GROUP_MEMBERS_MAX, Group, GroupAct, GroupEdit, GroupStatus, Invitation, Membership};
pub use group_rule::{GroupMode, GroupRule, POSTERS_MAX};
pub use host::parse_host;
pub use id::{
    BodyId, CertificateId, Epoch, GatewayId, IdError, InviteId, KeyId, MsgId, NodeNum, NodeSecret, RequestId,
    SecretHash, SessionId, ShardId, SiteId, Uid, WorkerId,
};
pub use invite::{InviteCode, InviteCodeError, InviteState, InviteUse};
pub use key::{KeyMode, KeySecret};
pub use member::{Away, Member, MemberFlags, MemberStatus, NODES_MAX, Node};
pub use name::{NameHolder, claim, ping};
pub use policy::{Policy, PolicyRefusal};
pub use posted::Posted;
pub use presence::{CONTACTS_MAX, Notice, OhiAct, OhiItem, Presence, by_receiver, list_fits};
pub use provider::{
    ClaimRules, Endpoint, PROVIDERS_MAX, Provider, ProviderError, ProviderKind, SignIn, sign_ins,
    validate_providers,
};
pub use recipients::{Audience, Owed, Recipient, RecipientKind, Sender, parse_uid};
pub use refusal::Refusal;
pub use registration::{Identity, Invite, InviteRef, RegistrationRefusal, Ticket, admit};
pub use site::{Registration, Site, SiteStatus, shard_of};
