//! Secrets that the database keeps for a while in a form that only the API key which brought them can open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use data_encoding::BASE64_NOPAD;

use super::Problem;

/// Octets of the random number before what is sealed.
const NONCE: usize = 12;

/// Seals a text with a key that follows from the API key ([`super::authenticate::Identity::seal`]); `about` has to be the
/// same when it is opened.
pub(crate) fn seal(key: &[u8; 32], about: &[u8], text: &str) -> Result<String, Problem> {
    let mut octets = text.as_bytes().to_vec();
    let nonce = cipher(key)
        .and_then(|cipher| cipher.seal_in_place_append_tag(Aad::from(about), &mut octets).ok())
        .ok_or_else(Problem::internal)?;
    Ok(BASE64_NOPAD.encode(&[nonce.as_ref().as_slice(), &octets].concat()))
}

/// Opens it; `None` with another key, or for something else.
pub(crate) fn open(key: &[u8; 32], about: &[u8], sealed: &str) -> Option<String> {
    let mut octets = BASE64_NOPAD.decode(sealed.as_bytes()).ok()?;
    let (nonce, text) = octets.split_at_mut_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = cipher(key)?.open_in_place(nonce, Aad::from(about), text).ok()?;
    String::from_utf8(text.to_vec()).ok()
}

fn cipher(key: &[u8; 32]) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only the same key opens it, and only for the same purpose; method: both right, each wrong, and a bit turned.
    #[test]
    fn opened_by_its_key_only() {
        let sealed = seal(&[1; 32], b"a", "secret").unwrap_or_default();
        assert_eq!(open(&[1; 32], b"a", &sealed).as_deref(), Some("secret"));
        assert_eq!(open(&[2; 32], b"a", &sealed), None);
        assert_eq!(open(&[1; 32], b"b", &sealed), None);
        assert_eq!(
            open(&[1; 32], b"a", &format!("B{}", &sealed[1..])).filter(|_| !sealed.starts_with('B')),
            None
        );
        assert_eq!(open(&[1; 32], b"a", ""), None);
    }
}
