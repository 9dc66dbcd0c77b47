//! Aliases that admins give, take, and keep.

use serde_json::json;
use tmtp_contract::{AdminOutcome, Content};
use tmtp_domain::{Alias, NameHolder, Refusal, SiteId, Uid};
use tmtp_store::Change;

use super::super::decide::Call;
use super::super::posts::Payload;
use super::super::{Home, NO_NODE, NodeKey, World};
use super::{Changed, Refused};

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::AliasShort | Refusal::AliasInvalid(_) => Self::invalid(text),
            _ => Self::conflict(text),
        }
    }
}

impl Home {
    pub(super) fn add_alias(
        &mut self,
        call: Call,
        uid: Uid,
        alias: &str,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        let site = call.site;
        if !self.members.contains_key(&(site, uid)) {
            return Err(Refused::no_member());
        }
        let is_new = world.holder(site, alias) != Some(NameHolder::Member(uid));
        self.claim_alias(site, uid, alias, world)?;
        if is_new {
            let owed = self.all_nodes(site, uid);
            let content = Content::NewAlias { alias: alias.to_owned() };
            self.post_message(call, NodeKey { site, uid, node: NO_NODE }, content, Payload::empty(), owed);
        }
        Ok(Changed::new(AdminOutcome::Changed).after(&json!({ "alias": alias })))
    }

    pub(super) fn drop_alias(
        &mut self,
        site: SiteId,
        uid: Uid,
        alias: &str,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        if !self.members.contains_key(&(site, uid)) {
            return Err(Refused::no_member());
        }
        if world.holder(site, alias) != Some(NameHolder::Member(uid)) {
            return Err(Refused::not_found("the member has no such alias"));
        }
        // A group that this batch has changed is not in the rows yet.
        let is_cached = self.groups.iter().any(|((place, _), group)| {
            *place == site && group.get(uid).is_some_and(|place| place.alias == alias)
        });
        if is_cached || world.facts.known.contains(&(site, uid, alias.to_owned())) {
            return Err(Refused::conflict("a group knows the member by this alias"));
        }
        self.free_name(site, alias, world);
        Ok(Changed::new(AdminOutcome::Changed).before(&json!({ "alias": alias })))
    }

    pub(super) fn reserve(
        &mut self,
        site: SiteId,
        name: &str,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        let alias = Alias::parse(name)?;
        match world.holder(site, alias.as_str()) {
            // A name that becomes free with this batch looks reserved, and is reserved behind that.
            None | Some(NameHolder::Reserved) => {
                world.facts.names.insert((site, name.to_owned()), NameHolder::Reserved);
                self.changes.push(Change::NameReserved { site, name: name.to_owned() });
            }
            Some(NameHolder::Member(_)) => return Err(Refused::conflict("a member has this alias")),
            Some(NameHolder::Group) => return Err(Refused::conflict("a group has this name")),
        }
        Ok(Changed::new(AdminOutcome::Changed).after(&json!({ "reserved": name })))
    }

    pub(super) fn release(
        &mut self,
        site: SiteId,
        name: &str,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        if world.holder(site, name) != Some(NameHolder::Reserved) {
            return Err(Refused::not_found("the name is not reserved"));
        }
        self.free_name(site, name, world);
        Ok(Changed::new(AdminOutcome::Changed).before(&json!({ "reserved": name })))
    }

    /// Rows of names are added before any is removed, so nobody may take it before the next batch.
    fn free_name(&mut self, site: SiteId, name: &str, world: &mut World<'_>) {
        let before = world.facts.names.insert((site, name.to_owned()), NameHolder::Reserved);
        if let Some(NameHolder::Member(uid)) = before
            && world.facts.aliases.get(&(site, uid)).is_some_and(|alias| alias == name)
        {
            world.facts.aliases.remove(&(site, uid));
        }
        self.changes.push(Change::NameGone { site, name: name.to_owned() });
    }
}
