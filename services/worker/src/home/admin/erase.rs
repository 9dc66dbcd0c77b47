//! Members and groups that end for good.
//!
//! Their rows are removed before any row of the same batch is written, so that the names can be had at once; what
//! the batch was to write about them until now is not written at all.

use serde_json::json;
use tmtp_contract::{AdminOutcome, Content};
use tmtp_domain::{Audience, GroupAct, GroupStatus, NameHolder, NodeNum, SiteId, Uid};
use tmtp_store::Change;

use super::super::decide::Call;
use super::super::posts::Payload;
use super::super::{Home, NO_NODE, NodeKey, World};
use super::{Changed, Refused};

/// What a client is told whose member has ended.
const MEMBER_ERASED: &str = "member erased";

impl Home {
    /// Ends a member. Groups are not told: who wants that drops it there first.
    pub(super) fn erase(
        &mut self,
        site: SiteId,
        uid: Uid,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        let member = self.members.get(&(site, uid)).ok_or_else(Refused::no_member)?;
        let status = member.status;
        let nodes: Vec<NodeNum> = member.nodes.iter().map(|node| node.num).collect();
        self.changes.retain(|change| !change.is_about_member(site, uid));
        self.close_sessions(|node| node.site == site && node.uid == uid, MEMBER_ERASED);
        for &node in &nodes {
            // Without a row that names it. Packs do until they are forgotten; the API shows members only.
            self.forget_queue(NodeKey { site, uid, node }, None);
        }
        self.members.remove(&(site, uid));
        for ((place, _), group) in &mut self.groups {
            if *place == site {
                group.forget(uid);
            }
        }
        world.facts.names.retain(|(place, _), holder| *place != site || *holder != NameHolder::Member(uid));
        self.changes.push(Change::MemberGone { site, uid });
        let before = json!({ "status": status.as_str(), "devices": nodes.len() });
        Ok(Changed::new(AdminOutcome::Changed).before(&before))
    }

    pub(super) fn delete_group(
        &mut self,
        call: Call,
        gid: &str,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        let site = call.site;
        if world.holder(site, gid) != Some(NameHolder::Group) {
            return Err(Refused::not_found("there is no such group"));
        }
        self.changes.retain(|change| !change.is_about_group(site, gid));
        let group = self.groups.remove(&(site, gid.to_owned())).unwrap_or_default();
        let mut members = 0;
        for (uid, place) in group.places().filter(|(_, place)| place.status != GroupStatus::Barred) {
            members += usize::from(place.status == GroupStatus::Joined);
            let node = NodeKey { site, uid, node: NO_NODE };
            let owed = self.owed(site, &Audience::to_user(node.sender(), uid));
            let alias = place.alias.clone();
            let news = Content::Member { act: GroupAct::Drop, gid: gid.to_owned(), alias, new_alias: None };
            self.post_message(call, node, news, Payload::empty(), owed);
        }
        world.facts.names.remove(&(site, gid.to_owned()));
        self.changes.push(Change::GroupGone { site, gid: gid.to_owned() });
        let before = json!({ "group": gid, "members": members });
        Ok(Changed::new(AdminOutcome::Changed).before(&before))
    }
}
