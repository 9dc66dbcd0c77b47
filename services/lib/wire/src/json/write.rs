//! Writes strings and numbers as Go's encoding/json spells them, so that a receiver that decodes a header and encodes
//! it again gets the same octets. It must never write what Go would spell differently.

/// For each octet, whether a string may not hold it as it is. 0xe2 begins U+2028 and U+2029, which have escapes.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut octet = 0;
    while octet < 0x20 {
        special[octet] = true;
        octet += 1;
    }
    let marks = b"\"\\<>&\xe2";
    let mut mark = 0;
    while mark < marks.len() {
        special[marks[mark] as usize] = true;
        mark += 1;
    }
    special
};

/// Appends a string literal, quotes included.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut octets = text.as_bytes();
    while let Some(place) = octets.iter().position(|octet| SPECIAL[usize::from(*octet)]) {
        let (plain, rest) = octets.split_at(place);
        out.extend_from_slice(plain);
        octets = &rest[write_special(rest, out)..];
    }
    out.extend_from_slice(octets);
    out.push(b'"');
}

/// Appends the spelling of the special octet that `octets` begin with, and says how many octets that was.
fn write_special(octets: &[u8], out: &mut Vec<u8>) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match octets {
        [b'\n', ..] => out.extend_from_slice(b"\\n"),
        [b'\r', ..] => out.extend_from_slice(b"\\r"),
        [b'\t', ..] => out.extend_from_slice(b"\\t"),
        [mark @ (b'"' | b'\\'), ..] => out.extend_from_slice(&[b'\\', *mark]),
        [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => {
            out.extend_from_slice(b"\\u202");
            out.push(HEX[usize::from(last & 15)]);
            return 3;
        }
        [octet @ 0x80..=0xff, ..] => out.push(*octet),
        [octet, ..] => {
            out.extend_from_slice(b"\\u00");
            out.extend([octet >> 4, octet & 15].map(|digit| HEX[usize::from(digit)]));
        }
        [] => {}
    }
    1
}

/// Appends a number in decimal digits.
pub(crate) fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder is below ten.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spelling is Go's: each kind of character with an escape, and those that look as if they had one.
    #[test]
    fn text_is_spelled_like_go() {
        for (text, literal) in [
            ("", r#""""#),
            ("plain é € 😀", r#""plain é € 😀""#),
            ("a\"b\\c/d", r#""a\"b\\c/d""#),
            ("<&>", r#""\u003c\u0026\u003e""#),
            ("\n\r\t", r#""\n\r\t""#),
            ("\0\u{8}\u{c}\u{1f}\u{7f}", "\"\\u0000\\u0008\\u000c\\u001f\u{7f}\""),
            ("\u{2027}\u{2028}\u{2029}\u{202a}", "\"\u{2027}\\u2028\\u2029\u{202a}\""),
            ("\u{fffd}", "\"\u{fffd}\""),
        ] {
            let mut out = Vec::new();
            write_text(text, &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(literal));
        }
    }

    /// Numbers are plain decimals: the borders of 64 bits and the steps between lengths.
    #[test]
    fn numbers_are_decimal() {
        for number in [0, 1, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_decimal(number, &mut out);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
