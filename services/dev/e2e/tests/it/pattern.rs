//! Data of any length that nobody has to keep: the sender makes it as it goes, the receiver compares as it comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets that repeat only after 2^64: a shifted chunk, a lost one or one that came twice does not go unnoticed.
#[derive(Clone)]
pub struct Pattern {
    state: u64,
    left: u64,
}

impl Pattern {
    /// So many octets.
    pub fn new(len: u64) -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, left: len }
    }

    /// All of it has been read or compared.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    fn octet(&mut self) -> u8 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.left -= 1;
        self.state.to_be_bytes()[0]
    }
}

/// Makes the data.
impl AsyncRead for Pattern {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while into.remaining() > 0 && this.left > 0 {
            into.put_slice(&[this.octet()]);
        }
        Poll::Ready(Ok(()))
    }
}

/// Compares the data.
impl AsyncWrite for Pattern {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let same = octets.iter().all(|octet| this.left > 0 && this.octet() == *octet);
        let outcome = if same { Ok(octets.len()) } else { Err(io::Error::other("the data has changed")) };
        Poll::Ready(outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
