//! `tmtpctl migrate`. It must stay harmless to repeat: deployments run it before every start.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tmtp_store::{SHARDS_DEFAULT, Store};

use crate::database::Database;

/// Between two attempts to connect.
const TRY_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    database: Database,
    /// Into how many shards a new deployment is divided, for good; more than workers, ever. Ignored by an old one
    #[arg(long, default_value_t = SHARDS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=i64::from(i16::MAX)))]
    shards: u16,
    /// For so long the database may still be on its way: it is tried again and again
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

impl Migrate {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let store = self.connect().await?;
        store.migrate(self.shards).await.context("migrate the database")?;
        let shards = store.shards().await.context("read the number of shards")?;
        println!("the schema is up to date; the deployment has {shards} shards");
        if shards != self.shards && self.shards != SHARDS_DEFAULT {
            eprintln!("warning: --shards {} is ignored: the number never changes", self.shards);
        }
        Ok(())
    }

    /// Connects, at once or within the time that was given.
    async fn connect(&self) -> anyhow::Result<Store> {
        let end = Instant::now() + Duration::from_secs(self.wait);
        loop {
            match self.database.connect().await {
                Err(error) if Instant::now() + TRY_EVERY < end => {
                    eprintln!("waiting: {error:#}");
                    tokio::time::sleep(TRY_EVERY).await;
                }
                other => return other,
            }
        }
    }
}
