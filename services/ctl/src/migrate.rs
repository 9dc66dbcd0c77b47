//! `tmtpctl migrate`. It must stay harmless to repeat: deployments run it before every start.

use anyhow::Context as _;
use tmtp_store::SHARDS_DEFAULT;

use crate::database::Database;

#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    database: Database,
    /// Into how many shards a new deployment is divided, for good; more than workers, ever. Ignored by an old one
    #[arg(long, default_value_t = SHARDS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=i64::from(i16::MAX)))]
    shards: u16,
}

impl Migrate {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let store = self.database.connect().await?;
        store.migrate(self.shards).await.context("migrate the database")?;
        let shards = store.shards().await.context("read the number of shards")?;
        println!("the schema is up to date; the deployment has {shards} shards");
        if shards != self.shards && self.shards != SHARDS_DEFAULT {
            eprintln!("warning: --shards {} is ignored: the number never changes", self.shards);
        }
        Ok(())
    }
}
