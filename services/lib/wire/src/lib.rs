//! TMTP octets and frames: where a frame begins and ends, what its header says, and how to write one.
//! This crate must never do I/O, read a clock, draw random numbers or keep anything between two links.
//!
//! A frame is the length of its header, the header, and the data that the header announces:
//!
//! ```text
//! 0039{"DataLen":5,"For":[{"Id":"U","Type":1}],"Id":"a","Op":7}hello
//! └┬─┘└───────────────────────────┬───────────────────────────┘└─┬─┘
//!  │                              │                              └ data: exactly `datalen` octets, opaque
//!  │                              └ header: JSON, 8 to 65535 octets
//!  └ four hex digits: the header has 0x39 = 57 octets
//! ```
//!
//! Nothing separates frames, and nothing says where a TLS record or a read ends: [`Decoder`] takes octets as they
//! come and yields [`Item`]s. Data is handed on as slices of the caller's own buffer and is never copied; while no
//! header is half-read the decoder holds nothing on the heap.
//!
//! ```
//! use tmtp_wire::{Decoder, Item, Request};
//!
//! let mut octets = Vec::new();
//! Request::Pulse.encode(&mut octets)?;
//! assert_eq!(octets, br#"0009{"Op":11}"#);
//!
//! let mut input = &octets[..];
//! let mut decoder = Decoder::<Request>::new();
//! let Some(Item::Header { header, .. }) = decoder.next(&mut input)? else { panic!("no header") };
//! assert_eq!(header, Request::Pulse);
//! assert!(matches!(decoder.next(&mut input)?, Some(Item::End)));
//! assert!(decoder.next(&mut input)?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Request`] is what clients send, [`Response`] what servers send; both encode and decode, so that servers, clients
//! and tests share one codec. Text and ids have their formats in [`id`].

mod decoder;
mod encode;
mod headsum;
pub mod id;
mod json;
mod request;
mod response;

pub use decoder::{Decoder, Header, Item};
pub use headsum::headsum_holds;
pub use request::{DataInfo, Oidc, Op, Recipient, Request};
pub use response::{AuthBy, Response, Std, UserChange};

/// Fewest octets a header may have.
pub const HEADER_MIN: usize = 8;
/// Most octets a header may have; four hex digits cannot say more.
pub const HEADER_MAX: usize = 65_535;
/// Most octets the text of a ping or of an invitation may have.
pub const TEXT_OCTETS_MAX: u64 = 420;
/// Most UTF-16 units the text of a ping or of an invitation may have.
pub const TEXT_UTF16_MAX: usize = 140;

/// Why octets are no TMTP. The link cannot go on after either: where the next frame begins is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first four octets of a frame are not hex digits, or say less than [`HEADER_MIN`].
    #[error("invalid header length")]
    HeaderLength,
    /// The header is not JSON, has a field of the wrong type, or lacks what its operation needs.
    #[error("invalid header")]
    Header,
}

impl Error {
    /// The text that a server puts into the `quit` frame.
    pub fn quit_text(self) -> &'static str {
        match self {
            Self::HeaderLength => "invalid header length",
            Self::Header => "invalid header",
        }
    }
}

/// The header would have more than [`HEADER_MAX`] octets. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("header exceeds {HEADER_MAX} octets")]
pub struct TooLong;
