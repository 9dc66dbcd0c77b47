//! Splits the octet stream of one direction into headers and data, however the octets are packaged.
//! It must never copy data, and must never reserve memory for octets that have only been announced.

use std::{borrow::Cow, marker::PhantomData, mem};

use crate::{Error, HEADER_MIN};

/// A header of one direction, that a [`Decoder`] can decode.
pub trait Header: Sized {
    /// Reads the JSON of a header, without its length digits.
    fn decode(json: &[u8]) -> Result<Self, Error>;

    /// How many octets of data follow the header.
    fn data_len(&self) -> u64;
}

/// What a [`Decoder`] finds. A frame is one `Header`, any number of `Data` and one `End`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a, H> {
    /// The header of a new frame.
    Header {
        /// What it says.
        header: H,
        /// Its JSON as it came; borrowed when the whole header lay in the input.
        raw: Cow<'a, [u8]>,
    },
    /// A piece of the data of the last header; never empty.
    Data(&'a [u8]),
    /// The frame of the last header is complete. Comes right after the header of a frame without data.
    End,
}

/// Splits one direction's octet stream into [`Item`]s. After an error it repeats that error for ever.
#[derive(Debug)]
pub struct Decoder<H> {
    state: State,
    header: PhantomData<fn() -> H>,
}

#[derive(Debug)]
enum State {
    /// `have` of the four length digits have come.
    Length {
        digits: [u8; 4],
        have: usize,
    },
    /// `have` is the front of a header of `len` octets. Its capacity follows what came, not what was announced.
    Json {
        len: usize,
        have: Vec<u8>,
    },
    /// `left` octets of data are still to come; 0 means that only `End` is owed.
    Data {
        left: u64,
    },
    Failed(Error),
}

impl State {
    const START: Self = Self::Length { digits: [0; 4], have: 0 };
}

impl<H> Default for Decoder<H> {
    fn default() -> Self {
        Self { state: State::START, header: PhantomData }
    }
}

impl<H: Header> Decoder<H> {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// True between frames: nothing of a next frame has come. Input may end only then.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Length { have: 0, .. })
    }

    /// Takes octets off the front of `input` and says what they are.
    ///
    /// `None` means that all of `input` was consumed and that more is needed for the next item. Call it until
    /// then: `End` needs no input, so an empty `input` may still yield something.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a, H>>, Error> {
        let item = self.advance(input);
        if let Err(error) = item {
            self.state = State::Failed(error);
        }
        item
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a, H>>, Error> {
        loop {
            match &mut self.state {
                State::Length { digits, have } => {
                    let piece = take(input, digits.len() - *have);
                    digits[*have..*have + piece.len()].copy_from_slice(piece);
                    *have += piece.len();
                    if *have < digits.len() {
                        return Ok(None);
                    }
                    self.state = State::Json { len: header_len(*digits)?, have: Vec::new() };
                }
                State::Json { len, have } => {
                    let piece = take(input, *len - have.len());
                    let raw = if piece.len() == *len {
                        Cow::Borrowed(piece)
                    } else {
                        have.extend_from_slice(piece);
                        if have.len() < *len {
                            return Ok(None);
                        }
                        Cow::Owned(mem::take(have))
                    };
                    let header = H::decode(&raw)?;
                    self.state = State::Data { left: header.data_len() };
                    return Ok(Some(Item::Header { header, raw }));
                }
                State::Data { left: 0 } => {
                    self.state = State::START;
                    return Ok(Some(Item::End));
                }
                State::Data { left } => {
                    let piece = take(input, usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= piece.len() as u64;
                    return Ok((!piece.is_empty()).then_some(Item::Data(piece)));
                }
                State::Failed(error) => return Err(*error),
            }
        }
    }
}

/// Cuts up to `max` octets off the front of `input`.
fn take<'a>(input: &mut &'a [u8], max: usize) -> &'a [u8] {
    let (piece, rest) = input.split_at(max.min(input.len()));
    *input = rest;
    piece
}

