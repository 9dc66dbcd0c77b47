//! Feeds raw octets to the decoders of both directions, whole and in two pieces, and writes again what was decoded.
//! It must never accept a panic, or a meaning that depends on how octets were cut.

use tmtp_wire::{Decoder, Header, Item, Request, Response, headsum_holds};

/// Decodes octets.
///
/// # Panics
/// When something is wrong.
pub fn run(octets: &[u8]) {
    // The first octet says where to cut.
    let Some((place, octets)) = octets.split_first() else { return };
    let (front, back) = octets.split_at(usize::from(*place).min(octets.len()));
    let requests = headers::<Request>(&[octets]);
    assert_eq!(requests, headers::<Request>(&[front, back]));
    for request in requests {
        // What came in capital escapes may be longer when written, and then be refused.
        let mut again = Vec::new();
        if request.encode(&mut again).is_ok() {
            assert_eq!(Request::decode(&again[4..]), Ok(request));
        }
    }
    let responses = headers::<Response<'static>>(&[octets]);
    assert_eq!(responses, headers::<Response<'static>>(&[front, back]));
    for response in responses {
        let mut again = Vec::new();
        if response.encode(&mut again).is_ok() {
            assert_eq!(response.std().is_some(), headsum_holds(&again[4..]));
        }
    }
}

/// All headers that a decoder finds before the octets end or are refused.
fn headers<H: Header>(pieces: &[&[u8]]) -> Vec<H> {
    let mut decoder = Decoder::new();
    let mut headers = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match decoder.next(&mut input) {
                Ok(Some(Item::Header { header, raw })) => {
                    headsum_holds(&raw);
                    headers.push(header);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return headers,
            }
        }
    }
    headers
}
