//! Who has written to whom: what a site asks of members before they may post to each other, and which pings were
//! answered.

use tmtp_contract::{Answer, Command, Event};
use tmtp_domain::{
    Group, GroupStatus, NameHolder, Policy, PolicyRefusal, RecipientKind, SiteId, Uid, parse_uid,
};
use tmtp_store::{Change, PolicyChange};

use super::super::decide::Call;
use super::super::{Facts, Home, World};
use super::lately::DAY;

/// Whom a request names: members, by uid or alias. Not the sender itself.
pub(super) fn addressed(site: SiteId, sender: Uid, command: &Command, facts: &Facts) -> Vec<Uid> {
    let holder = |name: &str| match facts.names.get(&(site, name.to_owned())) {
        Some(NameHolder::Member(uid)) => Some(*uid),
        _ => None,
    };
    let (first, second) = match command {
        Command::Post { recipients, .. } => (&recipients[..], &[][..]),
        Command::PostNotify { recipients, note_recipients, .. } => (&recipients[..], &note_recipients[..]),
        Command::Ping { to, .. } | Command::GroupInvite { to, .. } => {
            return holder(to).into_iter().filter(|uid| *uid != sender).collect();
        }
        _ => return Vec::new(),
    };
    let users = first.iter().chain(second).filter(|item| item.kind == RecipientKind::User);
    users.filter_map(|item| parse_uid(&item.id).ok()).filter(|uid| *uid != sender).collect()
}

/// The policy has a rule that asks who has written to whom.
pub(super) fn minds_contacts(policy: &Policy) -> bool {
    policy.posts.acquaintances || policy.pings.failed_max.is_some()
}

impl Home {
    /// Whether all whom a post names have written to the sender, or are in a group with it.
    pub(super) fn check_acquaintance(
        &self,
        site: SiteId,
        sender: Uid,
        command: &Command,
        world: &World<'_>,
    ) -> Result<(), PolicyRefusal> {
        for uid in addressed(site, sender, command, world.facts) {
            // Who is nobody is refused by the protocol.
            let is_member = self.members.contains_key(&(site, uid));
            let is_known = world.facts.acquainted.contains(&(site, sender, uid));
            if is_member && !is_known && !self.share_group(site, sender, uid) {
                return Err(PolicyRefusal::Stranger(uid.to_string()));
            }
        }
        Ok(())
    }

    /// A group of this batch, which rows may not show yet, has both. Asked only before somebody is refused.
    fn share_group(&self, site: SiteId, sender: Uid, other: Uid) -> bool {
        let status = |group: &Group, uid| group.get(uid).map(|place| place.status);
        self.groups.iter().any(|((place, _), group)| {
            *place == site
                && matches!(status(group, sender), Some(GroupStatus::Joined | GroupStatus::Invited))
                && status(group, other) == Some(GroupStatus::Joined)
        })
    }

    /// A request has been decided that names these members, where the policy minds that. If it has succeeded, they may write
    /// back from now on, and their pings are answered.
    pub(in super::super) fn note_contacts(
        &mut self,
        call: Call,
        sender: Uid,
        others: Vec<Uid>,
        world: &mut World<'_>,
    ) {
        let has_posted = matches!(self.outbox.answers.last(), Some((gateway, Event::Answer { session, seq, answer: Answer::Posted { .. }, .. }))
            if (*gateway, *session) == call.from && *seq == call.seq);
        if others.is_empty() || !has_posted {
            return;
        }
        let acquaintances = world.sites.get(&call.site).is_some_and(|site| site.policy.posts.acquaintances);
        for uid in others {
            if let Some(pings) = self.lately.failed_pings.get_mut(&(call.site, uid)) {
                pings.forget(call.now.nanos, DAY);
                pings.answered(sender);
            }
            if acquaintances && world.facts.acquainted.insert((call.site, uid, sender)) {
                let change = PolicyChange::Acquainted { site: call.site, uid, with: sender };
                self.changes.push(Change::Policy(change));
            }
        }
    }
}
