//! `tmtpctl register` and `tmtpctl login`. A password that a server gives must never get lost: it is printed or in
//! a file before anything else can fail.

use std::path::PathBuf;

use anyhow::bail;
use tmtp_client::Client;

use super::{log_in, quit};
use crate::{
    credentials::{Credentials, Identity, SaveFile},
    server::{Server, answer},
    text::printable,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Register {
    #[command(flatten)]
    server: Server,
    /// Name under which others find the user: at least 8 octets; `_` for none
    #[arg(long)]
    alias: String,
    /// What the user calls this device
    #[arg(long, default_value = "tmtpctl")]
    label: String,
    /// Write uid and node id into this new file, which only you can read, instead of printing the node id
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    identity: Identity,
}

impl Register {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let connect = self.server.connect().await?;
        let save = self.save.map(SaveFile::create).transpose()?;
        let registered = answer("register", Client::register(&connect, &self.alias, &self.label)).await;
        let (client, account) = match registered {
            Ok(registered) => registered,
            Err(error) => {
                if let Some(save) = save {
                    save.discard();
                }
                return Err(error);
            }
        };
        println!("uid   {}", printable(&account.uid));
        match save {
            Some(save) => save.write(&Credentials { uid: account.uid, node: account.node_id })?,
            None => println!("node  {}", printable(&account.node_id)),
        }
        quit(client).await;
        match account.alias_error {
            Some(error) => bail!("the user is made, but without the alias: {}", printable(&error)),
            None => Ok(()),
        }
    }
}

impl Login {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let credentials = self.identity.credentials()?;
        let (client, info) = log_in(&self.server, &credentials).await?;
        println!("logged in");
        match info.ohi.len() {
            0 => println!("nobody shows to be online"),
            _ => info.ohi.iter().for_each(|uid| println!("online  {}", printable(uid))),
        }
        quit(client).await;
        Ok(())
    }
}
