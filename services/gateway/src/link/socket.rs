//! What a link asks of its connection beside octets: whether the client's machine is still there, and a reset in place
//! of an end. Tests have connections of their own, whose every octet they see.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Silence after which a client's machine is asked, and the time between two questions.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Questions without answer, or time in which it takes nothing, after which the machine is taken for gone.
const PROBES: u32 = 3;
const PROBE_WAIT: Duration = Duration::from_secs(4);

/// A connection below TLS.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Begins or ends asking the client's machine whether it is still there. If it is not, the connection breaks. A
    /// machine that is healthy but slow answers such probes without its program's help, so nobody is cut off wrongly.
    fn probe(&self, begin: bool);

    /// When it is closed, the connection is reset, and what has not been sent yet is lost.
    ///
    /// # Errors
    /// When the connection is broken already.
    fn reset_at_close(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn probe(&self, begin: bool) {
        let result = if begin { begin_probes(self) } else { end_probes(self) };
        if let Err(error) = result {
            tracing::debug!(%error, "cannot probe a client");
        }
    }

    fn reset_at_close(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

fn begin_probes(socket: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY).with_retries(PROBES);
    SockRef::from(socket).set_tcp_keepalive(&probes)?;
    bound_what_is_sent(socket)
}

fn end_probes(socket: &TcpStream) -> io::Result<()> {
    let options = SockRef::from(socket);
    options.set_keepalive(false)?;
    options.set_tcp_user_timeout(None)
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
