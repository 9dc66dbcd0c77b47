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
            let at_ms = entry.at_ms.unwrap_or(now.millis());
            entry.effects.into_iter().for_each(|effect| home.replay(effect, at_ms));
            home.trace.committed(at_ms);
            home.unspilled_since = Some(now.millis());
        }
        // The rows went with the commits that freed them. The bodies may not have: removing them again does no harm.
        home.changes.clear();
        home.trace.take_decided();
        home.receipts.expire(now);
        Ok(home)
    }

    /// `at_ms`: when it was decided (ms since 1970).
    fn replay(&mut self, effect: Effect, at_ms: i64) {
        match effect {
            Effect::Queued { site, message, owed, node } => self.remember(site, &message, node, &owed),
            Effect::Acked { site, uid, node, ids, ended } => {
                let key = NodeKey { site, uid, node };
                self.note_done(key, &ids, ended, at_ms);
                for id in ids {
                    if !self.remove(key, id) {
                        self.ack_row(key, id);
                    }
                }
            }
            Effect::Copied { site, uid, from, to } => self.copy_queue(site, uid, (from, to), at_ms),
            Effect::Dropped { site, uid, node } => self.drop_queue(NodeKey { site, uid, node }),
            Effect::Receipt(receipt) => self.receipts.add(receipt),
        }
    }
}
