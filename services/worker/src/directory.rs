//! Tells gateways and this worker's engine which sites there are, and gateways which certificates. Postgres has them;
//! Redis holds a copy that may be lost at any time, which the revision shows.

use std::time::{Duration, Instant};

use tmtp_bus::{Beat, Bus};
use tmtp_store::Store;
use tokio::sync::mpsc::UnboundedSender;

use crate::engine::Control;

/// Sites read at a time.
const PAGE: i64 = 500;
/// Certificates read at a time: a few kilobytes each.
const CERTIFICATES_PAGE: i64 = 200;
/// How long gateways can hear of the removal of a certificate. One that hears nothing for so long was restarted since.
const REMOVED_FOR: Duration = Duration::from_hours(7 * 24);
/// Certificates that are compared at a time.
const FORGET_PAGE: usize = 5_000;
/// How often that is done.
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// Where this worker stands.
pub struct Directory {
    store: Store,
    /// Up to here the engine has been told.
    told: i64,
    forgotten_at: Instant,
}

impl Directory {
    /// Nobody has been told anything.
    pub fn new(store: Store) -> Self {
        Self { store, told: 0, forgotten_at: Instant::now() }
    }

    /// Brings the copies in Redis, which are where the beat found them, and the engine up to date.
    pub async fn publish(
        &mut self,
        bus: &Bus,
        beat: Beat,
        control: &UnboundedSender<Control>,
    ) -> anyhow::Result<()> {
        self.publish_sites(bus, beat.sites_revision, control).await?;
        self.publish_certificates(bus, beat.certificates_revision).await?;
        if self.forgotten_at.elapsed() >= FORGET_EVERY {
            self.forgotten_at = Instant::now();
            self.forget_certificates(bus).await?;
        }
        Ok(())
    }

    async fn publish_sites(
        &mut self,
        bus: &Bus,
        mut published: i64,
        control: &UnboundedSender<Control>,
    ) -> anyhow::Result<()> {
        loop {
            let from = published.min(self.told);
            let sites = self.store.sites_since(from, PAGE).await?;
            let Some(last) = sites.last().map(|site| site.revision) else { return Ok(()) };
            if last > published {
                bus.publish_sites(&sites, last).await?;
                published = last;
            }
            if last > self.told {
                let _ = control.send(Control::Sites(sites));
                self.told = last;
            }
        }
    }
    async fn publish_certificates(&self, bus: &Bus, mut published: i64) -> anyhow::Result<()> {
        loop {
            let certificates = self.store.certificates_since(published, CERTIFICATES_PAGE).await?;
            let Some(last) = certificates.last().map(|(last, _)| last.revision) else { return Ok(()) };
            bus.publish_certificates(&certificates, last).await?;
            published = last;
        }
    }

    /// Forgets what was removed long ago, and takes out of Redis what Postgres does not know any more, be it so or
    /// because its site is gone. What is in Redis was in Postgres before.
    async fn forget_certificates(&self, bus: &Bus) -> anyhow::Result<()> {
        self.store.forget_removed_certificates(REMOVED_FOR).await?;
        for page in bus.certificate_ids().await?.chunks(FORGET_PAGE) {
            let unknown = self.store.unknown_certificates(page).await?;
            bus.forget_certificates(&unknown).await?;
        }
        Ok(())
    }
}
