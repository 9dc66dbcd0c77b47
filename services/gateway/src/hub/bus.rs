//! This gateway's membership in the cluster: its lease, its events, the directories of sites and certificates. One task does all of it,
//! so that "the lease holds" cannot change while an event is being handled.
//!
//! It must never hand events to sessions after the lease has lapsed, before they are opened again: another session
//! may have their node by then.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tmtp_bus::{Beat, Bus, Error, EventReader, StreamId};
use tmtp_chassis::Health;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::events::Events;
use crate::config::Config;
use crate::session::Cause;
use crate::sites::Sites;
use crate::tls::SiteCertificates;

/// How often the lease is renewed.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

/// See the module's text.
pub struct BusTask {
    hub: Arc<Hub>,
    bus: Bus,
    reader: EventReader,
    sites: Arc<Sites>,
    certificates: Arc<SiteCertificates>,
    health: Health,
    events: Events,
    lease: Duration,
    /// The last beat that was tried, and the last that was confirmed.
    beat: u64,
    confirmed: u64,
    /// When the last confirmed beat was sent.
    leased_at: Duration,
    /// The sessions are suspended.
    lapsed: bool,
    /// Redis lost data: the events that are left there are thrown away before anything else.
    reset_owed: bool,
    trimmed: StreamId,
    parked: u64,
}

impl BusTask {
    /// A task that has not begun.
    pub fn new(
        hub: Arc<Hub>,
        bus: Bus,
        sites: Arc<Sites>,
        certificates: Arc<SiteCertificates>,
        health: Health,
        config: &Config,
    ) -> Self {
        Self {
            reader: bus.event_reader(hub.gateway),
            hub,
            bus,
            sites,
            certificates,
            health,
            events: Events::default(),
            lease: config.limits.lease,
            beat: 0,
            confirmed: 0,
            leased_at: Duration::ZERO,
            lapsed: false,
            reset_owed: false,
            trimmed: StreamId::default(),
            parked: 0,
        }
    }

    /// Takes the lease and reads the directories, so that the first client is served.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        let beat = self.renew().await.context("take the lease")?;
        let sites = self.bus.sites_since(0).await.context("read the directory of sites")?;
        let revision = sites.iter().map(|site| site.revision).max().unwrap_or(0);
        self.sites.apply(sites, revision);
        self.refresh_certificates(beat.certificates_revision).await;
        Ok(())
    }

    /// Beats and reads until it is stopped, then gives the lease up.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut clock = tokio::time::interval(BEAT_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The beat first: under a flood of events the lease must not lapse.
                biased;
                () = stop.cancelled() => break,
                _ = clock.tick() => self.tick().await,
                read = self.reader.next() => match read {
                    Ok(entries) => {
                        self.check_lease();
                        for entry in entries {
                            self.events.take(&self.hub, entry);
                        }
                    }
                    // The reader pauses by itself; whether the bus is down is for the beats to say.
                    Err(error) => {
                        tracing::debug!(error = &error as &dyn std::error::Error, "cannot read events");
                    }
                },
            }
        }
        // Without this the workers would wait for the lease to lapse; nothing is lost but time.
        if let Err(error) = self.bus.gateway_leave(self.hub.gateway).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot give the lease up");
        }
        Ok(())
    }

    /// Once a second: the lease, the directory, what was read, the gauges.
    async fn tick(&mut self) {
        match self.renew().await {
            Ok(beat) => {
                self.health.set("bus", Ok(()));
                self.refresh_sites(beat.sites_revision).await;
                self.refresh_certificates(beat.certificates_revision).await;
                self.trim().await;
                self.look_at_streams().await;
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "cannot renew the lease");
                self.health.set("bus", Err(error.to_string()));
                self.check_lease();
            }
        }
        let unanswered = self.hub.unanswered.load(std::sync::atomic::Ordering::Relaxed);
        self.hub.metrics.commands_unanswered_octets.set(i64::try_from(unanswered).unwrap_or(i64::MAX));
    }

    /// Renews the lease; when the bus was down or has lost data, opens all sessions again.
    async fn renew(&mut self) -> Result<Beat, Error> {
        // From before the call: the workers may have seen it as early as that.
        let sent = self.hub.now();
        self.beat += 1;
        let beat = self.bus.gateway_beat(self.hub.gateway, self.confirmed, self.beat).await?;
        self.check_lease();
        self.confirmed = self.beat;
        self.leased_at = sent;
        if !beat.intact {
            tracing::warn!("Redis has lost data");
            self.reset_owed = true;
            self.hub.publisher.go_down();
            self.hub.backlogs.lost(self.hub.now());
        }
        if self.reset_owed {
            self.reader.reset().await?;
            self.trimmed = StreamId::default();
            self.reset_owed = false;
        }
        if !self.hub.publisher.is_up() {
            // Before the sessions are opened again: not those whose stream is full.
            self.look_at_streams().await;
            self.lapsed = false;
            self.hub.publisher.go_up();
            self.events.reattach_all(&self.hub, Cause::Bus);
        }
        Ok(beat)
    }

    /// Looks how full the command streams are, and what was taken of them.
    async fn look_at_streams(&mut self) {
        let backlogs = &self.hub.backlogs;
        let asked = self.hub.now();
        let found = match self.bus.command_backlog(&backlogs.shards()).await {
            Ok(found) => found,
            // The next beat looks again.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot look at the streams");
                return;
            }
        };
        for shard in backlogs.found(&found, asked) {
            self.events.resume(&self.hub, shard);
        }
        let (all, fullest) = backlogs.entries();
        self.hub.metrics.command_entries.set(i64::try_from(all).unwrap_or(i64::MAX));
        self.hub.metrics.command_entries_max.set(i64::try_from(fullest).unwrap_or(i64::MAX));
    }

    /// When the lease has lapsed, nothing counts any more until the sessions are opened again.
    fn check_lease(&mut self) {
        let first = self.confirmed == 0;
        if first || self.lapsed || self.hub.now() <= self.leased_at + self.lease {
            return;
        }
        tracing::warn!(lease = ?self.lease, "the lease has lapsed");
        self.lapsed = true;
        self.hub.publisher.go_down();
        self.hub.suspend_all();
    }

    /// Reads what is new in the directory, and ends the sessions of sites that are not served any more.
    async fn refresh_sites(&mut self, revision: i64) {
        let known = self.sites.revision();
        if revision <= known {
            return;
        }
        match self.bus.sites_since(known).await {
            Ok(changed) => {
                let unserved = self.sites.apply(changed, revision);
                if !unserved.is_empty() {
                    self.hub.evict(&unserved);
                }
            }
            // The next beat finds the same difference.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the directory of sites"
                );
            }
        }
    }

    /// Reads what is new in the directory of certificates.
    async fn refresh_certificates(&mut self, revision: i64) {
        let known = self.certificates.revision();
        if revision <= known {
            return;
        }
        match self.bus.certificates_since(known).await {
            Ok(changed) => self.certificates.apply(changed, revision),
            // The next beat finds the same difference.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot read the directory of certificates");
            }
        }
    }

    /// Removes from the stream what was read.
    async fn trim(&mut self) {
        let position = self.reader.position();
        if position > self.trimmed && self.bus.trim_events(self.hub.gateway, position).await.is_ok() {
            self.trimmed = position;
        }
        let parked = self.reader.parked();
        self.hub.metrics.events_parked_total.inc_by(parked - self.parked);
        self.parked = parked;
    }
}
