//! The memory of requests that succeeded (invariant I3): a repetition within the window gets the first answer again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use aws_lc_rs::digest;
use tmtp_contract::{Digest, Receipt, ReceiptKey};

use super::{NodeKey, Now, SessionKey};

/// Receipts of one shard, bounded by age and by number. Every key stands once in `by_age`.
#[derive(Debug)]
pub struct Receipts {
    window: Duration,
    most: usize,
    by_key: HashMap<ReceiptKey, Receipt>,
    by_age: VecDeque<ReceiptKey>,
    unspilled: Vec<Receipt>,
}

impl Receipts {
    pub fn new(window: Duration, most: usize) -> Self {
        Self { window, most, by_key: HashMap::new(), by_age: VecDeque::new(), unspilled: Vec::new() }
    }

    /// The receipt of a request, if it succeeded within the window.
    pub fn get(&self, key: &ReceiptKey, now: Now) -> Option<Receipt> {
        self.by_key.get(key).copied().filter(|receipt| receipt.posted.0 >= self.oldest(now))
    }

    /// Remembers a receipt that the journal holds.
    pub fn add(&mut self, receipt: Receipt) {
        self.add_spilled(receipt);
        self.unspilled.push(receipt);
    }

    /// Remembers a receipt that a pack holds.
    pub fn add_spilled(&mut self, receipt: Receipt) {
        if self.by_key.insert(receipt.key, receipt).is_none() {
            self.by_age.push_back(receipt.key);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Forgets what is past the window or too many.
    pub fn expire(&mut self, now: Now) {
        let oldest = self.oldest(now);
        while let Some(key) = self.by_age.front()
            && self.by_key.get(key).is_none_or(|receipt| receipt.posted.0 < oldest)
        {
            self.forget_oldest();
        }
        self.limit(self.most);
    }

    /// Forgets the oldest beyond so many.
    pub fn limit(&mut self, most: usize) {
        while self.by_key.len() > most {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(key) = self.by_age.pop_front() {
            self.by_key.remove(&key);
        }
    }

    /// The time before which receipts do not count (ms since 1970).
    pub fn oldest(&self, now: Now) -> i64 {
        now.millis().saturating_sub(i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX))
    }

    /// Receipts since the last spill.
    pub fn unspilled(&self) -> &[Receipt] {
        &self.unspilled
    }

    /// They are in a pack now.
    pub fn spilled(&mut self) {
        self.unspilled.clear();
    }
}

/// Identifies a request of a node by what it says.
pub fn request_key(node: NodeKey, request: &Digest) -> ReceiptKey {
    key(node, b"request", &request.0)
}

/// Identifies the login of a session, so that a repeated command posts no second notice.
pub fn login_key(node: NodeKey, (gateway, session): SessionKey) -> ReceiptKey {
    let mut octets = [0; 24];
    octets[..16].copy_from_slice(gateway.0.as_bytes());
    octets[16..].copy_from_slice(&session.0.to_be_bytes());
    key(node, b"login", &octets)
}

fn key(node: NodeKey, kind: &[u8], octets: &[u8]) -> ReceiptKey {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(node.site.0.as_bytes());
    hash.update(&node.uid.0);
    hash.update(&node.node.0.to_be_bytes());
    hash.update(kind);
    hash.update(octets);
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finish().as_ref()[..16]);
    ReceiptKey(half)
}
