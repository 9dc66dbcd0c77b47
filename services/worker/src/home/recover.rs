//! Taking a shard over: replaying what the journal holds.

use std::collections::HashSet;

use tmtp_contract::{Effect, JournalEntry, ReceiptPack};
use tmtp_domain::GatewayId;
use tmtp_store::{OwnedShard, Recovery};

use super::{Home, Limits, NodeKey, Now};

impl Home {
    /// The home as its last owner would have left it at its last commit. `absent` are the gateways that may have
    /// sessions of it.
    pub fn recover(
        row: &OwnedShard,
        left: &Recovery,
        limits: Limits,
        absent: HashSet<GatewayId>,
        now: Now,
    ) -> Result<Self, tmtp_contract::Error> {
        let mut home = Self::empty(row, limits, absent);
        for pack in &left.receipts {
            for receipt in ReceiptPack::unpack(pack) {
                home.receipts.add_spilled(receipt);
            }
        }
        for octets in &left.journal {
            let entry: JournalEntry = tmtp_contract::decode(octets)?;
            entry.effects.into_iter().for_each(|effect| home.replay(effect));
            home.unspilled_since = Some(now.millis());
        }
        // The rows went with the commits that freed them. The bodies may not have: removing them again does no harm.
        home.changes.clear();
        home.receipts.expire(now);
        Ok(home)
    }

    fn replay(&mut self, effect: Effect) {
        match effect {
            Effect::Queued { site, message, owed } => self.remember(site, &message, &owed),
            Effect::Acked { site, uid, node, ids } => {
                let key = NodeKey { site, uid, node };
                for id in ids {
                    if !self.remove(key, id) {
                        self.ack_row(key, id);
                    }
                }
            }
            Effect::Copied { site, uid, from, to } => self.copy_queue(site, uid, from, to),
            Effect::Dropped { site, uid, node } => self.drop_queue(NodeKey { site, uid, node }),
            Effect::Receipt(receipt) => self.receipts.add(receipt),
        }
    }
}
