//! Tells gateways and this worker's engine which sites there are. Postgres has them; Redis holds a copy that may be lost
//! at any time, which the revision shows.

use tmtp_bus::Bus;
use tmtp_store::Store;
use tokio::sync::mpsc::UnboundedSender;

use crate::engine::Control;

/// Sites read at a time.
const PAGE: i64 = 500;

/// Where this worker stands.
pub struct Directory {
    store: Store,
    /// Up to here the engine has been told.
    told: i64,
}

impl Directory {
    /// Nobody has been told anything.
    pub fn new(store: Store) -> Self {
        Self { store, told: 0 }
    }

    /// Brings the copy in Redis, which is at `published`, and the engine up to date.
    pub async fn publish(
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
}
