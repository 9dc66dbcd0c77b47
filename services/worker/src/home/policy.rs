//! The site's policy: what of a member's request it does not allow. Asked before the protocol's own rules, and not for a
//! request that has succeeded before. The texts are in `tmtp_domain::policy`.

mod away;
mod backlog;
mod contacts;
mod front;
mod lately;

use std::collections::HashMap;
use std::hash::BuildHasher;

use tmtp_contract::{Command, Digest, Envelope};
use tmtp_domain::policy::{Allowed, SenderTruth, skeletons};
use tmtp_domain::{
    Alias, GatewayId, GroupEdit, GroupStatus, NameHolder, OhiAct, Policy, PolicyRefusal, Refusal, Site,
    SiteId, Uid, claim,
};

pub(super) use self::backlog::Backlogs;
use self::contacts::{addressed, minds_contacts};
use self::front::{Part, check_attachments, check_truth, correct, parts};
pub(super) use self::lately::Lately;
use self::lately::{DAY, MINUTE};
use super::decide::Call;
use super::receipts::request_key;
use super::{Facts, Home, NodeKey, Wanted, World};

impl Facts {
    /// A name is somebody's from now on, as far as this batch goes.
    pub(super) fn take_name(&mut self, site: SiteId, name: &str, holder: NameHolder) {
        self.names.insert((site, name.to_owned()), holder);
        if let NameHolder::Member(uid) = holder {
            self.aliases.entry((site, uid)).or_insert_with(|| name.to_owned());
        }
        for look in skeletons(name) {
            self.looks.entry((site, look)).or_default().push(holder);
        }
    }
}

impl Home {
    /// Adds to `wanted` what the policy of the site asks for and the home does not have: whose are the names that a post
    /// says it is from, and those that look like a new one? What is the sender's own alias, in how many groups is it, and
    /// who has written to it?
    pub fn wants_for_policy<S: BuildHasher>(
        &self,
        from: GatewayId,
        envelope: &Envelope,
        sites: &HashMap<SiteId, Site, S>,
        facts: &Facts,
        wanted: &mut Wanted,
    ) {
        let site = envelope.site;
        let Some(policy) = sites.get(&site).map(|site| &site.policy) else { return };
        let command = &envelope.command;
        self.wants_for_away(from, envelope, facts, wanted);
        if policy.is_default() {
            return;
        }
        if !policy.names.lookalikes {
            let chosen = match command {
                Command::Register { alias, credentials, .. } => {
                    let identity =
                        credentials.as_deref().and_then(|credentials| credentials.identity.as_ref());
                    [alias.as_deref(), identity.and_then(|identity| identity.alias.as_deref())]
                }
                Command::NewAlias { alias, .. } => [Some(alias.as_str()), None],
                Command::GroupInvite { gid, .. } => [Some(gid.as_str()), None],
                _ => [None, None],
            };
            let names = chosen.into_iter().flatten().filter(|name| Alias::parse(name).is_ok());
            wanted.looks.extend(names.flat_map(skeletons).map(|look| (site, look)));
        }
        let Some(sender) = self.sender(from, envelope, facts) else { return };
        if policy.posts.sender_truth != SenderTruth::Off {
            for claims in parts(command).iter().filter_map(Part::claims) {
                if policy.posts.sender_truth == SenderTruth::Correct {
                    wanted.aliases.insert((site, sender));
                }
                let names = claims.aliases.into_iter().filter(|alias| Alias::parse(alias).is_ok());
                wanted.names.extend(names.map(|alias| (site, alias)));
            }
        }
        if policy.posts.acquaintances {
            for other in addressed(site, sender, command, facts) {
                wanted.acquainted.extend([(site, sender, other), (site, other, sender)]);
            }
        }
        self.wants_for_backlog(site, sender, &policy.undelivered, command, facts, wanted);
        let joins = matches!(command, Command::GroupEdit { edit: GroupEdit::Join { .. }, .. });
        if policy.groups.per_member.is_some() && (joins || matches!(command, Command::GroupInvite { .. })) {
            wanted.places.insert((site, sender));
        }
    }

    /// Whose session it is; also when this batch opens it.
    fn sender(&self, from: GatewayId, envelope: &Envelope, facts: &Facts) -> Option<Uid> {
        let key = (from, envelope.session);
        self.sessions.get(&key).map(|session| session.node.uid).or_else(|| facts.opening.get(&key).copied())
    }

