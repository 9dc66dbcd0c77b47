//! Devices of members: their sessions, their queues, their end.

use serde_json::json;
use tmtp_contract::{AdminOutcome, Effect};
use tmtp_domain::{NodeNum, SiteId, Uid};
use tmtp_store::{Change, DropReason, WAITING};

use super::super::{Home, NodeKey};
use super::{Changed, Refused};

/// What a client is told that an admin has sent away.
const DISCONNECTED: &str = "disconnected by an admin";
/// What a client is told whose messages were dropped: it logs in again and goes on with what comes after.
const QUEUE_DROPPED: &str = "queue dropped by an admin";
/// What a client is told whose node has ended.
const REVOKED: &str = "device revoked";

impl Home {
    pub(super) fn online(&self, site: SiteId, uid: Uid) -> Changed {
        let here = self.occupied.keys().filter(|key| key.site == site && key.uid == uid);
        let mut nodes: Vec<NodeNum> = here.map(|key| key.node).collect();
        nodes.sort_unstable();
        Changed::nothing(AdminOutcome::Online { nodes })
    }

    pub(super) fn disconnect(
        &mut self,
        site: SiteId,
        uid: Uid,
        node: Option<NodeNum>,
    ) -> Result<Changed, Refused> {
        match node {
            Some(node) => _ = self.existing_node(site, uid, node)?,
            None if self.members.contains_key(&(site, uid)) => {}
            None => return Err(Refused::no_member()),
        }
        let one =
            |key: NodeKey| key.site == site && key.uid == uid && node.is_none_or(|wanted| wanted == key.node);
        let mut nodes: Vec<i16> =
            self.occupied.keys().filter(|key| one(**key)).map(|key| key.node.0).collect();
        nodes.sort_unstable();
        let sessions = self.close_sessions(one, DISCONNECTED);
        let changed = Changed::new(AdminOutcome::Closed { sessions });
        Ok(changed.before(&json!({ "online": nodes })).after(&json!({ "online": [] })))
    }

    pub(super) fn drop_queue_of(
        &mut self,
        site: SiteId,
        uid: Uid,
        node: NodeNum,
    ) -> Result<Changed, Refused> {
        let key = self.existing_node(site, uid, node)?;
        let before = json!({ "node": node.0, WAITING: self.not_in_rows(key) });
        self.close_sessions(|node| node == key, QUEUE_DROPPED);
        self.forget_queue(key, Some(DropReason::Admin));
        let after = json!({ "node": node.0, WAITING: 0 });
        Ok(Changed::new(AdminOutcome::Changed).before(&before).after(&after))
    }

    pub(super) fn revoke_node(&mut self, site: SiteId, uid: Uid, node: NodeNum) -> Result<Changed, Refused> {
        let key = self.existing_node(site, uid, node)?;
        if let Some(member) = self.members.get_mut(&(site, uid)) {
            member.revoke(node);
        }
        self.close_sessions(|node| node == key, REVOKED);
        self.forget_queue(key, Some(DropReason::Revoked));
        self.changes.push(Change::NodeRevoked { site, uid, num: node });
        Ok(Changed::new(AdminOutcome::Changed).after(&json!({ "revoked": node.0 })))
    }

    /// Forgets what a node is owed, in memory, journal and rows. It must have no session: that knows what was sent. The
    /// trace says why, if there is a reason for it.
    pub(in super::super) fn forget_queue(&mut self, key: NodeKey, reason: Option<DropReason>) {
        self.drop_queue(key);
        let NodeKey { site, uid, node } = key;
        self.effects.push(Effect::Dropped { site, uid, node });
        let trace = reason.and_then(|reason| self.trace_drop(reason));
        self.changes.push(Change::DropInbox { site, uid, node, trace });
    }

    fn existing_node(&self, site: SiteId, uid: Uid, node: NodeNum) -> Result<NodeKey, Refused> {
        let member = self.members.get(&(site, uid)).ok_or_else(Refused::no_member)?;
        if member.nodes.iter().all(|known| known.num != node) {
            return Err(Refused::not_found("the member has no such device"));
        }
        Ok(NodeKey { site, uid, node })
    }
}
