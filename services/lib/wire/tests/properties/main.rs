//! Checks what has to hold for all frames: coding both ways, any packaging, any junk.
//! It must never depend on a particular frame; those are in the golden files.

mod generate;

use std::fmt::Debug;

use proptest::prelude::*;
use tmtp_wire::{Decoder, Error, HEADER_MAX, Header, Item, Request, Response, TooLong, headsum_holds};

use generate::{request, response};

/// What a decoder said, with the pieces of data joined.
#[derive(Debug, PartialEq)]
enum Event<H> {
    Header(H, Vec<u8>),
    Data(Vec<u8>),
    End,
    Failed(Error),
}

/// Feeds `pieces` one after the other.
fn events<'p, H: Header>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Event<H>> {
    let mut decoder = Decoder::<H>::new();
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(None) => {
                    assert!(piece.is_empty(), "nothing is left behind");
                    break;
                }
                Ok(Some(Item::Header { header, raw })) => {
                    events.push(Event::Header(header, raw.into_owned()));
                }
                Ok(Some(Item::Data(data))) => {
                    assert!(!data.is_empty(), "no empty data");
                    if let Some(Event::Data(before)) = events.last_mut() {
                        before.extend_from_slice(data);
                    } else {
                        events.push(Event::Data(data.to_vec()));
                    }
                }
                Ok(Some(Item::End)) => events.push(Event::End),
                Err(error) => {
                    events.push(Event::Failed(error));
                    return events;
                }
            }
        }
    }
    events
}

/// Cuts octets at the given places, wherever those may be.
fn cut<'o>(octets: &'o [u8], places: &[prop::sample::Index]) -> Vec<&'o [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(octets.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for place in places {
        pieces.push(&octets[start..place]);
        start = place;
    }
    pieces.push(&octets[start..]);
    pieces
}

/// Encodes frames, each with as much data as it announces (`generate` keeps that small).
fn stream<H: Header>(headers: &[H], encode: impl Fn(&H, &mut Vec<u8>) -> Result<(), TooLong>) -> Vec<u8> {
    let mut octets = Vec::new();
    for header in headers {
        encode(header, &mut octets).expect("small headers");
        octets.extend((0..header.data_len()).map(|place| u8::try_from(place % 251).expect("below 251")));
    }
    octets
}

/// The same octets, however cut, mean the same, and they mean what was encoded.
fn check_stream<H: Header + Debug + PartialEq>(
    headers: Vec<H>,
    octets: &[u8],
    places: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let whole = events::<H>([octets]);
    prop_assert_eq!(&whole, &events::<H>(cut(octets, places)));
    prop_assert_eq!(&whole, &events::<H>(octets.chunks(1)));
    let ends = whole.iter().filter(|event| **event == Event::End).count();
    prop_assert_eq!(ends, headers.len());
    let data: usize =
        whole.iter().map(|event| if let Event::Data(data) = event { data.len() } else { 0 }).sum();
    prop_assert_eq!(data as u64, headers.iter().map(Header::data_len).sum::<u64>());
    let decoded: Vec<H> = whole
        .into_iter()
        .filter_map(|event| if let Event::Header(header, _) = event { Some(header) } else { None })
        .collect();
    prop_assert_eq!(decoded, headers);
    Ok(())
}

fn places() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..8)
}

fn encode_response(response: &Response<'static>, out: &mut Vec<u8>) -> Result<(), TooLong> {
    response.encode(out)
}

proptest! {
    /// Requests come back from their octets, however those are cut: encodes some, decodes them in three packagings.
    #[test]
    fn requests_come_back(requests in prop::collection::vec(request(), 1..5), places in places()) {
        let octets = stream(&requests, Request::encode);
        check_stream(requests, &octets, &places)?;
    }

    /// Responses come back from their octets, however those are cut: encodes some, decodes them in three packagings.
    #[test]
    fn responses_come_back(responses in prop::collection::vec(response(), 1..5), places in places()) {
        let octets = stream(&responses, encode_response);
        check_stream(responses, &octets, &places)?;
    }

    /// The headsum of whatever is queued holds in both ways, and fails after a change of one octet.
    #[test]
    fn headsums_hold(response in response(), place in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut octets = Vec::new();
        response.encode(&mut octets).expect("small header");
        let json = &mut octets[4..];
        prop_assert_eq!(headsum_holds(json), response.std().is_some());
        let place = place.index(json.len());
        json[place] ^= flip;
        prop_assert!(!headsum_holds(json));
    }

    /// Junk is refused or decoded, the same however it is cut, without harm: random octets behind a proper length.
    #[test]
    fn junk_is_harmless(junk in prop::collection::vec(any::<u8>(), 8..200), places in places()) {
        let octets = [format!("{:04x}", junk.len()).as_bytes(), &junk].concat();
        prop_assert_eq!(events::<Request>([&octets[..]]), events::<Request>(cut(&octets, &places)));
        prop_assert_eq!(events::<Response>([&octets[..]]), events::<Response>(cut(&octets, &places)));
        prop_assert!(!headsum_holds(&junk));
    }

    /// Damaged headers are refused or decoded, without harm: changes some octets of good ones. What still decodes
    /// means the same after being written again.
    #[test]
    fn damage_is_harmless(
        request in request(),
        response in response(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let spoil = |mut json: Vec<u8>| {
            for (place, octet) in &damage {
                let place = place.index(json.len());
                json[place] = *octet;
            }
            json
        };
        let (mut one, mut other) = (Vec::new(), Vec::new());
        request.encode(&mut one).expect("small header");
        response.encode(&mut other).expect("small header");
        if let Ok(decoded) = Request::decode(&spoil(one.split_off(4))) {
            let mut again = Vec::new();
            decoded.encode(&mut again).expect("small header");
            prop_assert_eq!(Request::decode(&again[4..]), Ok(decoded));
        }
        let spoiled = spoil(other.split_off(4));
        headsum_holds(&spoiled);
        if let Ok(decoded) = Response::decode(&spoiled) {
            let mut again = Vec::new();
            decoded.encode(&mut again).expect("small header");
            prop_assert_eq!(Response::decode(&again[4..]), Ok(decoded));
        }
    }

    /// A header that is too long leaves nothing behind, one that just fits is written: ids of lengths around the
    /// border, behind octets that have to stay.
    #[test]
    fn the_border_of_length(surplus in -3_i32..4) {
        let fits = HEADER_MAX - r#"{"Id":"","Op":0}"#.len();
        let id = "x".repeat(fits.saturating_add_signed(surplus as isize));
        let mut out = b"before".to_vec();
        let result = Request::TmtpRev { id: id.clone() }.encode(&mut out);
        prop_assert_eq!(result, if surplus > 0 { Err(TooLong) } else { Ok(()) });
        prop_assert_eq!(out.len(), 6 + if surplus > 0 { 0 } else { 4 + 16 + id.len() });

        let mut out = b"before".to_vec();
        let response = Response::Quit { error: "x".repeat(70_000).into() };
        prop_assert_eq!(response.encode(&mut out), Err(TooLong));
        prop_assert_eq!(out, b"before");
    }
}
