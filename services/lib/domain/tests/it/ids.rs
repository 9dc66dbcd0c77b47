//! Properties of ids and times: one text form each, order, and no panic on any text.

use proptest::collection::vec;
use proptest::prelude::*;
use tmtp_domain::{BodyId, GatewayId, MsgId, NodeSecret, Posted, SiteId, Uid, WorkerId};
use uuid::Uuid;

const ALPHABET: &[u8] = b"%+123456789BCDFGHJKLMNPQRSTVWXYZ";

/// Texts that are nearly ids: blocks of the alphabet, some padded or broken over lines, with an odd character at times.
fn id_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[%+1-9B-DF-HJ-NP-TV-Z]{8}",
        1 => "[%+1-9B-DF-HJ-NP-TV-Z]{0,9}",
        1 => "[%+1-9B-DF-HJ-NP-TV-Z]{1,7}={1,7}",
        1 => "\r?\n",
        1 => "={0,8}",
        1 => any::<char>().prop_map(String::from),
    ];
    // Well padded, and mostly with bits behind the last octet that are not zero.
    let padded = "([%+1-9B-DF-HJ-NP-TV-Z]{8}){0,4}[%+1-9B-DF-HJ-NP-TV-Z]{2}(======|[%+1-9B-DF-HJ-NP-TV-Z]{2}====|\
        [%+1-9B-DF-HJ-NP-TV-Z]{3}===|[%+1-9B-DF-HJ-NP-TV-Z]{5}=)";
    prop_oneof![
        4 => vec(piece, 0..8).prop_map(|pieces| pieces.concat()),
        1 => padded,
        1 => any::<String>(),
        1 => "[%+1-9B-DF-HJ-NP-TV-Z]{32}",
        1 => "[%+1-9B-DF-HJ-NP-TV-Z]{40}",
    ]
}

proptest! {
    /// Goal: uids come back from their text, and secrets have one. Method: write any, parse, and look at the text.
    #[test]
    fn ids_come_back(uid: [u8; 20], secret: [u8; 25]) {
        let (uid, secret) = (Uid(uid), NodeSecret(secret));
        let (uid_text, secret_text) = (uid.to_string(), secret.reveal());
        prop_assert_eq!((uid_text.len(), secret_text.len()), (32, 40));
        prop_assert!(uid_text.bytes().chain(secret_text.bytes()).all(|c| ALPHABET.contains(&c)));
        prop_assert_eq!(Uid::parse(&uid_text), Ok(uid));
    }

    /// Goal: exactly the texts of the protocol are taken, and nothing panics. Method: look at length and symbols.
    #[test]
    fn uids_are_judged_as_the_protocol_does(text in id_like()) {
        let well_formed = text.len() == 32 && text.bytes().all(|c| ALPHABET.contains(&c));
        prop_assert_eq!(Uid::parse(&text).is_ok(), well_formed);
    }

    /// Goal: a user has one text, since clients compare texts. Method: parse texts, those with line ends too, and write
    /// again what was taken.
    #[test]
    fn uids_have_one_text(text in id_like()) {
        if let Ok(uid) = Uid::parse(&text) {
            prop_assert_eq!(uid.to_string(), text);
        }
    }

    /// Goal: the ids of sites and processes come back from their text, which is the usual one of UUIDs. Method: write
    /// and parse any.
    #[test]
    fn uuids_come_back(id: u128) {
        let id = Uuid::from_u128(id);
        let texts = [SiteId(id).to_string(), GatewayId(id).to_string(), WorkerId(id).to_string(), BodyId(id).to_string()];
        for text in texts {
            prop_assert_eq!(text.len(), 36);
            prop_assert!(text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f' | b'-')));
            prop_assert_eq!(Uuid::parse_str(&text), Ok(id));
        }
    }

    /// Goal: message ids can be compared as texts, and come back from text and row. Method: any two ids.
    #[test]
    fn message_ids_sort_as_text(one: u64, other: u64) {
        let (one, other) = (MsgId(one), MsgId(other));
        prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        prop_assert_eq!(u64::from_str_radix(&one.to_string(), 16), Ok(one.0));
        prop_assert_eq!(MsgId::from_i64(one.to_i64()), one);
    }

    /// Goal: rows sort as ids do, up to the year 2262. Method: any two ids below 2^63.
    #[test]
    fn message_ids_sort_as_rows(one in 0..=i64::MAX, other in 0..=i64::MAX) {
        prop_assert_eq!(one.cmp(&other), MsgId::from_i64(one).cmp(&MsgId::from_i64(other)));
    }

    /// Goal: an id is neither repeated nor behind the clock. Method: one step from any id at any time.
    #[test]
    fn message_ids_go_on(last in 0..u64::MAX, now: u64) {
        let next = MsgId::next(MsgId(last), now);
        prop_assert!(next > MsgId(last) && next.0 >= now);
        prop_assert!(next.0 == now || next.0 == last + 1, "no further than needed");
    }

    /// Goal: owners of a shard whose clocks differ, stand still or go back never make an id twice. Method: owners take
    /// turns, each with a clock of its own, and hand on the last id; all ids have to increase.
    #[test]
    fn message_ids_increase_across_owners(
        clocks in vec(any::<u32>(), 1..4),
        turns in vec((any::<prop::sample::Index>(), -50_i32..50, 1..20_usize), 1..30),
    ) {
        let mut clocks: Vec<u64> = clocks.into_iter().map(u64::from).collect();
        let mut ids = vec![MsgId(0)];
        for (owner, passed, posts) in turns {
            let owner = owner.index(clocks.len());
            let clock = &mut clocks[owner];
            *clock = clock.saturating_add_signed(passed.into());
            for _ in 0..posts {
                let last = ids[ids.len() - 1];
                ids.push(MsgId::next(last, *clock));
            }
        }
        prop_assert!(ids.is_sorted_by(|earlier, later| earlier < later));
    }

    /// Goal: a time has one text, which comes back and sorts. Method: any two times of the years 0 to 9998.
    #[test]
    fn times_come_back(one in -62_167_219_200_000..253_370_764_800_000_i64, other in -62_167_219_200_000..253_370_764_800_000_i64) {
        let (text, other_text) = (Posted(one).to_string(), Posted(other).to_string());
        prop_assert_eq!(text.len(), "2026-11-23T23:28:30.120Z".len());
        prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_millisecond(), one);
        prop_assert_eq!(text.cmp(&other_text), one.cmp(&other));
    }

    /// Goal: no time is a panic. Method: format any.
    #[test]
    fn times_can_be_formatted(time: i64) {
        prop_assert!(Posted(time).to_string().ends_with('Z'));
    }
}
