//! What Postern's processes say to each other and write into the journal. Versioned; serde only; no I/O.
//!
//! Encoding: MessagePack maps with short field names. An unknown field is ignored and a missing new field takes its
//! default, so a release can add fields freely. What an older release could not understand raises [`VERSION`]; an
//! entry of an unknown version is refused as a whole ([`Error::Version`]) and parked by its reader. Golden files in
//! `testdata/` pin every version that was ever shipped.
//!
//! # How a session talks to its home
//!
//! A session is named by its gateway's life and a number there. Its commands are numbered 1, 2, 3… ([`Envelope::seq`]).
//! *Opening* commands (`Register`, `Login`, `Attach`) may have any number; the worker then expects exactly the
//! numbers behind it. A command with another number, or of a session that the worker does not know, is not applied;
//! the worker answers [`Event::Lost`], and the gateway opens the session anew: `Attach`, and behind it, renumbered,
//! every command that was not answered. Commands are safe to repeat because the worker remembers receipts (invariant
//! I3), so the streams need not be reliable: what they lose is sent again.
//!
//! Every delivery names the opening command it belongs to ([`Event::Deliver`]'s `opened`), so that nothing from an
//! earlier owner of the shard reaches a session that has been opened anew.
//!
//! # Presence
//!
//! Who shows presence to whom is nobody's row: the home knows it, and the gateways can tell it to a new home. A session
//! that has issued an OhiEdit is kept up to date about its user's set ([`Event::Shows`]) and brings it along
//! ([`Attach::showing`]); every session knows whom its client believes to be online, and brings that along, too
//! ([`Attach::seen`]), so that a new home tells it what is different and nothing else.

mod admin;
mod command;
mod event;
mod journal;
mod message;
mod trace;

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use admin::{
    AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, AdminRequest, AskedPlace, AuditNote, NewPlace,
    Once, SetAway,
};
pub use command::{Attach, Command, CommandEntry, Credentials, Digest, Envelope, Showing};
pub use event::{Answer, Event, EventEntry, LoginRefusal};
pub use journal::{Effect, Ended, JournalEntry, Receipt, ReceiptKey, ReceiptPack};
pub use message::{Body, BodyRef, Content, DataInfo, Message, MessageRecord};
pub use trace::{Step, StepKind, TracePack};

/// The version that this release writes, and the newest it reads.
pub const VERSION: u16 = 1;

/// How deep lists and maps may nest. Entries of this release stay below 12; the rest is for fields of later ones. The
/// decoder's own limit of 1024 is more than the stack of a thread holds in an unoptimised build.
const DEPTH_MAX: usize = 64;

/// Why an entry cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Written by a newer release; park it.
    #[error("entry of version {0}, newer than {VERSION}")]
    Version(u16),
    /// Not an entry; park it.
    #[error("cannot decode entry")]
    Decode(#[source] rmp_serde::decode::Error),
    /// A bug: values of this crate always encode.
    #[error("cannot encode entry")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// An entry that tells its version.
pub trait Versioned: Serialize + DeserializeOwned {
    /// The version that it was written with.
    fn version(&self) -> u16;
}

/// Encodes an entry.
pub fn encode<T: Versioned>(entry: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(512);
    rmp_serde::encode::write_named(&mut out as &mut dyn io::Write, entry).map_err(Error::Encode)?;
    Ok(out)
}

/// Decodes an entry, unless a newer release wrote it.
pub fn decode<T: Versioned>(octets: &[u8]) -> Result<T, Error> {
    /// Only the version, which every release can read.
    #[derive(serde::Deserialize)]
    struct Head {
        v: u16,
    }
    match read::<T>(octets) {
        Ok(entry) if entry.version() <= VERSION => Ok(entry),
        Ok(entry) => Err(Error::Version(entry.version())),
        Err(error) => match read::<Head>(octets) {
            Ok(head) if head.v > VERSION => Err(Error::Version(head.v)),
            _ => Err(Error::Decode(error)),
        },
    }
}

fn read<T: DeserializeOwned>(octets: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(octets);
    decoder.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut decoder)
}
