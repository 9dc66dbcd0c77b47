//! The books of one pair: what was posted, acknowledged, delivered and acknowledged by the receiver, and whether
//! that is how it should be. Pure: times are passed in. It must never hold more than what is under way, and the
//! few messages that may rightly come again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

/// Problems of one pair that are described; all are counted.
const DESCRIBED: usize = 20;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A post was acknowledged, and never arrived.
    Lost,
    /// A message came again after it had been acknowledged for good.
    Repeated,
    /// A message came after one that was posted later.
    Reordered,
    /// A message came with other octets, from somebody else, or under another id than the sender was told.
    Corrupted,
    /// A post was not acknowledged, or more than once, or under several ids.
    Acks,
    /// A post was refused.
    Refused,
    /// A connection ended that should not have, or could not be made again.
    Connection,
}

/// How often each kind was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// See [`Kind::Lost`].
    pub lost: u64,
    /// See [`Kind::Repeated`].
    pub repeated: u64,
    /// See [`Kind::Reordered`].
    pub reordered: u64,
    /// See [`Kind::Corrupted`].
    pub corrupted: u64,
    /// See [`Kind::Acks`].
    pub acks: u64,
    /// See [`Kind::Refused`].
    pub refused: u64,
    /// See [`Kind::Connection`].
    pub connection: u64,
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Lost => &mut self.lost,
            Kind::Repeated => &mut self.repeated,
            Kind::Reordered => &mut self.reordered,
            Kind::Corrupted => &mut self.corrupted,
            Kind::Acks => &mut self.acks,
            Kind::Refused => &mut self.refused,
            Kind::Connection => &mut self.connection,
        }
    }

    /// Of all kinds together.
    pub fn total(&self) -> u64 {
        let Self { lost, repeated, reordered, corrupted, acks, refused, connection } = *self;
        lost + repeated + reordered + corrupted + acks + refused + connection
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.acks += other.acks;
        self.refused += other.refused;
        self.connection += other.connection;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, repeated, reordered, corrupted, acks, refused, connection } = self;
        write!(
            f,
            "{lost} lost, {repeated} repeated, {reordered} reordered, {corrupted} corrupted, {acks} wrong acks, \
             {refused} refused, {connection} connections"
        )
    }
}

/// A post under way: not yet both acknowledged to the sender and delivered.
struct Post {
    sent: Instant,
    acked: Option<u64>,
    delivered: Option<u64>,
}

/// A message that the receiver has got but not acknowledged.
struct Held {
    connection: u32,
    msg_id: u64,
}

/// The books.
pub(crate) struct Books {
    pair: u32,
    /// How long before the end of a connection an ack may have been written and still be lost with it.
    ack_grace: Duration,
    /// The next post has this number.
    next: u64,
    under_way: BTreeMap<u64, Post>,
    /// Ids of posts that were sent more than once and are settled: their second ack may still come.
    settled_resent: BTreeMap<u64, u64>,
    resent: BTreeSet<u64>,
    /// Posts that were refused at least once: when they are sent again, later ones are ahead of them.
    refused: BTreeSet<u64>,

    /// The receiver has seen, or given up for now, everything below.
    expected: u64,
    last_msg_id: u64,
    /// Below `expected`, and not seen.
    missing: BTreeSet<u64>,
    /// Counts the receiver's connections.
    connection: u32,
    held: BTreeMap<u64, Held>,
    /// Acknowledged on this connection within the grace.
    recent: VecDeque<(u64, u64, Instant)>,
    /// Acknowledged so shortly before a connection broke that the server may not know: number and id.
    excused: BTreeMap<u64, u64>,
    redelivered: u64,
    acks_repeated: u64,

    counts: Counts,
    described: Vec<String>,
}

