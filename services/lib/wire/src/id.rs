//! How ids are spelled: message ids, base32 for uids and node ids, and the checksum of headers.
//! It must never make an id up; where ids come from is the server's business.

pub mod base32;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Spells a message id: 16 lower-case hex digits, so that ids compare as texts like the numbers they stand for.
pub fn message_id(id: u64) -> String {
    id.to_be_bytes()
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .map(|digit| char::from(HEX[usize::from(digit)]))
        .collect()
}

/// Reads a message id; `None` unless it is spelled exactly as [`message_id`] does it.
pub fn parse_message_id(text: &str) -> Option<u64> {
    if text.len() != 16 {
        return None;
    }
    text.bytes().try_fold(0, |id: u64, octet| {
        let digit = match octet {
            b'0'..=b'9' => octet - b'0',
            b'a'..=b'f' => octet - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u64::from(digit))
    })
}

/// CRC-32C (Castagnoli), the checksum behind `headsum`, and by convention behind `datasum`.
pub fn crc32c(octets: &[u8]) -> u32 {
    crc32c::crc32c(octets)
}

/// Continues [`crc32c`] over more octets, for data that comes in pieces. Start with 0.
pub fn crc32c_append(sum: u32, octets: &[u8]) -> u32 {
    crc32c::crc32c_append(sum, octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Message ids have 16 lower-case digits and nothing else is read as one: both ways, plus near misses.
    #[test]
    fn message_ids_have_one_spelling() {
        for (id, text) in [
            (0, "0000000000000000"),
            (0x18bc_f2a0_9d3e_4f51, "18bcf2a09d3e4f51"),
            (u64::MAX, "ffffffffffffffff"),
        ] {
            assert_eq!(message_id(id), text);
            assert_eq!(parse_message_id(text), Some(id));
        }
        for wrong in ["", "0", "18BCF2A09D3E4F51", "18bcf2a09d3e4f5", "18bcf2a09d3e4f511", "+8bcf2a09d3e4f51"]
        {
            assert_eq!(parse_message_id(wrong), None, "{wrong}");
        }
        assert_eq!(parse_message_id("éééééééé"), None, "16 octets that are no digits");
    }

    /// The sum is Castagnoli's: the check value of the CRC catalogue and the zeroes of RFC 3720.
    #[test]
    fn sum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c_append(crc32c_append(0, b"12345"), b"6789"), 0xe306_9283);
    }
}
