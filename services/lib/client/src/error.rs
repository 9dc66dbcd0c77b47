//! What can go wrong on a link, with the server's own words where it said some.
//! It must never hide whether the server refused, quit, or just went away: tests tell these apart.

use std::{io, net::SocketAddr};

/// Why a call failed. After anything but [`Error::Refused`], [`Error::DataLength`] and [`Error::HeaderTooLong`] the
/// link is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// No TLS session: the server's certificate is not trusted, or it does not speak TLS.
    #[error("TLS handshake with {address} failed")]
    Handshake {
        /// With whom.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Not a host name that could be sent as SNI.
    #[error("{name} is no host name")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The TLS library does not like our settings.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// Receiving failed.
    #[error("cannot read from the server")]
    Read(#[source] io::Error),
    /// Sending failed.
    #[error("cannot write to the server")]
    Write(#[source] io::Error),
    /// The caller's source or sink of data failed.
    #[error("cannot pass data on")]
    Data(#[source] io::Error),
    /// The server sent what is no TMTP.
    #[error("server sent no TMTP")]
    Wire(#[from] tmtp_wire::Error),
    /// The request does not fit into a header; nothing was sent.
    #[error("request does not fit into a header")]
    HeaderTooLong(#[from] tmtp_wire::TooLong),
    /// The data is not as long as the request says. If it was a stream, part of it has been sent.
    #[error("request announces {announced} octets of data, got {given}")]
    DataLength {
        /// What the request says.
        announced: u64,
        /// What the caller gave.
        given: u64,
    },
    /// A frame with more than [`crate::DATA_MAX`] octets of data, to be received in one piece.
    #[error("{len} octets of data are too much for one piece")]
    DataTooLarge {
        /// What the frame announces.
        len: u64,
    },
    /// More than [`crate::ASIDE_MAX`] frames came while an ack was waited for.
    #[error("too many frames before the ack")]
    Flooded,
    /// The server ended the link, and said why.
    #[error("server quit: {0}")]
    Quit(String),
    /// The server refused the request in its ack.
    #[error("server refused: {0}")]
    Refused(String),
    /// The server closed the connection properly, but without the frame that was waited for.
    #[error("server closed the connection")]
    Closed,
    /// The connection ended without TLS's close, or in the middle of a frame.
    #[error("connection was cut")]
    Cut,
    /// Another frame came first.
    #[error("server sent {op} in place of {expected}")]
    Unexpected {
        /// What came.
        op: String,
        /// What was waited for.
        expected: &'static str,
    },
}
