//! Secrets that the database keeps for a while in a form that only the API key which brought them can open.

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use tmtp_seal::Sealer;

use super::Problem;

/// Seals a text with a key that follows from the API key ([`super::authenticate::Identity::seal`]); `about` has to be the
/// same when it is opened.
pub(crate) fn seal(key: &[u8; 32], about: &[u8], text: &str) -> Result<String, Problem> {
    let sealed = Sealer::of_key(key).and_then(|sealer| sealer.seal(&HEXLOWER.encode(about), text.as_bytes()));
    Ok(BASE64_NOPAD.encode(&sealed.map_err(|_| Problem::internal())?))
}

/// Opens it; `None` with another key, or for something else.
pub(crate) fn open(key: &[u8; 32], about: &[u8], sealed: &str) -> Option<String> {
    let octets = BASE64_NOPAD.decode(sealed.as_bytes()).ok()?;
    let text = Sealer::of_key(key).ok()?.open(&HEXLOWER.encode(about), &octets).ok()?;
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only the same key opens it, and only for the same purpose; method: both right, each wrong, and a character changed.
    #[test]
    fn opened_by_its_key_only() {
        let sealed = seal(&[1; 32], b"a", "secret").unwrap_or_default();
        assert_eq!(open(&[1; 32], b"a", &sealed).as_deref(), Some("secret"));
        assert_eq!(open(&[2; 32], b"a", &sealed), None);
        assert_eq!(open(&[1; 32], b"b", &sealed), None);
        let turned = if sealed.starts_with('A') { "B" } else { "A" };
        assert_eq!(open(&[1; 32], b"a", &format!("{turned}{}", &sealed[1..])), None);
        assert_eq!(open(&[1; 32], b"a", ""), None);
    }
}
