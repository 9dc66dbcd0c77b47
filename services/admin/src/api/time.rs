//! Times as the API shows them: RFC 3339, UTC, to the millisecond.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Year 9999, so that the text always has four digits of year.
const LAST_MS: i64 = 253_402_300_799_999;

/// A point in time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) i64);

impl Time {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(LAST_MS))
    }

    pub(crate) fn plus_days(self, days: u16) -> Self {
        Self(self.0 + i64::from(days) * 86_400_000)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Timestamp::from_millisecond(self.0.clamp(0, LAST_MS)).map_err(|_| fmt::Error)?;
        write!(f, "{time:.3}")
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
        time.filter(|ms| (0..=LAST_MS).contains(ms))
            .map(Self)
            .ok_or_else(|| "give a time such as 2026-12-31T23:59:59Z (RFC 3339)".to_owned())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: times are told in UTC to the millisecond and read with any offset; method: there and back, and nonsense.
    #[test]
    fn forms() {
        let time = Time(1_764_000_000_123);
        assert_eq!(time.to_string(), "2025-11-24T16:00:00.123Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!("2025-11-24T17:00:00.123+01:00".parse(), Ok(time));
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
        for bad in ["", "2025-11-24", "tomorrow", "1969-12-31T23:59:59Z", "-002025-11-24T16:00:00Z"] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }
}
