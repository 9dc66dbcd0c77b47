//! Names: aliases of users and names of groups share one name space in a site.

use crate::{Refusal, Uid};

/// Whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameHolder {
    /// An alias of this user.
    Member(Uid),
    /// A group's name.
    Group,
    /// Nobody's, and nobody may take it.
    Reserved,
}

/// Decides a Ping: who gets it. `holder` tells whose a name is.
pub fn ping(
    sender: Uid,
    from: &str,
    to: &str,
    holder: impl Fn(&str) -> Option<NameHolder>,
) -> Result<Uid, Refusal> {
    if holder(from) != Some(NameHolder::Member(sender)) {
        return Err(Refusal::FromNotSender);
    }
    match holder(to) {
        Some(NameHolder::Member(uid)) => Ok(uid),
        Some(NameHolder::Group | NameHolder::Reserved) | None => Err(Refusal::PingTo(to.to_owned())),
    }
}

/// Decides whether a user may take a well-formed alias; `Ok(false)` when it has it already.
pub fn claim(uid: Uid, alias: &str, holder: Option<NameHolder>) -> Result<bool, Refusal> {
    match holder {
        None => Ok(true),
        Some(NameHolder::Member(owner)) if owner == uid => Ok(false),
        Some(NameHolder::Member(_)) => Err(Refusal::AliasTaken(alias.to_owned())),
        Some(NameHolder::Group | NameHolder::Reserved) => Err(Refusal::AliasNotAvailable(alias.to_owned())),
    }
}
