//! A text that must not be seen: passwords, tokens, URLs that carry either.
//!
//! Neither `Debug` nor `Serialize` may ever show the text, so neither a log line nor `print-config` can.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What stands in the place of a secret that is set.
const REDACTED: &str = "[redacted]";

/// A text that shows itself only through [`Secret::expose`]. Empty means unset.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself. Hand it to the one call that needs it and keep it nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is any text.
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_set() { REDACTED } else { "" }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        // Somebody fed the output of print-config back in. Better an error than a wrong password.
        if text == REDACTED {
            return Err(D::Error::custom("a redacted secret is not a secret"));
        }
        Ok(Self(text))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no rendering shows the text. Method: format and serialize a set and an unset secret.
    #[test]
    fn renders_redacted() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?}"), r#"Secret("[redacted]")"#);
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""[redacted]""#);
        assert_eq!(serde_json::to_string(&Secret::default()).unwrap(), r#""""#);
        assert_eq!(secret.expose(), "hunter2");
    }

    /// Goal: redacted output cannot come back as a secret. Method: deserialize the marker.
    #[test]
    fn refuses_its_own_redaction() {
        let back: Result<Secret, _> = serde_json::from_str(r#""[redacted]""#);
        assert!(back.is_err());
    }
}
