//! Watches the bus: which gateways are alive, whether Redis lost data, and whether its directory of sites is current.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tmtp_bus::{Backlog, Bus, StreamId};
use tmtp_chassis::Context;
use tmtp_domain::{GatewayId, ShardId, WorkerId};
use tmtp_store::Store;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::directory::Directory;
use crate::engine::Control;
use crate::metrics::WorkerMetrics;
use crate::vitals::Vitals;

/// How often, at least.
pub const EVERY: Duration = Duration::from_secs(1);
/// Between two looks at the latest; otherwise the second says nothing about the time before it.
const LATE: Duration = Duration::from_secs(2);
/// How often is asked whether Redis still keeps what it is given.
const POLICY_EVERY: Duration = Duration::from_secs(10);
/// A gateway whose beat has stood still for so long is removed from the bus.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// The task's state.
pub struct Watch {
    lease: Duration,
    /// The last beat of each gateway, and when it was new to us. Clocks of two machines are not compared.
    seen: HashMap<GatewayId, (u64, Instant)>,
    /// When Redis was last looked at with success.
    looked: Option<Instant>,
    live: Option<HashSet<GatewayId>>,
    /// When Redis was last asked what it does when its memory is full.
    asked: Option<Instant>,
    beat: u64,
    confirmed: u64,
    directory: Directory,
    metrics: Arc<WorkerMetrics>,
    vitals: Arc<Vitals>,
}

impl Watch {
    /// A worker that knows nobody yet.
    pub fn new(cx: &Context<Config>, store: Store, metrics: Arc<WorkerMetrics>, vitals: Arc<Vitals>) -> Self {
        Self {
            lease: cx.config.shards.gateway_lease,
            seen: HashMap::new(),
            looked: None,
            live: None,
            asked: None,
            beat: 0,
            confirmed: 0,
            directory: Directory::new(store),
            metrics,
            vitals,
        }
    }

