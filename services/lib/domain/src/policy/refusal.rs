//! What a site's policy says no with. All texts begin with the same words, so that people know whom to ask.

/// Why a site does not allow a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// A name of too few characters.
    #[error("site policy: names have {0}+ characters")]
    NameShort(u16),
    /// A name that the site keeps for itself, or one that looks like it.
    #[error("site policy: name {0} is reserved")]
    NameReserved(String),
    /// A name that looks like somebody else's.
    #[error("site policy: name {0} looks like a name in use")]
    NameLike(String),
    /// A further alias.
    #[error("site policy: aliases are given by admins")]
    AliasLocked,
    /// A group to be made.
    #[error("site policy: groups are made by admins")]
    GroupCreate,
    /// An invitation into a group.
    #[error("site policy: members are invited into groups by admins")]
    GroupInvite,
    /// Somebody else to be dropped.
    #[error("site policy: members are dropped from groups by admins")]
    GroupDrop,
    /// A post with a note.
    #[error("site policy: no forwarding")]
    Forwarding,
    /// A post to too many.
    #[error("site policy: a post has at most {0} recipients")]
    Recipients(u32),
    /// A post that is too large.
    #[error("site policy: a post has at most {0} octets")]
    PostOctets(u64),
    /// Posts that come too fast.
    #[error("site policy: at most {0} posts in a minute, try again later")]
    PostRate(u32),
    /// A post with somebody else's alias in it.
    #[error("site policy: alias {0} is not the sender's")]
    SenderAlias(String),
    /// A post with somebody else's uid in it.
    #[error("site policy: uid {0} is not the sender's")]
    SenderUid(String),
    /// A post that does not let anybody know what it says of its sender.
    #[error("site policy: datahead must be a JSON object of at most 65536 octets")]
    SenderUnreadable,
    /// A post with too many attachments.
    #[error("site policy: a post has at most {0} attachments")]
    Attachments(u32),
    /// A post with an attachment that is too large.
    #[error("site policy: an attachment has at most {0} octets")]
    AttachmentOctets(u64),
    /// A post with an attachment of a type that is not among those allowed.
    #[error("site policy: no attachments of type {0}")]
    AttachmentType(String),
    /// A post to somebody who has not written to the sender.
    #[error("site policy: no posts to {0} before an answer to a ping or invitation")]
    Stranger(String),
    /// A group that only admins add members to.
    #[error("site policy: members are added to group {0} by admins")]
    GroupClosed(String),
    /// A group that is its moderators' matter.
    #[error("site policy: moderators of group {0} invite and drop members")]
    GroupModerated(String),
    /// A post to a group where only some may post.
    #[error("site policy: posting to group {0} is for those its admins have named")]
    GroupPost(String),
    /// One group more.
    #[error("site policy: at most {0} groups for each member")]
    Groups(u32),
    /// A ping.
    #[error("site policy: no pings")]
    Pings,
    /// Pings that come too fast.
    #[error("site policy: at most {0} pings in 24 hours, try again later")]
    PingRate(u32),
    /// Pings that nobody answers.
    #[error("site policy: {0} pings without an answer, try again later")]
    PingsFailed(u32),
    /// To show presence.
    #[error("site policy: no presence")]
    Presence,
    /// A message to somebody for whom too much waits.
    #[error("site policy: too much waits for {0}, try again later")]
    MemberFull(String),
    /// A message at a site where too much waits.
    #[error("site policy: too much waits at this site, try again later")]
    SiteFull,
    /// One device more.
    #[error("site policy: at most {0} devices for each member")]
    Devices(u16),
    /// Something to be sent by somebody who only receives.
    #[error("site policy: this member only receives messages")]
    ReceiveOnly,
}

/// The table behind [`PolicyRefusal::all`].
macro_rules! reasons {
    ($($field:literal: $variant:ident $(($value:expr))?,)*) => {
        impl PolicyRefusal {
            /// One of each, with the field of the policy that is the reason.
            pub fn all() -> Vec<(&'static str, Self)> {
                vec![$(($field, Self::$variant $(($value))?)),*]
            }
        }

        // Does not compile while there is a refusal that is not in the table.
        #[expect(unreachable_patterns, reason = "some refusals have several reasons")]
        const _: fn(&PolicyRefusal) = |refusal| match refusal {
            $(PolicyRefusal::$variant { .. })|* => {}
        };
    };
}

reasons! {
    "names.characters_min": NameShort(10),
    "names.reserved": NameReserved("NAME".to_owned()),
    "names.lookalikes": NameLike("NAME".to_owned()),
    "names.alias_changes": AliasLocked,
    "groups.create": GroupCreate,
    "groups.invite": GroupInvite,
    "groups.drop": GroupDrop,
    "posts.forwarding": Forwarding,
    "posts.recipients_max": Recipients(10),
    "posts.octets_max": PostOctets(1_000_000),
    "posts.per_minute": PostRate(10),
    "posts.sender_truth": SenderAlias("ALIAS".to_owned()),
    "posts.sender_truth": SenderUid("UID".to_owned()),
    "posts.sender_truth": SenderUnreadable,
    "posts.attachments_max": Attachments(5),
    "posts.attachment_octets_max": AttachmentOctets(1_000_000),
    "posts.attachment_types": AttachmentType("exe".to_owned()),
    "posts.acquaintances": Stranger("UID".to_owned()),
    "groups.per_member": Groups(10),
    "mode of the group": GroupClosed("GID".to_owned()),
    "mode of the group": GroupModerated("GID".to_owned()),
    "mode of the group": GroupPost("GID".to_owned()),
    "pings.allowed": Pings,
    "pings.per_day": PingRate(10),
    "pings.failed_max": PingsFailed(10),
    "presence.allowed": Presence,
    "undelivered.member_messages_max": MemberFull("UID".to_owned()),
    "undelivered.member_octets_max": MemberFull("UID".to_owned()),
    "undelivered.site_messages_max": SiteFull,
    "undelivered.site_octets_max": SiteFull,
    "devices.per_member": Devices(10),
    "members.receive_only": ReceiveOnly,
}
