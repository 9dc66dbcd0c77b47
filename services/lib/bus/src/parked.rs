//! Entries that cannot be decoded are put aside with their error, so that they neither block their stream nor vanish.
//!
//! They may hold bodies, so they are kept for a week at most, and few of them.

use std::fmt::Write;
use std::time::Duration;

use redis::pipe;

use crate::link::Link;
use crate::{Bus, Error, StreamId, keys};

/// Entries kept, roughly (Redis trims whole blocks).
const KEPT: u32 = 1_000;
/// How long after the last parked entry all of them go.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);

/// An entry to park.
pub(crate) struct Parked {
    pub(crate) stream: Vec<u8>,
    pub(crate) id: StreamId,
    pub(crate) octets: Vec<u8>,
    pub(crate) error: String,
}

impl Bus {
    /// How many entries are parked.
    pub async fn parked_depth(&self) -> Result<u64, Error> {
        self.link.command(redis::cmd("XLEN").arg(keys::PARKED)).await
    }
}

/// Copies them to the stream of parked entries. Transient errors only are returned, as it would be wrong to go on
/// then; when Redis refuses for good, the log is all that is left.
pub(crate) async fn park(link: &Link, reader: &str, entries: &[Parked]) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut copies = pipe();
    for entry in entries {
        let stream = String::from_utf8_lossy(&entry.stream);
        tracing::error!(%stream, id = %entry.id, octets = entry.octets.len(), error = entry.error, "entry parked");
        copies.cmd("XADD").arg(keys::PARKED).arg("MAXLEN").arg("~").arg(KEPT).arg("*");
        copies
            .arg("stream")
            .arg(stream.as_ref())
            .arg("id")
            .arg(entry.id.to_string())
            .arg("reader")
            .arg(reader);
        copies.arg("error").arg(&entry.error).arg(keys::BODY).arg(entry.octets.as_slice()).ignore();
    }
    copies.cmd("EXPIRE").arg(keys::PARKED).arg(KEPT_FOR.as_secs()).ignore();
    match link.pipeline::<()>(&copies).await {
        Err(error) if !error.is_transient() => {
            tracing::error!(error = chain(&error), "cannot park entries; they are lost");
            Ok(())
        }
        other => other,
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}
