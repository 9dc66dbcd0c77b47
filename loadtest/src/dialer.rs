//! Connections to the cluster: first ones by registering, later ones by logging in again.
//! It must never wait as long as real clients do: a run is about the cluster, not about their patience.

use std::{net::SocketAddr, time::Duration};

use tmtp_client::{Account, Client, Connect, Error, Trust};
use tokio::time::{sleep, timeout};

/// For one attempt: TCP, TLS and login.
const ATTEMPT_WAIT: Duration = Duration::from_secs(10);
/// Before the second attempt; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where the cluster is.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    gateways: Vec<SocketAddr>,
    site: String,
}

impl Dialer {
    /// At least one gateway.
    pub(crate) fn new(gateways: Vec<SocketAddr>, site: String) -> Self {
        Self { gateways, site }
    }

    fn connect(&self, gateway: usize) -> Connect {
        Connect {
            address: self.gateways[gateway % self.gateways.len()],
            server_name: Some(self.site.clone()),
            // Loopback only, which is checked before.
            trust: Trust::Any,
        }
    }

    /// Makes a user without alias, who is connected then.
    pub(crate) async fn register(&self, gateway: usize) -> Result<(Client, Account), Error> {
        Client::register(&self.connect(gateway), "_", "load").await
    }

    /// Logs in, if need be again and again, each time through the next gateway.
    ///
    /// # Errors
    /// Only what does not change by waiting: the server does not know the device.
    pub(crate) async fn log_in(&self, mut gateway: usize, account: &Account) -> Result<Client, String> {
        let mut pause = PAUSE_MIN;
        loop {
            let connect = self.connect(gateway);
            match timeout(ATTEMPT_WAIT, Client::login(&connect, &account.uid, &account.node_id)).await {
                Ok(Ok((client, _))) => return Ok(client),
                Ok(Err(Error::Quit(text))) if text == "login failed" || text == "corrupt base32 value" => {
                    return Err(format!("a login was refused: {text}"));
                }
                // The server may be restarting, or not yet know that the last connection is gone.
                Ok(Err(_)) | Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            gateway += 1;
        }
    }
}
