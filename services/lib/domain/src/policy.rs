//! What a site allows its members, beyond the protocol's own rules: one document, whose every field has a default. The
//! default of all of them is a site as the protocol describes it.
//!
//! Reading is lenient, because processes of several releases read the same document; whoever lets people write one
//! compares its fields with those of [`Policy::default`], and asks [`Policy::validate`].

mod attachment;
mod claims;
mod correct;
mod fields;
mod like;
mod pings;
mod posts;
mod rate;
mod refusal;
mod waiting;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use attachment::{Attachment, attachments};
pub use claims::{Claims, FRONT_MAX, claims};
pub use correct::{Own, corrected};
pub use like::{is_like, skeletons};
pub use pings::FailedPings;
pub use posts::{PostPolicy, SenderTruth};
pub use rate::Recent;
pub use refusal::PolicyRefusal;
pub use waiting::{Backlog, Expired, UndeliveredPolicy};

use crate::{Alias, NODES_MAX, parse_uid};

/// Entries of a list at most.
pub const LIST_MAX: usize = 1_000;
/// Attachments that a limit may allow at most.
const ATTACHMENTS_MAX: u32 = 1_000;
/// Requests that are counted at most: the home remembers the time of each.
pub const RATE_MAX: u32 = 1_000;

/// The policy of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Policy {
    /// Names that members choose: their aliases, and names of groups that they make.
    pub names: NamePolicy,
    /// Groups.
    pub groups: GroupPolicy,
    /// Posts, with and without notes.
    pub posts: PostPolicy,
    /// Pings.
    pub pings: PingPolicy,
    /// Who sees who is online.
    pub presence: PresencePolicy,
    /// Messages that wait for devices.
    pub undelivered: UndeliveredPolicy,
    /// Devices.
    pub devices: DevicePolicy,
    /// Single members.
    pub members: MemberPolicy,
}

/// Rules for names that members choose. What an admin gives out is not held against them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NamePolicy {
    /// Fewest characters of a name. The protocol asks for 8 octets whatever this says.
    #[schema(minimum = 1, maximum = 64)]
    pub characters_min: u16,
    /// Names that nobody can choose, in any case and whatever letters are used to imitate them.
    #[schema(max_items = 1000)]
    pub reserved: Vec<String>,
    /// Whether members may choose names that look like names of others: in another case, with other blanks, or with
    /// letters that are easily confused.
    pub lookalikes: bool,
    /// Whether members may choose further aliases. The one of the registration is not concerned.
    pub alias_changes: bool,
}

impl Default for NamePolicy {
    fn default() -> Self {
        Self { characters_min: 1, reserved: Vec::new(), lookalikes: true, alias_changes: true }
    }
}

/// Whom something is open to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// Every member, within the protocol's rules.
    #[default]
    Anyone,
    /// No member: only admins, through the API.
    Nobody,
}

/// Rules for groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GroupPolicy {
    /// Who may make groups.
    pub create: Allowed,
    /// Who may invite into groups that there are.
    pub invite: Allowed,
    /// Who may drop others from groups. Leaving is always allowed.
    pub drop: Allowed,
    /// Most groups that a member belongs to by making or joining them; those that admins put it into count, and are not
    /// refused. Null: any number.
    #[schema(minimum = 1)]
    pub per_member: Option<u32>,
}

/// Rules for pings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PingPolicy {
    /// Whether members may ping at all.
    pub allowed: bool,
    /// Most pings of a member within 24 hours. Null: any number.
    #[schema(minimum = 1, maximum = 1000)]
    pub per_day: Option<u32>,
    /// Most pings of a member in a row, within 24 hours, that fail: that are to nobody's alias, or to members of whom none
    /// has written to it since (a ping, an invitation or a post to its uid). Null: any number.
    #[schema(minimum = 1, maximum = 1000)]
    pub failed_max: Option<u32>,
}

impl Default for PingPolicy {
    fn default() -> Self {
        Self { allowed: true, per_day: None, failed_max: None }
    }
}

/// Rules for presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PresencePolicy {
    /// Whether members may show others that they are online. What is shown already ends with the session.
    pub allowed: bool,
}

impl Default for PresencePolicy {
    fn default() -> Self {
        Self { allowed: true }
    }
}

