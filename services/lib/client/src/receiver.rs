//! The receiving half of a link: frames in the order in which they came, or an ack ahead of the others.
//! It must never lose a frame when a call is cancelled: what has come is kept until somebody asks for it.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use tmtp_wire::{Decoder, Item, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::Error;

/// Most octets of data that [`Receiver::next`] collects; [`Receiver::next_streaming`] takes any number.
pub const DATA_MAX: u64 = 64 << 20;
/// Most frames that are kept aside while an ack is waited for. Servers stop delivering long before.
pub const ASIDE_MAX: usize = 10_000;

/// Room for a read between frames; many idle links should not cost much.
const READ_SMALL: usize = 4 << 10;
/// Room for a read while data comes: a full TLS record.
const READ_LARGE: usize = 16 << 10;

/// What the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub response: Response<'static>,
    /// The header's JSON as it came.
    pub raw: Vec<u8>,
    /// The data behind it; empty if it was passed on to somebody else.
    pub data: Vec<u8>,
}

/// Where and when the server stored what a request sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The message id; empty in the ack of an edit, which stores no message.
    pub msg_id: String,
    /// When; empty in the ack of an edit.
    pub posted: String,
}

/// The receiving half of a link.
#[derive(Debug)]
pub struct Receiver {
    stream: ReadHalf<TlsStream<TcpStream>>,
    /// Octets that have been received but not yet decoded.
    input: BytesMut,
    decoder: Decoder<Response<'static>>,
    /// The frame that is being received.
    partial: Option<Frame>,
    /// Complete frames that came before an ack that was waited for.
    aside: VecDeque<Frame>,
}

impl Receiver {
    pub(crate) fn new(stream: ReadHalf<TlsStream<TcpStream>>) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            decoder: Decoder::new(),
            partial: None,
            aside: VecDeque::new(),
        }
    }

    /// The next frame with its data; `None` if the server has closed the connection properly between two frames.
    /// Fails for more than [`DATA_MAX`] octets of data.
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        match self.aside.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.receive().await,
        }
    }

    /// The next frame, whatever its size: its data goes to `sink` as it comes. Not cancel safe once the header has
    /// come.
    pub async fn next_streaming(
        &mut self,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Option<Frame>, Error> {
        if let Some(mut frame) = self.aside.pop_front() {
            sink.write_all(&frame.data).await.map_err(Error::Data)?;
            frame.data = Vec::new();
            return Ok(Some(frame));
        }
        loop {
            let complete = self.decode(u64::MAX)?;
            if let Some(partial) = &mut self.partial {
                sink.write_all(&partial.data).await.map_err(Error::Data)?;
                partial.data.clear();
            }
            if complete {
                return Ok(self.partial.take());
            }
            if !self.fill().await? {
                return self.end();
            }
        }
    }

    /// Waits for the ack of the request `id`. Frames that come before it are kept for [`Receiver::next`], in order.
    pub async fn expect_ack(&mut self, id: &str) -> Result<Receipt, Error> {
        let place = self.aside.iter().position(|frame| is_ack(&frame.response, id));
        if let Some(frame) = place.and_then(|place| self.aside.remove(place)) {
            return receipt(frame.response);
        }
        loop {
            let frame = self.receive().await?.ok_or(Error::Closed)?;
            if is_ack(&frame.response, id) {
                return receipt(frame.response);
            }
            if let Response::Quit { error } = frame.response {
                return Err(Error::Quit(error.into_owned()));
            }
            if self.aside.len() == ASIDE_MAX {
                return Err(Error::Flooded);
            }
            self.aside.push_back(frame);
        }
    }

    /// The next frame from the wire, past those kept aside.
    async fn receive(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if self.decode(DATA_MAX)? {
                return Ok(self.partial.take());
            }
            if !self.fill().await? {
                return self.end();
            }
        }
    }

    /// Decodes what has been received, up to the end of a frame; true if `partial` is complete now.
    fn decode(&mut self, data_max: u64) -> Result<bool, Error> {
        let mut input = &self.input[..];
        let mut complete = false;
        while let Some(item) = self.decoder.next(&mut input)? {
            match item {
                Item::Header { header, raw } => {
                    let frame = Frame { response: header, raw: raw.into_owned(), data: Vec::new() };
                    self.partial = Some(frame);
                }
                Item::Data(piece) => {
                    if let Some(partial) = &mut self.partial {
                        partial.data.extend_from_slice(piece);
                    }
                }
                Item::End => {
                    complete = true;
                    break;
                }
            }
        }
        let decoded = self.input.len() - input.len();
        self.input.advance(decoded);
        let len = self.partial.as_ref().map_or(0, |partial| tmtp_wire::Header::data_len(&partial.response));
        if len > data_max { Err(Error::DataTooLarge { len }) } else { Ok(complete) }
    }

    /// Receives more octets; false if the server has closed the connection.
    async fn fill(&mut self) -> Result<bool, Error> {
        self.input.reserve(if self.partial.is_some() { READ_LARGE } else { READ_SMALL });
        match self.stream.read_buf(&mut self.input).await {
            Ok(len) => Ok(len > 0),
            // TLS says this of a connection that ends without its close.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Error::Cut),
            Err(error) => Err(Error::Read(error)),
        }
    }

    /// The connection has ended: that is right between frames only.
    fn end(&self) -> Result<Option<Frame>, Error> {
        if self.decoder.is_idle() { Ok(None) } else { Err(Error::Cut) }
    }
}

fn is_ack(response: &Response<'_>, request: &str) -> bool {
    matches!(response, Response::Ack { id, .. } if id == request)
}

fn receipt(response: Response<'static>) -> Result<Receipt, Error> {
    match response {
        Response::Ack { error: Some(error), .. } => Err(Error::Refused(error.into_owned())),
        Response::Ack { receipt, .. } => {
            let (msg_id, posted) = receipt.unwrap_or_default();
            Ok(Receipt { msg_id: msg_id.into_owned(), posted: posted.into_owned() })
        }
        other => Err(Error::Unexpected { op: other.op().to_owned(), expected: "ack" }),
    }
}
