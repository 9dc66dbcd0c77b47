//! The sending half of a link: one request after the other, small ones in a single write.
//! It must never send a request whose data has another length than its header says; `send_raw` is for that.

use tmtp_wire::{Header, Request};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, WriteHalf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::Error;

/// Data up to this is copied behind its header, so that both go out in one TLS record; also the size of a piece
/// of larger data. A record holds 16 KiB.
const PIECE: usize = 16 << 10;

/// The sending half of a link. Its calls are not cancel safe: one that was cancelled may have sent half a frame.
#[derive(Debug)]
pub struct Sender {
    stream: WriteHalf<TlsStream<TcpStream>>,
    buffer: Vec<u8>,
}

impl Sender {
    pub(crate) fn new(stream: WriteHalf<TlsStream<TcpStream>>) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends one frame.
    pub async fn send(&mut self, request: &Request, data: &[u8]) -> Result<(), Error> {
        let (announced, given) = (request.data_len(), data.len() as u64);
        if announced != given {
            return Err(Error::DataLength { announced, given });
        }
        self.buffer.clear();
        request.encode(&mut self.buffer)?;
        let (front, rest) = data.split_at(data.len().min(PIECE.saturating_sub(self.buffer.len())));
        self.buffer.extend_from_slice(front);
        self.write_buffer().await?;
        self.stream.write_all(rest).await.map_err(Error::Write)?;
        self.stream.flush().await.map_err(Error::Write)
    }

    /// Sends one frame whose data comes from `data`, piece by piece. If `data` ends early, or is too long, the link
    /// is left in the middle of the frame, or the surplus is left unread, and the call fails.
    pub async fn send_stream(
        &mut self,
        request: &Request,
        data: impl AsyncRead + Unpin,
    ) -> Result<(), Error> {
        let announced = request.data_len();
        let mut data = data.take(announced);
        self.buffer.clear();
        request.encode(&mut self.buffer)?;
        let mut given = 0;
        loop {
            // The first piece goes out together with the header.
            self.buffer.reserve(PIECE);
            let len = data.read_buf(&mut self.buffer).await.map_err(Error::Data)?;
            given += len as u64;
            self.write_buffer().await?;
            self.buffer.clear();
            if len == 0 || given == announced {
                break;
            }
        }
        self.stream.flush().await.map_err(Error::Write)?;
        if given == announced { Ok(()) } else { Err(Error::DataLength { announced, given }) }
    }

    /// Sends octets as they are, for tests of what clients should not do.
    pub async fn send_raw(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.stream.write_all(octets).await.map_err(Error::Write)?;
        self.stream.flush().await.map_err(Error::Write)
    }

    /// Acknowledges a message.
    pub async fn ack(&mut self, msg_id: &str) -> Result<(), Error> {
        self.send(&Request::Ack { id: msg_id.to_owned(), kind: "ok".to_owned() }, &[]).await
    }

    /// Says on the level of TLS that nothing more will come.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.stream.shutdown().await.map_err(Error::Write)
    }

    async fn write_buffer(&mut self) -> Result<(), Error> {
        self.stream.write_all(&self.buffer).await.map_err(Error::Write)
    }
}