    /// Whether the policy allows the request. Returns whom it names, if somebody has to know when it has succeeded.
    pub(super) fn check_policy(
        &mut self,
        call: Call,
        node: NodeKey,
        command: &Command,
        world: &World<'_>,
    ) -> Result<Vec<Uid>, Refusal> {
        let Some(policy) = world.sites.get(&call.site).map(|site| &site.policy) else {
            return Ok(Vec::new());
        };
        let sends = matches!(
            command,
            Command::Post { .. }
                | Command::PostNotify { .. }
                | Command::Ping { .. }
                | Command::GroupInvite { .. }
        );
        let only_receives =
            sends && self.members.get(&(call.site, node.uid)).is_some_and(|member| member.flags.receive_only);
        if (policy.is_default() && !only_receives) || self.has_succeeded(call, node, command) {
            return Ok(Vec::new());
        }
        check_octets(policy, command)?;
        if only_receives || (sends && policy.members.receive_only.contains(&node.uid.to_string())) {
            return Err(PolicyRefusal::ReceiveOnly.into());
        }
        self.check_backlog(call.site, node.uid, &policy.undelivered, command, world.facts)?;
        self.check_by_kind(call, node, policy, command, world)?;
        let others = sends && minds_contacts(policy);
        Ok(if others { addressed(call.site, node.uid, command, world.facts) } else { Vec::new() })
    }

    fn check_by_kind(
        &mut self,
        call: Call,
        node: NodeKey,
        policy: &Policy,
        command: &Command,
        world: &World<'_>,
    ) -> Result<(), Refusal> {
        match command {
            Command::Post { recipients, .. } => {
                self.check_data(call.site, node.uid, policy, command, world)?;
                self.check_post(call, node, policy, recipients.len())
            }
            Command::PostNotify { recipients, note_recipients, .. } => {
                if !policy.posts.forwarding {
                    return Err(PolicyRefusal::Forwarding.into());
                }
                self.check_data(call.site, node.uid, policy, command, world)?;
                self.check_post(call, node, policy, recipients.len() + note_recipients.len())
            }
            Command::Ping { to, .. } => self.check_ping(call, node, policy, to, world),
            Command::GroupInvite { gid, .. } => self.check_invite(call.site, node.uid, policy, gid, world),
            Command::GroupEdit { gid, edit: GroupEdit::Join { .. }, .. } => {
                let group = self.groups.get(&(call.site, gid.clone()));
                let place = group.and_then(|group| group.get(node.uid));
                let has_joined = place.is_some_and(|place| place.status == GroupStatus::Joined);
                if has_joined { Ok(()) } else { Ok(check_groups(call.site, node.uid, policy, world)?) }
            }
            Command::GroupEdit { edit: GroupEdit::Drop { to }, .. } => {
                let leaves = world.holder(call.site, to) == Some(NameHolder::Member(node.uid));
                let is_allowed = leaves || policy.groups.drop == Allowed::Anyone;
                if is_allowed { Ok(()) } else { Err(PolicyRefusal::GroupDrop.into()) }
            }
            Command::OhiEdit { act, .. } if !policy.presence.allowed && *act != OhiAct::Drop => {
                Err(PolicyRefusal::Presence.into())
            }
            Command::NewAlias { .. } if !policy.names.alias_changes => Err(PolicyRefusal::AliasLocked.into()),
            Command::NewNode { .. } => {
                let most = policy.devices.per_member;
                let devices = self.members.get(&(call.site, node.uid)).map_or(0, |member| member.nodes.len());
                if devices < usize::from(most) { Ok(()) } else { Err(PolicyRefusal::Devices(most).into()) }
            }
            _ => Ok(()),
        }
    }

    fn check_data(
        &self,
        site: SiteId,
        sender: Uid,
        policy: &Policy,
        command: &Command,
        world: &World<'_>,
    ) -> Result<(), PolicyRefusal> {
        check_truth(site, sender, policy.posts.sender_truth, command, world)?;
        check_attachments(&policy.posts, command)?;
        if policy.posts.acquaintances {
            self.check_acquaintance(site, sender, command, world)?;
        }
        Ok(())
    }

    /// What a member calls itself: the protocol's rules come first, as they say what a name is.
    pub(super) fn choose_alias(
        &mut self,
        site: SiteId,
        uid: Uid,
        text: &str,
        world: &mut World<'_>,
    ) -> Result<(), Refusal> {
        let alias = Alias::parse(text)?;
        if claim(uid, alias.as_str(), world.holder(site, alias.as_str()))?
            && let Some(place) = world.sites.get(&site)
        {
            check_name(site, &place.policy, alias.as_str(), Some(NameHolder::Member(uid)), world)?;
        }
        self.claim_alias(site, uid, text, world)
    }

    fn check_post(
        &mut self,
        call: Call,
        node: NodeKey,
        policy: &Policy,
        recipients: usize,
    ) -> Result<(), Refusal> {
        let posts = &policy.posts;
        if let Some(most) = posts.recipients_max
            && u32::try_from(recipients).is_ok_and(|count| count > most)
        {
            return Err(PolicyRefusal::Recipients(most).into());
        }
        match posts.per_minute {
            Some(most) if !self.lately.posts.take(node, call.now.nanos, most, MINUTE) => {
                Err(PolicyRefusal::PostRate(most).into())
            }
            _ => Ok(()),
        }
    }

