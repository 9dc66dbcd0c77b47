//! The form of a golden file, and just enough of MessagePack to comment its octets and to graft fields into them.
//! It must stay independent of the crate's own encoder, whose octets it explains. It panics on octets that the crate
//! does not write, because tests hand it nothing else.

use std::fmt::Write as _;

/// A value of MessagePack.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Neither list nor map: its octets, and what they say.
    Leaf(Vec<u8>, String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Reads octets that hold one value and nothing else.
    pub fn parse(octets: &[u8]) -> Self {
        let mut rest = octets;
        let node = Self::next(&mut rest);
        assert!(rest.is_empty(), "{} octets behind the value", rest.len());
        node
    }

    fn next(rest: &mut &[u8]) -> Self {
        let from = *rest;
        match take(rest, 1)[0] {
            head @ 0x80..=0x8f => Self::map(usize::from(head & 0x0f), rest),
            0xde => Self::map(number(take(rest, 2)), rest),
            head @ 0x90..=0x9f => Self::list(usize::from(head & 0x0f), rest),
            0xdc => Self::list(number(take(rest, 2)), rest),
            head => {
                let says = leaf(head, rest);
                Self::Leaf(from[..from.len() - rest.len()].to_vec(), says)
            }
        }
    }

    fn map(fields: usize, rest: &mut &[u8]) -> Self {
        Self::Map((0..fields).map(|_| (Self::next(rest), Self::next(rest))).collect())
    }

    fn list(items: usize, rest: &mut &[u8]) -> Self {
        Self::List((0..items).map(|_| Self::next(rest)).collect())
    }

    /// The octets, with the shortest heads.
    pub fn octets(&self) -> Vec<u8> {
        let mut out = self.head();
        match self {
            Self::Leaf(..) => {}
            Self::List(items) => items.iter().for_each(|item| out.extend(item.octets())),
            Self::Map(fields) => {
                for (key, value) in fields {
                    out.extend(key.octets());
                    out.extend(value.octets());
                }
            }
        }
        out
    }

    /// The octets before the first item; all those of a leaf.
    fn head(&self) -> Vec<u8> {
        let head = |short: u8, long: u8, len: usize| {
            let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
            if len < 16 { vec![short | low] } else { vec![long, high, low] }
        };
        match self {
            Self::Leaf(octets, _) => octets.clone(),
            Self::List(items) => head(0x90, 0xdc, items.len()),
            Self::Map(fields) => head(0x80, 0xde, fields.len()),
        }
    }

    fn says(&self) -> String {
        match self {
            Self::Leaf(_, says) => says.clone(),
            Self::List(items) => format!("list of {}", items.len()),
            Self::Map(fields) => format!("map of {}", fields.len()),
        }
    }

    /// Writes a line for each leaf and each head, indented by depth.
    fn comment(&self, depth: usize, name: &str, key: &[u8], out: &mut String) {
        line(depth, &[key, &self.head()].concat(), &format!("{name}{}", self.says()), out);
        match self {
            Self::Leaf(..) => {}
            Self::List(items) => items.iter().for_each(|item| item.comment(depth + 1, "", &[], out)),
            Self::Map(fields) => {
                for (key, value) in fields {
                    value.comment(depth + 1, &format!("{} = ", key.says()), &key.octets(), out);
                }
            }
        }
    }
}

fn take<'o>(rest: &mut &'o [u8], len: usize) -> &'o [u8] {
    rest.split_off(..len).expect("octets end too early")
}

fn number(octets: &[u8]) -> usize {
    octets.iter().fold(0, |sum, &octet| sum << 8 | usize::from(octet))
}

/// Reads what follows the head of a leaf, and says what it is.
fn leaf(head: u8, rest: &mut &[u8]) -> String {
    let text = |octets: &[u8]| format!("{:?}", str::from_utf8(octets).unwrap());
    match head {
        0x00..=0x7f => head.to_string(),
        0xe0..=0xff => head.cast_signed().to_string(),
        0xa0..=0xbf => text(take(rest, usize::from(head & 0x1f))),
        0xc0 => "nil".into(),
        0xc2 => "false".into(),
        0xc3 => "true".into(),
        0xc4 | 0xc5 => {
            let len = number(take(rest, usize::from(head - 0xc3)));
            take(rest, len);
            format!("{len} octets")
        }
        0xd9 | 0xda => {
            let len = number(take(rest, usize::from(head - 0xd8)));
            text(take(rest, len))
        }
        0xcc..=0xcf => number(take(rest, 1 << (head - 0xcc))).to_string(),
        0xd0..=0xd3 => {
            let octets = take(rest, 1 << (head - 0xd0));
            let unused = 64 - 8 * octets.len();
            (((number(octets) as u64) << unused).cast_signed() >> unused).to_string()
        }
        other => panic!("no head that this crate writes: {other:#04x}"),
    }
}

/// Octets of a line, at most; longer values go on in the next one.
const LINE_OCTETS: usize = 24;

fn line(depth: usize, octets: &[u8], says: &str, out: &mut String) {
    let mut pieces = octets.chunks(LINE_OCTETS).peekable();
    while let Some(piece) = pieces.next() {
        let hex: Vec<String> = piece.iter().map(|octet| format!("{octet:02x}")).collect();
        let _ = write!(out, "{:indent$}{}", "", hex.join(" "), indent = 2 * depth);
        if pieces.peek().is_none() {
            let _ = write!(out, "  ; {says}");
        }
        out.push('\n');
    }
}

/// The text of a golden file of MessagePack.
pub fn file_of_entry(about: &str, octets: &[u8]) -> String {
    let mut out = format!("; {about}\n\n");
    Node::parse(octets).comment(0, "", &[], &mut out);
    out
}

/// The text of a golden file of receipts.
pub fn file_of_receipts(about: &str, octets: &[u8]) -> String {
    let mut out = format!("; {about}\n\n");
    for record in octets.chunks(32) {
        line(0, &record[..16], "key", &mut out);
        line(1, &record[16..24], "posted, milliseconds", &mut out);
        line(1, &record[24..], "message id", &mut out);
    }
    out
}

/// The octets of a golden file: what stands before `;`, two hex digits each.
pub fn octets_of_file(text: &str) -> Vec<u8> {
    text.lines()
        .filter_map(|line| line.split(';').next())
        .flat_map(str::split_whitespace)
        .map(|octet| u8::from_str_radix(octet, 16).unwrap_or_else(|_| panic!("not an octet: {octet}")))
        .collect()
}
