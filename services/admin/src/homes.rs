//! The way to the homes of sites, which may be found later: the admin server starts without Redis, too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tmtp_bus::Bus;
use tmtp_chassis::life::Life;
use tmtp_contract::{AdminAnswer, AdminRequest};
use tmtp_domain::{ShardId, SiteId};
use tokio_util::sync::CancellationToken;

use crate::changes::{AskError, Changes, Patience};

/// Pause after a connection that was not made.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);

/// Why a home was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// There has been no connection to Redis yet. The change was not published.
    #[error("not connected to Redis yet")]
    Unconnected,
    /// See there.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// The way to the homes of sites. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Homes(Arc<OnceLock<Changes>>);

impl Homes {
    /// Over this way, unless there is one.
    pub(crate) fn connect(&self, changes: Changes) {
        let _ = self.0.set(changes);
    }

    /// The bus, once there is a connection.
    pub(crate) fn bus(&self) -> Option<&Bus> {
        self.0.get().map(Changes::bus)
    }

    /// Has the site's home make a change.
    pub(crate) async fn ask(
        &self,
        site: SiteId,
        shard: ShardId,
        request: AdminRequest,
    ) -> Result<AdminAnswer, HomeError> {
        Ok(self.0.get().ok_or(HomeError::Unconnected)?.ask(site, shard, request).await?)
    }

    /// Lets the site's home know something, which it may miss.
    pub(crate) async fn tell(&self, site: SiteId, shard: ShardId, request: AdminRequest) {
        if let Some(changes) = self.0.get() {
            changes.tell(site, shard, request).await;
        }
    }
}

/// Finds the way and listens, until `stop`.
pub(crate) fn start(life: &Life, homes: Homes, url: String, stop: CancellationToken) {
    let run = async move {
        let bus = loop {
            match Bus::connect(&url).await {
                Ok(bus) => break bus,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "no way to the homes yet");
                    tokio::time::sleep(CONNECT_AGAIN).await;
                }
            }
        };
        let changes = Changes::new(bus, Patience::default());
        homes.connect(changes.clone());
        changes.listen(CancellationToken::new()).await;
    };
    life.spawn("homes", async move {
        stop.run_until_cancelled(run).await;
        Ok(())
    });
}
