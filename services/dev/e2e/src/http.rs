//! As much HTTP as the monitor ports of our programs need. Must never be used for anything else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A paused program accepts connections and never answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a server answered.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) text: String,
}

/// Asks for a path of the server.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let answer = timeout(PATIENCE, ask(address, path)).await;
    answer.context("no answer").flatten().with_context(|| format!("GET http://{address}{path}"))
}

async fn ask(address: SocketAddr, path: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer without a status")?;
    Ok(Answer { status, text: body.to_owned() })
}
