//! Data that goes to the body store while it arrives. Inline is up to 64 octets here, and a chunk has 100.

use bytes::Bytes;
use tmtp_contract::BodyRef;

use super::super::Upload;
use super::*;

fn post(len: u64) -> String {
    format!(r#"{{"op":7,"id":"p","for":[],"datalen":{len}}}"#)
}

fn body() -> BodyId {
    BodyId(Uuid::from_u128(1))
}

impl Rig {
    fn upload(&mut self) -> Option<Upload> {
        self.session.take_upload()
    }

    fn uploaded(&mut self, success: bool) {
        self.turn(|session, turn| session.uploaded(turn, success));
    }

    /// Sends a post of `len` octets in pieces, storing each chunk. Returns the lengths of the chunks.
    fn store(&mut self, len: usize, piece: usize) -> Vec<usize> {
        let octets = [frame(&post(len as u64)), vec![b'x'; len]].concat();
        let mut chunks = Vec::new();
        for piece in octets.chunks(piece) {
            let mut left = piece;
            loop {
                // As the link does it: without octets nothing is handed in.
                if !left.is_empty() {
                    left = self.octets(left);
                }
                let Some(upload) = self.upload() else { break };
                let Upload::Put { body: of, seq, octets } = upload else { panic!("{upload:?}") };
                assert_eq!((of, seq), (body(), chunks.len() as u64));
                assert!(!self.wants_input(), "one chunk at a time");
                chunks.push(octets.len());
                self.uploaded(true);
            }
            assert!(left.is_empty());
        }
        chunks
    }
}

/// Goal: data is cut into full chunks and a rest, however it arrives; method: sizes around the boundary, in pieces
/// of one octet, of a few, and all at once.
#[test]
fn chunks() {
    for (len, expected) in [
        (65, vec![65]),
        (100, vec![100]),
        (101, vec![100, 1]),
        (200, vec![100, 100]),
        (305, vec![100, 100, 100, 5]),
    ] {
        for piece in [1, 7, 100, 10_000] {
            let mut rig = Rig::open();
            assert_eq!(rig.store(len, piece), expected, "{len} by {piece}");
            let commands = rig.commands();
            let [(2, Command::Post { body: Body::Stored(stored), .. })] = &commands[..] else {
                panic!("{commands:?}")
            };
            assert_eq!(*stored, BodyRef { id: body(), len: len as u64, chunk: 100 });
            assert!(rig.wants_input());
        }
    }
}

/// Goal: the digest covers all data, stored or not; method: two posts that differ in one chunk.
#[test]
fn digest_covers_chunks() {
    let digest = |last: u8| {
        let mut rig = Rig::open();
        let mut octets = [frame(&post(150)), vec![b'x'; 149]].concat();
        octets.push(last);
        let mut left = &octets[..];
        while !left.is_empty() || rig.upload().is_some() {
            rig.uploaded(true);
            left = rig.octets(left);
        }
        let commands = rig.commands();
        let (_, Command::Post { digest, .. }) = &commands[0] else { panic!("{commands:?}") };
        *digest
    };
    assert_eq!(digest(b'x'), digest(b'x'));
    assert_ne!(digest(b'x'), digest(b'y'));
}

/// Goal: the datahead of stored data comes along, however the data arrives, and one that nobody would look at does not;
/// method: dataheads of less and more than a chunk, in pieces, then one that is too long.
#[test]
fn dataheads_come_along() {
    let front = |head: usize, len: usize, piece: usize| {
        let mut rig = Rig::open();
        rig.limits.body_max = 100_000;
        let header = format!(r#"{{"op":7,"id":"p","for":[],"datalen":{len},"datahead":{head}}}"#);
        let data: Vec<u8> = (0_u8..=250).cycle().take(len).collect();
        for piece in [frame(&header), data.clone()].concat().chunks(piece) {
            let mut left = piece;
            loop {
                if !left.is_empty() {
                    left = rig.octets(left);
                }
                if rig.upload().is_none() {
                    break;
                }
                rig.uploaded(true);
            }
        }
        let commands = rig.commands();
        let [(2, Command::Post { front, .. })] = &commands[..] else { panic!("{commands:?}") };
        assert!(front.as_ref().is_none_or(|front| **front == data[..head]));
        front.as_ref().map(Bytes::len)
    };
    for piece in [1, 7, 1_000] {
        assert_eq!(front(0, 200, piece), None);
        assert_eq!(front(30, 200, piece), Some(30));
        assert_eq!(front(150, 305, piece), Some(150));
        assert_eq!(front(20, 60, piece), None, "the data itself comes along");
    }
    assert_eq!(front(65_536, 70_000, 1_000), Some(65_536));
    assert_eq!(front(65_537, 70_000, 1_000), None);
}

/// Goal: when the store fails, the rest is read, the ack says so, and the link stays; method: fail the first and the
/// second chunk. What was stored is removed.
#[test]
fn store_fails() {
    for failing in [0, 1] {
        let mut rig = Rig::open();
        let octets = [frame(&post(350)), vec![b'x'; 350]].concat();
        let mut left = rig.octets(&octets);
        for seq in 0..=failing {
            assert!(matches!(rig.upload(), Some(Upload::Put { seq: found, .. }) if found == seq));
            rig.uploaded(seq < failing);
            left = rig.octets(left);
        }
        assert!(left.is_empty());
        assert_eq!(rig.upload(), Some(Upload::Discard { body: body(), chunks: failing + 1 }));
        assert_eq!(rig.frames(), [refused("p", "attachment could not be stored, please send again")]);
        assert_eq!((rig.published(), rig.exit()), (vec![], None));
        rig.send_data(POST, b"hello");
        assert_eq!(rig.published(), [(2, "post")]);
    }
}

/// Goal: the last chunk decides too; method: fail it, after all data has come.
#[test]
fn last_chunk_fails() {
    let mut rig = Rig::open();
    rig.octets(&[frame(&post(65)), vec![b'x'; 65]].concat());
    assert!(matches!(rig.upload(), Some(Upload::Put { seq: 0, .. })));
    rig.uploaded(false);
    assert_eq!(rig.frames(), [refused("p", "attachment could not be stored, please send again")]);
    assert_eq!(rig.upload(), Some(Upload::Discard { body: body(), chunks: 1 }));
}

/// Goal: an upload that breaks off is removed; method: end the link with a chunk stored and one under way, and with
/// nothing stored.
#[test]
fn broken_off() {
    let mut rig = Rig::open();
    rig.octets(&[frame(&post(350)), vec![b'x'; 150]].concat());
    assert!(rig.upload().is_some());
    rig.socket_closed();
    assert_eq!(rig.upload(), Some(Upload::Discard { body: body(), chunks: 1 }));
    assert_eq!(rig.published(), [(2, "detach")]);
    rig.uploaded(true);
    assert_eq!(rig.upload(), None);

    let mut rig = Rig::open();
    rig.octets(&[frame(&post(350)), vec![b'x'; 50]].concat());
    rig.socket_closed();
    assert_eq!(rig.upload(), None);
}

/// Goal: a stored post that the gateway has no room for is removed; method: a budget of nothing.
#[test]
fn overloaded_after_upload() {
    let mut rig = Rig::open();
    rig.host.budget.set(0);
    rig.octets(&[frame(&post(65)), vec![b'x'; 65]].concat());
    assert!(matches!(rig.upload(), Some(Upload::Put { seq: 0, .. })));
    rig.uploaded(true);
    assert_eq!(rig.frames(), [refused("p", "overloaded, please send again")]);
    assert_eq!(rig.upload(), Some(Upload::Discard { body: body(), chunks: 1 }));
}

/// Goal: data beyond the limit is read and refused, and the largest length that there is takes no memory; method:
/// one octet too many, then the largest announcement with a little data and an end.
#[test]
fn too_large() {
    let mut rig = Rig::open();
    rig.send_data(&post(1_001), &[b'x'; 1_001]);
    assert_eq!(rig.frames(), [refused("p", "attachment exceeds the limit of this site")]);
    assert_eq!((rig.published(), rig.upload(), rig.exit()), (vec![], None, None));

    rig.limits.body_max = u64::MAX;
    rig.octets(&[frame(&post(i64::MAX.cast_unsigned())), vec![b'x'; 150]].concat());
    assert!(matches!(rig.upload(), Some(Upload::Put { octets, .. }) if octets.len() == 100));
    rig.socket_closed();
    assert!(matches!(rig.upload(), Some(Upload::Discard { .. })));
}
