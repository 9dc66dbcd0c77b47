//! What readers forgive, and what they refuse: fields of later releases, later versions, broken octets.
//! It must try every kind of entry, since each reader of a stream or row meets only its own.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use tmtp_contract::{
    CommandEntry, Error, EventEntry, JournalEntry, MessageRecord, ReceiptPack, VERSION, Versioned, decode,
    encode,
};

use crate::cases;
use crate::generate::{any_msgpack, collection, value};
use crate::octets::Node;

fn key(name: &str) -> Node {
    let mut octets = vec![0xa0 | u8::try_from(name.len()).unwrap()];
    octets.extend(name.as_bytes());
    Node::Leaf(octets, format!("{name:?}"))
}

/// Grafts a field that nobody knows into every map that stands for a struct. A map that stands for an enum has one
/// field, the name of the variant, and may have no other: those are the items of the lists `e`, and the maps in `c`,
/// `b`, `a` and `e`, unless directly within another such map, where the variant's own fields are.
fn graft(node: Node, is_enum: bool, stranger: &Node, grafts: &mut usize) -> Node {
    match node {
        Node::Leaf(..) => node,
        Node::List(items) => {
            Node::List(items.into_iter().map(|item| graft(item, is_enum, stranger, grafts)).collect())
        }
        Node::Map(fields) => {
            let inner = fields.into_iter().map(|(name, value)| {
                let within = match (&value, name_of(&name).as_str()) {
                    (Node::List(_), "e") => true,
                    (Node::Map(_), "a" | "b" | "c" | "e") => !is_enum,
                    _ => false,
                };
                let value = graft(value, within, stranger, grafts);
                (name, value)
            });
            let mut fields: Vec<(Node, Node)> = inner.collect();
            if !is_enum {
                *grafts += 1;
                fields.insert(fields.len() / 2, (key("later"), stranger.clone()));
            }
            Node::Map(fields)
        }
    }
}

fn name_of(key: &Node) -> String {
    match key {
        Node::Leaf(octets, _) => String::from_utf8_lossy(&octets[1..]).into_owned(),
        other => panic!("no name of a field: {other:?}"),
    }
}

/// Goal: a release can add fields anywhere. Method: graft an unknown field into every struct of every golden case, of
/// three shapes, and decode.
#[test]
fn unknown_fields_are_ignored() {
    let strangers = [
        Node::Leaf(vec![0xc0], "nil".into()),
        Node::Map(vec![(key("v"), key("v"))]),
        Node::List(vec![key("e")]),
    ];
    for case in cases::entries() {
        let tree = Node::parse(&case.value.encode());
        assert_eq!(tree.octets(), case.value.encode(), "{}: this test reads MessagePack wrongly", case.path);
        for stranger in &strangers {
            let mut grafts = 0;
            let octets = graft(tree.clone(), false, stranger, &mut grafts).octets();
            assert!(grafts > 0 && octets.len() > tree.octets().len());
            let decoded =
                case.value.decode_alike(&octets).unwrap_or_else(|error| panic!("{}: {error:?}", case.path));
            assert_eq!(decoded, case.value, "{}", case.path);
        }
    }
}

/// What the reader of each kind says to these octets: the version of what it could decode.
fn readers(octets: &[u8]) -> [Result<u16, Error>; 4] {
    fn read<T: Versioned>(octets: &[u8]) -> Result<u16, Error> {
        decode::<T>(octets).map(|entry| entry.version())
    }
    [
        read::<CommandEntry>(octets),
        read::<EventEntry>(octets),
        read::<JournalEntry>(octets),
        read::<MessageRecord>(octets),
    ]
}

fn refused_as_version(octets: &[u8], version: u16) -> bool {
    readers(octets).iter().all(|answer| matches!(answer, Err(Error::Version(v)) if *v == version))
}

/// Goal: what a newer release wrote is refused as such even where it looks familiar. Method: raise the version of every
/// golden case and change nothing else.
#[test]
fn newer_versions_are_refused() {
    for case in cases::entries() {
        let Node::Map(mut fields) = Node::parse(&case.value.encode()) else { panic!("entries are maps") };
        for version in [VERSION + 1, 300, u16::MAX] {
            let [high, low] = version.to_be_bytes();
            fields[0] = (key("v"), Node::Leaf(vec![0xcd, high, low], version.to_string()));
            let octets = Node::Map(fields.clone()).octets();
            assert!(refused_as_version(&octets, version), "{}: {:?}", case.path, readers(&octets));
        }
    }
}

