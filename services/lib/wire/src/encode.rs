//! Puts the length digits in front of a header. It must never leave half a header behind when it refuses one.

use crate::{HEADER_MAX, TooLong};

/// Octets of the length digits.
pub(crate) const DIGITS: usize = 4;

/// Appends length digits and the header that `write` appends. If that is too long, `out` stays as it was.
pub(crate) fn append_header(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), TooLong> {
    let start = out.len();
    out.extend_from_slice(&[b'0'; DIGITS]);
    write(out);
    let header_len = out.len() - start - DIGITS;
    if header_len > HEADER_MAX {
        out.truncate(start);
        return Err(TooLong);
    }
    out[start..start + DIGITS].copy_from_slice(&length_digits(header_len));
    Ok(())
}

/// The four lower-case hex digits of a length of at most [`HEADER_MAX`].
pub(crate) fn length_digits(len: usize) -> [u8; DIGITS] {
    [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[len >> shift & 15])
}