    /// Runs until the drain.
    pub async fn run(
        mut self,
        cx: Context<Config>,
        bus: Bus,
        worker: WorkerId,
        control: UnboundedSender<Control>,
    ) -> anyhow::Result<()> {
        // The lease depends on what is seen here.
        let mut ticks = tokio::time::interval(EVERY.min(cx.config.shards.lease / 4));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain = cx.life.drain();
        loop {
            tokio::select! {
                () = drain.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let result = self.look(&bus, worker, &control).await;
            if let Err(error) = &result {
                tracing::warn!(error = format!("{error:#}"), "cannot watch the bus");
            }
            cx.health.set("redis", result.map_err(|error| error.to_string()));
        }
    }

    async fn look(
        &mut self,
        bus: &Bus,
        worker: WorkerId,
        control: &UnboundedSender<Control>,
    ) -> anyhow::Result<()> {
        self.beat += 1;
        let beat = bus.worker_beat(worker, self.confirmed, self.beat).await?;
        self.vitals.hear();
        let now = Instant::now();
        let lost = self.confirmed > 0 && !beat.intact;
        let since_last = self.looked.replace(now).map_or(Duration::ZERO, |looked| now.duration_since(looked));
        // While Redis was away, or we were, no gateway could show us a beat: that time does not count. After a loss
        // they get the time of a lease to beat again.
        let unseen = match since_last {
            _ if lost => since_last + self.lease,
            long if long > LATE => long.saturating_sub(EVERY),
            _ => Duration::ZERO,
        };
        for (_, when) in self.seen.values_mut() {
            *when = (*when + unseen).min(now);
        }
        if lost {
            tracing::warn!("Redis lost data; streams are set up again");
            let _ = control.send(Control::BusLost);
        }
        if self.confirmed == 0 || !beat.intact {
            // Before the gateways are told of: who takes a shard up asks for both.
            let unknown_for = self.lease.saturating_sub(bus.age().await?);
            if !unknown_for.is_zero() {
                let _ = control.send(Control::BusIsNew(unknown_for));
            }
        }
        self.confirmed = self.beat;

        let now = Instant::now();
        let beats = bus.live_gateways().await?;
        let known: HashSet<GatewayId> = beats.iter().map(|(gateway, _)| *gateway).collect();
        for (gateway, beat) in beats {
            match self.seen.get_mut(&gateway) {
                Some((last, when)) if *last != beat => (*last, *when) = (beat, now),
                Some(_) => {}
                None => _ = self.seen.insert(gateway, (beat, now)),
            }
        }
        for (gateway, (_, when)) in &self.seen {
            if now.duration_since(*when) > FORGET_AFTER {
                bus.forget_gateway(*gateway).await?;
            }
        }
        // One that has left, or that a Redis without memory has yet to hear of, keeps its lease.
        let lease = self.lease;
        self.seen.retain(|gateway, (_, when)| known.contains(gateway) || now.duration_since(*when) <= lease);
        let live: HashSet<GatewayId> = self
            .seen
            .iter()
            .filter(|(_, (_, when))| now.duration_since(*when) <= lease)
            .map(|(gateway, _)| *gateway)
            .collect();
        if self.live.as_ref() != Some(&live) {
            let _ = control.send(Control::Gateways(live.clone()));
            self.live = Some(live);
        }
        self.measure(bus).await?;
        self.check_policy(bus).await?;
        self.directory.publish(bus, beat, control).await
    }

    /// Shows whether Redis may throw keys away. A worker that runs goes on all the same: all would stop together, for
    /// what is only a danger, and nothing that is acked can be lost by it.
    async fn check_policy(&mut self, bus: &Bus) -> anyhow::Result<()> {
        if self.asked.is_some_and(|asked| asked.elapsed() < POLICY_EVERY) {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        match bus.check_policy().await {
            Ok(_) => self.metrics.redis_evicts.set(0),
            Err(error @ tmtp_bus::Error::Evicts(_)) => {
                if self.metrics.redis_evicts.get() == 0 {
                    tracing::error!("{error}");
                }
                self.metrics.redis_evicts.set(1);
            }
            Err(other) => return Err(other.into()),
        }
        Ok(())
    }

    /// Shows how far this worker is behind its command streams.
    async fn measure(&self, bus: &Bus) -> anyhow::Result<()> {
        let places = self.vitals.places();
        let shards: Vec<ShardId> = places.keys().copied().collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mut all, mut most, mut oldest) = (0, 0, 0);
        for (shard, backlog) in bus.command_backlog(&shards).await? {
            let (entries, age) = lag(backlog, places.get(&shard).copied().unwrap_or_default(), now);
            all += entries;
            most = most.max(entries);
            oldest = oldest.max(age.as_secs());
        }
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.commands_waiting.set(gauge(all));
        self.metrics.commands_waiting_most.set(gauge(most));
        self.metrics.commands_oldest_seconds.set(gauge(oldest));
        Ok(())
    }
}

/// Entries of a stream that wait for their commit, and the age of the oldest. What is committed up to `settled` may
/// still have an entry: the one that was put there to raise the stream's ids.
fn lag(backlog: Backlog, settled: StreamId, now: Duration) -> (u64, Duration) {
    match backlog.oldest {
        Some(oldest) if oldest > settled => {
            (backlog.entries, now.saturating_sub(Duration::from_millis(oldest.ms)))
        }
        Some(_) => (backlog.entries.saturating_sub(1), Duration::ZERO),
        None => (0, Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only what waits is counted; method: an empty stream, one with entries behind what is committed, and one with
    /// the entry that raised its ids.
    #[test]
    fn only_what_waits_counts() {
        let id = |ms| StreamId { ms, seq: 0 };
        let settled = id(5_000);
        let now = Duration::from_secs(9);
        let lag = |entries, oldest| lag(Backlog { entries, oldest }, settled, now);
        assert_eq!(lag(0, None), (0, Duration::ZERO));
        assert_eq!(lag(3, Some(id(6_000))), (3, Duration::from_secs(3)));
        assert_eq!(lag(3, Some(id(10_000))), (3, Duration::ZERO), "another machine's clock is ahead");
        assert_eq!(lag(1, Some(settled)), (0, Duration::ZERO));
    }
}
