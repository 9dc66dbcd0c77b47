//! A site as the processes know it, and which shard it belongs to.

use std::str::FromStr;

use aws_lc_rs::digest;

use crate::{Policy, Provider, ShardId, SiteId};

/// Who may register at a site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Everybody who can connect.
    Open,
    /// Nobody.
    #[default]
    Closed,
    /// Who has an invite.
    Invite,
    /// Whom a provider of the site vouches for, and who has an invite.
    Oidc,
    /// Everybody who can connect, but an admin has to approve of them before they can log in; who has an invite need
    /// not wait, unless the invite says so.
    Approval,
}

impl Registration {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Open, Self::Closed, Self::Invite, Self::Oidc, Self::Approval];

    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Invite => "invite",
            Self::Oidc => "oidc",
            Self::Approval => "approval",
        }
    }
}

impl FromStr for Registration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        known.ok_or_else(|| {
            format!("unknown registration mode {text:?}: use open, closed, invite, oidc or approval")
        })
    }
}

/// Whether a site is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteStatus {
    /// Served.
    Active,
    /// Known, but not served.
    Suspended,
    /// Not served, and erased after a while unless somebody restores it.
    Deleted,
}

impl SiteStatus {
    /// As Postgres keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

impl FromStr for SiteStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            "deleted" => Ok(Self::Deleted),
            other => Err(format!("unknown site status {other:?}")),
        }
    }
}

/// A site.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Site {
    /// Which one.
    pub id: SiteId,
    /// Counts changes of all sites together, so that "what is new since" has an answer.
    pub revision: i64,
    /// The shard it belongs to, for good.
    pub shard: ShardId,
    /// What clients show.
    pub name: String,
    /// Host names (SNI) under which it is reached; lower case. A leading `*.` stands for one label.
    pub domains: Vec<String>,
    /// Who may register. Part of the site's policy for its admins; here because gateways need it for each connection.
    pub registration: Registration,
    /// Whether it is served.
    pub status: SiteStatus,
    /// What it allows its members. Most sites set nothing, and should cost nothing.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
    /// Whose sign-in tokens it takes, without the built-in issuer, which follows from the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Provider>,
    /// What its members are told while it is suspended, if there is something to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

impl Site {
    /// The providers with which one can sign in to register here; clients are told of them in this order. Empty where
    /// no sign-in is asked for. `public_url` is where the built-in issuer is reached, if there is one.
    ///
    /// Where registration is open without a sign-in, the invitation is offered beside other providers only: a client
    /// that is told of one takes it for required.
    pub fn sign_in_providers(&self, public_url: Option<&str>) -> Vec<Provider> {
        let invitation = public_url.map(|url| Provider::invitation(self.id, &self.name, url));
        match self.registration {
            Registration::Closed => Vec::new(),
            Registration::Invite => invitation.into_iter().collect(),
            Registration::Oidc => self.providers.iter().cloned().chain(invitation).collect(),
            Registration::Open | Registration::Approval if self.providers.is_empty() => Vec::new(),
            Registration::Open | Registration::Approval => {
                self.providers.iter().cloned().chain(invitation).collect()
            }
        }
    }

    /// A sign-in, or an invite, is needed to register here.
    pub fn requires_sign_in(&self) -> bool {
        matches!(self.registration, Registration::Invite | Registration::Oidc)
    }
}

/// The shard of a site: a hash of its id over the number of shards of the deployment, which never changes.
///
/// The hash is SHA-256 rather than the id's own octets, because time-ordered ids share their leading ones.
pub fn shard_of(site: SiteId, shards: u16) -> ShardId {
    let hash = digest::digest(&digest::SHA256, site.0.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&hash.as_ref()[..8]);
    let index = u64::from_be_bytes(head) % u64::from(shards.max(1));
    ShardId(u16::try_from(index).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a site never moves and all shards are used; method: a pinned value, and a thousand ids over 64 shards.
    #[test]
    fn shards_are_stable_and_even() {
        let pinned = SiteId(uuid::Uuid::from_u128(1));
        assert_eq!(shard_of(pinned, 64), shard_of(pinned, 64));
        let mut used = [0_u32; 64];
        for n in 0..1_000 {
            used[usize::from(shard_of(SiteId(uuid::Uuid::from_u128(n)), 64).0)] += 1;
        }
        assert!(used.iter().all(|&sites| sites > 0 && sites < 40), "{used:?}");
    }

    fn site(registration: Registration, providers: Vec<Provider>) -> Site {
        Site {
            id: SiteId(uuid::Uuid::from_u128(1)),
            revision: 1,
            shard: ShardId(0),
            name: "Acme".to_owned(),
            domains: Vec::new(),
            registration,
            status: SiteStatus::Active,
            policy: Policy::default(),
            providers,
            notice: None,
        }
    }

    /// Goal: every mode offers the sign-ins that it takes, in order, and no others; method: each mode, with and without a
    /// provider and a public address.
    #[test]
    fn sign_ins() {
        let corp =
            Provider { id: "corp".to_owned(), ..Provider::invitation(SiteId(uuid::Uuid::nil()), "", "") };
        let offers = |mode: Registration, providers: &[Provider], url: Option<&str>| -> Vec<String> {
            let site = site(mode, providers.to_vec());
            site.sign_in_providers(url).into_iter().map(|provider| provider.id).collect()
        };
        let url = Some("https://join.example");
        let corps = std::slice::from_ref(&corp);
        for mode in [Registration::Open, Registration::Approval] {
            assert!(offers(mode, &[], url).is_empty());
            assert_eq!(offers(mode, corps, url), ["corp", "invitation"]);
        }
        assert!(offers(Registration::Closed, corps, url).is_empty());
        assert_eq!(offers(Registration::Invite, corps, url), ["invitation"]);
        assert!(offers(Registration::Invite, corps, None).is_empty());
        assert_eq!(offers(Registration::Oidc, corps, url), ["corp", "invitation"]);
        assert_eq!(offers(Registration::Oidc, corps, None), ["corp"]);
        for mode in Registration::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
            let needed = matches!(mode, Registration::Invite | Registration::Oidc);
            assert_eq!(site(mode, Vec::new()).requires_sign_in(), needed);
        }
    }
}
