//! The end of a connection. Either complete (close_notify, FIN, and what the client still sends is read, so that no
//! reset destroys what it has not read yet), or a reset. Nothing in between: an end of stream inside of a TLS record
//! crashes the real client.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::Socket;
use crate::session::Exit;

/// How long the client has to take the end of the stream.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);
/// How long its last octets are read, if it does not close.
const DISCARD_WAIT: Duration = Duration::from_secs(1);
/// How many of them.
const DISCARD_MAX: usize = 4 << 20;

/// Closes a connection on which everything that should be written is written.
pub async fn close<S: Socket>(stream: &mut TlsStream<S>, exit: Exit) {
    let complete = match exit {
        Exit::Clean => timeout(SHUTDOWN_WAIT, stream.shutdown()).await.is_ok(),
        Exit::Cut => false,
    };
    let socket = stream.get_mut().0;
    if complete {
        // The end of this does not matter: the client has closed, or has had its time.
        let _ = timeout(DISCARD_WAIT, discard(socket)).await;
    } else if let Err(error) = socket.reset_at_close() {
        tracing::debug!(%error, "cannot reset the connection");
    }
}

/// Reads and throws away, past the TLS layer.
async fn discard(socket: &mut impl Socket) {
    let mut buffer = vec![0; 4 << 10];
    let mut total = 0;
    while total < DISCARD_MAX {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => total += read,
        }
    }
}
