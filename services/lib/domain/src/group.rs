//! Groups: PROTOCOL.md, "Groups". What a request makes of a group, as a function of the group and of who holds which
//! name; nothing is changed here before everything is decided.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Alias, GroupMode, GroupRule, NameHolder, PolicyRefusal, Refusal, Uid};

/// Members of a group at most, those that have left or were dropped included.
pub const GROUP_MEMBERS_MAX: usize = 10_000;

/// What a user is to a group; somebody who was never invited is nothing to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupStatus {
    /// May join, and may post; receives nothing.
    Invited,
    /// Belongs to it.
    Joined,
    /// Was dropped by another; only a new invitation changes that.
    Barred,
}

/// A user's place in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// What the user is to the group.
    pub status: GroupStatus,
    /// Under which of its aliases the group knows the user.
    pub alias: String,
}

/// A group, as far as rules go: who is what in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    members: BTreeMap<Uid, Membership>,
    rule: GroupRule,
}

/// What a `member` message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupAct {
    /// Somebody is invited.
    #[serde(rename = "i")]
    Invite,
    /// Somebody has joined.
    #[serde(rename = "j")]
    Join,
    /// A member is known by another alias from now on.
    #[serde(rename = "a")]
    Alias,
    /// Somebody has left or was dropped.
    #[serde(rename = "d")]
    Drop,
}

impl GroupAct {
    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Join => "join",
            Self::Alias => "alias",
            Self::Drop => "drop",
        }
    }
}

/// What a GroupEdit asks for; names are unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupEdit {
    /// To belong to the group.
    #[serde(rename = "j")]
    Join {
        /// Under this alias rather than the recorded one.
        #[serde(rename = "a", default)]
        new_alias: Option<String>,
    },
    /// To be known by another alias.
    #[serde(rename = "a")]
    Alias {
        /// This.
        #[serde(rename = "a")]
        new_alias: String,
    },
    /// To leave, or to drop somebody.
    #[serde(rename = "d")]
    Drop {
        /// The recorded alias of who is to go.
        #[serde(rename = "t")]
        to: String,
    },
}

impl GroupEdit {
    /// Octets of the name in it.
    pub fn octets(&self) -> usize {
        match self {
            Self::Join { new_alias } => new_alias.as_ref().map_or(0, String::len),
            Self::Alias { new_alias: name } | Self::Drop { to: name } => name.len(),
        }
    }
}

/// What a GroupInvite asks for; names are unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invitation<'r> {
    /// Into which group.
    pub gid: &'r str,
    /// By which alias of the sender.
    pub from: &'r str,
    /// The invitee's alias.
    pub to: &'r str,
}

/// An invitation that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// The group is to be made.
    pub founds: bool,
    /// Places that change.
    pub changes: Vec<(Uid, Membership)>,
    /// Who is invited.
    pub invitee: Uid,
}

/// An edit that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The place that changes, if one does.
    pub change: Option<(Uid, Membership)>,
    /// What the members are told.
    pub act: GroupAct,
    /// The alias of whom it is about, as recorded before a change of alias and after a join.
    pub alias: String,
    /// The new alias, for [`GroupAct::Alias`].
    pub new_alias: Option<String>,
    /// Who is told although it need not be a member (any more).
    pub also: Option<Uid>,
}

impl Group {
    /// A group of these members.
    pub fn new(members: impl IntoIterator<Item = (Uid, Membership)>) -> Self {
        Self { members: members.into_iter().collect(), rule: GroupRule::default() }
    }

    /// What its admins have set.
    pub fn rule(&self) -> &GroupRule {
        &self.rule
    }

    /// Gives it another rule.
    pub fn set_rule(&mut self, rule: GroupRule) {
        self.rule = rule;
    }

    /// What a user is to it.
    pub fn get(&self, uid: Uid) -> Option<&Membership> {
        self.members.get(&uid)
    }

    /// Gives a user a place.
    pub fn set(&mut self, uid: Uid, place: Membership) {
        self.members.insert(uid, place);
    }

    /// Takes a user's place away, as if there had never been one.
    pub fn forget(&mut self, uid: Uid) {
        self.members.remove(&uid);
    }

    /// All places, of whatever status.
    pub fn places(&self) -> impl Iterator<Item = (Uid, &Membership)> {
        self.members.iter().map(|(uid, place)| (*uid, place))
    }

    /// Those who belong to it.
    pub fn joined(&self) -> impl Iterator<Item = Uid> {
        self.members.iter().filter(|(_, place)| place.status == GroupStatus::Joined).map(|(uid, _)| *uid)
    }

    /// How many places it has, of whatever status.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True when it has no place at all, which no group of a site is.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The user may write to the group, which is called `gid`.
    pub fn check_post(&self, gid: &str, uid: Uid) -> Result<(), Refusal> {
        let status = self.status(uid);
        let is_inside = matches!(status, Some(GroupStatus::Joined | GroupStatus::Invited));
        let is_stranger = status.is_none() && self.rule.mode == GroupMode::Open;
        if !is_inside && !is_stranger {
            return Err(Refusal::GroupOutsider(uid));
        }
        if !self.rule.lets_post(uid) {
            return Err(PolicyRefusal::GroupPost(gid.to_owned()).into());
        }
        Ok(())
    }

    fn status(&self, uid: Uid) -> Option<GroupStatus> {
        self.members.get(&uid).map(|place| place.status)
    }
}

