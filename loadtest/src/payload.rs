//! What messages hold: who sent it, which one it is, octets that do not compress, and a checksum.
//! The octets must follow from the stamp and the size alone, so that a post can be repeated without being kept.

use tmtp_wire::id::crc32c;

/// Run, pair and sequence number in front.
const STAMP: usize = 8 + 4 + 8;
/// The checksum at the end.
const SUM: usize = 4;
/// Smallest size of a message.
pub(crate) const SIZE_MIN: usize = STAMP + SUM;

/// Which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Differs between runs, so that one run's leftovers are not another's messages.
    pub(crate) run: u64,
    pub(crate) pair: u32,
    /// Counts the posts of the pair from 0.
    pub(crate) seq: u64,
}

/// Writes the message of `size` octets, at least [`SIZE_MIN`], over whatever `out` holds; gives its checksum.
pub(crate) fn write(stamp: Stamp, size: usize, out: &mut Vec<u8>) -> u32 {
    out.clear();
    out.extend_from_slice(&stamp.run.to_be_bytes());
    out.extend_from_slice(&stamp.pair.to_be_bytes());
    out.extend_from_slice(&stamp.seq.to_be_bytes());
    let mut state = stamp.run ^ (u64::from(stamp.pair) << 40) ^ stamp.seq;
    let end = size.saturating_sub(SUM);
    while out.len() < end {
        let octets = scramble(&mut state).to_le_bytes();
        out.extend_from_slice(&octets[..octets.len().min(end - out.len())]);
    }
    let sum = crc32c(out);
    out.extend_from_slice(&sum.to_be_bytes());
    sum
}

/// The stamp and the checksum of a message; `None` if the checksum does not hold.
pub(crate) fn read(octets: &[u8]) -> Option<(Stamp, u32)> {
    let (front, sum) = octets.split_last_chunk::<SUM>()?;
    let sum = u32::from_be_bytes(*sum);
    let (run, rest) = front.split_first_chunk()?;
    let (pair, rest) = rest.split_first_chunk()?;
    let (seq, _) = rest.split_first_chunk()?;
    let stamp = Stamp {
        run: u64::from_be_bytes(*run),
        pair: u32::from_be_bytes(*pair),
        seq: u64::from_be_bytes(*seq),
    };
    (crc32c(front) == sum).then_some((stamp, sum))
}

/// SplitMix64: nobody guesses here, it only must not compress.
fn scramble(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP_HERE: Stamp = Stamp { run: 7, pair: 3, seq: 11 };

    /// Goal: a message can be made again, octet by octet, and read; method: several sizes, twice each.
    #[test]
    fn messages_are_repeatable() {
        for size in [SIZE_MIN, SIZE_MIN + 1, 200, 4096] {
            let (mut first, mut second) = (Vec::new(), vec![1; 9]);
            let sum = write(STAMP_HERE, size, &mut first);
            write(STAMP_HERE, size, &mut second);
            assert_eq!(first, second);
            assert_eq!(first.len(), size);
            assert_eq!(read(&first), Some((STAMP_HERE, sum)));
        }
    }

    /// Goal: every single wrong octet is noticed, and every missing one; method: change and cut them all.
    #[test]
    fn damage_is_noticed() {
        let mut octets = Vec::new();
        write(STAMP_HERE, 64, &mut octets);
        for at in 0..octets.len() {
            octets[at] ^= 0x20;
            assert_eq!(read(&octets), None, "octet {at}");
            octets[at] ^= 0x20;
            assert_eq!(read(&octets[..at]), None, "cut at {at}");
        }
        assert!(read(&octets).is_some());
    }
}