impl Books {
    pub(crate) fn new(pair: u32, ack_grace: Duration) -> Self {
        Self {
            pair,
            ack_grace,
            next: 0,
            under_way: BTreeMap::new(),
            settled_resent: BTreeMap::new(),
            resent: BTreeSet::new(),
            refused: BTreeSet::new(),
            expected: 0,
            last_msg_id: 0,
            missing: BTreeSet::new(),
            connection: 0,
            held: BTreeMap::new(),
            recent: VecDeque::new(),
            excused: BTreeMap::new(),
            redelivered: 0,
            acks_repeated: 0,
            counts: Counts::default(),
            described: Vec::new(),
        }
    }

    /// Notes something that is wrong.
    pub(crate) fn problem(&mut self, kind: Kind, what: impl fmt::Display) {
        *self.counts.of(kind) += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(format!("pair {}: {what}", self.pair));
        }
    }

    /// How many problems there are so far.
    pub(crate) fn problems(&self) -> u64 {
        self.counts.total()
    }

    /// A post goes out for the first time; gives its number.
    pub(crate) fn sent(&mut self, now: Instant) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.under_way.insert(seq, Post { sent: now, acked: None, delivered: None });
        seq
    }

    /// A post goes out again, octet by octet the same.
    pub(crate) fn resent(&mut self, seq: u64) {
        self.resent.insert(seq);
    }

    /// The sender got an ack. Gives the time since the post was first sent, if this is the first ack.
    pub(crate) fn acked(&mut self, seq: u64, msg_id: u64, now: Instant) -> Option<Duration> {
        let settled = self.settled_resent.get(&seq).copied();
        let under_way = self.under_way.get(&seq);
        if under_way.is_none() && settled.is_none() {
            self.problem(Kind::Acks, format_args!("an ack for post {seq}, which waits for none"));
            return None;
        }
        let before = under_way.map_or(settled, |post| post.acked);
        if let Some(before) = before {
            if before != msg_id {
                self.problem(
                    Kind::Acks,
                    format_args!("post {seq} acked as {before:016x} and as {msg_id:016x}"),
                );
            } else if self.resent.contains(&seq) {
                self.acks_repeated += 1;
            } else {
                self.problem(Kind::Acks, format_args!("post {seq} was sent once and acked twice"));
            }
            return None;
        }
        let post = self.under_way.get_mut(&seq)?;
        post.acked = Some(msg_id);
        let took = now.saturating_duration_since(post.sent);
        self.settle(seq);
        Some(took)
    }

    /// The sender's post was refused, and will be sent again if `again`.
    pub(crate) fn refused(&mut self, seq: u64, error: &str, again: bool) {
        self.refused.insert(seq);
        if !again {
            self.under_way.remove(&seq);
            self.problem(Kind::Refused, format_args!("post {seq} was refused: {error}"));
        }
    }

    /// The receiver got a message whose octets are right. Gives the time since the post was first sent, if it is the
    /// first delivery.
    pub(crate) fn delivered(&mut self, seq: u64, msg_id: u64, now: Instant) -> Option<Duration> {
        if seq >= self.next {
            self.problem(Kind::Corrupted, format_args!("message {seq} was never posted"));
            return None;
        }
        let late = seq < self.expected;
        if late && !self.missing.remove(&seq) {
            self.delivered_again(seq, msg_id);
            return None;
        }
        if late && !self.refused.contains(&seq) {
            self.problem(
                Kind::Reordered,
                format_args!("message {seq} came after message {}", self.expected - 1),
            );
        }
        if !late {
            self.missing.extend(self.expected..seq);
            self.expected = seq + 1;
            if msg_id <= self.last_msg_id {
                let last = self.last_msg_id;
                self.problem(
                    Kind::Reordered,
                    format_args!("message {seq} has id {msg_id:016x}, not above {last:016x} of the last"),
                );
            }
            self.last_msg_id = msg_id;
        }
        self.held.insert(seq, Held { connection: self.connection, msg_id });
        let Some(post) = self.under_way.get_mut(&seq) else {
            self.problem(Kind::Refused, format_args!("message {seq} was refused and came all the same"));
            return None;
        };
        post.delivered = Some(msg_id);
        let took = now.saturating_duration_since(post.sent);
        self.settle(seq);
        Some(took)
    }

    /// The receiver got a message that it had got before.
    fn delivered_again(&mut self, seq: u64, msg_id: u64) {
        let before = match self.held.get(&seq) {
            Some(held) if held.connection == self.connection => {
                self.problem(Kind::Repeated, format_args!("message {seq} came twice on one connection"));
                return;
            }
            Some(held) => Some(held.msg_id),
            None => self.excused.remove(&seq),
        };
        let Some(before) = before else {
            self.problem(Kind::Repeated, format_args!("message {seq} came again after its ack"));
            return;
        };
        if before != msg_id {
            self.problem(
                Kind::Corrupted,
                format_args!("message {seq} came as {before:016x} and as {msg_id:016x}"),
            );
        }
        self.redelivered += 1;
        self.held.insert(seq, Held { connection: self.connection, msg_id });
    }

    /// The receiver's acks of these messages have been written to its connection.
    pub(crate) fn acknowledged(&mut self, seqs: &[u64], now: Instant) {
        for seq in seqs {
            if let Some(held) = self.held.remove(seq) {
                self.recent.push_back((*seq, held.msg_id, now));
            }
        }
        while self
            .recent
            .front()
            .is_some_and(|(_, _, at)| now.saturating_duration_since(*at) > self.ack_grace)
        {
            self.recent.pop_front();
        }
    }

    /// The receiver's connection ended without a goodbye: its last acks may be lost, and another one follows.
    pub(crate) fn receiver_lost(&mut self, now: Instant) {
        self.connection += 1;
        for (seq, msg_id, at) in self.recent.drain(..) {
            if now.saturating_duration_since(at) <= self.ack_grace {
                self.excused.insert(seq, msg_id);
            }
        }
    }

    /// The server confirmed the receiver's goodbye: it has read all acks, and had delivered all it had.
    pub(crate) fn receiver_quit(&mut self) {
        self.connection += 1;
        self.recent.clear();
        self.excused.clear();
    }

    /// Whether every post is acknowledged and delivered.
    pub(crate) fn is_settled(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The end: what is still under way is lost, or was never acknowledged.
    pub(crate) fn close(mut self) -> Verdict {
        let left = std::mem::take(&mut self.under_way);
        for (seq, post) in &left {
            match (post.acked, post.delivered) {
                (Some(msg_id), None) => self
                    .problem(Kind::Lost, format_args!("post {seq}, acked as {msg_id:016x}, never arrived")),
                _ => self.problem(Kind::Acks, format_args!("post {seq} was not acked in time")),
            }
        }
        Verdict {
            posted: self.next,
            redelivered: self.redelivered,
            acks_repeated: self.acks_repeated,
            refused: self.refused.len() as u64,
            counts: self.counts,
            described: self.described,
        }
    }

    /// Forgets a post that is acknowledged and delivered, under one id.
    fn settle(&mut self, seq: u64) {
        let Some(Post { acked: Some(acked), delivered: Some(delivered), .. }) = self.under_way.get(&seq)
        else {
            return;
        };
        let (acked, delivered) = (*acked, *delivered);
        self.under_way.remove(&seq);
        if self.resent.contains(&seq) {
            self.settled_resent.insert(seq, acked);
        }
        if acked != delivered {
            self.problem(
                Kind::Corrupted,
                format_args!("post {seq} was acked as {acked:016x} and delivered as {delivered:016x}"),
            );
        }
    }
}

/// What the books say in the end.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) posted: u64,
    pub(crate) redelivered: u64,
    pub(crate) acks_repeated: u64,
    pub(crate) refused: u64,
    pub(crate) counts: Counts,
    pub(crate) described: Vec<String>,
}

#[cfg(test)]
mod tests;