/// Decides a GroupInvite. `group` is the group of that name, if there is one; `holder` tells whose a name is.
pub fn invite(
    group: Option<&Group>,
    sender: Uid,
    request: Invitation<'_>,
    holder: impl Fn(&str) -> Option<NameHolder>,
) -> Result<Invited, Refusal> {
    let Invitation { gid, from, to } = request;
    if gid.len() < Alias::OCTETS_MIN {
        return Err(Refusal::GidShort);
    }
    if holder(from) != Some(NameHolder::Member(sender)) {
        return Err(Refusal::InviteFrom { from: from.to_owned(), uid: sender });
    }
    let Some(NameHolder::Member(invitee)) = holder(to) else {
        return Err(Refusal::InviteTo(to.to_owned()));
    };
    let place = |status, alias: &str| Membership { status, alias: alias.to_owned() };
    let Some(group) = group else {
        if holder(gid).is_some() {
            return Err(Refusal::GidNotAvailable(gid.to_owned()));
        }
        if Alias::parse(gid).is_err() {
            return Err(Refusal::GidInvalid(gid.to_owned()));
        }
        let mut changes = vec![(sender, place(GroupStatus::Joined, from))];
        // Whoever founds a group by inviting itself can join it.
        if invitee == sender {
            changes.clear();
        }
        changes.push((invitee, place(GroupStatus::Invited, to)));
        return Ok(Invited { founds: true, changes, invitee });
    };
    if group.status(sender) != Some(GroupStatus::Joined) {
        return Err(Refusal::InviteByOutsider(sender));
    }
    group.rule.check_invite(gid, sender)?;
    let changes = match group.status(invitee) {
        Some(GroupStatus::Joined) => return Err(Refusal::AlreadyJoined(to.to_owned())),
        Some(GroupStatus::Invited) => Vec::new(),
        None if group.len() >= GROUP_MEMBERS_MAX => return Err(Refusal::GroupFull(gid.to_owned())),
        Some(GroupStatus::Barred) | None => vec![(invitee, place(GroupStatus::Invited, to))],
    };
    Ok(Invited { founds: false, changes, invitee })
}

/// Decides a GroupEdit. `group` is the group of that name, if there is one; `holder` tells whose a name is.
pub fn edit(
    group: Option<&Group>,
    gid: &str,
    sender: Uid,
    request: &GroupEdit,
    holder: impl Fn(&str) -> Option<NameHolder>,
) -> Result<Edited, Refusal> {
    match request {
        GroupEdit::Join { new_alias } => join(group, gid, sender, new_alias.as_deref(), holder),
        GroupEdit::Alias { new_alias } => rename(group, gid, sender, new_alias, holder),
        GroupEdit::Drop { to } => leave(group, gid, sender, to, holder),
    }
}

fn join(
    group: Option<&Group>,
    gid: &str,
    sender: Uid,
    new_alias: Option<&str>,
    holder: impl Fn(&str) -> Option<NameHolder>,
) -> Result<Edited, Refusal> {
    let group = group.ok_or_else(|| Refusal::JoinGid(gid.to_owned()))?;
    let place = group
        .get(sender)
        .filter(|place| place.status != GroupStatus::Barred)
        .ok_or(Refusal::JoinNotInvited(sender))?;
    let alias = new_alias.unwrap_or(&place.alias);
    let edited =
        |change| Edited { change, act: GroupAct::Join, alias: alias.to_owned(), new_alias: None, also: None };
    if place.status == GroupStatus::Joined && alias == place.alias {
        return Ok(edited(None));
    }
    if new_alias.is_some() && holder(alias) != Some(NameHolder::Member(sender)) {
        return Err(Refusal::JoinAlias { alias: alias.to_owned(), uid: sender });
    }
    let joined = Membership { status: GroupStatus::Joined, alias: alias.to_owned() };
    Ok(edited(Some((sender, joined))))
}

fn rename(
    group: Option<&Group>,
    gid: &str,
    sender: Uid,
    new_alias: &str,
    holder: impl Fn(&str) -> Option<NameHolder>,
) -> Result<Edited, Refusal> {
    let group = group.ok_or_else(|| Refusal::AliasGid(gid.to_owned()))?;
    let place = group
        .get(sender)
        .filter(|place| place.status == GroupStatus::Joined)
        .ok_or(Refusal::AliasOutsider(sender))?;
    let changes = place.alias != new_alias;
    if changes && holder(new_alias) != Some(NameHolder::Member(sender)) {
        return Err(Refusal::AliasNotOwn { alias: new_alias.to_owned(), uid: sender });
    }
    let renamed = Membership { status: GroupStatus::Joined, alias: new_alias.to_owned() };
    Ok(Edited {
        change: changes.then_some((sender, renamed)),
        act: GroupAct::Alias,
        alias: place.alias.clone(),
        new_alias: Some(new_alias.to_owned()),
        also: None,
    })
}

fn leave(
    group: Option<&Group>,
    gid: &str,
    sender: Uid,
    to: &str,
    holder: impl Fn(&str) -> Option<NameHolder>,
) -> Result<Edited, Refusal> {
    let group = group.ok_or_else(|| Refusal::DropGid(gid.to_owned()))?;
    let no_member = || Refusal::DropAlias(to.to_owned());
    let Some(NameHolder::Member(target)) = holder(to) else { return Err(no_member()) };
    let place = group.get(target).filter(|place| place.alias == to).ok_or_else(no_member)?;
    let status = if target == sender {
        // Who was dropped by another does not undo it by leaving.
        if place.status == GroupStatus::Barred {
            return Err(Refusal::DropByOutsider(sender));
        }
        GroupStatus::Invited
    } else {
        if group.status(sender) != Some(GroupStatus::Joined) {
            return Err(Refusal::DropByOutsider(sender));
        }
        group.rule.check_drop(gid, sender)?;
        GroupStatus::Barred
    };
    let change =
        (place.status != status).then(|| (target, Membership { status, alias: place.alias.clone() }));
    Ok(Edited { change, act: GroupAct::Drop, alias: to.to_owned(), new_alias: None, also: Some(target) })
}
