//! Members that wait for approval. With the member's row the store settles the use of its invite.

use serde_json::json;
use tmtp_contract::{AdminOutcome, NewPlace};
use tmtp_domain::{MemberStatus, SiteId, Uid};
use tmtp_store::Change;

use super::super::decide::Call;
use super::super::{Home, World};
use super::{Changed, Refused};

impl Home {
    /// Lets a member in, and into the groups of its invite, like somebody who need not wait.
    pub(super) fn admit(
        &mut self,
        call: Call,
        uid: Uid,
        alias: Option<&String>,
        groups: &[String],
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        let changed = self.decide_member(call.site, uid, MemberStatus::Active)?;
        let Some(alias) = alias else { return Ok(changed) };
        let mut joined = Vec::with_capacity(groups.len());
        for gid in groups {
            let place = NewPlace { uid, alias: alias.clone() };
            if self.enter_group(call, gid, &place, world) {
                joined.push(gid);
            }
        }
        Ok(changed.after(&json!({ "status": MemberStatus::Active.as_str(), "groups": joined })))
    }

    /// Keeps a member out for good; others may have its aliases.
    pub(super) fn turn_away(
        &mut self,
        site: SiteId,
        uid: Uid,
        names: &[String],
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        let changed = self.decide_member(site, uid, MemberStatus::Deactivated)?;
        for name in names {
            // One by which a group knows the member stays.
            let _ = self.drop_alias(site, uid, name, world);
        }
        Ok(changed)
    }

    fn decide_member(&mut self, site: SiteId, uid: Uid, status: MemberStatus) -> Result<Changed, Refused> {
        let member = self.members.get_mut(&(site, uid)).ok_or_else(Refused::no_member)?;
        if member.status != MemberStatus::Pending {
            return Err(Refused::conflict("the member does not wait for approval"));
        }
        member.status = status;
        self.changes.push(Change::MemberStatus { site, uid, status });
        let [before, after] =
            [MemberStatus::Pending, status].map(|status| json!({ "status": status.as_str() }));
        Ok(Changed::new(AdminOutcome::Member { status }).before(&before).after(&after))
    }
}
