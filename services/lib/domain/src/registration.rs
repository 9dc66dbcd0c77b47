//! Who may become a member: decided by the site's mode, by who signed in, and by an invite.

use serde::{Deserialize, Serialize};

use crate::{InviteId, InviteUse, MemberStatus, Registration};

/// Who signed in, according to a token that has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The id of the provider.
    pub provider: String,
    /// Its issuer.
    pub issuer: String,
    /// The user, unique for the issuer.
    pub subject: String,
    /// Which of our client ids the token is for.
    pub audience: String,
    /// When the token ends (seconds since 1970).
    pub expires_at: i64,
    /// By which a token that comes a second time is recognised.
    #[serde(with = "serde_bytes")]
    pub token_digest: [u8; 32],
    /// The alias that the member is to have. A text from outside: not checked to be a well-formed alias.
    pub alias: Option<String>,
    /// The invite that the token stands for; only from our own issuer.
    pub invite: Option<InviteId>,
}

/// By what an invite is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InviteRef {
    /// The id that a token of our own issuer names.
    Id(InviteId),
    /// The hash of a code, as [`crate::InviteCode::hash`] makes it.
    Code([u8; 32]),
}

/// An invite, as far as a registration is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its uses, and when it ends.
    pub usage: InviteUse,
    /// The alias that whoever joins gets, whatever they ask for.
    pub alias: Option<String>,
    /// The groups that whoever joins becomes a member of.
    pub groups: Vec<String>,
    /// Whoever joins has to wait for approval.
    pub requires_approval: bool,
}

/// With what somebody comes.
#[derive(Debug, Clone, Copy)]
pub enum Ticket<'t> {
    /// With nothing.
    None,
    /// With a sign-in at a provider of the site.
    SignIn,
    /// With an invite; `None` when there is no such invite at the site.
    Invite(Option<&'t Invite>),
}

/// Why somebody cannot register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationRefusal {
    /// The site takes nobody.
    Closed,
    /// A sign-in or an invite is needed.
    SignInNeeded,
    /// There is no such invite, or it can no longer be used.
    Invite,
}

/// What somebody who registers becomes. `now` is in ms since 1970.
pub fn admit(mode: Registration, ticket: Ticket<'_>, now: i64) -> Result<MemberStatus, RegistrationRefusal> {
    let status = |waits: bool| if waits { MemberStatus::Pending } else { MemberStatus::Active };
    match (mode, ticket) {
        (Registration::Closed, _) => Err(RegistrationRefusal::Closed),
        (_, Ticket::Invite(invite)) => invite
            .filter(|invite| invite.usage.state(now).is_usable())
            .map(|invite| status(invite.requires_approval))
            .ok_or(RegistrationRefusal::Invite),
        (Registration::Open, _) | (Registration::Oidc, Ticket::SignIn) => Ok(MemberStatus::Active),
        (Registration::Approval, _) => Ok(MemberStatus::Pending),
        (Registration::Invite, Ticket::None | Ticket::SignIn) | (Registration::Oidc, Ticket::None) => {
            Err(RegistrationRefusal::SignInNeeded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(requires_approval: bool) -> Invite {
        let usage = InviteUse {
            id: InviteId(uuid::Uuid::nil()),
            uses_allowed: 1,
            uses_pending: 0,
            uses_completed: 0,
            expires_at: Some(10),
            revoked_at: None,
        };
        Invite { usage, alias: None, groups: Vec::new(), requires_approval }
    }

    /// Goal: each mode lets in whom its name says, and nobody else; method: the whole table, by hand.
    #[test]
    fn the_table() {
        use MemberStatus::{Active, Pending};
        use RegistrationRefusal::{Closed, Invite as Bad, SignInNeeded as Needed};
        let (plain, waits) = (invite(false), invite(true));
        let tickets = [
            (Ticket::None, 0),
            (Ticket::SignIn, 0),
            (Ticket::Invite(Some(&plain)), 9),
            (Ticket::Invite(Some(&waits)), 9),
            (Ticket::Invite(Some(&plain)), 10),
            (Ticket::Invite(None), 0),
        ];
        let table = [
            (Registration::Open, [Ok(Active), Ok(Active), Ok(Active), Ok(Pending), Err(Bad), Err(Bad)]),
            (Registration::Closed, [Err(Closed); 6]),
            (Registration::Invite, [Err(Needed), Err(Needed), Ok(Active), Ok(Pending), Err(Bad), Err(Bad)]),
            (Registration::Oidc, [Err(Needed), Ok(Active), Ok(Active), Ok(Pending), Err(Bad), Err(Bad)]),
            (Registration::Approval, [Ok(Pending), Ok(Pending), Ok(Active), Ok(Pending), Err(Bad), Err(Bad)]),
        ];
        for (mode, row) in table {
            let told = tickets.map(|(ticket, now)| admit(mode, ticket, now));
            assert_eq!(told, row, "{mode:?}");
        }
    }
}
