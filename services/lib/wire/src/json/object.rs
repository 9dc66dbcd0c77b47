//! Writes an object field by field. The caller names the fields in bytewise order, as Go's maps come out.
//! It must never write a field that the caller did not ask for.

use super::{write_decimal, write_text};

/// An object being written.
#[derive(Debug)]
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(crate) fn close(&mut self) {
        self.out.push(b'}');
    }

    /// Where the next field will begin, its comma included, counted from the start of the output.
    pub(crate) fn place(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        write_text(value, self.name(name));
        self
    }

    /// Leaves out what is `None`.
    pub(crate) fn optional(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        write_decimal(value, self.name(name));
        self
    }

    /// Leaves out what is 0.
    pub(crate) fn positive(&mut self, name: &str, value: u64) -> &mut Self {
        if value > 0 { self.number(name, value) } else { self }
    }

    pub(crate) fn signed(&mut self, name: &str, value: i8) -> &mut Self {
        let out = self.name(name);
        if value < 0 {
            out.push(b'-');
        }
        write_decimal(value.unsigned_abs().into(), out);
        self
    }

    /// Leaves out what is false.
    pub(crate) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        if value {
            self.name(name).extend_from_slice(b"true");
        }
        self
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        elements: &[T],
        write: impl Fn(&T, &mut Vec<u8>),
    ) -> &mut Self {
        let out = self.name(name);
        out.push(b'[');
        for (place, element) in elements.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write(element, out);
        }
        out.push(b']');
        self
    }

    pub(crate) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        let mut inner = Object::open(self.name(name));
        write(&mut inner);
        inner.close();
        self
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }
}
