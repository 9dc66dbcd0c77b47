//! Base32 with TMTP's alphabet, for uids and node ids. It accepts exactly what Go's encoding/base32 accepts,
//! because whether a node id decodes decides which error a login gets. It must never be fed secrets for logging.

/// Digits by value. No vowels and no 0, so that ids do not spell words.
const ALPHABET: &[u8; 32] = b"%+123456789BCDFGHJKLMNPQRSTVWXYZ";
const PAD: u8 = b'=';
/// Marks octets that are no digit in [`VALUES`].
const NONE: u8 = 0xff;
const VALUES: [u8; 256] = values();

/// The text is not base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("corrupt base32 value")]
pub struct Corrupt;

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0_u8;
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
}

/// Spells octets; the text is padded with `=` to a multiple of 8 characters.
pub fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(5) * 8);
    for group in octets.chunks(5) {
        let mut padded = [0; 8];
        padded[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(padded);
        let digits = (group.len() * 8).div_ceil(5);
        for place in 0..8 {
            // Five bits, so nothing is cut off.
            let value = (bits >> (35 - 5 * place) & 31) as u8;
            text.push(char::from(if place < digits { ALPHABET[usize::from(value)] } else { PAD }));
        }
    }
    text
}

/// Reads octets back. As in Go: CR and LF are skipped wherever they stand, padding is mandatory, unused low bits of
/// the last digit may be anything, and fewer than 8 characters behind the first `=` that are not needed as
/// padding are ignored.
pub fn decode(text: &str) -> Result<Vec<u8>, Corrupt> {
    let digits: Vec<u8> = text.bytes().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    let mut octets = Vec::with_capacity(digits.len() / 8 * 5 + 5);
    for (place, group) in digits.chunks(8).enumerate() {
        let rest = &digits[place * 8..];
        let used = used_digits(group, rest)?;
        let bits = group[..used].iter().try_fold(0_u64, |bits, digit| match VALUES[usize::from(*digit)] {
            NONE => Err(Corrupt),
            value => Ok(bits << 5 | u64::from(value)),
        })?;
        let bits = bits << (5 * (8 - used));
        octets.extend_from_slice(&bits.to_be_bytes()[3..3 + used * 5 / 8]);
        if used < 8 {
            break;
        }
    }
    Ok(octets)
}

/// How many characters of a group are digits; the others have to be padding. `rest` is the group and all behind it.
fn used_digits(group: &[u8], rest: &[u8]) -> Result<usize, Corrupt> {
    let padding = (2..group.len()).find(|place| group[*place] == PAD && rest.len() - place <= 8);
    match padding {
        None if group.len() == 8 => Ok(8),
        // 1, 3 and 6 digits do not end at an octet.
        Some(used @ (2 | 4 | 5 | 7))
            if group.len() == 8 && group[used..].iter().all(|octet| *octet == PAD) =>
        {
            Ok(used)
        }
        _ => Err(Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length of octets comes back: encodes and decodes all of 0 to 40 octets.
    #[test]
    fn what_was_encoded_decodes() {
        let octets: Vec<u8> = (0..40_u8).map(|n| n.wrapping_mul(97).wrapping_add(200)).collect();
        for len in 0..=octets.len() {
            let text = encode(&octets[..len]);
            assert_eq!(text.len() % 8, 0);
            assert_eq!(decode(&text).as_deref(), Ok(&octets[..len]), "{text}");
        }
    }

    /// The alphabet has its values in the documented order: octets made of the 5-bit values 0 to 31.
    #[test]
    fn alphabet_starts_at_percent() {
        let bits = (0..32_u32).fold(String::new(), |bits, value| bits + &format!("{value:05b}"));
        let octets: Vec<u8> =
            (0..20).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).expect("eight bits")).collect();
        assert_eq!(encode(&octets).as_bytes(), ALPHABET);
        assert_eq!(decode("%+123456789BCDFGHJKLMNPQRSTVWXYZ"), Ok(octets));
    }

    /// Refused and accepted oddities are those of Go: the list was run through Go 1.26's encoding/base32.
    #[test]
    fn oddities_are_gos() {
        let accepted: [(&str, &[u8]); 6] = [
            ("", b""),
            ("\r\n", b""),
            ("ZZ======", &[0xff]),
            ("Z\nZ====\r==", &[0xff]),
            ("ZZZZZZZZ", &[0xff; 5]),
            ("%%======Z", &[0]),
        ];
        for (text, octets) in accepted {
            assert_eq!(decode(text).as_deref(), Ok(octets), "{text:?}");
        }
        for text in [
            "Z",
            "ZZ",
            "ZZ=====",
            "ZZZ=====",
            "Z=======",
            "ZZZZZZ==",
            "========",
            "ZZZZZZZ",
            "zz======",
            "AA======",
            "00======",
            "ZZ=Z====",
            "ZZ======ZZZZZZZZ",
            "%% =====",
            "é%======",
        ] {
            assert_eq!(decode(text), Err(Corrupt), "{text:?}");
        }
    }
}
