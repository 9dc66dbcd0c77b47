//! Messages that have waited too long, and devices that are quiet too long, where a policy has a rule for that. A device
//! that has a session is being served, and loses nothing.
//!
//! What the site tells its members comes as pings from a user of its own ([`SITE`]), under the site's name: that is what
//! every client can show. Nobody can write to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use tmtp_contract::{Body, Content, DataInfo, Effect, Ended, Message};
use tmtp_domain::policy::Expired;
use tmtp_domain::{MsgId, NodeNum, Posted, Site, SiteId, Uid};
use tmtp_store::{Change, DropReason, PolicyChange};

use super::{Home, NodeKey, Now, World};

/// From whom messages of the site itself are. Uids are random, so no member has it.
pub const SITE: Uid = Uid([0; 20]);

/// Nanoseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Characters of a name in a text from the site: the whole has to be one that a ping can have.
const NAME_MAX: usize = 30;

/// A place in a queue of rows whose message is too old.
#[derive(Debug, Clone)]
pub struct Old {
    /// Which queue.
    pub key: NodeKey,
    /// Which message.
    pub message: Arc<Message>,
}

/// A device that was not used for long.
#[derive(Debug, Clone)]
pub struct Quiet {
    /// Which.
    pub key: NodeKey,
    /// What its user calls it.
    pub label: String,
    /// Its user was warned long ago; else it is to be.
    pub is_over: bool,
}

/// Up to which id messages at these sites are too old: sites that have a rule, each with the highest id.
pub fn expired_ids<S: BuildHasher>(sites: &HashMap<SiteId, Site, S>, now: Now) -> HashMap<SiteId, MsgId> {
    let limit = |site: &Site| {
        let age = DAY.saturating_mul(site.policy.undelivered.days_max?.into());
        Some((site.id, MsgId(now.nanos.checked_sub(age)?)))
    };
    sites.values().filter_map(limit).collect()
}

impl Home {
    /// Drops what is too old by these limits ([`expired_ids`]): these rows, and what is in memory. Returns how many messages
    /// were dropped for somebody.
    pub fn expire(
        &mut self,
        now: Now,
        limits: &HashMap<SiteId, MsgId>,
        rows: Vec<Old>,
        world: &World<'_>,
    ) -> usize {
        let mut places: Vec<Old> = rows;
        for (key, queue) in self.queues.iter().filter(|(key, _)| limits.contains_key(&key.site)) {
            let old = queue.values().map(|queued| &queued.message);
            let old = old.filter(|message| limits.get(&key.site).is_some_and(|limit| message.id <= *limit));
            places.extend(old.map(|message| Old { key: *key, message: Arc::clone(message) }));
        }
        let mut dropped: BTreeMap<(SiteId, MsgId), (Arc<Message>, BTreeSet<NodeKey>)> = BTreeMap::new();
        for Old { key, message } in places {
            let is_done = self.row_acks.get(&key).is_some_and(|acked| acked.contains(&message.id));
            if self.occupied.contains_key(&key) || is_done {
                continue;
            }
            let id = (key.site, message.id);
            dropped.entry(id).or_insert_with(|| (message, BTreeSet::new())).1.insert(key);
        }
        for ((site, id), (message, keys)) in &dropped {
            let is_returned = self.return_to_sender(now, *site, message, keys, world);
            let mut ended = if is_returned { Ended::Returned } else { Ended::Expired };
            for key in keys {
                if !self.remove(*key, *id) {
                    self.ack_row(*key, *id);
                }
                self.note_done(*key, &[*id], Some(ended), now.millis());
                let NodeKey { site, uid, node } = *key;
                self.effects.push(Effect::Acked { site, uid, node, ids: vec![*id], ended: Some(ended) });
                ended = Ended::Expired;
            }
        }
        dropped.len()
    }

