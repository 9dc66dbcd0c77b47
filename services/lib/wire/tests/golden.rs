//! Checks the codec against frames that were written down octet by octet. Old cases must never be edited: peers that
//! speak so are out there.

use std::fmt::Debug;

use tmtp_wire::{Decoder, Error, Header, Item, Request, Response, TooLong, headsum_holds};

/// What a case says about its octets.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    /// Decodes, and encodes to the same octets.
    Both,
    /// Decodes only.
    Decodes,
    Refused,
}

struct Case<'f> {
    name: &'f str,
    octets: Vec<u8>,
    verdict: Verdict,
    expected: &'f str,
}

fn cases(file: &str) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    let (mut name, mut octets) = ("", Vec::new());
    for line in file.lines() {
        let verdict = match line.as_bytes() {
            [] | [b'#', ..] => continue,
            [b'c', ..] => {
                name = line.strip_prefix("case ").expect("a case");
                continue;
            }
            [b'`', ..] => {
                let end = line.rfind('`').filter(|end| *end > 0).expect(line);
                octets.extend_from_slice(&line.as_bytes()[1..end]);
                continue;
            }
            [b'<', ..] => {
                let (hex, _) = line[1..].split_once('>').expect(line);
                octets.extend(hex.split(' ').map(|octet| u8::from_str_radix(octet, 16).expect(line)));
                continue;
            }
            [b'=', b'=', ..] => Verdict::Both,
            [b'=', b'>', ..] => Verdict::Decodes,
            [b'!', ..] => Verdict::Refused,
            _ => panic!("a line of no kind: {line}"),
        };
        let (_, expected) = line.split_once(' ').expect(line);
        cases.push(Case { name, octets: std::mem::take(&mut octets), verdict, expected });
    }
    assert!(!cases.is_empty(), "a file without cases");
    cases
}

/// Decodes one frame that is all of the input, and says how long the header was, digits included.
fn decode<H: Header>(octets: &[u8]) -> Result<(H, Vec<u8>, usize), Error> {
    let mut input = octets;
    let mut decoder = Decoder::new();
    let Some(Item::Header { header, raw }) = decoder.next(&mut input)? else { panic!("header cut short") };
    let header_len = octets.len() - input.len();
    let raw = raw.into_owned();
    while let Some(item) = decoder.next(&mut input)? {
        assert!(matches!(item, Item::Data(_) | Item::End), "one frame only");
    }
    assert!(decoder.is_idle(), "the frame is complete");
    Ok((header, raw, header_len))
}

fn check<H: Header + Debug>(file: &str, encode: impl Fn(&H, &mut Vec<u8>) -> Result<(), TooLong>) -> usize {
    let cases = cases(file);
    for case in &cases {
        let name = case.name;
        match decode::<H>(&case.octets) {
            Ok((header, raw, header_len)) => {
                assert!(case.verdict != Verdict::Refused, "{name}: decoded to {header:?}");
                assert_eq!(format!("{header:?}"), case.expected, "{name}");
                if case.verdict == Verdict::Both {
                    let mut out = Vec::new();
                    encode(&header, &mut out).expect("fits");
                    let (out, octets) = (String::from_utf8_lossy(&out), &case.octets[..header_len]);
                    assert_eq!(out, String::from_utf8_lossy(octets), "{name}");
                }
                assert_eq!(String::from_utf8_lossy(&raw).contains("headsum"), headsum_holds(&raw), "{name}");
            }
            Err(error) => {
                assert!(case.verdict == Verdict::Refused, "{name}: refused with {error}");
                assert_eq!(error.quit_text(), case.expected, "{name}");
            }
        }
    }
    cases.len()
}

/// Requests mean what is written beside them, and come out as clients write them: runs every case of the file.
#[test]
fn requests() {
    assert!(check(include_str!("../testdata/requests.txt"), Request::encode) >= 13);
}

/// Refused requests get the text written beside them: runs every case of the file.
#[test]
fn refusals() {
    assert!(check(include_str!("../testdata/refusals.txt"), Request::encode) >= 50);
}

/// Responses mean what is written beside them, come out octet for octet, and their headsums (computed with another
/// implementation) hold: runs every case of the file.
#[test]
fn responses() {
    let encode = |response: &Response<'static>, out: &mut Vec<u8>| response.encode(out);
    assert!(check(include_str!("../testdata/responses.txt"), encode) >= 14);
}

/// The worked example of the specification is a case of the golden file: looks for the lines of `PROTOCOL.md` in the
/// octets of the file, and computes the sum of the shorter header as the text says.
#[test]
fn the_worked_example() {
    let protocol = include_str!("../PROTOCOL.md");
    let cases = cases(include_str!("../testdata/responses.txt"));
    let example = cases.iter().find(|case| case.name.contains("PROTOCOL.md")).expect("the case");
    let octets = str::from_utf8(&example.octets).expect("text");
    assert!(protocol.contains(&format!("    {octets}\n")), "the frame stands in the text");
    let shorter = octets[4..octets.len() - 5].replace("\"headsum\":2621465853,", "");
    assert!(protocol.contains(&format!("    {shorter}\n")), "the shorter header stands in the text");
    let sum = tmtp_wire::id::crc32c(format!("0083{shorter}").as_bytes());
    assert_eq!((shorter.len(), sum), (0x83, 2_621_465_853));
}