fn header_len(digits: [u8; 4]) -> Result<usize, Error> {
    let len = digits.iter().try_fold(0, |len, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(len * 16 + value as usize)
    });
    len.filter(|len| *len >= HEADER_MIN).ok_or(Error::HeaderLength)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    fn requests() -> Decoder<Request> {
        Decoder::new()
    }

    /// A bad length is refused when its fourth octet comes and not before: feeds four octets one by one.
    #[test]
    fn length_is_looked_at_after_four_octets() {
        for bad in ["0007", "0000", "+009", " 009", "0x09", "0_09", "00g9", "-001", "\0\0\0\u{9}"] {
            let mut decoder = requests();
            for octet in &bad.as_bytes()[..3] {
                assert_eq!(decoder.next(&mut &[*octet][..]), Ok(None), "{bad}");
            }
            assert_eq!(decoder.next(&mut &bad.as_bytes()[3..]), Err(Error::HeaderLength), "{bad}");
        }
    }

    /// Hex digits of both cases count: a header of 0x1a octets, padded with white space, in both spellings.
    #[test]
    fn length_may_have_either_case() {
        for digits in ["001a", "001A"] {
            let octets = format!("{digits}{:26}", r#"{"op":11}"#);
            let item = requests().next(&mut octets.as_bytes()).expect("valid");
            assert!(matches!(item, Some(Item::Header { header: Request::Pulse, .. })), "{item:?}");
        }
    }

    /// What was announced is not reserved: announces the longest header, sends little, looks at the capacity.
    #[test]
    fn memory_follows_octets_that_came() {
        let mut decoder = requests();
        assert_eq!(decoder.next(&mut &b"ffff{"[..]), Ok(None));
        let State::Json { have, .. } = &decoder.state else { panic!("in the header") };
        assert!(have.capacity() < 64);
        assert!(!decoder.is_idle());
    }

    /// An error is final: after a bad header even a good frame is refused.
    #[test]
    fn errors_are_final() {
        let mut decoder = requests();
        assert_eq!(decoder.next(&mut &b"0008{\"op\":4}"[..]), Err(Error::Header));
        assert_eq!(decoder.next(&mut &b"0009{\"op\":11}"[..]), Err(Error::Header));
        assert!(!decoder.is_idle());
    }

    /// Data is lent, not copied, and ends where announced: two frames in one buffer, the piece compared by address.
    #[test]
    fn data_is_a_slice_of_the_input() {
        let octets = br#"0035{"op":9,"id":"i","from":"f","to":"t","datalen":3}    xyz000a{"op":12} "#;
        let mut input = &octets[..];
        let mut decoder = requests();
        let Ok(Some(Item::Header { header: Request::Ping { .. }, raw })) = decoder.next(&mut input) else {
            panic!("a ping")
        };
        assert!(matches!(raw, Cow::Borrowed(json) if json.len() == 0x35));
        let Ok(Some(Item::Data(piece))) = decoder.next(&mut input) else { panic!("data") };
        assert_eq!(piece.as_ptr_range(), octets[57..60].as_ptr_range());
        assert!(!decoder.is_idle());
        assert_eq!(decoder.next(&mut input), Ok(Some(Item::End)));
        assert!(decoder.is_idle());
        assert!(matches!(decoder.next(&mut input), Ok(Some(Item::Header { header: Request::Quit, .. }))));
        assert_eq!(decoder.next(&mut input), Ok(Some(Item::End)));
        assert_eq!(decoder.next(&mut input), Ok(None));
    }

    /// The largest data length is only a number: announces 2^63-1 octets and sends one.
    #[test]
    fn the_largest_data_length_is_harmless() {
        let header = r#"{"op":7,"id":"i","for":[],"datalen":9223372036854775807}"#;
        let octets = format!("{:04x}{header}x", header.len());
        let mut input = octets.as_bytes();
        let mut decoder = requests();
        let Ok(Some(Item::Header { header, .. })) = decoder.next(&mut input) else { panic!("header") };
        assert_eq!(header.data_len(), 9_223_372_036_854_775_807);
        assert_eq!(decoder.next(&mut input), Ok(Some(Item::Data(b"x"))));
        assert_eq!(decoder.next(&mut input), Ok(None));
    }
}