proptest! {
    /// Goal: a newer entry is told from a broken one although nothing of it can be read but the version. Method: put a
    /// newer version among fields of known and unknown names with values of any shape.
    #[test]
    fn newer_versions_are_refused_unread(
        version in VERSION + 1..,
        fields in btree_map("[abcdegimnostw]|later", any_msgpack(), 0..8),
        place in any::<Index>(),
    ) {
        let mut items: Vec<Vec<u8>> = fields
            .into_iter()
            .map(|(name, value)| [key(&name).octets(), value].concat())
            .collect();
        let [high, low] = version.to_be_bytes();
        let head = [key("v").octets(), vec![0xcd, high, low]].concat();
        items.insert(place.index(items.len() + 1), head);
        let octets = collection(0x80, items.len(), items);
        prop_assert!(refused_as_version(&octets, version), "{:?}", readers(&octets));
    }

    /// Goal: junk is refused, never a panic. Method: hand any octets to every reader; none of them is an entry.
    #[test]
    fn junk_is_refused(octets in vec(any::<u8>(), 0..200)) {
        for answer in readers(&octets) {
            prop_assert!(answer.is_err(), "{:?}", answer);
        }
        let _ = ReceiptPack::unpack(&octets);
    }

    /// Goal: well-formed MessagePack of another shape is refused, never a panic. Method: as above.
    #[test]
    fn foreign_values_are_refused(octets in any_msgpack()) {
        for answer in readers(&octets) {
            prop_assert!(answer.is_err(), "{:?}", answer);
        }
    }

    /// Goal: damage is never a panic, and what can still be read can be written. Method: replace, insert and remove
    /// octets of any value, decode it as every kind, and send what comes out through the encoding.
    #[test]
    fn damage_is_survived(
        value in value(),
        damage in vec((any::<Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut octets = value.encode();
        for (place, octet, what) in damage {
            let place = place.index(octets.len() + 1);
            match what {
                0 => octets.insert(place, octet),
                _ if place == octets.len() => {}
                1 => octets[place] = octet,
                _ => drop(octets.remove(place)),
            }
        }
        survives::<CommandEntry>(&octets)?;
        survives::<EventEntry>(&octets)?;
        survives::<JournalEntry>(&octets)?;
        survives::<MessageRecord>(&octets)?;
    }
}

fn survives<T: Versioned + PartialEq + std::fmt::Debug>(octets: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(entry) = decode::<T>(octets) {
        let again: T = decode(&encode(&entry).unwrap()).unwrap();
        prop_assert_eq!(again, entry);
    }
    Ok(())
}

/// Goal: an entry that was cut is refused wherever the cut is. Method: every beginning of every golden case.
#[test]
fn beginnings_are_refused() {
    for case in cases::entries() {
        let octets = case.value.encode();
        for end in 0..octets.len() {
            let answer = case.value.decode_alike(&octets[..end]);
            assert!(matches!(answer, Err(Error::Decode(_))), "{} cut at {end}: {answer:?}", case.path);
        }
    }
}

/// Goal: a few octets cannot make a reader use up its stack or memory. Method: a million lists or maps within each
/// other, and lengths that are far beyond the octets, alone and in known fields.
#[test]
fn small_octets_stay_cheap() {
    let deep = |head: &[u8]| head.repeat(1_000_000);
    let claims: [&[u8]; 5] = [
        &[0xdd, 255, 255, 255, 255],
        &[0xdf, 255, 255, 255, 255],
        &[0xc6, 255, 255, 255, 255],
        &[0xdb, 255, 255, 255, 255],
        &[0xc9, 255, 255, 255, 255],
    ];
    let mut values: Vec<Vec<u8>> = vec![deep(&[0x91]), deep(&[0x81, 0xa1, b'v']), deep(&[0x81, 0xa1, b'm'])];
    values.extend(claims.map(<[u8]>::to_vec));
    for value in values {
        let mut all = vec![value.clone()];
        for name in ["v", "c", "d", "e", "g", "m", "n", "w", "later"] {
            let version = [key("v").octets(), vec![1]].concat();
            let field = [key(name).octets(), value.clone()].concat();
            all.push(collection(0x80, 2, vec![version, field]));
        }
        for octets in all {
            assert!(readers(&octets).iter().all(|answer| matches!(answer, Err(Error::Decode(_)))));
        }
    }
}

fn depth(node: &Node) -> usize {
    match node {
        Node::Leaf(..) => 0,
        Node::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Node::Map(fields) => 1 + fields.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
    }
}

/// Goal: the limit on nesting leaves room for what later releases may add. Method: measure the golden cases, and decode
/// an entry with an unknown field that is much deeper than any.
#[test]
fn nesting_has_room() {
    for case in cases::entries() {
        let tree = Node::parse(&case.value.encode());
        assert!(depth(&tree) < 12, "{}", case.path);
        let deep = (0..40).fold(Node::List(Vec::new()), |inner, _| Node::List(vec![inner]));
        let octets = graft(tree, false, &deep, &mut 0).octets();
        assert_eq!(case.value.decode_alike(&octets).unwrap(), case.value, "{}", case.path);
    }
}
