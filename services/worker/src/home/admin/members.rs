//! Whether members are let in.

use serde_json::json;
use tmtp_contract::AdminOutcome;
use tmtp_domain::{MemberStatus, NodeNum, SiteId, Uid};
use tmtp_store::{Change, DropReason, Suspension};

use super::super::{Home, NodeKey};
use super::{Changed, Refused};

/// What a client is told whose member may not log in any more.
const MEMBER_SUSPENDED: &str = "member suspended";
/// What a client is told whose member has been deactivated.
const MEMBER_DEACTIVATED: &str = "member deactivated";
/// Why a member is neither suspended nor resumed.
const WAITS: &str = "the member waits for approval: approve or deny it";

impl Home {
    pub(super) fn member_status(
        &mut self,
        site: SiteId,
        uid: Uid,
        status: MemberStatus,
    ) -> Result<Changed, Refused> {
        let member = self.members.get_mut(&(site, uid)).ok_or_else(Refused::no_member)?;
        if member.status == MemberStatus::Pending && status != MemberStatus::Pending {
            return Err(Refused::conflict(WAITS));
        }
        let before = std::mem::replace(&mut member.status, status);
        let nodes: Vec<NodeNum> = member.nodes.iter().map(|node| node.num).collect();
        if before != status {
            member.notice = None;
            self.changes.push(Change::MemberStatus { site, uid, status });
        }
        match status {
            MemberStatus::Active => {}
            MemberStatus::Suspended => self.close_member(site, uid, MEMBER_SUSPENDED),
            MemberStatus::Deactivated | MemberStatus::Pending => {
                self.close_member(site, uid, MEMBER_DEACTIVATED);
                for node in nodes {
                    self.forget_queue(NodeKey { site, uid, node }, Some(DropReason::Deactivated));
                }
            }
        }
        let changed = Changed::new(AdminOutcome::Member { status });
        Ok(changed.before(&json!({ "status": before.as_str() })).after(&json!({ "status": status.as_str() })))
    }

    pub(super) fn suspend(
        &mut self,
        site: SiteId,
        uid: Uid,
        suspension: Suspension,
    ) -> Result<Changed, Refused> {
        let member = self.members.get_mut(&(site, uid)).ok_or_else(Refused::no_member)?;
        match member.status {
            MemberStatus::Deactivated => return Err(Refused::conflict("the member is deactivated")),
            MemberStatus::Pending => return Err(Refused::conflict(WAITS)),
            MemberStatus::Active | MemberStatus::Suspended => {}
        }
        let status = MemberStatus::Suspended;
        let before = std::mem::replace(&mut member.status, status);
        member.notice.clone_from(&suspension.notice);
        self.close_member(site, uid, suspension.notice.as_deref().unwrap_or(MEMBER_SUSPENDED));
        let Suspension { reason, notice, until, .. } = &suspension;
        let after =
            json!({ "status": status.as_str(), "reason": reason, "notice": notice, "until_ms": until });
        self.changes.push(Change::Suspended { site, uid, suspension });
        let changed = Changed::new(AdminOutcome::Member { status });
        Ok(changed.before(&json!({ "status": before.as_str() })).after(&after))
    }

    fn close_member(&mut self, site: SiteId, uid: Uid, reason: &str) {
        self.close_sessions(|node| node.site == site && node.uid == uid, reason);
    }
}
