//! The site's policy: what of a member's request it does not allow. Asked before the protocol's own rules, and not for a
//! request that has succeeded before. The texts are in `tmtp_domain::policy`.
//!
//! How often a member has posted and pinged lately is in memory only: a new owner of the shard counts from nothing.

use std::collections::HashMap;
use std::hash::BuildHasher;

use bytes::Bytes;
use tmtp_contract::{Body, Command, DataInfo, Digest, Envelope};
use tmtp_domain::policy::{Allowed, Claims, FRONT_MAX, Recent, SenderTruth, claims, skeletons};
use tmtp_domain::{
    Alias, GroupEdit, NameHolder, OhiAct, Policy, PolicyRefusal, Refusal, Site, SiteId, Uid, claim, parse_uid,
};

use super::decide::Call;
use super::receipts::request_key;
use super::{Facts, Home, NodeKey, Wanted, World};

/// Nanoseconds of what is counted by the minute, and by the day.
const MINUTE: u64 = 60_000_000_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Of how many members it is known what they did lately, before those who did nothing are looked for.
const FORGET_FROM: usize = 10_000;

/// What members did lately, as far as a policy limits it.
#[derive(Debug, Default)]
pub(super) struct Lately {
    posts: Counts,
    pings: Counts,
}

/// When each member did something.
#[derive(Debug, Default)]
struct Counts {
    members: HashMap<(SiteId, Uid), Recent>,
    /// At how many members those are forgotten who did nothing.
    forget_at: usize,
}

impl Counts {
    fn take(&mut self, who: NodeKey, now: u64, most: u32, period: u64) -> bool {
        if self.members.len() >= self.forget_at.max(FORGET_FROM) {
            self.members.retain(|_, recent| !recent.forget(now, period));
            self.forget_at = self.members.len() * 2;
        }
        self.members.entry((who.site, who.uid)).or_default().take(now, most, period)
    }
}

/// Data of a post, as far as its datahead goes.
struct Part<'c> {
    info: &'c DataInfo,
    body: &'c Body,
    front: Option<&'c Bytes>,
}

impl Part<'_> {
    /// What the datahead says of the sender; `None` when nobody can tell.
    fn claims(&self) -> Option<Claims> {
        if self.info.head == 0 {
            return Some(Claims::default());
        }
        let head = usize::try_from(self.info.head).ok().filter(|_| self.info.head <= FRONT_MAX)?;
        match self.body {
            Body::Inline(octets) => claims(octets.get(..head)?),
            Body::Stored(_) => claims(self.front.filter(|front| front.len() == head)?),
            Body::Empty => None,
        }
    }
}

/// The data of a post.
fn parts(command: &Command) -> Vec<Part<'_>> {
    match command {
        Command::Post { data, body, front, .. } => vec![Part { info: data, body, front: front.as_ref() }],
        Command::PostNotify { data, body, front, note, note_body, note_front, .. } => vec![
            Part { info: data, body, front: front.as_ref() },
            Part { info: note, body: note_body, front: note_front.as_ref() },
        ],
        _ => Vec::new(),
    }
}

impl Facts {
    /// A name is somebody's from now on, as far as this batch goes.
    pub(super) fn take_name(&mut self, site: SiteId, name: &str, holder: NameHolder) {
        self.names.insert((site, name.to_owned()), holder);
        for look in skeletons(name) {
            self.looks.entry((site, look)).or_default().push(holder);
        }
    }
}

/// Adds to `wanted` what the policy of the site asks for and the home does not have: whose are the names that a post
/// says it is from, and those that look like a new one?
pub fn wants_for_policy<S: BuildHasher>(
    envelope: &Envelope,
    sites: &HashMap<SiteId, Site, S>,
    wanted: &mut Wanted,
) {
    let site = envelope.site;
    let Some(policy) = sites.get(&site).map(|site| &site.policy) else { return };
    if !policy.names.lookalikes {
        let chosen = match &envelope.command {
            Command::Register { alias, .. } => alias.as_deref(),
            Command::NewAlias { alias, .. } => Some(alias.as_str()),
            Command::GroupInvite { gid, .. } => Some(gid.as_str()),
            _ => None,
        };
        let looks = chosen.filter(|name| Alias::parse(name).is_ok()).map(skeletons);
        wanted.looks.extend(looks.into_iter().flatten().map(|look| (site, look)));
    }
    if policy.posts.sender_truth != SenderTruth::Refuse {
        return;
    }
    for claims in parts(&envelope.command).iter().filter_map(Part::claims) {
        let names = claims.aliases.into_iter().filter(|alias| Alias::parse(alias).is_ok());
        wanted.names.extend(names.map(|alias| (site, alias)));
    }
}

