//! Which database, and connecting to it. It must never show the URL, which holds a password.

use std::{fmt, time::Duration};

use anyhow::Context as _;
use tmtp_store::Store;

/// A server that does not answer by then is not there; commands are for people, who wait.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Every command does one thing after the other.
const CONNECTIONS: u32 = 2;

#[derive(clap::Args)]
pub(crate) struct Database {
    /// Where Postgres is: postgres://USER:PASSWORD@HOST:PORT/NAME. Prefer the environment: others can read command
    /// lines
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    url: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database(…)")
    }
}

impl Database {
    /// A database of whatever schema.
    pub(crate) async fn connect(&self) -> anyhow::Result<Store> {
        Store::connect(&self.url, CONNECTIONS, CONNECT_WAIT).await.context(
            "cannot connect to Postgres; does it run, and is DATABASE_URL (or --database-url) right?",
        )
    }

    /// A database that has been migrated.
    pub(crate) async fn open(&self) -> anyhow::Result<Store> {
        let store = self.connect().await?;
        store.check_schema().await?;
        Ok(store)
    }
}