/// Rules for devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DevicePolicy {
    /// Most devices of a member. Those that there are already stay.
    #[schema(minimum = 1, maximum = 100)]
    pub per_member: u16,
    /// Days without a login after which a device counts as quiet: its user is warned, in a ping from the site. Null: never.
    #[schema(minimum = 1, maximum = 3650)]
    pub quiet_days: Option<u16>,
    /// Days after the warning, after which what waits for a device that is still quiet is dropped, and what comes after it.
    #[schema(minimum = 1, maximum = 3650)]
    pub quiet_grace_days: u16,
}

impl Default for DevicePolicy {
    fn default() -> Self {
        Self {
            per_member: u16::try_from(NODES_MAX).unwrap_or(u16::MAX),
            quiet_days: None,
            quiet_grace_days: 7,
        }
    }
}

/// Rules for single members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MemberPolicy {
    /// Uids of members who get messages and cannot send any: no posts, pings and invitations.
    #[schema(max_items = 1000)]
    pub receive_only: Vec<String>,
}

impl Policy {
    /// True when nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it: paths of fields, and what to do.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, path: String, text: String| {
            if !holds {
                problems.push((path, text));
            }
        };
        let range = |range: (u32, u32)| format!("give a number from {} to {}", range.0, range.1);
        let characters = (1..=64).contains(&self.names.characters_min);
        expect(characters, "names.characters_min".to_owned(), range((1, 64)));
        let few = |list: &[String]| list.len() <= LIST_MAX;
        let too_many = || format!("give at most {LIST_MAX} entries");
        expect(few(&self.names.reserved), "names.reserved".to_owned(), too_many());
        for (index, name) in self.names.reserved.iter().enumerate() {
            let is_name = !name.trim().is_empty() && name.len() <= Alias::OCTETS_MAX;
            let text = format!("give a name of 1 to {} octets", Alias::OCTETS_MAX);
            expect(is_name, format!("names.reserved[{index}]"), text);
        }
        let posts = &self.posts;
        let positive = "give a number above 0, or null for no limit";
        expect(posts.recipients_max != Some(0), "posts.recipients_max".to_owned(), positive.to_owned());
        expect(posts.octets_max != Some(0), "posts.octets_max".to_owned(), positive.to_owned());
        let counted = |most: Option<u32>| most.is_none_or(|most| (1..=RATE_MAX).contains(&most));
        let rate = || format!("give a number from 1 to {RATE_MAX}, or null for no limit");
        expect(counted(posts.per_minute), "posts.per_minute".to_owned(), rate());
        expect(
            posts.attachment_octets_max != Some(0),
            "posts.attachment_octets_max".to_owned(),
            positive.to_owned(),
        );
        let attachments = posts.attachments_max.is_none_or(|most| most <= ATTACHMENTS_MAX);
        expect(attachments, "posts.attachments_max".to_owned(), range((0, ATTACHMENTS_MAX)));
        expect(few(&posts.attachment_types), "posts.attachment_types".to_owned(), too_many());
        for (index, ending) in posts.attachment_types.iter().enumerate() {
            let is_ending = !ending.trim().is_empty() && !ending.contains(['.', '/', ':']);
            let text = "give the ending of a file name, without the dot".to_owned();
            expect(is_ending, format!("posts.attachment_types[{index}]"), text);
        }
        expect(self.groups.per_member != Some(0), "groups.per_member".to_owned(), positive.to_owned());
        expect(counted(self.pings.per_day), "pings.per_day".to_owned(), rate());
        expect(counted(self.pings.failed_max), "pings.failed_max".to_owned(), rate());
        let devices = (1..=NODES_MAX).contains(&usize::from(self.devices.per_member));
        expect(devices, "devices.per_member".to_owned(), range((1, 100)));
        let days = |days: u16| (1..=waiting::DAYS_MAX).contains(&days);
        let of_days = || range((1, waiting::DAYS_MAX.into()));
        let quiet = self.devices.quiet_days.is_none_or(days);
        expect(quiet, "devices.quiet_days".to_owned(), of_days());
        expect(days(self.devices.quiet_grace_days), "devices.quiet_grace_days".to_owned(), of_days());
        let waiting = &self.undelivered;
        for (path, most) in [
            ("undelivered.member_messages_max", waiting.member_messages_max),
            ("undelivered.member_octets_max", waiting.member_octets_max),
            ("undelivered.site_messages_max", waiting.site_messages_max),
            ("undelivered.site_octets_max", waiting.site_octets_max),
        ] {
            expect(most != Some(0), path.to_owned(), positive.to_owned());
        }
        expect(waiting.days_max.is_none_or(days), "undelivered.days_max".to_owned(), of_days());
        expect(few(&self.members.receive_only), "members.receive_only".to_owned(), too_many());
        for (index, uid) in self.members.receive_only.iter().enumerate() {
            let path = format!("members.receive_only[{index}]");
            expect(parse_uid(uid).is_ok(), path, "give the uid of a member".to_owned());
        }
        problems
    }
}

