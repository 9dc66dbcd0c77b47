//! Seals secrets before they reach Postgres or Redis, so that neither holds one that can be used: AES-256-GCM under a
//! key of the deployment, which only the processes have.
//!
//! A sealed secret is bound to its place by a context (which row, of which site): moved to another place it cannot be
//! opened. Nothing here may ever show a key or an opened secret, not even in an error.
//!
//! What is sealed is `1`, the id of the key (8 octets), a random nonce (12), the ciphertext and its tag (16).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use data_encoding::BASE64;

/// The first octet, in case that there is ever another form.
const VERSION: u8 = 1;
const ID_LEN: usize = 8;
const NONCE_LEN: usize = 12;
/// Octets of a key.
pub const KEY_LEN: usize = 32;
const HEAD_LEN: usize = 1 + ID_LEN;

/// Why a text is no list of keys. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing in it.
    #[error("there is no key: make one with `openssl rand -base64 32`")]
    None,
    /// Not 32 octets in base64.
    #[error("key {0} is not 32 octets in base64: make one with `openssl rand -base64 32`")]
    NotAKey(usize),
    /// Twice the same.
    #[error("key {0} is there twice")]
    Twice(usize),
}

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not made by [`Sealer::seal`], or by a later release.
    #[error("not a sealed secret")]
    Form,
    /// Sealed with a key that is not in the list.
    #[error(
        "sealed with a key that this process does not have: add it to the list of keys, behind the first"
    )]
    UnknownKey,
    /// Changed, or of another place.
    #[error("the sealed secret was changed, or belongs elsewhere")]
    Tampered,
    /// No random octets to be had.
    #[error("cannot seal")]
    Seal,
}

/// Seals with the first of its keys, and opens with any.
pub struct Sealer {
    keys: Vec<Key>,
}

struct Key {
    /// Names the key in what it sealed, and tells nothing about it.
    id: [u8; ID_LEN],
    key: RandomizedNonceKey,
}

impl Sealer {
    /// Reads keys: base64 of 32 octets each, with white space between them. The first seals. To change the key, put the
    /// new one in front, and remove the old one when nothing sealed with it is left ([`Sealer::is_current`]).
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, word) in text.split_whitespace().enumerate() {
            let number = index + 1;
            let key = BASE64
                .decode(word.as_bytes())
                .ok()
                .filter(|octets| octets.len() == KEY_LEN)
                .and_then(|octets| Key::new(&octets))
                .ok_or(KeyError::NotAKey(number))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeyError::Twice(number));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeyError::None) } else { Ok(Self { keys }) }
    }

    /// A sealer with one key that was derived from something else. [`Error::Seal`] if the cipher refuses it.
    pub fn of_key(octets: &[u8; KEY_LEN]) -> Result<Self, Error> {
        Ok(Self { keys: vec![Key::new(octets).ok_or(Error::Seal)?] })
    }

    /// Seals a secret for a place.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.keys.first().ok_or(Error::Seal)?;
        let head = head(key.id);
        let mut octets = secret.to_vec();
        let nonce =
            key.key.seal_in_place_append_tag(aad(&head, context), &mut octets).map_err(|_| Error::Seal)?;
        Ok([&head[..], nonce.as_ref(), &octets].concat())
    }

    /// Opens what was sealed for the same place.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let id = key_id(sealed)?;
        let rest = sealed.get(HEAD_LEN..).unwrap_or_default();
        let (nonce, octets) = rest.split_at_checked(NONCE_LEN).ok_or(Error::Form)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(Error::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Form)?;
        let mut octets = octets.to_vec();
        let opened = key
            .key
            .open_in_place(nonce, aad(&head(id), context), &mut octets)
            .map_err(|_| Error::Tampered)?;
        Ok(opened.to_vec())
    }

    /// Whether it was sealed with the first key.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        self.keys.first().is_some_and(|key| key_id(sealed) == Ok(key.id))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.keys.len())
    }
}

