//! What a values file expects to find in the cluster. It says so in comments at its top:
//!
//! ```text
//! # existing secret: NAME KEY...
//! # existing port: 6432
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// What is there before the chart is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// Secrets and their keys.
    pub secrets: BTreeMap<String, BTreeSet<String>>,
    /// Ports at which something outside of the release listens. DNS and HTTPS are among them always.
    pub ports: BTreeSet<u16>,
}

impl Existing {
    /// Reads the comments of a values file.
    ///
    /// # Errors
    /// When the file cannot be read, or a comment is half right.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut existing = Self { ports: BTreeSet::from([53, 443]), ..Self::default() };
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("# existing ") else { continue };
            let Some((kind, words)) = rest.split_once(": ") else { bail!("no colon: {line}") };
            let words: Vec<&str> = words.split_whitespace().collect();
            match (kind, &words[..]) {
                ("secret", [name, keys @ ..]) if !keys.is_empty() => {
                    let keys = keys.iter().map(ToString::to_string).collect();
                    existing.secrets.insert((*name).to_owned(), keys);
                }
                ("port", [port]) => {
                    existing.ports.insert(port.parse().with_context(|| format!("no port: {line}"))?);
                }
                _ => bail!("neither `secret: NAME KEY...` nor `port: NUMBER`: {line}"),
            }
        }
        Ok(existing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nothing is taken to exist but what is said to; method: good comments, and three that are half right.
    #[test]
    fn comments() {
        let existing =
            Existing::parse("# Words.\n# existing secret: a k l\n# existing port: 80\nx: 1\n").unwrap();
        assert_eq!(existing.secrets["a"], BTreeSet::from(["k".to_owned(), "l".to_owned()]));
        assert_eq!(existing.ports, BTreeSet::from([53, 80, 443]));
        for wrong in
            ["# existing secret: a", "# existing port: x", "# existing map: a b", "# existing secret a"]
        {
            assert!(Existing::parse(wrong).is_err(), "{wrong}");
        }
    }
}
