//! MessagePack of any shape.

use proptest::collection::vec;
use proptest::prelude::*;

/// Octets of one well-formed value of MessagePack, of any shape and of all its types.
pub fn any_msgpack() -> BoxedStrategy<Vec<u8>> {
    let text = "[a-z]{0,6}".prop_map(|text| {
        let mut octets = vec![0xd9, u8::try_from(text.len()).unwrap()];
        octets.extend(text.as_bytes());
        octets
    });
    let bin = vec(any::<u8>(), 0..20).prop_map(|octets| {
        let mut out = vec![0xc4, u8::try_from(octets.len()).unwrap()];
        out.extend(octets);
        out
    });
    let ext = (any::<u8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, octets)| {
        let mut out = vec![0xc7, u8::try_from(octets.len()).unwrap(), kind];
        out.extend(octets);
        out
    });
    let fixed_ext = any::<[u8; 5]>().prop_map(|octets| [&[0xd6], &octets[..]].concat());
    let signed = any::<[u8; 8]>().prop_map(|octets| [&[0xd3], &octets[..]].concat());
    let float = any::<[u8; 8]>().prop_map(|octets| [&[0xcb], &octets[..]].concat());
    let short =
        prop_oneof![0_u8..=0x7f, 0xe0_u8..=0xff, Just(0xc0), Just(0xc2), Just(0xc3), Just(0x80), Just(0x90)]
            .prop_map(|octet| vec![octet]);
    let leaf = prop_oneof![text, bin, ext, fixed_ext, signed, float, short].boxed();
    leaf.prop_recursive(3, 24, 4, |inner| {
        let list = vec(inner.clone(), 0..4).prop_map(|items| collection(0x90, items.len(), items));
        let map = vec((inner.clone(), inner), 0..4).prop_map(|fields| {
            let len = fields.len();
            collection(0x80, len, fields.into_iter().flat_map(|(key, value)| [key, value]).collect())
        });
        prop_oneof![list, map]
    })
    .boxed()
}

/// Octets of a list or map of less than 16 items.
pub fn collection(head: u8, len: usize, items: Vec<Vec<u8>>) -> Vec<u8> {
    let mut out = vec![head | u8::try_from(len).unwrap()];
    out.extend(items.into_iter().flatten());
    out
}
