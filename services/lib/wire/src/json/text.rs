//! JSON strings: where they end, what they mean, and how names are compared.
//! It must never fail on odd Unicode: what is not valid becomes U+FFFD, one for each octet, as in Go.

use std::borrow::Cow;

/// A string literal whose spelling has been checked, between its quotes, not yet decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    octets: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    pub(super) fn new(octets: &'a [u8], escaped: bool) -> Self {
        Self { octets, escaped }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.octets.is_empty()
    }

    /// What the literal means; borrowed if it is spelled as it is meant.
    pub(crate) fn decode(self) -> Cow<'a, str> {
        match str::from_utf8(self.octets) {
            Ok(text) if !self.escaped => Cow::Borrowed(text),
            _ => {
                let mut text = String::with_capacity(self.octets.len());
                unescape(self.octets, &mut text);
                Cow::Owned(text)
            }
        }
    }
}

/// Most octets of a name that a header may know (`refresh_token`, `access_token`), with some to spare.
const NAME_MAX: usize = 16;

/// A field's name, folded as Go compares names: no case, and U+017F and U+212A stand for s and k.
/// Names that cannot be known, for their length or their characters, are all the empty name.
#[derive(Debug)]
pub(crate) struct Name {
    octets: [u8; NAME_MAX],
    len: usize,
}

impl Name {
    pub(super) fn fold(text: Text<'_>) -> Self {
        let mut name = Self { octets: [0; NAME_MAX], len: 0 };
        if let Some(place) = name.octets.get_mut(..text.octets.len())
            && !text.escaped
            && text.octets.is_ascii()
        {
            place.copy_from_slice(text.octets);
            place.make_ascii_lowercase();
            return Self { len: text.octets.len(), ..name };
        }
        // Only names with escapes or without meaning cost an allocation here.
        let decoded = text.decode();
        for character in decoded.chars() {
            let folded = match character {
                '\u{17f}' => b's',
                '\u{212a}' => b'k',
                ascii if ascii.is_ascii() => (ascii as u8).to_ascii_lowercase(),
                _ => return Self { len: 0, ..name },
            };
            let Some(place) = name.octets.get_mut(name.len) else { return Self { len: 0, ..name } };
            *place = folded;
            name.len += 1;
        }
        name
    }

    /// The name in lower case.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// How many octets from the front are neither quote nor backslash nor control characters.
pub(super) fn plain_len(octets: &[u8]) -> usize {
    let (words, _) = octets.as_chunks::<8>();
    let plain = words.iter().take_while(|word| !has_special(u64::from_le_bytes(**word))).count() * 8;
    plain + octets[plain..].iter().take_while(|octet| !matches!(octet, b'"' | b'\\' | ..b' ')).count()
}

/// Looks at eight octets at once. For each octet the top bit of a difference tells whether it borrowed: `x - n` with
/// the top bit of `x` clear borrows if `x < n`. It may err only towards true, and only behind a true hit.
fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & TOPS;
    let equal = |octet: u8| below(word ^ (ONES * u64::from(octet)), 1);
    below(word, b' ') | equal(b'"') | equal(b'\\') != 0
}

/// The length of the escape that `octets` begin with; `None` if it is none.
pub(super) fn escape_len(octets: &[u8]) -> Option<usize> {
    match octets.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => code_unit(octets).map(|_| 6),
        _ => None,
    }
}