impl NamePolicy {
    /// Whether a member may choose a name.
    pub fn check(&self, name: &str) -> Result<(), PolicyRefusal> {
        if name.chars().count() < usize::from(self.characters_min) {
            return Err(PolicyRefusal::NameShort(self.characters_min));
        }
        if self.reserved.iter().any(|reserved| is_like(reserved, name)) {
            return Err(PolicyRefusal::NameReserved(name.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a policy that sets nothing forbids nothing, and every wrong field is named; method: the default, and one
    /// with a mistake in each field that can have one.
    #[test]
    fn mistakes_are_named() {
        assert!(Policy::default().validate().is_empty());
        let policy = Policy {
            names: NamePolicy {
                characters_min: 0,
                reserved: vec![String::new()],
                lookalikes: false,
                alias_changes: false,
            },
            groups: GroupPolicy { per_member: Some(0), ..GroupPolicy::default() },
            posts: PostPolicy {
                forwarding: false,
                recipients_max: Some(0),
                octets_max: Some(0),
                per_minute: Some(1_001),
                sender_truth: SenderTruth::Refuse,
                attachments_max: Some(1_001),
                attachment_octets_max: Some(0),
                attachment_types: vec!["pdf".to_owned(), ".jpg".to_owned()],
                acquaintances: true,
            },
            pings: PingPolicy { allowed: false, per_day: Some(0), failed_max: Some(1_001) },
            presence: PresencePolicy { allowed: false },
            undelivered: UndeliveredPolicy {
                member_messages_max: Some(0),
                member_octets_max: Some(0),
                site_messages_max: Some(0),
                site_octets_max: Some(0),
                days_max: Some(3_651),
                expired: Expired::Return,
            },
            devices: DevicePolicy { per_member: 101, quiet_days: Some(0), quiet_grace_days: 0 },
            members: MemberPolicy { receive_only: vec!["?".to_owned()] },
        };
        let paths: Vec<String> = policy.validate().into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            [
                "names.characters_min",
                "names.reserved[0]",
                "posts.recipients_max",
                "posts.octets_max",
                "posts.per_minute",
                "posts.attachment_octets_max",
                "posts.attachments_max",
                "posts.attachment_types[1]",
                "groups.per_member",
                "pings.per_day",
                "pings.failed_max",
                "devices.per_member",
                "devices.quiet_days",
                "devices.quiet_grace_days",
                "undelivered.member_messages_max",
                "undelivered.member_octets_max",
                "undelivered.site_messages_max",
                "undelivered.site_octets_max",
                "undelivered.days_max",
                "members.receive_only[0]",
            ]
        );
    }

    /// Goal: names are counted in characters, and reserved ones cannot be imitated; method: examples of both.
    #[test]
    fn names() {
        let policy =
            NamePolicy { characters_min: 5, reserved: vec!["Help Desk".to_owned()], ..NamePolicy::default() };
        assert_eq!(policy.check("éééé"), Err(PolicyRefusal::NameShort(5)));
        assert_eq!(policy.check("ééééé"), Ok(()));
        for like in ["help desk", "HELP DESK", " Help  Desk ", "He1p Desk", "Неlр Dеsk"] {
            assert_eq!(policy.check(like), Err(PolicyRefusal::NameReserved(like.to_owned())), "{like}");
        }
        assert_eq!(policy.check("Help Desk 2"), Ok(()));
    }
}
