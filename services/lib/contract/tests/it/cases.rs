//! The golden cases: a value for each stored file. A case that was shipped must never be edited: peers and journals
//! that hold its octets are out there. How to go about a change of the encoding is in `testdata/README.md`.

mod command;
mod event;
mod journal;
mod message;
mod older;
mod trace;

use std::array;

use tmtp_contract::{
    CommandEntry, Error, EventEntry, JournalEntry, MessageRecord, Receipt, ReceiptPack, TracePack,
};
use tmtp_contract::{decode, encode};
use tmtp_domain::{SecretHash, Uid};
use uuid::Uuid;

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Command(CommandEntry),
    Event(EventEntry),
    Journal(JournalEntry),
    Message(MessageRecord),
    Receipts(Vec<Receipt>),
    Trace(TracePack),
}

impl Value {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Command(entry) => encode(entry).unwrap(),
            Self::Event(entry) => encode(entry).unwrap(),
            Self::Journal(entry) => encode(entry).unwrap(),
            Self::Message(record) => encode(record).unwrap(),
            Self::Receipts(receipts) => ReceiptPack::pack(receipts.iter()),
            Self::Trace(pack) => encode(pack).unwrap(),
        }
    }

    /// Decodes octets as a value of the same kind as this one.
    pub fn decode_alike(&self, octets: &[u8]) -> Result<Self, Error> {
        Ok(match self {
            Self::Command(_) => Self::Command(decode(octets)?),
            Self::Event(_) => Self::Event(decode(octets)?),
            Self::Journal(_) => Self::Journal(decode(octets)?),
            Self::Message(_) => Self::Message(decode(octets)?),
            Self::Receipts(_) => Self::Receipts(ReceiptPack::unpack(octets)),
            Self::Trace(_) => Self::Trace(decode(octets)?),
        })
    }

    /// True for MessagePack; receipts are packed in a way of their own.
    pub fn is_entry(&self) -> bool {
        !matches!(self, Self::Receipts(_))
    }
}

/// What a case promises of its octets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Promise {
    /// This release reads them, and writes exactly them.
    ReadsAndWrites,
    /// This release reads them; others write so.
    Reads,
}

/// A file of `testdata/` and what it means.
pub struct Case {
    /// The file below `testdata/`, without its ending.
    pub path: &'static str,
    /// What is worth noting; stands at the head of the file.
    pub about: &'static str,
    pub promise: Promise,
    pub value: Value,
}

/// Every case of every version.
pub fn all() -> Vec<Case> {
    [command::cases(), event::cases(), journal::cases(), message::cases(), trace::cases(), older::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// The cases whose octets are MessagePack and come from this release.
pub fn entries() -> impl Iterator<Item = Case> {
    all().into_iter().filter(|case| case.promise == Promise::ReadsAndWrites && case.value.is_entry())
}

fn written(path: &'static str, about: &'static str, value: Value) -> Case {
    Case { path, about, promise: Promise::ReadsAndWrites, value }
}

/// Octets that count up, so that a field that is cut, reversed or mixed up with another shows.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    let mut next = first;
    array::from_fn(|_| {
        let octet = next;
        next = next.wrapping_add(1);
        octet
    })
}

fn uid(first: u8) -> Uid {
    Uid(counting(first))
}

fn hash(first: u8) -> SecretHash {
    SecretHash(counting(first))
}

fn uuid(first: u8) -> Uuid {
    Uuid::from_bytes(counting(first))
}

/// A W3C trace context.
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