    /// Tells the sender of a message that is dropped at these nodes, if it has reached no device of somebody. False when
    /// there is nothing to tell.
    fn return_to_sender(
        &mut self,
        now: Now,
        site: SiteId,
        message: &Message,
        keys: &BTreeSet<NodeKey>,
        world: &World<'_>,
    ) -> bool {
        let Some(place) = world.sites.get(&site) else { return false };
        let policy = &place.policy.undelivered;
        let is_from_member = matches!(
            message.content,
            Content::Delivery { .. } | Content::Notify { .. } | Content::Ping { .. } | Content::Invite { .. }
        ) && message.from != SITE;
        if policy.expired == Expired::Drop || !is_from_member {
            return false;
        }
        let mut missed: Vec<Uid> = keys.iter().map(|key| key.uid).collect();
        missed.dedup();
        missed.retain(|uid| *uid != message.from && self.owes_all(site, *uid, keys));
        let Some(first) = missed.first() else { return false };
        let name = world.facts.aliases.get(&(site, *first)).cloned().unwrap_or_else(|| first.to_string());
        let others = missed.len() - 1;
        let others = if others == 0 { String::new() } else { format!(" and {others} others") };
        let days = policy.days_max.unwrap_or_default();
        let day = message.posted.to_string();
        let day = day.get(..10).unwrap_or_default();
        let text =
            format!("Not delivered to {}{others} in {days} days: {} of {day}", short(&name), message.id);
        self.tell_from_site(now, place, message.from, text, world);
        true
    }

    /// All devices that the member has are among these.
    fn owes_all(&self, site: SiteId, uid: Uid, keys: &BTreeSet<NodeKey>) -> bool {
        self.members.get(&(site, uid)).is_some_and(|member| {
            member.nodes.iter().all(|node| keys.contains(&NodeKey { site, uid, node: node.num }))
        })
    }

    /// Warns users of devices that are quiet, and drops what waits for those that have been so for too long.
    pub fn quiet(&mut self, now: Now, devices: Vec<Quiet>, world: &World<'_>) {
        for Quiet { key, label, is_over } in devices {
            let Some(place) = world.sites.get(&key.site) else { continue };
            let policy = &place.policy.devices;
            let is_there =
                self.members.get(&(key.site, key.uid)).is_some_and(|member| has_node(member, key.node));
            let Some(days) = policy.quiet_days.filter(|_| is_there && !self.occupied.contains_key(&key))
            else {
                continue;
            };
            if is_over {
                self.forget_queue(key, Some(DropReason::Quiet));
                continue;
            }
            let grace = policy.quiet_grace_days;
            let text = format!(
                "Your device {} was not used for {days} days. In {grace} days its messages are dropped.",
                short(&label)
            );
            self.tell_from_site(now, place, key.uid, text, world);
            let change = PolicyChange::QuietWarned { site: key.site, uid: key.uid, node: key.node };
            self.changes.push(Change::Policy(change));
        }
    }

    fn tell_from_site(&mut self, now: Now, site: &Site, uid: Uid, text: String, world: &World<'_>) {
        let owed = self.all_nodes(site.id, uid);
        let to = world.facts.aliases.get(&(site.id, uid)).cloned().unwrap_or_default();
        let text = Bytes::from(text);
        let data = DataInfo { len: u64::try_from(text.len()).unwrap_or_default(), head: 0, sum: 0 };
        let message = Message {
            id: self.next_msg_id(now),
            posted: Posted(now.millis()),
            from: SITE,
            content: Content::Ping { alias: site.name.clone(), to },
            data,
            body: Body::Inline(text),
        };
        self.queue(site.id, message, None, owed);
    }
}

fn has_node(member: &tmtp_domain::Member, num: NodeNum) -> bool {
    member.nodes.iter().any(|node| node.num == num)
}

/// As much of a name as a short text has room for.
fn short(name: &str) -> String {
    let mut short: String = name.chars().take(NAME_MAX).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}
