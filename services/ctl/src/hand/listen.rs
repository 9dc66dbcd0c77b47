//! `tmtpctl listen`: be a device for a while. It must never run without an end that it can be told.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;

use super::{inbox::Inbox, log_in};
use crate::{credentials::Identity, server::Server};

#[derive(Debug, clap::Args)]
pub(crate) struct Listen {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    identity: Identity,
    /// End after so many messages; what is not acknowledged, such as notices of presence, does not count
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time; without it and --count, listen until the server or you end it
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// Store what messages hold in this folder, in files named by message id
    #[arg(long, value_name = "DIR")]
    save_dir: Option<PathBuf>,
}

impl Listen {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let credentials = self.identity.credentials()?;
        if let Some(dir) = &self.save_dir {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let (client, _) = log_in(&self.server, &credentials).await?;
        let mut inbox = Inbox::new(client, self.save_dir);
        let end = self.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
        let mut count = 0;
        while self.count.is_none_or(|most| count < most) {
            let Some(response) = inbox.receive(end).await? else { break };
            count += u64::from(response.std().is_some());
        }
        println!("{count} messages");
        inbox.quit().await
    }
}
