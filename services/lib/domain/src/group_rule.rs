//! What admins allow in a single group, beyond what the site's policy says of all of them.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{PolicyRefusal, Uid};

/// Members that a group's rule names at most.
pub const POSTERS_MAX: usize = 100;

/// How a group is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupMode {
    /// As the protocol describes it: those who are invited or have joined post, those who have joined invite and drop.
    #[default]
    Free,
    /// Only admins add members, through the API.
    Closed,
    /// Only its posters, who are its moderators, post, invite and drop others.
    Moderated,
    /// Only its posters post.
    Announce,
    /// Who does not belong to it may post, too, unless it was dropped. (Only those who have joined receive.)
    Open,
}

impl GroupMode {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Closed => "closed",
            Self::Moderated => "moderated",
            Self::Announce => "announce",
            Self::Open => "open",
        }
    }
}

impl FromStr for GroupMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Free, Self::Closed, Self::Moderated, Self::Announce, Self::Open]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| format!("unknown mode of a group {text:?}"))
    }
}

/// A group's mode, and for whom it makes exceptions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRule {
    /// How it is used.
    #[serde(rename = "m", default)]
    pub mode: GroupMode,
    /// Who posts where not all do.
    #[serde(rename = "p", default)]
    pub posters: BTreeSet<Uid>,
}

impl GroupRule {
    /// Whether somebody who may post by the protocol may do so.
    pub fn lets_post(&self, uid: Uid) -> bool {
        match self.mode {
            GroupMode::Free | GroupMode::Closed | GroupMode::Open => true,
            GroupMode::Moderated | GroupMode::Announce => self.posters.contains(&uid),
        }
    }

    /// Whether somebody who may invite by the protocol may do so.
    pub(crate) fn check_invite(&self, gid: &str, uid: Uid) -> Result<(), PolicyRefusal> {
        match self.mode {
            GroupMode::Closed => Err(PolicyRefusal::GroupClosed(gid.to_owned())),
            _ => self.check_drop(gid, uid),
        }
    }

    /// Whether somebody who may drop others by the protocol may do so.
    pub(crate) fn check_drop(&self, gid: &str, uid: Uid) -> Result<(), PolicyRefusal> {
        match self.mode {
            GroupMode::Moderated if !self.posters.contains(&uid) => {
                Err(PolicyRefusal::GroupModerated(gid.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Audience, Group, GroupEdit, GroupStatus, Invitation, Membership, NameHolder, NodeNum};
    use crate::{Recipient, RecipientKind, Sender, group};

    const CHIEF: Uid = Uid([1; 20]);
    const OTHER: Uid = Uid([2; 20]);
    const GUEST: Uid = Uid([3; 20]);
    const BARRED: Uid = Uid([4; 20]);
    const NEW: Uid = Uid([5; 20]);

    fn holder(name: &str) -> Option<NameHolder> {
        let uids = [("chief", CHIEF), ("other", OTHER), ("guest", GUEST), ("barred", BARRED), ("new", NEW)];
        uids.into_iter().find(|(known, _)| *known == name).map(|(_, uid)| NameHolder::Member(uid))
    }

    fn team(mode: GroupMode) -> Group {
        let place = |status, alias: &str| Membership { status, alias: alias.to_owned() };
        let mut team = Group::new([
            (CHIEF, place(GroupStatus::Joined, "chief")),
            (OTHER, place(GroupStatus::Joined, "other")),
            (GUEST, place(GroupStatus::Invited, "guest")),
            (BARRED, place(GroupStatus::Barred, "barred")),
        ]);
        team.set_rule(GroupRule { mode, posters: [CHIEF].into() });
        team
    }

    /// What chief, other, guest, barred and somebody new can do, as letters: + yes, p no by policy, - no by protocol.
    fn table(act: impl Fn(Uid) -> Result<(), crate::Refusal>) -> String {
        let letter = |uid| match act(uid) {
            Ok(()) => '+',
            Err(refusal) if refusal.to_string().starts_with("site policy: ") => 'p',
            Err(_) => '-',
        };
        [CHIEF, OTHER, GUEST, BARRED, NEW].map(letter).into_iter().collect()
    }

    /// Goal: each mode allows exactly what it says, to everybody; method: a table of modes, acts and people.
    #[test]
    fn modes() {
        let post = |group: &Group, uid| {
            let list = [Recipient { id: "the team".to_owned(), kind: RecipientKind::Group }];
            let mut audience = Audience::of(Sender { uid, node: NodeNum(1) });
            audience.add_list(&list, |_| true, |_| Some(group))?;
            assert_eq!(
                audience.users().collect::<Vec<_>>(),
                [CHIEF, OTHER],
                "only those who have joined receive"
            );
            Ok(())
        };
        let name = |uid: Uid| ["chief", "other", "guest", "barred", "new"][usize::from(uid.0[0]) - 1];
        let invite = |group: &Group, uid: Uid| {
            let request = Invitation { gid: "the team", from: name(uid), to: "new" };
            group::invite(Some(group), uid, request, holder).map(drop)
        };
        let drop_guest = |group: &Group, uid| {
            let edit = GroupEdit::Drop { to: "guest".to_owned() };
            group::edit(Some(group), "the team", uid, &edit, holder).map(drop)
        };
        for (mode, posts, invites, drops) in [
            (GroupMode::Free, "+++--", "++---", "+++--"),
            (GroupMode::Closed, "+++--", "pp---", "+++--"),
            (GroupMode::Moderated, "+pp--", "+p---", "+p+--"),
            (GroupMode::Announce, "+pp--", "++---", "+++--"),
            (GroupMode::Open, "+++-+", "++---", "+++--"),
        ] {
            let team = team(mode);
            assert_eq!(table(|uid| post(&team, uid)), posts, "{mode:?}: who posts");
            assert_eq!(table(|uid| invite(&team, uid)), invites, "{mode:?}: who invites");
            assert_eq!(table(|uid| drop_guest(&team, uid)), drops, "{mode:?}: who drops the guest");
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert!("public".parse::<GroupMode>().is_err());
    }
}
