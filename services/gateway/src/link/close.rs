//! The end of a connection, and how to find out that it has ended on the other side. Either complete (close_notify, FIN, and what the client still sends is read, so that no
//! reset destroys what it has not read yet), or a reset. Nothing in between: an end of stream inside of a TLS record
//! crashes the real client.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::session::Exit;

/// How long the client has to take the end of the stream.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);
/// How long its last octets are read, if it does not close.
const DISCARD_WAIT: Duration = Duration::from_secs(1);
/// How many of them.
const DISCARD_MAX: usize = 4 << 20;

/// Closes a connection on which everything that should be written is written.
pub async fn close(stream: &mut TlsStream<TcpStream>, exit: Exit) {
    let complete = match exit {
        Exit::Clean => timeout(SHUTDOWN_WAIT, stream.shutdown()).await.is_ok(),
        Exit::Cut => false,
    };
    let socket = stream.get_mut().0;
    if complete {
        // The end of this does not matter: the client has closed, or has had its time.
        let _ = timeout(DISCARD_WAIT, discard(socket)).await;
    } else if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "cannot reset the connection");
    }
}

/// Reads and throws away, past the TLS layer.
async fn discard(socket: &mut TcpStream) {
    let mut buffer = vec![0; 4 << 10];
    let mut total = 0;
    while total < DISCARD_MAX {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => total += read,
        }
    }
}

/// Silence after which a client's machine is asked, and the time between two questions.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Questions without answer, or time in which it takes nothing, after which the machine is taken for gone.
const PROBES: u32 = 3;
const PROBE_WAIT: Duration = Duration::from_secs(4);

/// Begins or ends asking the client's machine whether it is still there. If it is not, the connection breaks. A
/// machine that is healthy but slow answers such probes without its program's help, so nobody is cut off wrongly.
pub fn probe(socket: &TcpStream, begin: bool) {
    let options = SockRef::from(socket);
    let result = if begin {
        let probes =
            TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY).with_retries(PROBES);
        options.set_tcp_keepalive(&probes).and_then(|()| bound_what_is_sent(socket))
    } else {
        options.set_keepalive(false).and_then(|()| options.set_tcp_user_timeout(None))
    };
    if let Err(error) = result {
        tracing::debug!(%error, "cannot probe a client");
    }
}

/// Probes are not sent while something waits to be acknowledged; then a bound for that holds instead. But the kernel also
/// counts the time in which a client's program takes nothing, however often its machine says so. Where something is not
/// even sent there is no bound, and the write timeout decides.
fn bound_what_is_sent(socket: &TcpStream) -> io::Result<()> {
    let options = SockRef::from(socket);
    // As long as this holds, a socket with anything unsent is not writable.
    options.set_tcp_notsent_lowat(1)?;
    let mut writable = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut writable, PollTimeout::ZERO);
    options.set_tcp_notsent_lowat(0)?;
    let all_sent = ready? > 0;
    options.set_tcp_user_timeout(all_sent.then_some(PROBE_WAIT))
}
