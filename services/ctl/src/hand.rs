//! TMTP by hand, with any server: each command is one connection that does one thing and says what it saw.
//! It must never acknowledge a message before it is printed or stored: the server forgets it then.

mod account;
mod edit;
mod inbox;
mod listen;
mod send;

pub(crate) use account::{Login, Register};
pub(crate) use edit::{NewAlias, NewNode};
pub(crate) use listen::Listen;
pub(crate) use send::Send;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use tmtp_client::{Client, LoginInfo};

use crate::{
    credentials::Credentials,
    server::{Server, answer},
};

/// Logs the device in.
async fn log_in(server: &Server, credentials: &Credentials) -> anyhow::Result<(Client, LoginInfo)> {
    let connect = server.connect().await?;
    answer("log in", Client::login(&connect, &credentials.uid, &credentials.node)).await
}

/// A name for a request. Random, because a server takes a repeated one for a repeated request.
pub(crate) fn request_id() -> anyhow::Result<String> {
    let mut octets = [0; 8];
    getrandom::fill(&mut octets).context("get random octets")?;
    Ok(format!("tmtpctl-{}", HEXLOWER.encode(&octets)))
}

/// Ends the link. What the command was for is done, so that only a warning is left if this fails.
async fn quit(client: Client) {
    if let Err(error) = answer("quit", client.quit()).await {
        eprintln!("warning: {error:#}");
    }
}
