//! The secret of an API key: what its holder sends, and what is kept of it.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use data_encoding::{Encoding, Specification};

/// Lower case base32 without padding: a double click selects all of it, and it survives being read out.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().expect("the alphabet is a valid base32 specification")
});

/// Characters behind the prefix of a key that a deployment tool has made: 43 of 62 kinds are 256 bits.
const CHOSEN_LEN: usize = 43;

/// What a key may reach, for people and for scanners that look for leaked ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMode {
    /// Live sites.
    Live,
    /// Sandboxes only.
    Test,
}

impl KeyMode {
    fn prefix(self) -> &'static str {
        match self {
            Self::Live => "tmk_live_",
            Self::Test => "tmk_test_",
        }
    }
}

/// The text of an API key. It is told once; only its hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret(String);

impl KeySecret {
    /// A new one, from random octets.
    pub fn new(mode: KeyMode, random: &[u8; 32]) -> Self {
        Self(format!("{}{}", mode.prefix(), BASE32.encode(random)))
    }

    /// What somebody sends; `None` when no key looks like this, so that nobody need look for it.
    ///
    /// Behind the prefix are 52 characters in base32, as [`Self::new`] makes them, or 43 letters and digits, as
    /// deployment tools do: 256 random bits either way.
    pub fn parse(text: &str) -> Option<Self> {
        let modes = [KeyMode::Live, KeyMode::Test];
        let rest = modes.into_iter().find_map(|mode| text.strip_prefix(mode.prefix()))?.as_bytes();
        let ours = || BASE32.decode(rest).is_ok_and(|octets| octets.len() == 32);
        let theirs = || rest.len() == CHOSEN_LEN && rest.iter().all(u8::is_ascii_alphanumeric);
        (ours() || theirs()).then(|| Self(text.to_owned()))
    }

    /// What the server keeps. 256 random bits need no stretching, so this is one SHA-256.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[self.0.as_bytes()])
    }

    /// A secret that only the holder of the key can know, for one purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        sha256(&[purpose.as_bytes(), b"\0", self.0.as_bytes()])
    }

    /// The text, for its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut octets = [0; 32];
    octets.copy_from_slice(context.finish().as_ref());
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: keys keep their form, and what is none is not looked for; method: there and back, and near misses.
    #[test]
    fn forms() {
        let secret = KeySecret::new(KeyMode::Live, &[0; 32]);
        assert_eq!(secret.reveal(), format!("tmk_live_{}", "a".repeat(52)));
        assert_eq!(KeySecret::parse(secret.reveal()), Some(secret.clone()));
        let test = KeySecret::new(KeyMode::Test, &[0; 32]);
        assert!(test.reveal().starts_with("tmk_test_") && test.hash() != secret.hash());
        assert_ne!(secret.derive("a"), secret.derive("b"));
        let [upper, short, other] = [
            secret.reveal().replace("aa", "AA"),
            secret.reveal()[..60].to_owned(),
            secret.reveal().replace("live", "life"),
        ];
        for bad in ["", "tmk_live_", &upper, &short, &other] {
            assert_eq!(KeySecret::parse(bad), None, "{bad}");
        }
        assert!(!format!("{secret:?}").contains("aaa"));
    }

    /// Goal: keys of deployment tools are taken, and nothing that is nearly one; method: letters of both cases and
    /// digits, one character more or less, and another character.
    #[test]
    fn keys_of_deployment_tools() {
        let random = "aZ09bY18cX27dW36eV45fU54gT63hS72iR81jQ90kPw";
        let key = |rest: &str| format!("tmk_live_{rest}");
        let secret = KeySecret::parse(&key(random)).unwrap();
        assert_eq!(secret.reveal(), key(random));
        assert_eq!(secret.hash(), sha256(&[key(random).as_bytes()]));
        for near in
            [&random[1..], &format!("{random}a"), &random.replace('0', "-"), &random.replace("aZ", "é")]
        {
            assert_eq!(KeySecret::parse(&key(near)), None, "{near}");
        }
        assert_eq!(KeySecret::parse(random), None);
    }
}
