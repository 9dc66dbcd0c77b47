//! What has to be loaded before an admin's change can be decided.

use tmtp_contract::{AdminChange, SetAway};
use tmtp_domain::Uid;

/// What a change needs.
#[derive(Debug, Default)]
pub struct Needs<'c> {
    /// Members.
    pub users: Vec<Uid>,
    /// Names.
    pub names: Vec<&'c str>,
    /// A group, with its members.
    pub group: Option<&'c str>,
    /// Whether a group knows this member by this alias.
    pub known: Option<(Uid, &'c str)>,
}

impl<'c> Needs<'c> {
    pub fn of(change: &'c AdminChange) -> Self {
        match change {
            AdminChange::SiteChanged => Self::default(),
            AdminChange::MemberStatus { uid, .. }
            | AdminChange::Suspend { uid, .. }
            | AdminChange::Online { uid }
            | AdminChange::DropQueue { uid, .. }
            | AdminChange::RevokeNode { uid, .. }
            | AdminChange::Disconnect { uid, .. } => Self { users: vec![*uid], ..Self::default() },
            AdminChange::GroupRule { gid, rule } => Self {
                users: rule.posters.iter().copied().collect(),
                names: vec![gid],
                group: Some(gid),
                known: None,
            },
            AdminChange::MemberFlags { uid, away, .. } => {
                let delegate = match away {
                    Some(SetAway::Away { away }) => away.delegate,
                    Some(SetAway::Back) | None => None,
                };
                Self { users: Some(*uid).into_iter().chain(delegate).collect(), ..Self::default() }
            }
            AdminChange::AddAlias { uid, alias } => {
                Self { users: vec![*uid], names: vec![alias], ..Self::default() }
            }
            AdminChange::DropAlias { uid, alias } => {
                // What Postgres does not take is no alias, and so no group's.
                let known = tmtp_domain::Alias::parse(alias).is_ok().then_some((*uid, alias.as_str()));
                Self { users: vec![*uid], names: vec![alias], known, ..Self::default() }
            }
            AdminChange::Reserve { name } | AdminChange::Release { name } => {
                Self { names: vec![name], ..Self::default() }
            }
            AdminChange::Places { gid, add, drop, .. } => Self {
                users: add.iter().map(|place| place.uid).chain(drop.iter().copied()).collect(),
                names: add.iter().map(|place| &*place.alias).chain([&**gid]).collect(),
                group: Some(gid),
                known: None,
            },
        }
    }
}
