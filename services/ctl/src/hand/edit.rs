//! `tmtpctl newnode` and `tmtpctl newalias`: changes of one's own user. A new device's password must never get
//! lost: it comes once.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use tmtp_wire::{Request, Response, UserChange};
use tokio::time::Instant;

use super::{inbox::Inbox, log_in, quit, request_id};
use crate::{
    credentials::{Credentials, Identity, SaveFile},
    server::{Server, answer},
    text::printable,
};

/// For the message with the password, which comes ahead of others but behind what is under way.
const PASSWORD_WAIT: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What comes for the asking device meanwhile is printed and acknowledged, as `listen` does."
)]
pub(crate) struct NewNode {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    identity: Identity,
    /// What the user calls the new device
    #[arg(long)]
    label: String,
    /// Write uid and node id into this new file, which only you can read, instead of printing the node id
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewAlias {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    identity: Identity,
    /// The alias: at least 8 octets. Those that the user has stay valid
    #[arg(long)]
    alias: String,
}

impl NewNode {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let credentials = self.identity.credentials()?;
        let (client, _) = log_in(&self.server, &credentials).await?;
        let save = self.save.map(SaveFile::create).transpose()?;
        let mut inbox = Inbox::new(client, None);
        let node = match ask(&mut inbox, &self.label).await {
            Ok(node) => node,
            Err(error) => {
                if let Some(save) = save {
                    save.discard();
                }
                return Err(error);
            }
        };
        println!("uid   {}", printable(&credentials.uid));
        match save {
            Some(save) => save.write(&Credentials { uid: credentials.uid, node })?,
            None => println!("node  {}", printable(&node)),
        }
        inbox.quit().await
    }
}

/// Asks for a device, and waits for both the ack and the message with its password, in whatever order they come.
async fn ask(inbox: &mut Inbox, wanted: &str) -> anyhow::Result<String> {
    let id = request_id()?;
    inbox
        .send(&Request::UserEdit { id: id.clone(), new_node: Some(wanted.to_owned()), new_alias: None })
        .await?;
    let end = Instant::now() + PASSWORD_WAIT;
    let (mut acked, mut password) = (false, None);
    loop {
        let response = inbox.receive(Some(end)).await?.with_context(|| {
            let acked = if acked { "acknowledged the request" } else { "did not acknowledge the request" };
            format!("the server {acked}, and sent no password within {} s", PASSWORD_WAIT.as_secs())
        })?;
        match response {
            Response::Ack { id: acked_id, error, .. } if acked_id == id => match error {
                Some(error) => bail!("the server refused: {}", printable(&error)),
                None => acked = true,
            },
            Response::User { change: UserChange::Node { label, node_id }, .. } if label == wanted => {
                password = Some(node_id.into_owned());
            }
            _ => {}
        }
        if acked && let Some(password) = password {
            return Ok(password);
        }
    }
}

impl NewAlias {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let credentials = self.identity.credentials()?;
        let (mut client, _) = log_in(&self.server, &credentials).await?;
        let id = request_id()?;
        let request =
            Request::UserEdit { id: id.clone(), new_node: None, new_alias: Some(self.alias.clone()) };
        answer("send", client.send(&request, &[])).await?;
        answer("add the alias", client.expect_ack(&id)).await?;
        println!("the user has the alias {}", printable(&self.alias));
        quit(client).await;
        Ok(())
    }
}
