//! Finding the one command whose effect the database refuses, so that it is refused too and holds nobody else up.
//!
//! A commit that fails because of what it holds fails again however often it is repeated. Its shard is then taken up
//! anew from its rows, and for a while its commands are committed one by one; a command whose own commit is refused
//! twice is convicted, and answered with an error from then on. Must never judge by anything but a commit of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use tmtp_contract::{CommandEntry, Envelope};
use tmtp_domain::{GatewayId, ShardId};
use tmtp_store::CommitError;

use super::Engine;

/// For so long after a refusal the commands of a shard are committed one by one: its gateways have attached their
/// sessions and repeated what is not answered by then.
const CAREFUL_FOR: Duration = Duration::from_secs(30);
/// Refusals of a commit of its own that convict a command.
const STRIKES: u32 = 2;
/// Commands whose refusals are remembered; beyond, all are forgotten, and have to be found again.
const REMEMBERED_MAX: usize = 1_000;

/// A command as it stays the same when its gateway repeats it under another number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Suspect {
    shard: ShardId,
    digest: [u8; 32],
}

impl Suspect {
    pub fn new(shard: ShardId, gateway: GatewayId, envelope: &Envelope) -> Self {
        let timeless = Envelope { seq: 0, trace: None, ..envelope.clone() };
        let octets = tmtp_contract::encode(&CommandEntry::new(gateway, vec![timeless])).unwrap_or_default();
        let mut own = [0; 32];
        own.copy_from_slice(digest::digest(&digest::SHA256, &octets).as_ref());
        Self { shard, digest: own }
    }
}

/// What is known of refused commits.
#[derive(Debug, Default)]
pub struct Isolation {
    /// Shards whose commands are committed one by one, until then.
    careful: HashMap<ShardId, Instant>,
    /// The command whose commit comes next, when it has one of its own.
    alone: Option<Suspect>,
    strikes: HashMap<Suspect, u32>,
}

impl Isolation {
    pub fn is_careful(&self, shard: ShardId) -> bool {
        self.careful.contains_key(&shard)
    }

    /// Ends the care for shards whose time is over.
    pub fn forget(&mut self, now: Instant) {
        self.careful.retain(|_, until| *until > now);
    }

    /// The next commit is this command's own.
    pub fn begin(&mut self, suspect: Suspect) {
        self.alone = Some(suspect);
    }

    /// No longer.
    pub fn end(&mut self) {
        self.alone = None;
    }

    pub fn has_convicts(&self) -> bool {
        !self.strikes.is_empty()
    }

    pub fn is_convicted(&self, suspect: &Suspect) -> bool {
        self.strikes.get(suspect).is_some_and(|strikes| *strikes >= STRIKES)
    }

    /// A commit of this shard was refused.
    fn refused(&mut self, shard: ShardId, now: Instant) {
        self.careful.insert(shard, now + CAREFUL_FOR);
        if let Some(suspect) = self.alone.take_if(|suspect| suspect.shard == shard) {
            if self.strikes.len() >= REMEMBERED_MAX {
                self.strikes.clear();
            }
            *self.strikes.entry(suspect).or_default() += 1;
        }
    }
}

impl Engine {
    /// Postgres refuses what this shard is to commit. What was decided cannot stay in memory either, so the shard is
    /// taken up anew from what is committed, under an epoch by which its gateways notice; they send again what was not
    /// answered.
    pub(super) async fn start_over(&mut self, shard: ShardId, error: &CommitError) {
        tracing::error!(
            %shard,
            error = error as &dyn std::error::Error,
            "Postgres refused a commit; its shard starts over, one command at a time"
        );
        self.isolation.refused(shard, Instant::now());
        self.drop_home(shard);
        let mut attempt = 0;
        loop {
            match self.store.renew(self.worker, &[shard]).await {
                // Taken up at the next tick; if it is not ours any more, there is nothing to take up.
                Ok(rows) => return self.claimed.extend(rows),
                Err(error) => {
                    tracing::warn!(%shard, error = &error as &dyn std::error::Error, "cannot renew a shard");
                    if !self.pause(attempt, "postgres").await {
                        return;
                    }
                    attempt += 1;
                }
            }
        }
    }
}
