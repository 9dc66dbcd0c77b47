//! `tmtpctl bootstrap`: what has to be there before the admin API can be used, made directly in the database.

mod key;
mod site;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Bootstrap {
    /// Make a site, and print its id and shard
    Site(site::Site),
    /// Make a key to the admin API for all sites, and print it: it cannot be shown again. Or register one from a file
    Key(key::Key),
}

impl Bootstrap {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Site(site) => site.run().await,
            Self::Key(key) => key.run().await,
        }
    }
}
