//! Rules for what waits for members' devices.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Days that a limit may allow at most.
pub(super) const DAYS_MAX: u16 = 3_650;

/// Rules for messages that are not delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UndeliveredPolicy {
    /// Most messages that wait for a member, at any of its devices. Who names it in a post or ping beyond that is refused;
    /// what goes to its groups is not. Null: any number.
    #[schema(minimum = 1)]
    pub member_messages_max: Option<u64>,
    /// Most octets of them. Null: any number.
    #[schema(minimum = 1)]
    pub member_octets_max: Option<u64>,
    /// Most messages that wait at the whole site, each counted once. Posts and pings beyond that are refused. Null: any
    /// number.
    #[schema(minimum = 1)]
    pub site_messages_max: Option<u64>,
    /// Most octets of them. Null: any number.
    #[schema(minimum = 1)]
    pub site_octets_max: Option<u64>,
    /// Days after which a message does not wait any longer for a device that is not online. Null: it waits for ever.
    #[schema(minimum = 1, maximum = 3650)]
    pub days_max: Option<u16>,
    /// What becomes of it then.
    pub expired: Expired,
}

/// What becomes of a message that has waited too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expired {
    /// It is dropped, and counted.
    #[default]
    Drop,
    /// The same, and its sender is told of members whom it has reached at no device, in a ping from the site.
    Return,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages.
    pub messages: u64,
    /// Octets of their data.
    pub octets: u64,
}

impl Backlog {
    /// One message more.
    pub fn add(&mut self, octets: u64) {
        self.messages = self.messages.saturating_add(1);
        self.octets = self.octets.saturating_add(octets);
    }

    /// One message less.
    pub fn remove(&mut self, octets: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.octets = self.octets.saturating_sub(octets);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            octets: self.octets.saturating_add(other.octets),
        }
    }

    /// Whether this is within limits.
    pub fn fits(self, messages_max: Option<u64>, octets_max: Option<u64>) -> bool {
        messages_max.is_none_or(|most| self.messages <= most)
            && octets_max.is_none_or(|most| self.octets <= most)
    }
}

impl UndeliveredPolicy {
    /// Some rule limits what waits for a member.
    pub fn limits_members(&self) -> bool {
        self.member_messages_max.is_some() || self.member_octets_max.is_some()
    }

    /// Some rule limits what waits at the site.
    pub fn limits_site(&self) -> bool {
        self.site_messages_max.is_some() || self.site_octets_max.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: either limit holds by itself, and what is at the limit is within it; method: counts below, at and above.
    #[test]
    fn limits() {
        let mut backlog = Backlog::default();
        backlog.add(100);
        backlog.add(20);
        assert_eq!(backlog, Backlog { messages: 2, octets: 120 });
        for (messages, octets, fits) in [
            (None, None, true),
            (Some(2), Some(120), true),
            (Some(1), None, false),
            (None, Some(119), false),
            (Some(1), Some(1_000), false),
        ] {
            assert_eq!(backlog.fits(messages, octets), fits, "{messages:?} {octets:?}");
        }
        backlog.remove(100);
        assert_eq!(backlog.and(backlog), Backlog { messages: 2, octets: 40 });
    }
}
