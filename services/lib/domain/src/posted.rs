//! The time of a message, and its one text form.

use std::fmt;

use serde::{Deserialize, Serialize};

/// When a message was posted: milliseconds since 1970, UTC. Written `YYYY-MM-DDTHH:MM:SS.mmmZ`, always three decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Posted(pub i64);

impl fmt::Display for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No clock shows years of five digits. A damaged row may, and must not be a panic of whoever formats it.
        let nearest = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(nearest);
        write!(f, "{time:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whole seconds keep their decimals; method: format one whole and one broken second.
    #[test]
    fn three_decimals() {
        assert_eq!(Posted(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Posted(1_795_476_510_120).to_string(), "2026-11-23T23:28:30.120Z");
    }
}
