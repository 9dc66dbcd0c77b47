//! Verifies the headsum of a header from a server, in both ways that clients do it.
//! It must never recurse deeper than servers nest.

use crate::{
    Error,
    encode::length_digits,
    id::crc32c,
    json::{Scanner, write_text},
};

/// Servers nest three levels at most; a header that nests deeper than this has no headsum that we believe.
const DEPTH_MAX: usize = 16;

/// Whether `raw`, the JSON of a header, has a headsum that holds.
///
/// There are two ways to look: cutting the field out of the text as it came, or decoding the header, removing the
/// field, and encoding the rest again with sorted names. Both have to give the same sum. False if there is none.
pub fn headsum_holds(raw: &[u8]) -> bool {
    let Some((cut, said)) = cut_out(raw) else { return false };
    let encoded_again = canonical(raw);
    said == sum_of(&cut) && encoded_again.is_ok_and(|json| said == sum_of(&json))
}

fn sum_of(json: &[u8]) -> u64 {
    crc32c(&[&length_digits(json.len()), json].concat()).into()
}

/// The text without `"headsum":N,`, and N.
fn cut_out(raw: &[u8]) -> Option<(Vec<u8>, u64)> {
    const FIELD: &[u8] = b"\"headsum\":";
    let start = raw.windows(FIELD.len()).position(|window| window == FIELD)?;
    let (front, rest) = raw.split_at(start);
    let rest = &rest[FIELD.len()..];
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let said = str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let behind = rest[digits..].strip_prefix(b",")?;
    Some(([front, behind].concat(), said))
}

/// The header encoded again as Go would encode the map it decodes to, without its headsum.
fn canonical(raw: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(raw.len());
    let mut scanner = Scanner::resume(raw);
    write_object(&mut scanner, &mut out, 0)?;
    Ok(out)
}

fn write_object(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
    let mut fields = Vec::new();
    scanner.named_values(|scanner, name| {
        let mut value = Vec::new();
        write_value(scanner, &mut value, depth + 1)?;
        fields.push((name.decode().into_owned(), value));
        Ok(())
    })?;
    if depth == 0 {
        fields.retain(|(name, _)| name != "headsum");
    }
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    // Of two fields of one name a map keeps one, so the text would not come back. Servers never do that.
    if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::Header);
    }
    out.push(b'{');
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Ok(())
}

fn write_value(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::Header);
    }
    match scanner.peek() {
        Some(b'{') => write_object(scanner, out, depth),
        Some(b'[') => {
            let mut separator = b'[';
            scanner.array(|scanner| {
                out.push(std::mem::replace(&mut separator, b','));
                write_value(scanner, out, depth + 1)
            })?;
            out.extend_from_slice(if separator == b'[' { b"[]" } else { b"]" });
            Ok(())
        }
        Some(b'"') => {
            let mut text = None;
            scanner.text(&mut text)?;
            if let Some(text) = text {
                write_text(&text.decode(), out);
            }
            Ok(())
        }
        // Numbers, true, false and null have one spelling, as far as servers use them.
        _ => {
            let before = scanner.rest();
            scanner.skip()?;
            out.extend_from_slice(&before[..before.len() - scanner.rest().len()]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header whose sum was computed by Go holds; after any change to it, it does not.
    #[test]
    fn a_changed_header_does_not_hold() {
        let good = br#"{"datalen":0,"from":"U","headsum":2963313677,"id":"18bcf2a09d3e4f51","node":"tbd","op":"login","posted":"2026-01-02T03:04:05.678Z"}"#;
        assert!(headsum_holds(good));
        for place in 0..good.len() {
            let mut changed = good.to_vec();
            changed[place] ^= 1;
            assert!(!headsum_holds(&changed), "octet {place}");
        }
    }

    /// Each way has to hold by itself: unsorted names fail the second way although the first one is right.
    #[test]
    fn both_ways_have_to_hold() {
        let sorted = br#"{"a":"<","b":1}"#;
        let spelled = br#"{"a":"\u003c","b":1}"#;
        let unsorted = br#"{"b":1,"a":""}"#;
        for (json, holds) in [(&sorted[..], false), (spelled, true), (unsorted, false)] {
            let sum = sum_of(json);
            let with_sum = [b"{\"headsum\":", sum.to_string().as_bytes(), b",", &json[1..]].concat();
            assert_eq!(headsum_holds(&with_sum), holds);
        }
    }

    /// Texts that are no header from a server are judged without harm: junk, no sum, a sum at the end, deep nests.
    #[test]
    fn junk_does_not_hold() {
        let nest = format!(r#"{{"headsum":1,"x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        for junk in ["", "{}", "null", r#"{"headsum":"#, r#"{"headsum":1}"#, r#"{"headsum":1,"#, &nest] {
            assert!(!headsum_holds(junk.as_bytes()));
        }
    }
}
