//! Shards come and go: taking up, losing, giving back; and the gateways that have to know.

use std::collections::HashSet;
use std::time::Instant;

use tmtp_bus::StreamId;
use tmtp_contract::{Event, ReceiptPack};
use tmtp_domain::{Epoch, GatewayId, ShardId};
use tmtp_store::OwnedShard;

use super::{Engine, now};
use crate::home::Home;

/// Lives of gateways whose numbers are remembered.
const NUMBERS_MAX: usize = 10_000;

impl Engine {
    /// Takes up shards that are ours: replays their journals, and calls their sessions. What cannot be done now is
    /// tried again at the next tick.
    pub(super) async fn take_up_claimed(&mut self) {
        // Before the gateways are known nobody could be called.
        let Some(gateways) = self.gateways.clone() else { return };
        if self.claimed.is_empty() {
            return;
        }
        let claimed = std::mem::take(&mut self.claimed);
        let from = match self.receipts_from(&claimed).await {
            Ok(from) => from,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot take up shards; trying again");
                self.claimed = claimed;
                return;
            }
        };
        let mut taken = Vec::with_capacity(claimed.len());
        // One after the other: what is left of a shard is as much as it may have committed since its last spill.
        for row in claimed {
            match self.take_up(&row, from, &gateways).await {
                Ok(()) => taken.push(row.shard),
                Err(error) => {
                    tracing::warn!(shard = %row.shard, error = format!("{error:#}"), "cannot take up a shard; trying again");
                    self.claimed.push(row);
                }
            }
        }
        self.show_reader();
        self.limit_receipts();
        for gateway in gateways {
            self.call_sessions(gateway, &taken).await;
        }
    }

    /// Which receipts are read of shards that are taken up: of all that are within the window as many as this worker may
    /// remember, the youngest.
    async fn receipts_from(&self, rows: &[OwnedShard]) -> Result<i64, tmtp_store::Error> {
        let shards: Vec<ShardId> = rows.iter().map(|row| row.shard).collect();
        let window = i64::try_from(self.config.delivery.dedupe_window.as_millis()).unwrap_or(i64::MAX);
        let begins = now().millis().saturating_sub(window);
        let most = self.config.delivery.receipts_max.saturating_mul(ReceiptPack::OCTETS);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let from = self.store.receipts_from(&shards, begins, most).await?;
        if from.is_cut {
            tracing::warn!(
                "more requests within the dedupe window than may be remembered; the oldest are forgotten"
            );
            self.metrics.dedupe_cut_total.inc();
        }
        Ok(from.after_ms)
    }

    async fn take_up(
        &mut self,
        row: &OwnedShard,
        receipts_after_ms: i64,
        gateways: &HashSet<GatewayId>,
    ) -> anyhow::Result<()> {
        let left = self.store.recover(row.shard, receipts_after_ms).await?;
        self.bus.raise_floor(row.shard, stream_id(row.last_entry)).await?;
        match Home::recover(row, &left, self.config.limits(), gateways.clone(), now()) {
            Ok(mut home) => {
                if self.unknown_until.is_some_and(|until| until > Instant::now()) {
                    home.expect_unknown();
                }
                self.waiting_until.insert(row.shard, Instant::now() + self.config.shards.gateway_lease);
                self.homes.insert(row.shard, home);
                self.metrics.takeovers_total.inc();
                return Ok(());
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(shard = %row.shard, error, "cannot read the journal; leaving the shard to another");
            }
        }
        self.store.release(self.worker, &[row.shard]).await?;
        Ok(())
    }

    /// Asks a gateway to attach its sessions of these shards.
    async fn call_sessions(&mut self, gateway: GatewayId, shards: &[ShardId]) {
        let homes = shards.iter().filter_map(|shard| self.homes.get(shard));
        let events: Vec<Event> =
            homes.map(|home| Event::Rehome { shard: home.shard(), epoch: home.epoch() }).collect();
        if !events.is_empty() {
            self.tell_gateway(gateway, events).await;
        }
    }

    /// Takes note of which gateways are alive. The sessions of those that are not end; those that are new are told who
    /// owns what, as they may have missed it.
    pub(super) async fn gateways_are(&mut self, live: HashSet<GatewayId>) {
        let before = self.gateways.replace(live.clone()).unwrap_or_default();
        for gateway in before.difference(&live) {
            tracing::info!(%gateway, "gateway is gone; its sessions end");
            for home in self.homes.values_mut() {
                home.gateway_is_gone(*gateway);
            }
        }
        self.end_strangers();
        // Numbers go on when a gateway comes back, or it would take new entries for old ones.
        if self.numbers.len() > NUMBERS_MAX {
            self.numbers.retain(|gateway, _| live.contains(gateway));
        }
        let shards: Vec<ShardId> = self.homes.keys().copied().collect();
        let new: Vec<GatewayId> = live.difference(&before).copied().collect();
        for gateway in new {
            self.call_sessions(gateway, &shards).await;
        }
        self.take_up_claimed().await;
        self.resume_deferred().await;
    }

    /// Ends sessions whose gateway is not alive: commands that a gateway published before its end may be read, or read
    /// again, long after it. One that has just been born may not have been noticed yet, so each has the time of a lease;
    /// should it still turn up later, it is told to attach its sessions again, like every new one.
    pub(super) fn end_strangers(&mut self) {
        let Some(live) = &self.gateways else { return };
        let at = Instant::now();
        let strangers: HashSet<GatewayId> =
            self.homes.values().flat_map(Home::gateways).filter(|gateway| !live.contains(gateway)).collect();
        self.strangers.retain(|gateway, _| strangers.contains(gateway));
        let grace = self.config.shards.gateway_lease + crate::watch::EVERY;
        for gateway in strangers {
            let since = *self.strangers.entry(gateway).or_insert(at);
            if at.duration_since(since) > grace {
                tracing::info!(%gateway, "sessions of a gateway that is not alive end");
                for home in self.homes.values_mut() {
                    home.gateway_is_gone(gateway);
                }
            }
        }
    }

    /// Nobody is waited for longer than a gateway's lease.
    pub(super) fn end_waits(&mut self) {
        let now = Instant::now();
        for (shard, home) in &mut self.homes {
            if home.is_waiting() && self.waiting_until.get(shard).is_none_or(|until| *until <= now) {
                home.stop_waiting();
            }
        }
    }

    /// The rows say what is ours: homes that they do not confirm go, shards that have no home get one. (A claim whose
    /// answer was lost leaves such shards.)
    pub(super) async fn reconcile(&mut self, rows: Vec<OwnedShard>) {
        let ours =
            |shard: ShardId, epoch: Epoch| rows.iter().any(|row| row.shard == shard && row.epoch == epoch);
        let lost = self.homes.values().filter(|home| !ours(home.shard(), home.epoch())).map(Home::shard);
        for shard in lost.collect::<Vec<_>>() {
            self.lose(shard);
        }
        self.claimed.retain(|claim| ours(claim.shard, claim.epoch));
        for row in rows {
            let known = self.homes.contains_key(&row.shard)
                || self.claimed.iter().any(|claim| claim.shard == row.shard);
            if !known {
                self.claimed.push(row);
            }
        }
        self.take_up_claimed().await;
    }

    /// Keeps so many shards, and gives those with the fewest sessions back. However often it is asked for, fewer are not
    /// kept.
    pub(super) async fn release(&mut self, keep: u32) {
        let ours = self.homes.len() + self.claimed.len();
        let surplus = ours.saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        if surplus == 0 {
            return;
        }
        self.commit_and_tell(true).await;
        let mut homes: Vec<(usize, ShardId)> =
            self.homes.iter().map(|(shard, home)| (home.sessions(), *shard)).collect();
        homes.sort_unstable();
        let shards: Vec<ShardId> = homes.into_iter().take(surplus).map(|(_, shard)| shard).collect();
        for shard in &shards {
            self.drop_home(*shard);
        }
        match self.store.release(self.worker, &shards).await {
            Ok(()) => tracing::info!(shards = shards.len(), "gave shards back"),
            Err(error) => {
                // Ours by the rows, without a home: the next word of the rows (`Control::Owned`) mends it.
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot give shards back");
            }
        }
    }

    /// A shard has another owner.
    pub(super) fn lose(&mut self, shard: ShardId) {
        tracing::warn!(%shard, "shard has another owner now");
        self.metrics.shards_lost_total.inc();
        self.drop_home(shard);
    }

    pub(super) fn drop_home(&mut self, shard: ShardId) {
        self.homes.remove(&shard);
        self.waiting_until.remove(&shard);
        self.show_reader();
    }

    /// Redis lost data: what comes now must have higher ids than what was applied. Gateways notice by themselves, and
    /// send again what was not answered.
    pub(super) async fn raise_floors(&mut self) {
        let places: Vec<(ShardId, StreamId)> =
            self.homes.values().map(|home| (home.shard(), stream_id(home.applied()))).collect();
        for (shard, at_least) in places {
            let mut attempt = 0;
            while let Err(error) = self.bus.raise_floor(shard, at_least).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot set a stream up again");
                if !self.pause(attempt, "redis").await {
                    return;
                }
                attempt += 1;
            }
            self.reader.rewind(shard, at_least);
        }
    }

    fn show_reader(&self) {
        let places = self.homes.values().map(|home| (home.shard(), stream_id(home.applied())));
        self.reader.set_shards(places.collect());
    }
}

pub(super) fn stream_id((ms, seq): (u64, u64)) -> StreamId {
    StreamId { ms, seq }
}
