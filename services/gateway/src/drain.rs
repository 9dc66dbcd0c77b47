//! Taking links, until the process ends, with pauses in which an admin wants this gateway to have none: then it is not
//! ready, its port is closed, and its clients are let go as at the end. It stays in the cluster meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tmtp_bus::Bus;
use tmtp_chassis::Health;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::accept::{self, Acceptor};
use crate::hub::Hub;

/// How often is asked what an admin wants.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The name of the health check.
const CHECK: &str = "drain";

/// What takes links.
pub struct Door {
    pub hub: Arc<Hub>,
    pub bus: Bus,
    pub health: Health,
    pub acceptor: Acceptor,
    /// Clients are let go over this time.
    pub over: Duration,
}

impl Door {
    /// Takes links until the process drains.
    pub async fn run(self, mut listener: TcpListener, drain: CancellationToken) -> anyhow::Result<()> {
        let address = listener.local_addr().context("ask for the address of the TMTP port")?;
        loop {
            self.health.set(CHECK, Ok(()));
            let pause = drain.child_token();
            let accepting = self.acceptor.clone().run(listener, pause.clone());
            let asking = async {
                self.wait_until(true, &drain).await;
                if !drain.is_cancelled() {
                    // Not ready before the port is closed, so that nobody is sent here any more.
                    self.health.set(CHECK, Err("drained by an admin".to_owned()));
                }
                pause.cancel();
            };
            let (accepted, ()) = tokio::join!(accepting, asking);
            accepted?;
            if drain.is_cancelled() {
                return Ok(());
            }
            tracing::info!("drained by an admin");
            let rest = async {
                self.hub.drain(self.over).await;
                self.wait_until(false, &drain).await;
            };
            tokio::select! {
                () = rest => {}
                () = drain.cancelled() => {}
            }
            if drain.is_cancelled() {
                return Ok(());
            }
            listener = self.open(address, &drain).await?;
            tracing::info!("taking links again");
        }
    }

    /// Reports how it stands until an admin wants that, or the process drains.
    async fn wait_until(&self, wanted: bool, drain: &CancellationToken) {
        let mut clock = tokio::time::interval(ASK_EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                () = drain.cancelled() => return,
            }
            let links = u64::try_from(self.hub.metrics.links_open.get()).unwrap_or_default();
            // Without Redis it stays as it is: the beats say that something is wrong.
            if let Ok(now) = self.bus.report_gateway(self.hub.gateway, links, !wanted).await
                && now == wanted
            {
                return;
            }
        }
    }

    /// Opens the port again; somebody may have it for a while.
    async fn open(
        &self,
        address: std::net::SocketAddr,
        drain: &CancellationToken,
    ) -> anyhow::Result<TcpListener> {
        loop {
            match accept::bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => tracing::warn!(%error, %address, "cannot open the TMTP port again"),
            }
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                () = drain.cancelled() => return accept::bind(address).context("open the TMTP port again"),
            }
        }
    }
}