/// The UTF-16 unit of a `\uXXXX` that `octets` begin with.
fn code_unit(octets: &[u8]) -> Option<u16> {
    let digits = octets.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

fn unescape(mut octets: &[u8], text: &mut String) {
    while let Some(place) = octets.iter().position(|octet| *octet == b'\\') {
        push_lossy(&octets[..place], text);
        let (character, len) = escape(&octets[place..]);
        text.push(character);
        octets = octets.get(place + len..).unwrap_or_default();
    }
    push_lossy(octets, text);
}

/// What an escape means, and how many octets it has. `octets` begin with one, the scanner has seen to that.
fn escape(octets: &[u8]) -> (char, usize) {
    let character = match octets.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return escaped_unit(octets),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

fn escaped_unit(octets: &[u8]) -> (char, usize) {
    let first = code_unit(octets).unwrap_or(0xfffd);
    let second = octets.get(6..).and_then(code_unit);
    let units = [first, second.unwrap_or(0)];
    match char::decode_utf16(units).next() {
        // A pair took both escapes. Anything unpaired leaves the second one for the next round.
        Some(Ok(character)) => (character, if character.len_utf16() == 2 { 12 } else { 6 }),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// Appends UTF-8, with one U+FFFD for each octet that is not. (The standard library's lossy conversion makes one for
/// each truncated *sequence*, which is fewer.)
fn push_lossy(mut octets: &[u8], text: &mut String) {
    loop {
        match str::from_utf8(octets) {
            Ok(rest) => return text.push_str(rest),
            Err(error) => {
                let (valid, rest) = octets.split_at(error.valid_up_to());
                text.push_str(str::from_utf8(valid).unwrap_or_default());
                text.push(char::REPLACEMENT_CHARACTER);
                octets = &rest[1..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, json::Scanner};

    fn decoded(literal: &[u8]) -> Result<String, Error> {
        let mut slot = None;
        let octets = [b"{\"x\":", literal, b"}"].concat();
        Scanner::document(&octets, |scanner, _| scanner.text(&mut slot))?;
        Ok(slot.expect("one field").decode().into_owned())
    }

    /// Escapes mean what JSON says: each one, alone and between other text.
    #[test]
    fn escapes_are_decoded() {
        assert_eq!(decoded(br#""\"\\\/\b\f\n\r\t""#), Ok("\"\\/\u{8}\u{c}\n\r\t".to_owned()));
        assert_eq!(decoded(br#""a\u0000b\u00e9\u20AC""#), Ok("a\0bé€".to_owned()));
        assert_eq!(decoded(br#""x\ud83d\ude00y""#), Ok("x😀y".to_owned()));
        for wrong in [r#""\x""#, r#""\u12""#, r#""\u12g4""#, r#""\'""#, r#""\U0041""#, r#""\"#, r#""\u+123""#]
        {
            assert_eq!(decoded(wrong.as_bytes()), Err(Error::Header), "{wrong}");
        }
    }

    /// Surrogates without a partner become U+FFFD and leave their neighbours alone: all ways to be unpaired.
    #[test]
    fn unpaired_surrogates_are_replaced() {
        assert_eq!(decoded(br#""\ud83d""#), Ok("\u{fffd}".to_owned()));
        assert_eq!(decoded(br#""\ude00\ud83d""#), Ok("\u{fffd}\u{fffd}".to_owned()));
        assert_eq!(decoded(br#""\ud83dx\ude00""#), Ok("\u{fffd}x\u{fffd}".to_owned()));
        assert_eq!(decoded(br#""\ud83d\u0041""#), Ok("\u{fffd}A".to_owned()));
        assert_eq!(decoded(br#""\ud83d\ud83d\ude00""#), Ok("\u{fffd}😀".to_owned()));
        assert_eq!(decoded(br#""\ud83d\n""#), Ok("\u{fffd}\n".to_owned()));
    }

    /// Each octet that is not UTF-8 becomes one U+FFFD: cut, overlong, surrogate and too large sequences.
    #[test]
    fn invalid_octets_are_replaced_one_by_one() {
        let cases: [(&[u8], usize); 7] = [
            (b"\"\x80\"", 1),
            (b"\"\xe2\x82\"", 2),
            (b"\"\xc0\xaf\"", 2),
            (b"\"\xed\xa0\x80\"", 3),
            (b"\"\xf0\x9f\x98\"", 3),
            (b"\"\xf4\x90\x80\x80\"", 4),
            (b"\"\xe2\\u0041\x82\"", 2),
        ];
        for (literal, count) in cases {
            let text = decoded(literal).expect("valid JSON");
            assert_eq!(text.matches('\u{fffd}').count(), count, "{literal:?}");
        }
        assert_eq!(decoded(b"\"a\xe2\x82z\""), Ok("a\u{fffd}\u{fffd}z".to_owned()));
    }

    /// A raw control character ends the header, at whatever place in a word of eight it stands; DEL does not.
    #[test]
    fn raw_control_characters_are_refused() {
        for place in 0..20 {
            for (octet, good) in
                [(0, false), (9, false), (0x1f, false), (b' ', true), (0x7f, true), (0x80, true)]
            {
                let mut literal = vec![b'a'; 22];
                literal[place + 1] = octet;
                (literal[0], literal[21]) = (b'"', b'"');
                assert_eq!(decoded(&literal).is_ok(), good, "{octet} at {place}");
            }
        }
    }

    /// The fast search finds what the slow one finds: every octet at every place among octets of high and low value.
    #[test]
    fn plain_length_is_exact() {
        for filler in [b'!', b'~', 0x80, 0xff, b'#', b']', b'['] {
            for octet in 0..=255 {
                for place in 0..24 {
                    let mut octets = [filler; 24];
                    octets[place] = octet;
                    let special = octet < b' ' || octet == b'"' || octet == b'\\';
                    assert_eq!(plain_len(&octets), if special { place } else { 24 });
                }
            }
        }
    }

    /// Names fold like Go's: case, the long s, the Kelvin sign and escapes make no difference, other letters do.
    #[test]
    fn names_fold() {
        let folded = |literal: &str| {
            let mut found = Vec::new();
            let octets = format!("{{{literal}:0}}");
            Scanner::document(octets.as_bytes(), |scanner, name| {
                found = name.as_bytes().to_vec();
                scanner.skip()
            })
            .expect("valid JSON");
            String::from_utf8(found).expect("ASCII")
        };
        assert_eq!(folded(r#""DataSum""#), "datasum");
        assert_eq!(folded("\"DATA\u{17f}UM\""), "datasum");
        assert_eq!(folded("\"TO\u{212a}EN_TYPE\""), "token_type");
        assert_eq!(folded(r#""\u006f\u0050""#), "op");
        assert_eq!(folded(r#""\u017fcope""#), "scope");
        assert_eq!(folded("\"\u{131}d\""), "", "a dotless i is another letter");
        assert_eq!(folded(r#""seventeen_letters""#), "");
        assert_eq!(folded(r#""op ""#), "op ");
    }
}