    fn check_ping(
        &mut self,
        call: Call,
        node: NodeKey,
        policy: &Policy,
        to: &str,
        world: &World<'_>,
    ) -> Result<(), Refusal> {
        let pings = &policy.pings;
        if !pings.allowed {
            return Err(PolicyRefusal::Pings.into());
        }
        let now = call.now.nanos;
        if let Some(most) = pings.per_day
            && !self.lately.pings.take(node, now, most, DAY)
        {
            return Err(PolicyRefusal::PingRate(most).into());
        }
        let holder = world.holder(call.site, to);
        let Some(most) = pings.failed_max.filter(|_| holder != Some(NameHolder::Member(node.uid))) else {
            return Ok(());
        };
        let pinged = match holder {
            Some(NameHolder::Member(uid)) => Some(uid),
            _ => None,
        };
        let failed = self.lately.failed_pings.of((call.site, node.uid), now, DAY);
        if failed.take(pinged, now, most, DAY) {
            Ok(())
        } else {
            Err(PolicyRefusal::PingsFailed(most).into())
        }
    }

    fn check_invite(
        &self,
        site: SiteId,
        sender: Uid,
        policy: &Policy,
        gid: &str,
        world: &World<'_>,
    ) -> Result<(), Refusal> {
        let exists = self.groups.contains_key(&(site, gid.to_owned()));
        if exists {
            let is_allowed = policy.groups.invite == Allowed::Anyone;
            return if is_allowed { Ok(()) } else { Err(PolicyRefusal::GroupInvite.into()) };
        }
        if policy.groups.create == Allowed::Nobody {
            return Err(PolicyRefusal::GroupCreate.into());
        }
        check_groups(site, sender, policy, world)?;
        // What is no name at all is refused by the protocol.
        if Alias::parse(gid).is_ok() { Ok(check_name(site, policy, gid, None, world)?) } else { Ok(()) }
    }

    /// True for a repetition, which gets the answer of the first time.
    fn has_succeeded(&self, call: Call, node: NodeKey, command: &Command) -> bool {
        digest(command)
            .is_some_and(|digest| self.receipts.get(&request_key(node, digest), call.now).is_some())
    }
}

/// Corrects what a post says of its sender, where the policy asks for that.
pub(super) fn correct_sender(node: NodeKey, command: &mut Command, world: &World<'_>) {
    let truth = world.sites.get(&node.site).map(|site| site.policy.posts.sender_truth);
    if truth == Some(SenderTruth::Correct) {
        correct(node.site, node.uid, command, world);
    }
}

/// Whether a post is small enough. Before everything else, because gateways see to it before the data comes; here it is for
/// those that have not heard of the limit yet. A gateway knows no receipts, so a post that is sent again after the limit was
/// lowered is refused, though it was accepted.
fn check_octets(policy: &Policy, command: &Command) -> Result<(), PolicyRefusal> {
    let octets = parts(command).iter().fold(0_u64, |sum, part| sum.saturating_add(part.info.len));
    match policy.posts.octets_max {
        Some(most) if octets > most => Err(PolicyRefusal::PostOctets(most)),
        _ => Ok(()),
    }
}

/// Whether a member may belong to one group more.
fn check_groups(site: SiteId, uid: Uid, policy: &Policy, world: &World<'_>) -> Result<(), PolicyRefusal> {
    let count = world.facts.places.get(&(site, uid)).copied().unwrap_or_default();
    match policy.groups.per_member {
        Some(most) if count >= most => Err(PolicyRefusal::Groups(most)),
        _ => Ok(()),
    }
}

/// Whether a name may be chosen; `own` are those whose names it may look like.
fn check_name(
    site: SiteId,
    policy: &Policy,
    name: &str,
    own: Option<NameHolder>,
    world: &World<'_>,
) -> Result<(), PolicyRefusal> {
    policy.names.check(name)?;
    let is_others = |look| {
        let holders = world.facts.looks.get(&(site, look));
        holders.is_some_and(|holders| holders.iter().any(|holder| Some(*holder) != own))
    };
    if !policy.names.lookalikes && skeletons(name).into_iter().any(is_others) {
        return Err(PolicyRefusal::NameLike(name.to_owned()));
    }
    Ok(())
}

/// By what a request is known, where one that succeeded is remembered.
fn digest(command: &Command) -> Option<&Digest> {
    match command {
        Command::NewAlias { digest, .. }
        | Command::NewNode { digest, .. }
        | Command::Post { digest, .. }
        | Command::PostNotify { digest, .. }
        | Command::Ping { digest, .. }
        | Command::GroupInvite { digest, .. }
        | Command::GroupEdit { digest, .. } => Some(digest),
        Command::OhiEdit { .. }
        | Command::Register { .. }
        | Command::Login { .. }
        | Command::Attach(_)
        | Command::Detach
        | Command::Present { .. }
        | Command::Admin(_)
        | Command::Acks { .. } => None,
    }
}
