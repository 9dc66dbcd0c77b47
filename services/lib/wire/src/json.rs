//! Reads JSON the way Go's encoding/json reads it into a struct, straight from the octets of a header.
//! It must never recurse into what a client sent, and never allocate for a value that nobody asked for.

mod object;
mod skip;
mod text;
mod write;

pub(crate) use object::Object;
pub(crate) use text::{Name, Text};
pub(crate) use write::{write_decimal, write_text};

use crate::Error;

/// Go refuses arrays and objects that are nested deeper than this.
const DEPTH_MAX: usize = 10_000;

/// A cursor over one JSON document. Each method that reads a value takes exactly one off the front.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    octets: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// Reads a whole document: one object, or `null` for an empty one, with nothing but white space behind it.
    /// `field` gets each name and has to take the value.
    pub(crate) fn document(
        octets: &'a [u8],
        field: impl FnMut(&mut Self, &Name) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut scanner = Self { octets, at: 0, depth: 0 };
        scanner.object(field)?;
        match scanner.peek() {
            None => Ok(()),
            Some(_) => Err(Error::Header),
        }
    }

    /// Starts at a value that was left for later with [`Scanner::rest`].
    pub(crate) fn resume(octets: &'a [u8]) -> Self {
        Self { octets, at: 0, depth: 1 }
    }

    /// All that has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.octets[self.at..]
    }

    /// Reads an object; false if it was `null`. `field` gets each name, folded, and has to take the value.
    pub(crate) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &Name) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        if self.null()? {
            return Ok(false);
        }
        self.named_values(|scanner, name| field(scanner, &Name::fold(name)))?;
        Ok(true)
    }

    /// Reads an object that may not be `null`. `field` gets each name as it stands.
    pub(crate) fn named_values(
        &mut self,
        mut field: impl FnMut(&mut Self, Text<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'{')?;
        self.enter()?;
        if !self.eat(b'}') {
            loop {
                let name = self.string()?;
                self.expect(b':')?;
                field(self, name)?;
                if !self.eat(b',') {
                    break;
                }
            }
            self.expect(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array; false if it was `null`. `element` has to take one value at a time.
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        if self.null()? {
            return Ok(false);
        }
        self.expect(b'[')?;
        self.enter()?;
        if !self.eat(b']') {
            loop {
                element(self)?;
                if !self.eat(b',') {
                    break;
                }
            }
            self.expect(b']')?;
        }
        self.depth -= 1;
        Ok(true)
    }

    /// Reads a string into `slot`. As in Go, `null` leaves what was there before.
    pub(crate) fn text(&mut self, slot: &mut Option<Text<'a>>) -> Result<(), Error> {
        if !self.null()? {
            *slot = Some(self.string()?);
        }
        Ok(())
    }

    /// Reads an integer literal into `slot`; `null` leaves it. Out of range, or with a fraction: an error.
    pub(crate) fn integer<T: TryFrom<i128>>(&mut self, slot: &mut Option<T>) -> Result<(), Error> {
        if !self.null()? {
            // Go reads unsigned fields with a parser that knows no sign, so not even "-0" passes.
            let unsigned = T::try_from(-1).is_err();
            if unsigned && self.peek() == Some(b'-') {
                return Err(Error::Header);
            }
            *slot = Some(T::try_from(self.integer_literal()?).map_err(|_| Error::Header)?);
        }
        Ok(())
    }

    /// Reads `true` or `false` into `slot`; `null` leaves it.
    pub(crate) fn boolean(&mut self, slot: &mut bool) -> Result<(), Error> {
        match self.peek() {
            Some(b't') => self.literal(b"true").map(|()| *slot = true),
            Some(b'f') => self.literal(b"false").map(|()| *slot = false),
            _ if self.null()? => Ok(()),
            _ => Err(Error::Header),
        }
    }

    /// Takes a `null` if one is next.
    pub(crate) fn null(&mut self) -> Result<bool, Error> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.literal(b"null").map(|()| true)
    }

    /// The digits of 64 bits with a sign, exactly; wider literals are errors, as is anything but an integer.
    fn integer_literal(&mut self) -> Result<i128, Error> {
        let negative = self.eat(b'-');
        let digits = self.rest();
        let len = digits.iter().take_while(|octet| octet.is_ascii_digit()).count();
        // Twenty digits are enough for 2^64-1, so the sum below cannot overflow.
        let surplus_zero = len > 1 && digits[0] == b'0';
        if len == 0 || len > 20 || surplus_zero || matches!(digits.get(len), Some(b'.' | b'e' | b'E')) {
            return Err(Error::Header);
        }
        self.at += len;
        let value = digits[..len].iter().fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        Ok(if negative { -value } else { value })
    }

    /// Reads a string literal and checks its spelling; what it means is [`Text`]'s business.
    fn string(&mut self) -> Result<Text<'a>, Error> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += text::plain_len(self.rest());
            match self.octets.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += text::escape_len(self.rest()).ok_or(Error::Header)?;
                }
                // A control character, or the end of the header.
                _ => return Err(Error::Header),
            }
        }
        let octets = &self.octets[start..self.at];
        self.at += 1;
        Ok(Text::new(octets, escaped))
    }

    /// The first octet that is not white space, without taking it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.octets.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                octet => return Some(*octet),
            }
        }
    }

    fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, octet: u8) -> Result<(), Error> {
        if self.eat(octet) { Ok(()) } else { Err(Error::Header) }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Error> {
        if !self.rest().starts_with(literal) {
            return Err(Error::Header);
        }
        self.at += literal.len();
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Error::Header) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer<T: TryFrom<i128>>(literal: &str) -> Result<Option<T>, Error> {
        let mut slot = None;
        Scanner::document(format!(r#"{{"n":{literal}}}"#).as_bytes(), |scanner, _| scanner.integer(&mut slot))
            .map(|()| slot)
    }

    /// Integers are integer literals within their range and nothing else: borders of each type and misspellings.
    #[test]
    fn integers_are_strict() {
        assert_eq!(integer::<u8>("255"), Ok(Some(255)));
        assert_eq!(integer::<u8>("0"), Ok(Some(0)));
        assert_eq!(integer::<u8>("null"), Ok(None));
        assert_eq!(integer::<i8>("-128"), Ok(Some(-128)));
        assert_eq!(integer::<i8>("-0"), Ok(Some(0)));
        assert_eq!(integer::<i64>("-9223372036854775808"), Ok(Some(i64::MIN)));
        assert_eq!(integer::<i64>("9223372036854775807"), Ok(Some(i64::MAX)));
        assert_eq!(integer::<u64>("18446744073709551615"), Ok(Some(u64::MAX)));
        for wrong in
            ["256", "-1", "-0", "1.0", "1e0", "1E0", "\"1\"", "+1", "01", "00", "-", "", "1_0", "true", "[1]"]
        {
            assert_eq!(integer::<u8>(wrong), Err(Error::Header), "{wrong}");
        }
        assert_eq!(integer::<i8>("128"), Err(Error::Header));
        assert_eq!(integer::<i8>("-129"), Err(Error::Header));
        assert_eq!(integer::<i8>("-01"), Err(Error::Header));
        assert_eq!(integer::<i64>("9223372036854775808"), Err(Error::Header));
        assert_eq!(integer::<i64>("-9223372036854775809"), Err(Error::Header));
        assert_eq!(integer::<u64>("18446744073709551616"), Err(Error::Header));
        assert_eq!(integer::<u64>(&"9".repeat(300)), Err(Error::Header));
    }

    /// `null` leaves what an earlier field of the same name said, as Go does for everything but lists.
    #[test]
    fn null_leaves_a_scalar() {
        let mut number = None::<u8>;
        let mut flag = false;
        Scanner::document(br#"{"n":1,"n":null,"b":true,"b":null}"#, |scanner, name| match name.as_bytes() {
            b"n" => scanner.integer(&mut number),
            _ => scanner.boolean(&mut flag),
        })
        .expect("valid");
        assert_eq!((number, flag), (Some(1), true));
    }

    /// White space may stand everywhere between tokens, and only the four kinds of JSON.
    #[test]
    fn white_space_between_tokens() {
        let skip = |octets: &[u8]| Scanner::document(octets, |scanner, _| scanner.skip());
        assert_eq!(skip(b" \t\r\n{ \"a\" : [ 1 , { } ] , \"b\" : [ ] } \n"), Ok(()));
        assert_eq!(skip(b" null "), Ok(()));
        for wrong in [&b"\x0b{}"[..], b"{}\x0c", b"\xc2\xa0{}", b"\xef\xbb\xbf{}", b"{}\0", b"", b"  "] {
            assert_eq!(skip(wrong), Err(Error::Header), "{wrong:?}");
        }
    }
}
