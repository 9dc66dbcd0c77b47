//! `tmtpctl send`: one message to some users. It must never hold a whole file in memory.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tmtp_client::Client;
use tmtp_wire::{DataInfo, Recipient, Request, id::crc32c};
use tokio::fs::File;

use super::{log_in, quit, request_id};
use crate::{
    credentials::Identity,
    server::{Server, answer},
    text::printable,
};

/// A recipient that is a user.
const USER: i8 = 1;
/// A recipient that is a group; the sender gets no copy.
const GROUP: i8 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    identity: Identity,
    /// Who gets it: uids, with commas between or given several times
    #[arg(long, value_name = "UID", value_delimiter = ',', required_unless_present = "to_group")]
    to: Vec<String>,
    /// Groups that get it
    #[arg(long, value_name = "GROUP")]
    to_group: Vec<String>,
    #[command(flatten)]
    content: Content,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Content {
    /// Send this text
    #[arg(long)]
    text: Option<String>,
    /// Send this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Send {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let credentials = self.identity.credentials()?;
        let id = request_id()?;
        let users = self.to.into_iter().map(|id| Recipient { id, kind: USER });
        let groups = self.to_group.into_iter().map(|id| Recipient { id, kind: GROUP });
        let recipients = users.chain(groups).collect();
        let mut data = DataInfo::default();
        let client = match (self.content.text, self.content.file) {
            (Some(text), _) => {
                ensure!(!text.is_empty(), "there is nothing to send: the text is empty");
                data.len = text.len() as u64;
                data.sum = crc32c(text.as_bytes()).into();
                let (mut client, _) = log_in(&self.server, &credentials).await?;
                let request = Request::Post { id: id.clone(), recipients, data };
                answer("send", client.send(&request, text.as_bytes())).await?;
                client
            }
            (None, Some(path)) => {
                let problem = || format!("cannot read {}", path.display());
                let file = File::open(&path).await.with_context(problem)?;
                data.len = file.metadata().await.with_context(problem)?.len();
                ensure!(data.len > 0, "there is nothing to send: {} is empty", path.display());
                let (mut client, _) = log_in(&self.server, &credentials).await?;
                let request = Request::Post { id: id.clone(), recipients, data };
                // As long as it takes.
                client.send_stream(&request, file).await.context("cannot send the file")?;
                client
            }
            (None, None) => anyhow::bail!("give --text or --file"),
        };
        report(client, &id).await
    }
}

async fn report(mut client: Client, id: &str) -> anyhow::Result<()> {
    let receipt = answer("send", client.expect_ack(id)).await?;
    println!("message {} stored at {}", printable(&receipt.msg_id), printable(&receipt.posted));
    quit(client).await;
    Ok(())
}
