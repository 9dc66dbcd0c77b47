//! Groups that admins make, and who belongs to them. Members are told by the ordinary messages, as if everybody had come
//! or left by itself.

use serde_json::{Value, json};
use tmtp_contract::{AdminOutcome, AskedPlace, Content, NewPlace};
use tmtp_domain::{
    Alias, GROUP_MEMBERS_MAX, Group, GroupAct, GroupStatus, Membership, NameHolder, SiteId, Uid,
};
use tmtp_store::Change;

use super::super::decide::Call;
use super::super::{Home, NO_NODE, NodeKey, World};
use super::{Changed, Refused};

impl Home {
    pub(in super::super) fn found_group(
        &mut self,
        site: SiteId,
        gid: &str,
        world: &mut World<'_>,
    ) -> Result<(), Refused> {
        let name = Alias::parse(gid)?;
        if world.holder(site, name.as_str()).is_some() {
            return Err(Refused::conflict("this name is not available"));
        }
        world.facts.names.insert((site, gid.to_owned()), NameHolder::Group);
        self.changes.push(Change::Group { site, gid: gid.to_owned() });
        Ok(())
    }

    pub(super) fn change_places(
        &mut self,
        call: Call,
        gid: &str,
        (add, drop): (&[NewPlace], &[Uid]),
        asked: &[AskedPlace],
        world: &World<'_>,
    ) -> Result<Changed, Refused> {
        if world.holder(call.site, gid) != Some(NameHolder::Group) {
            return Err(Refused::not_found("there is no such group"));
        }
        let all = || add.iter().map(|place| place.uid).chain(drop.iter().copied());
        let before = self.joined(call.site, gid, all());
        let mut refusals = Vec::with_capacity(add.len() + drop.len());
        for place in add {
            refusals.push(self.add_place(call, gid, place, world).err().map(str::to_owned));
        }
        for uid in drop {
            refusals.push(self.drop_place(call, gid, *uid).err().map(str::to_owned));
        }
        let refused = all().zip(&refusals).filter(|(_, refusal)| refusal.is_some()).map(|(uid, _)| uid);
        let refused: Vec<Uid> = refused.collect();
        let is_done = |uid: &Uid| !refused.contains(uid);
        let after = json!({
            "group": gid,
            "added": texts(add.iter().map(|place| place.uid).filter(is_done)),
            "dropped": texts(drop.iter().copied().filter(is_done)),
            "refused": texts(refused.iter().copied()),
        });
        Ok(Changed::new(AdminOutcome::Places { refusals, asked: asked.to_vec() })
            .before(&before)
            .after(&after))
    }

    /// Which of these belong to a group, for the audit log.
    fn joined(&self, site: SiteId, gid: &str, of: impl Iterator<Item = Uid>) -> Value {
        let group = self.groups.get(&(site, gid.to_owned()));
        let is_joined = |uid: &Uid| {
            group.and_then(|group| group.get(*uid)).is_some_and(|place| place.status == GroupStatus::Joined)
        };
        json!({ "group": gid, "joined": texts(of.filter(is_joined)) })
    }

    pub(in super::super) fn add_place(
        &mut self,
        call: Call,
        gid: &str,
        new: &NewPlace,
        world: &World<'_>,
    ) -> Result<(), &'static str> {
        let (site, uid) = (call.site, new.uid);
        if !self.members.contains_key(&(site, uid)) {
            return Err("there is no member with this uid");
        }
        if world.holder(site, &new.alias) != Some(NameHolder::Member(uid)) {
            return Err("the alias is not the member's");
        }
        let group = self.groups.get(&(site, gid.to_owned()));
        let place = group.and_then(|group| group.get(uid));
        if place.is_some_and(|place| place.status == GroupStatus::Joined) {
            return Ok(());
        }
        if place.is_none() && group.map_or(0, Group::len) >= GROUP_MEMBERS_MAX {
            return Err("the group is full");
        }
        self.set_place(site, gid, uid, Membership { status: GroupStatus::Joined, alias: new.alias.clone() });
        self.tell_place(call, gid, uid, GroupAct::Join, new.alias.clone());
        Ok(())
    }

    fn drop_place(&mut self, call: Call, gid: &str, uid: Uid) -> Result<(), &'static str> {
        let place = self.groups.get(&(call.site, gid.to_owned())).and_then(|group| group.get(uid));
        let Some(alias) = place.map(|place| place.alias.clone()) else {
            return Err("the group does not know the member");
        };
        if place.is_some_and(|place| place.status == GroupStatus::Barred) {
            return Ok(());
        }
        let barred = Membership { status: GroupStatus::Barred, alias: alias.clone() };
        self.set_place(call.site, gid, uid, barred);
        self.tell_place(call, gid, uid, GroupAct::Drop, alias);
        Ok(())
    }

    fn tell_place(&mut self, call: Call, gid: &str, uid: Uid, act: GroupAct, alias: String) {
        let news = Content::Member { act, gid: gid.to_owned(), alias, new_alias: None };
        self.tell_group(call, NodeKey { site: call.site, uid, node: NO_NODE }, gid, news, Some(uid));
    }
}

/// For the audit log.
fn texts(uids: impl Iterator<Item = Uid>) -> Vec<String> {
    uids.map(|uid| uid.to_string()).collect()
}