impl Home {
    /// Whether the policy allows the request.
    pub(super) fn check_policy(
        &mut self,
        call: Call,
        node: NodeKey,
        command: &Command,
        world: &World<'_>,
    ) -> Result<(), Refusal> {
        let Some(policy) = world.sites.get(&call.site).map(|site| &site.policy) else { return Ok(()) };
        if policy.is_default() || self.has_succeeded(call, node, command) {
            return Ok(());
        }
        let sends = matches!(
            command,
            Command::Post { .. }
                | Command::PostNotify { .. }
                | Command::Ping { .. }
                | Command::GroupInvite { .. }
        );
        if sends && policy.members.receive_only.contains(&node.uid.to_string()) {
            return Err(PolicyRefusal::ReceiveOnly.into());
        }
        match command {
            Command::Post { recipients, data, .. } => {
                check_truth(call.site, node.uid, policy, command, world)?;
                self.check_post(call, node, policy, recipients.len(), &[data])
            }
            Command::PostNotify { recipients, note_recipients, data, note, .. } => {
                if !policy.posts.forwarding {
                    return Err(PolicyRefusal::Forwarding.into());
                }
                check_truth(call.site, node.uid, policy, command, world)?;
                let count = recipients.len() + note_recipients.len();
                self.check_post(call, node, policy, count, &[data, note])
            }
            Command::Ping { .. } => self.check_ping(call, node, policy),
            Command::GroupInvite { gid, .. } => self.check_invite(call.site, policy, gid, world),
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
        data: &[&DataInfo],
    ) -> Result<(), Refusal> {
        let posts = &policy.posts;
        if let Some(most) = posts.recipients_max
            && u32::try_from(recipients).is_ok_and(|count| count > most)
        {
            return Err(PolicyRefusal::Recipients(most).into());
        }
        let octets = data.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len));
        if let Some(most) = posts.octets_max
            && octets > most
        {
            return Err(PolicyRefusal::PostOctets(most).into());
        }
        match posts.per_minute {
            Some(most) if !self.lately.posts.take(node, call.now.nanos, most, MINUTE) => {
                Err(PolicyRefusal::PostRate(most).into())
            }
            _ => Ok(()),
        }
    }

    fn check_ping(&mut self, call: Call, node: NodeKey, policy: &Policy) -> Result<(), Refusal> {
        let pings = &policy.pings;
        if !pings.allowed {
            return Err(PolicyRefusal::Pings.into());
        }
        match pings.per_day {
            Some(most) if !self.lately.pings.take(node, call.now.nanos, most, DAY) => {
                Err(PolicyRefusal::PingRate(most).into())
            }
            _ => Ok(()),
        }
    }

    fn check_invite(
        &self,
        site: SiteId,
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
        // What is no name at all is refused by the protocol.
        if Alias::parse(gid).is_ok() { Ok(check_name(site, policy, gid, None, world)?) } else { Ok(()) }
    }

    /// True for a repetition, which gets the answer of the first time.
    fn has_succeeded(&self, call: Call, node: NodeKey, command: &Command) -> bool {
        digest(command)
            .is_some_and(|digest| self.receipts.get(&request_key(node, digest), call.now).is_some())
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

/// Whether a post is from whom it says, if the policy asks for that.
fn check_truth(
    site: SiteId,
    sender: Uid,
    policy: &Policy,
    command: &Command,
    world: &World<'_>,
) -> Result<(), PolicyRefusal> {
    if policy.posts.sender_truth == SenderTruth::Off {
        return Ok(());
    }
    for part in parts(command) {
        let claims = part.claims().ok_or(PolicyRefusal::SenderUnreadable)?;
        // An empty name is nobody's.
        let foreign = claims
            .aliases
            .into_iter()
            .find(|alias| !alias.is_empty() && world.holder(site, alias) != Some(NameHolder::Member(sender)));
        if let Some(alias) = foreign {
            return Err(PolicyRefusal::SenderAlias(alias));
        }
        let foreign = claims.uids.into_iter().find(|uid| !uid.is_empty() && parse_uid(uid) != Ok(sender));
        if let Some(uid) = foreign {
            return Err(PolicyRefusal::SenderUid(uid));
        }
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
