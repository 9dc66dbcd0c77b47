//! What may be an alias: the rule of PROTOCOL.md, "Aliases". Whether it is free is the home worker's to say.

use unicode_general_category::{GeneralCategory, get_general_category};

use crate::Refusal;

/// A well-formed alias. Not normalised and not case-folded: two spellings are two aliases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(String);

impl Alias {
    /// Fewest octets (not characters) of an alias or group name.
    pub const OCTETS_MIN: usize = 8;
    /// Most octets; longer names are refused here and "not found" elsewhere.
    pub const OCTETS_MAX: usize = 255;

    /// Checks length first, then characters, with the protocol's texts.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() < Self::OCTETS_MIN {
            return Err(Refusal::AliasShort);
        }
        if text.len() > Self::OCTETS_MAX || !text.chars().all(printable) {
            return Err(Refusal::AliasInvalid(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The alias as its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Letters, marks, numbers, punctuation, symbols, and U+0020 as the only space. U+FFFD is refused too: it stands for
/// octets that were no UTF-8.
fn printable(c: char) -> bool {
    use GeneralCategory as G;
    if c == ' ' {
        return true;
    }
    c != '\u{FFFD}'
        && !matches!(
            get_general_category(c),
            G::Control
                | G::Format
                | G::LineSeparator
                | G::ParagraphSeparator
                | G::PrivateUse
                | G::SpaceSeparator
                | G::Surrogate
                | G::Unassigned
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: octets count, not characters; method: four two-octet letters pass, seven one-octet letters do not.
    #[test]
    fn length_in_octets() {
        assert!(Alias::parse("éééé").is_ok());
        assert_eq!(Alias::parse("seven77"), Err(Refusal::AliasShort));
        assert!(Alias::parse(&"x".repeat(255)).is_ok());
        assert!(Alias::parse(&"x".repeat(256)).is_err());
    }

    /// Goal: invisible characters cannot hide in a name; method: one of each refused kind, then blanks and symbols.
    #[test]
    fn printable_only() {
        for bad in
            ["\u{200B}", "\u{202E}", "\u{AD}", "\u{FEFF}", "\u{A0}", "\u{2028}", "\u{E000}", "\u{FFFD}", "\n"]
        {
            let text = format!("long enough{bad}");
            assert_eq!(Alias::parse(&text), Err(Refusal::AliasInvalid(text.clone())), "{bad:?}");
        }
        assert!(Alias::parse(" Ann ☕ Lee ").is_ok());
    }
}