impl Key {
    fn new(octets: &[u8]) -> Option<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, octets).ok()?;
        let hash = digest::digest(&digest::SHA256, &[b"tmtp-seal key id", octets].concat());
        let mut id = [0; ID_LEN];
        id.copy_from_slice(hash.as_ref().get(..ID_LEN)?);
        Some(Self { id, key })
    }
}

fn head(id: [u8; ID_LEN]) -> [u8; HEAD_LEN] {
    let mut head = [VERSION; HEAD_LEN];
    head[1..].copy_from_slice(&id);
    head
}

/// What is sealed along: everything in front of the nonce, and the place.
fn aad(head: &[u8], context: &str) -> Aad<Vec<u8>> {
    Aad::from([head, context.as_bytes()].concat())
}

fn key_id(sealed: &[u8]) -> Result<[u8; ID_LEN], Error> {
    match sealed.split_first() {
        Some((&VERSION, rest)) => rest.first_chunk().copied().ok_or(Error::Form),
        _ => Err(Error::Form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> String {
        BASE64.encode(&[n; KEY_LEN])
    }

    fn sealer(keys: &[u8]) -> Sealer {
        let words: Vec<String> = keys.iter().map(|&n| key(n)).collect();
        Sealer::parse(&words.join("\n")).unwrap()
    }

    /// Goal: what is sealed comes back, looks different each time and shows nothing; method: seal twice, open.
    #[test]
    fn sealed_and_opened() {
        let sealer = sealer(&[1]);
        for secret in [&b""[..], b"a key that nobody may see"] {
            let sealed = [(); 2].map(|()| sealer.seal("here", secret).unwrap());
            assert_ne!(sealed[0], sealed[1]);
            for sealed in sealed {
                assert_eq!(sealer.open("here", &sealed).unwrap(), secret);
                assert!(secret.is_empty() || !sealed.windows(secret.len()).any(|part| part == secret));
            }
        }
        assert_eq!(format!("{sealer:?}"), "Sealer(1 keys)");
    }

    /// Goal: neither another place, nor another key, nor a single changed octet opens it; method: each of them.
    #[test]
    fn nothing_else_opens_it() {
        let right = sealer(&[1]);
        let sealed = right.seal("here", b"secret").unwrap();
        assert_eq!(right.open("there", &sealed), Err(Error::Tampered));
        assert_eq!(sealer(&[2]).open("here", &sealed), Err(Error::UnknownKey));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(right.open("here", &changed).is_err(), "octet {at}");
            assert!(right.open("here", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    /// Goal: a key can be changed without a gap; method: seal with the old one, open with old and new, and with the new
    /// one only.
    #[test]
    fn keys_are_changed() {
        let old = sealer(&[1]).seal("here", b"secret").unwrap();
        let both = sealer(&[2, 1]);
        assert_eq!(both.open("here", &old).unwrap(), b"secret");
        assert!(!both.is_current(&old));
        let new = both.seal("here", b"secret").unwrap();
        assert!(both.is_current(&new));
        assert_eq!(sealer(&[2]).open("here", &new).unwrap(), b"secret");
        assert_eq!(sealer(&[1, 2]).open("here", &new).unwrap(), b"secret");
    }

    /// Goal: what is no key is refused, without being quoted; method: nothing, junk, a short one, one twice.
    #[test]
    fn keys_are_checked() {
        let parse = |text: &str| Sealer::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(parse(" \n"), KeyError::None);
        assert_eq!(parse(&format!("{} hunter2", key(1))), KeyError::NotAKey(2));
        assert_eq!(parse(&BASE64.encode(&[1; 31])), KeyError::NotAKey(1));
        assert_eq!(parse(&format!("{0} {0}", key(1))), KeyError::Twice(2));
        assert!(!parse("hunter2").to_string().contains("hunter2"));
    }
}
