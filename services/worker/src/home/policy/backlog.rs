//! How much waits for members and at sites, where a policy limits it.
//!
//! What is in rows is counted there when it is first asked for, and again after each spill: nothing else changes rows. What
//! is in memory is counted here. What was acked since the last spill is in rows and counts until the next one.

use std::collections::{BTreeSet, HashMap};

use tmtp_contract::{Body, Command, Message};
use tmtp_domain::policy::{Backlog, UndeliveredPolicy};
use tmtp_domain::{MsgId, PolicyRefusal, SiteId, Uid};

use super::super::{Facts, Home, NodeKey, Wanted};
use super::contacts::addressed;

/// What is counted.
#[derive(Debug, Default)]
pub(in super::super) struct Backlogs {
    /// Rows of members that were asked for since the last spill.
    members: HashMap<(SiteId, Uid), Backlog>,
    /// The same of sites, with what is in memory.
    sites: HashMap<SiteId, Site>,
}

#[derive(Debug, Default)]
struct Site {
    rows: Backlog,
    memory: Backlog,
}

impl Backlogs {
    /// A message waits that did not.
    pub(in super::super) fn queued(&mut self, site: SiteId, message: &Message) {
        if let Some(count) = self.sites.get_mut(&site) {
            count.memory.add(octets(message));
        }
    }

    /// A message in memory waits for nobody any more.
    pub(in super::super) fn gone(&mut self, site: SiteId, message: &Message) {
        if let Some(count) = self.sites.get_mut(&site) {
            count.memory.remove(octets(message));
        }
    }

    /// Rows have changed.
    pub(in super::super) fn forget(&mut self) {
        self.members.clear();
        self.sites.clear();
    }
}

impl Home {
    /// Adds what has to be counted before a request can be decided.
    pub(super) fn wants_for_backlog(
        &self,
        site: SiteId,
        sender: Uid,
        policy: &UndeliveredPolicy,
        command: &Command,
        facts: &Facts,
        wanted: &mut Wanted,
    ) {
        if octets_of(command).is_none() {
            return;
        }
        if policy.limits_members() {
            let others = addressed(site, sender, command, facts).into_iter().map(|uid| (site, uid));
            wanted.member_backlogs.extend(others.filter(|key| !self.backlogs.members.contains_key(key)));
        }
        if policy.limits_site() && !self.backlogs.sites.contains_key(&site) {
            wanted.site_backlogs.insert(site);
        }
    }

    /// Takes what waits for a member in rows.
    pub fn learn_member_backlog(&mut self, site: SiteId, uid: Uid, rows: Backlog) {
        self.backlogs.members.insert((site, uid), rows);
    }

    /// Takes what waits at a site in rows.
    pub fn learn_site_backlog(&mut self, site: SiteId, rows: Backlog) {
        let memory = self.in_memory(&self.nodes_at(site));
        self.backlogs.sites.insert(site, Site { rows, memory });
    }

    /// Whether one message more may wait for those whom it names, and at the site.
    pub(super) fn check_backlog(
        &self,
        site: SiteId,
        sender: Uid,
        policy: &UndeliveredPolicy,
        command: &Command,
        facts: &Facts,
    ) -> Result<(), PolicyRefusal> {
        let Some(octets) = octets_of(command) else { return Ok(()) };
        let more = Backlog { messages: 1, octets };
        if policy.limits_site() {
            let count = self.backlogs.sites.get(&site);
            let waits = match count {
                Some(count) => count.rows.and(count.memory),
                None => self.in_memory(&self.nodes_at(site)),
            };
            if !waits.and(more).fits(policy.site_messages_max, policy.site_octets_max) {
                return Err(PolicyRefusal::SiteFull);
            }
        }
        if policy.limits_members() {
            for uid in addressed(site, sender, command, facts) {
                let rows = self.backlogs.members.get(&(site, uid)).copied().unwrap_or_default();
                let waits = rows.and(self.in_memory(&self.nodes_of(site, uid)));
                if !waits.and(more).fits(policy.member_messages_max, policy.member_octets_max) {
                    return Err(PolicyRefusal::MemberFull(uid.to_string()));
                }
            }
        }
        Ok(())
    }

    fn nodes_of(&self, site: SiteId, uid: Uid) -> Vec<NodeKey> {
        let member = self.members.get(&(site, uid)).into_iter();
        member.flat_map(|member| &member.nodes).map(|node| NodeKey { site, uid, node: node.num }).collect()
    }

    fn nodes_at(&self, site: SiteId) -> Vec<NodeKey> {
        self.queues.keys().filter(|key| key.site == site).copied().collect()
    }

    /// What waits in memory for these nodes, each message once.
    fn in_memory(&self, nodes: &[NodeKey]) -> Backlog {
        let mut seen: BTreeSet<MsgId> = BTreeSet::new();
        let mut backlog = Backlog::default();
        for queue in nodes.iter().filter_map(|key| self.queues.get(key)) {
            for queued in queue.values().filter(|queued| seen.insert(queued.message.id)) {
                backlog.add(octets(&queued.message));
            }
        }
        backlog
    }
}

/// Octets of the data that a request leaves waiting; `None` for those that are not limited.
fn octets_of(command: &Command) -> Option<u64> {
    match command {
        Command::Post { data, .. } | Command::Ping { data, .. } | Command::GroupInvite { data, .. } => {
            Some(data.len)
        }
        Command::PostNotify { data, note, .. } => Some(data.len.saturating_add(note.len)),
        _ => None,
    }
}

/// Octets of a message's data.
fn octets(message: &Message) -> u64 {
    match &message.body {
        Body::Empty => 0,
        Body::Inline(octets) => u64::try_from(octets.len()).unwrap_or(u64::MAX),
        Body::Stored(body) => body.len,
    }
}
