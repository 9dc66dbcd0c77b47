//! Members who are away: who writes to one by name is told so, once a day, and its delegate gets a copy.
//!
//! What is told is a ping from the member itself, because that is what every client can show: it comes from its oldest
//! alias, and brings the words that the admin has set. A member without an alias is away in silence.

use std::collections::BTreeSet;

use bytes::Bytes;
use tmtp_contract::{Body, Content, DataInfo, Envelope};
use tmtp_domain::{Away, GatewayId, Member, Recipient, RecipientKind, Uid, parse_uid};

use super::super::decide::Call;
use super::super::posts::Payload;
use super::super::{Facts, Home, NO_NODE, NodeKey, Wanted, World};
use super::contacts::addressed;
use super::lately::DAY;

impl Home {
    /// Adds what is needed when somebody who is named is away: its delegate, and the aliases of both.
    pub(super) fn wants_for_away(
        &self,
        from: GatewayId,
        envelope: &Envelope,
        facts: &Facts,
        wanted: &mut Wanted,
    ) {
        let site = envelope.site;
        let Some(sender) = self.sender(from, envelope, facts) else { return };
        for uid in addressed(site, sender, &envelope.command, facts) {
            let Some(away) = self.members.get(&(site, uid)).and_then(|member| member.flags.away.as_ref())
            else {
                continue;
            };
            wanted.aliases.extend([(site, uid), (site, sender)]);
            if let Some(delegate) = away.delegate
                && !self.members.contains_key(&(site, delegate))
            {
                wanted.members.insert((site, delegate));
            }
        }
    }

    /// Those of a list who are away, and to whom copies of what they get go; nobody stands in for a delegate.
    pub(in super::super) fn away_of(&self, call: Call, sender: Uid, list: &[Recipient]) -> BTreeSet<Uid> {
        let users = list.iter().filter(|item| item.kind == RecipientKind::User);
        let uids = users.filter_map(|item| parse_uid(&item.id).ok()).filter(|uid| *uid != sender);
        uids.filter(|uid| self.away(call, *uid).is_some()).collect()
    }

    /// What is set of a member that is away now.
    pub(in super::super) fn away(&self, call: Call, uid: Uid) -> Option<&Away> {
        let member: &Member = self.members.get(&(call.site, uid))?;
        member.flags.away.as_ref().filter(|away| away.until.is_none_or(|until| call.now.millis() < until))
    }

    /// Who stands in for these.
    pub(in super::super) fn delegates(&self, call: Call, sender: Uid, away: &BTreeSet<Uid>) -> Vec<Uid> {
        let delegates = away.iter().filter_map(|uid| self.away(call, *uid)?.delegate);
        delegates.filter(|uid| *uid != sender && self.members.contains_key(&(call.site, *uid))).collect()
    }

    /// Tells the sender of a message that these are away.
    pub(in super::super) fn tell_away(
        &mut self,
        call: Call,
        sender: Uid,
        away: &BTreeSet<Uid>,
        world: &World<'_>,
    ) {
        let site = call.site;
        for &uid in away {
            let Some(alias) = world.facts.aliases.get(&(site, uid)).cloned() else { continue };
            let Some(text) = self.away(call, uid).map(|away| Bytes::from(away.text.clone())) else {
                continue;
            };
            let told = self.lately.away.of((site, uid, sender), call.now.nanos, DAY);
            if !told.take((), call.now.nanos, 1, DAY) {
                continue;
            }
            let to = world.facts.aliases.get(&(site, sender)).cloned().unwrap_or_default();
            let owed = self.all_nodes(site, sender);
            let data = DataInfo { len: u64::try_from(text.len()).unwrap_or(0), head: 0, sum: 0 };
            let payload = Payload { info: data, body: Body::Inline(text) };
            let content = Content::Ping { alias, to };
            self.post_message(call, NodeKey { site, uid, node: NO_NODE }, content, payload, owed);
        }
    }
}
