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
    /// Groups, with their members.
    pub groups: Vec<&'c str>,
    /// Whether a group knows a member by an alias.
    pub known: Vec<(Uid, &'c str)>,
}

impl<'c> Needs<'c> {
    pub fn of(change: &'c AdminChange) -> Self {
        match change {
            AdminChange::SiteChanged | AdminChange::Trace { .. } => Self::default(),
            AdminChange::MemberStatus { uid, .. }
            | AdminChange::Suspend { uid, .. }
            | AdminChange::Online { uid }
            | AdminChange::Erase { uid }
            | AdminChange::DropQueue { uid, .. }
            | AdminChange::RevokeNode { uid, .. }
            | AdminChange::Disconnect { uid, .. } => Self { users: vec![*uid], ..Self::default() },
            AdminChange::GroupRule { gid, rule } => Self {
                users: rule.posters.iter().copied().collect(),
                names: vec![gid],
                groups: vec![gid],
                known: Vec::new(),
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
                let known = known(*uid, std::slice::from_ref(alias));
                Self { users: vec![*uid], names: vec![alias], known, ..Self::default() }
            }
            AdminChange::Decide { uid, names, groups, .. } => Self {
                users: vec![*uid],
                names: names.iter().chain(groups).map(String::as_str).collect(),
                groups: groups.iter().map(String::as_str).collect(),
                known: known(*uid, names),
            },
            AdminChange::DeleteGroup { gid } => {
                Self { names: vec![gid], groups: vec![gid], ..Self::default() }
            }
            AdminChange::Reserve { name } | AdminChange::Release { name } => {
                Self { names: vec![name], ..Self::default() }
            }
            AdminChange::Places { gid, add, drop, .. } => Self {
                users: add.iter().map(|place| place.uid).chain(drop.iter().copied()).collect(),
                names: add.iter().map(|place| &*place.alias).chain([&**gid]).collect(),
                groups: vec![gid],
                known: Vec::new(),
            },
        }
    }
}

/// What Postgres does not take is no alias, and so no group's.
fn known(uid: Uid, names: &[String]) -> Vec<(Uid, &str)> {
    let aliases = names.iter().filter(|name| tmtp_domain::Alias::parse(name).is_ok());
    aliases.map(|name| (uid, name.as_str())).collect()
}
