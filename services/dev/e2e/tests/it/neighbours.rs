//! Sites share gateways and workers, and must not take them from each other.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tmtp_domain::Registration;
use tmtp_e2e::{Setup, post};
use tokio::time::timeout;

use crate::load::{Load, Shape};

/// Messages of the quiet site.
const MESSAGES: usize = 50;
/// For one of them, from the post to both its ack and its delivery. Some milliseconds on an idle machine; a neighbour who
/// had to be waited for would cost as long as it goes on, or until the 15 seconds are over after which clients resend.
const PATIENCE: Duration = Duration::from_secs(5);

/// Goal: a site that floods its gateway and its worker does not stall another one on the same two. Method: one site keeps
/// some hundreds of posts under way; in the other one a message after the other has to be acked and delivered within
/// seconds, while the flood goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_stall_others() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    cluster.add_site("Noisy", &["noisy.test"], Registration::Open).await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(0).connect("ben").await?;
    let flood = Shape { site: "noisy.test", pairs: 8, window: 64, octets: 2_000 };
    let flood = Load::start_as(&cluster, flood).await?;
    let before = flood.deliveries();
    for number in 0..MESSAGES {
        let text = number.to_string();
        let once = async {
            ann.request(&post(&text, &[ben.uid()], text.as_bytes()), text.as_bytes()).await?;
            ben.take(&text).await
        };
        timeout(PATIENCE, once).await.with_context(|| format!("message {number} is stuck"))??;
    }
    let flooded = flood.deliveries() - before;
    ensure!(flooded > MESSAGES as u64, "that was no flood: {flooded} messages beside {MESSAGES}");
    flood.finish().await?;
    cluster.passed()
}
