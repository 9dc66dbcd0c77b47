//! Watches the bus: which gateways are alive, whether Redis lost data, and whether its directory of sites is current.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tmtp_bus::Bus;
use tmtp_chassis::Context;
use tmtp_domain::{GatewayId, WorkerId};
use tmtp_store::Store;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::directory::Directory;
use crate::engine::Control;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// A gateway whose beat has stood still for so long is removed from the bus.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// Runs until the drain.
pub async fn run(
    cx: Context<Config>,
    bus: Bus,
    store: Store,
    worker: WorkerId,
    control: UnboundedSender<Control>,
) -> anyhow::Result<()> {
    let mut watch = Watch {
        lease: cx.config.shards.gateway_lease,
        seen: HashMap::new(),
        live: None,
        beat: 0,
        confirmed: 0,
        directory: Directory::new(store),
    };
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let drain = cx.life.drain();
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let result = watch.look(&bus, worker, &control).await;
        if let Err(error) = &result {
            tracing::warn!(error = format!("{error:#}"), "cannot watch the bus");
        }
        cx.health.set("redis", result.map_err(|error| error.to_string()));
    }
}

struct Watch {
    lease: Duration,
    /// The last beat of each gateway, and when it was new to us. Clocks of two machines are not compared.
    seen: HashMap<GatewayId, (u64, Instant)>,
    live: Option<HashSet<GatewayId>>,
    beat: u64,
    confirmed: u64,
    directory: Directory,
}

impl Watch {
    async fn look(
        &mut self,
        bus: &Bus,
        worker: WorkerId,
        control: &UnboundedSender<Control>,
    ) -> anyhow::Result<()> {
        self.beat += 1;
        let beat = bus.worker_beat(worker, self.confirmed, self.beat).await?;
        if self.confirmed > 0 && !beat.intact {
            tracing::warn!("Redis lost data; streams are set up again");
            // Gateways get the time of a lease to beat again.
            let now = Instant::now();
            for (_, when) in self.seen.values_mut() {
                *when = now;
            }
            let _ = control.send(Control::BusLost);
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
        self.directory.publish(bus, beat.sites_revision, control).await
    }
}
