//! Who may do what through the admin API: roles, and the scopes that they consist of.

use std::fmt;
use std::str::FromStr;

/// A permission that an endpoint asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// See sites.
    SitesRead,
    /// Change sites and their domains.
    SitesWrite,
    /// Make sites: for the provider only.
    SitesCreate,
    /// Suspend and resume sites: for the provider only, or a suspension would be no more than a suggestion.
    SitesSuspend,
    /// Delete sites, and restore them.
    SitesDelete,
    /// See keys, never the keys themselves.
    KeysRead,
    /// Make and revoke keys.
    KeysWrite,
    /// Read the audit log.
    AuditRead,
    /// See jobs.
    JobsRead,
    /// Cancel jobs.
    JobsWrite,
    /// See the policy of sites.
    PolicyRead,
    /// Change the policy of sites.
    PolicyWrite,
    /// See members, their devices and aliases, and groups.
    MembersRead,
    /// Change members, aliases and groups.
    MembersWrite,
    /// Disconnect and revoke devices, drop their queues.
    DevicesWrite,
    /// See invites.
    InvitesRead,
    /// Make, revoke and approve invites.
    InvitesWrite,
    /// See OIDC providers.
    ProvidersRead,
    /// Change OIDC providers.
    ProvidersWrite,
    /// See certificates, never their keys.
    CertificatesRead,
    /// Upload, order and remove certificates.
    CertificatesWrite,
    /// See how much sites are used.
    UsageRead,
    /// Follow the delivery of a message, never its content.
    TraceRead,
    /// See gateways, workers and shards: for the provider only.
    ClusterRead,
    /// Drain gateways: for the provider only.
    ClusterWrite,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::SitesRead,
        Self::SitesWrite,
        Self::SitesCreate,
        Self::SitesSuspend,
        Self::SitesDelete,
        Self::KeysRead,
        Self::KeysWrite,
        Self::AuditRead,
        Self::JobsRead,
        Self::JobsWrite,
        Self::PolicyRead,
        Self::PolicyWrite,
        Self::MembersRead,
        Self::MembersWrite,
        Self::DevicesWrite,
        Self::InvitesRead,
        Self::InvitesWrite,
        Self::ProvidersRead,
        Self::ProvidersWrite,
        Self::CertificatesRead,
        Self::CertificatesWrite,
        Self::UsageRead,
        Self::TraceRead,
        Self::ClusterRead,
        Self::ClusterWrite,
    ];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SitesRead => "sites:read",
            Self::SitesWrite => "sites:write",
            Self::SitesCreate => "sites:create",
            Self::SitesSuspend => "sites:suspend",
            Self::SitesDelete => "sites:delete",
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::AuditRead => "audit:read",
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::PolicyRead => "policy:read",
            Self::PolicyWrite => "policy:write",
            Self::MembersRead => "members:read",
            Self::MembersWrite => "members:write",
            Self::DevicesWrite => "devices:write",
            Self::InvitesRead => "invites:read",
            Self::InvitesWrite => "invites:write",
            Self::ProvidersRead => "providers:read",
            Self::ProvidersWrite => "providers:write",
            Self::CertificatesRead => "certificates:read",
            Self::CertificatesWrite => "certificates:write",
            Self::UsageRead => "usage:read",
            Self::TraceRead => "trace:read",
            Self::ClusterRead => "cluster:read",
            Self::ClusterWrite => "cluster:write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("there is no scope {text:?}"))
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The provider: everything, at all sites.
    Operator,
    /// Everything at its sites, keys included.
    Owner,
    /// The daily work at its sites.
    Admin,
    /// Helps members at its sites.
    Support,
    /// Sees everything at its sites, and the audit log.
    Auditor,
    /// Sees its sites.
    Readonly,
}

impl Role {
    /// All of them, the mightiest first.
    pub const ALL: [Self; 6] =
        [Self::Operator, Self::Owner, Self::Admin, Self::Support, Self::Auditor, Self::Readonly];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Auditor => "auditor",
            Self::Readonly => "readonly",
        }
    }

    /// It includes this permission.
    pub fn allows(self, scope: Scope) -> bool {
        match scope {
            Scope::SitesRead
            | Scope::JobsRead
            | Scope::PolicyRead
            | Scope::MembersRead
            | Scope::InvitesRead
            | Scope::ProvidersRead
            | Scope::CertificatesRead
            | Scope::UsageRead => true,
            Scope::DevicesWrite | Scope::TraceRead => !matches!(self, Self::Auditor | Self::Readonly),
            Scope::SitesWrite
            | Scope::JobsWrite
            | Scope::PolicyWrite
            | Scope::MembersWrite
            | Scope::InvitesWrite
            | Scope::ProvidersWrite
            | Scope::CertificatesWrite => matches!(self, Self::Operator | Self::Owner | Self::Admin),
            Scope::KeysRead | Scope::AuditRead => {
                matches!(self, Self::Operator | Self::Owner | Self::Auditor)
            }
            Scope::SitesDelete | Scope::KeysWrite => matches!(self, Self::Operator | Self::Owner),
            Scope::SitesCreate | Scope::SitesSuspend | Scope::ClusterRead | Scope::ClusterWrite => {
                self == Self::Operator
            }
        }
    }

    /// It includes everything that another one does, so that it may give that one away.
    pub fn covers(self, other: Self) -> bool {
        Scope::ALL.into_iter().all(|scope| self.allows(scope) || !other.allows(scope))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("there is no role {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: names are read as they are written; method: all of them.
    #[test]
    fn names() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("sites:*".parse::<Scope>().is_err() && "root".parse::<Role>().is_err());
    }

    /// Goal: nobody can give away more than it has; method: the operator covers all, everybody itself, and no role of a
    /// site covers the operator.
    #[test]
    fn who_covers_whom() {
        for role in Role::ALL {
            assert!(Role::Operator.covers(role) && role.covers(role) && role.covers(Role::Readonly));
            assert!(role == Role::Operator || !role.covers(Role::Operator));
        }
        assert!(Role::Owner.covers(Role::Auditor) && !Role::Admin.covers(Role::Auditor));
    }
}
