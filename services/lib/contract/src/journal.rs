//! Journal entries: the durable effects of one commit on one shard, replayed by the shard's next owner.
//!
//! Members, nodes and aliases are not in here: those change as ordinary rows in the same transaction.

use serde::{Deserialize, Serialize};
use tmtp_domain::{MsgId, NodeNum, Owed, Posted, SiteId, Uid};

use crate::{Message, VERSION, Versioned};

/// The effects of one commit, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Version of the encoding.
    pub v: u16,
    /// In the order in which they were decided.
    #[serde(rename = "e")]
    pub effects: Vec<Effect>,
    /// When they were decided (ms since 1970), for the delivery trace. Absent where none is kept.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
}

impl JournalEntry {
    /// An entry of this release's version.
    pub fn new(effects: Vec<Effect>) -> Self {
        Self { v: VERSION, effects, at_ms: None }
    }
}

impl Versioned for JournalEntry {
    fn version(&self) -> u16 {
        self.v
    }
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// A message was queued. One for nobody is here for its trace only, and without its data.
    #[serde(rename = "q")]
    Queued {
        /// Where.
        #[serde(rename = "s")]
        site: SiteId,
        /// What.
        #[serde(rename = "m")]
        message: std::sync::Arc<Message>,
        /// For whom.
        #[serde(rename = "o")]
        owed: Vec<Owed>,
        /// At which of its sender's nodes it was posted. Absent for what nobody has posted.
        #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeNum>,
    },
    /// A node acked messages, or is owed them no longer for another reason.
    #[serde(rename = "a")]
    Acked {
        /// Where.
        #[serde(rename = "s")]
        site: SiteId,
        /// Whose node.
        #[serde(rename = "u")]
        uid: Uid,
        /// Which.
        #[serde(rename = "n")]
        node: NodeNum,
        /// What.
        #[serde(rename = "i")]
        ids: Vec<MsgId>,
        /// The other reason.
        #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
        ended: Option<Ended>,
    },
    /// What one node is owed according to the journal is owed to another node of the same user, too. (What it is
    /// owed according to rows is copied as rows, in the same transaction.)
    #[serde(rename = "c")]
    Copied {
        /// Where.
        #[serde(rename = "s")]
        site: SiteId,
        /// Whose nodes.
        #[serde(rename = "u")]
        uid: Uid,
        /// From the queue of this one.
        #[serde(rename = "f")]
        from: NodeNum,
        /// To the queue of that one.
        #[serde(rename = "t")]
        to: NodeNum,
    },
    /// What one node is owed according to the journal is forgotten, and with it the acks of what is in its rows. (The
    /// rows go in the same transaction.)
    #[serde(rename = "d")]
    Dropped {
        /// Where.
        #[serde(rename = "s")]
        site: SiteId,
        /// Whose node.
        #[serde(rename = "u")]
        uid: Uid,
        /// Which.
        #[serde(rename = "n")]
        node: NodeNum,
    },
    /// A request succeeded; a repetition within the dedupe window gets the same answer.
    #[serde(rename = "r")]
    Receipt(Receipt),
}

/// Why a node is owed a message no longer that it has not acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It had waited too long.
    #[serde(rename = "x")]
    Expired,
    /// The same, and its sender was told so. Of all nodes for which a message expires, the first says it.
    #[serde(rename = "r")]
    Returned,
}

/// Identifies a request beyond the connection that brought it: half of a SHA-256 over site, user, node, request id
/// and the digest of header and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReceiptKey(#[serde(with = "serde_bytes")] pub [u8; 16]);

/// The memory of a request that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Which request.
    #[serde(rename = "k")]
    pub key: ReceiptKey,
    /// When it succeeded; for messages also the time that the ack told.
    #[serde(rename = "p")]
    pub posted: Posted,
    /// The id that the ack told; 0 for acks with the id only.
    #[serde(rename = "i")]
    pub msg_id: MsgId,
}

/// Many receipts packed into one row: 32 octets each, big-endian (key, posted, message id).
pub struct ReceiptPack;

impl ReceiptPack {
    /// Octets of one receipt in a pack.
    pub const OCTETS: usize = 32;

    /// Packs them in their order.
    pub fn pack<'r>(receipts: impl ExactSizeIterator<Item = &'r Receipt>) -> Vec<u8> {
        let mut out = Vec::with_capacity(receipts.len() * Self::OCTETS);
        for receipt in receipts {
            out.extend_from_slice(&receipt.key.0);
            out.extend_from_slice(&receipt.posted.0.to_be_bytes());
            out.extend_from_slice(&receipt.msg_id.0.to_be_bytes());
        }
        out
    }

    /// Unpacks them; a torn tail is left out.
    pub fn unpack(octets: &[u8]) -> Vec<Receipt> {
        let (records, _) = octets.as_chunks::<{ Self::OCTETS }>();
        records
            .iter()
            .map(|record| {
                let (mut key, mut posted, mut id) = ([0; 16], [0; 8], [0; 8]);
                key.copy_from_slice(&record[..16]);
                posted.copy_from_slice(&record[16..24]);
                id.copy_from_slice(&record[24..]);
                Receipt {
                    key: ReceiptKey(key),
                    posted: Posted(i64::from_be_bytes(posted)),
                    msg_id: MsgId(u64::from_be_bytes(id)),
                }
            })
            .collect()
    }
}
