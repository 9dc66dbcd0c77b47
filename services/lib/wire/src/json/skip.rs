//! Steps over a value that nobody asked for, checking only that it is JSON.
//! It must never use the call stack for nesting: a client chooses how deep its values go.

use super::{DEPTH_MAX, Scanner};
use crate::Error;

/// For each open array or object, whether it is an object. A bit each, so that even the deepest nesting that is
/// allowed fits into some 1250 octets, for which no heap is needed.
struct Open {
    objects: [u64; DEPTH_MAX.div_ceil(64)],
    depth: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.objects[word] = self.objects[word] & !(1 << bit) | u64::from(object) << bit;
        self.depth += 1;
    }

    fn innermost_is_object(&self) -> bool {
        let last = self.depth - 1;
        self.objects[last / 64] >> (last % 64) & 1 == 1
    }
}

impl Scanner<'_> {
    /// Takes one value of any type.
    pub(crate) fn skip(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.skip_scalar(),
        }
    }

    fn skip_nested(&mut self) -> Result<(), Error> {
        let outside = self.depth;
        let mut open = Open { objects: [0; _], depth: 0 };
        loop {
            // Here a value begins.
            if self.eat(b'{') {
                self.enter()?;
                open.push(true);
                if self.peek() != Some(b'}') {
                    self.skip_name()?;
                    continue;
                }
            } else if self.eat(b'[') {
                self.enter()?;
                open.push(false);
                if self.peek() != Some(b']') {
                    continue;
                }
            } else {
                self.skip_scalar()?;
            }
            // Here a value has ended, or an empty array or object is about to.
            loop {
                let object = open.innermost_is_object();
                if self.eat(b',') {
                    if object {
                        self.skip_name()?;
                    }
                    break;
                }
                self.expect(if object { b'}' } else { b']' })?;
                self.depth -= 1;
                open.depth -= 1;
                if self.depth == outside {
                    return Ok(());
                }
            }
        }
    }

    fn skip_name(&mut self) -> Result<(), Error> {
        self.string()?;
        self.expect(b':')
    }

    fn skip_scalar(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.skip_number(),
        }
    }

    fn skip_number(&mut self) -> Result<(), Error> {
        self.eat_here(b"-");
        if !self.eat_here(b"0") {
            self.skip_digits()?;
        }
        if self.eat_here(b".") {
            self.skip_digits()?;
        }
        if self.eat_here(b"eE") {
            self.eat_here(b"+-");
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), Error> {
        let len = self.rest().iter().take_while(|octet| octet.is_ascii_digit()).count();
        self.at += len;
        if len == 0 { Err(Error::Header) } else { Ok(()) }
    }

    /// Takes the next octet if it is one of `octets`. Unlike `eat` it steps over no white space.
    fn eat_here(&mut self, octets: &[u8]) -> bool {
        let found = self.octets.get(self.at).is_some_and(|octet| octets.contains(octet));
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(value: &str) -> Result<(), Error> {
        Scanner::document(format!(r#"{{"x":{value}}}"#).as_bytes(), |scanner, _| scanner.skip())
    }

    /// Every kind of value is stepped over whole: each stands before a field that has to be reached.
    #[test]
    fn values_are_taken_whole() {
        for value in [
            "0",
            "-0",
            "12",
            "-1.50",
            "1e5",
            "1E+5",
            "0.1e-7",
            "true",
            "false",
            "null",
            r#""""#,
            r#""a\"b""#,
            "[]",
            "{}",
            "[[],[[]]]",
            r#"{"a":{"b":[1,{"c":[]}]},"d":{}}"#,
            "[1,2,[3],{}]",
        ] {
            let mut reached = false;
            Scanner::document(format!(r#"{{"x":{value},"y":1}}"#).as_bytes(), |scanner, name| {
                reached |= name.as_bytes() == b"y";
                scanner.skip()
            })
            .expect(value);
            assert!(reached, "{value}");
        }
    }

    /// What is no JSON is refused wherever it stands: one broken value after the other.
    #[test]
    fn broken_values_are_refused() {
        for value in [
            "",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "-",
            "+1",
            "- 1",
            "1 2",
            "tru",
            "True",
            "nul",
            "'a'",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[",
            "]",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "{1:2}",
            "[}",
            "{]",
            r#"{"a":1]"#,
            "[1}",
            "/**/1",
            "1//",
            "NaN",
            "\"a",
            "\"\\x\"",
            "[[]",
            "[]]",
        ] {
            assert_eq!(skip(value), Err(Error::Header), "{value}");
        }
    }

    /// Nesting ends at Go's limit, which counts the header itself: one level less passes, one more does not.
    #[test]
    fn nesting_is_limited() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(skip(&nested(9_999)), Ok(()));
        assert_eq!(skip(&nested(10_000)), Err(Error::Header));
        let objects = |levels: usize| r#"{"":"#.repeat(levels) + "0" + &"}".repeat(levels);
        assert_eq!(skip(&objects(9_999)), Ok(()));
        assert_eq!(skip(&objects(10_000)), Err(Error::Header));
        assert_eq!(skip(&"[".repeat(60_000)), Err(Error::Header));
    }
}
