//! `tmtpctl bootstrap`: what has to be there before the admin API can be used, made directly in the database.

mod site;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Bootstrap {
    /// Make a site, and print its id and shard
    Site(site::Site),
}

impl Bootstrap {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Site(site) => site.run().await,
        }
    }
}
