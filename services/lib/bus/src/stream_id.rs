//! The place of an entry in a stream. Pure.

use std::fmt;
use std::str::FromStr;

/// The id of a stream entry: milliseconds of the server's clock and a number within the millisecond. `0-0` (the
/// default) is before every entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// Counts within the millisecond.
    pub seq: u64,
}

/// A text is not a stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a stream id (milliseconds-number)")]
pub struct BadStreamId;

impl StreamId {
    /// The lowest id after this one.
    pub fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms.saturating_add(1), seq: 0 },
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for StreamId {
    type Err = BadStreamId;

    fn from_str(text: &str) -> Result<Self, BadStreamId> {
        let (ms, seq) = text.split_once('-').ok_or(BadStreamId)?;
        // The standard parser takes a leading plus sign, Redis does not.
        if ms.starts_with('+') || seq.starts_with('+') {
            return Err(BadStreamId);
        }
        let parse = |part: &str| part.parse().map_err(|_| BadStreamId);
        Ok(Self { ms: parse(ms)?, seq: parse(seq)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: ids survive the text form and sort as Redis sorts them; method: parse, print and compare examples.
    #[test]
    fn text_and_order() {
        let id: StreamId = "1700000000000-7".parse().unwrap();
        assert_eq!(id, StreamId { ms: 1_700_000_000_000, seq: 7 });
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "5", "5-", "-5", "a-1", "1-2-3", "+1-2", "1-+2"] {
            assert_eq!(bad.parse::<StreamId>(), Err(BadStreamId), "{bad:?}");
        }
        assert!(StreamId { ms: 1, seq: 9 } < StreamId { ms: 2, seq: 0 });
        assert!(StreamId::default() < StreamId::default().next());
        assert_eq!(StreamId { ms: 1, seq: u64::MAX }.next(), StreamId { ms: 2, seq: 0 });
    }
}
