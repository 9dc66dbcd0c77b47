//! Text from others, made fit for a terminal. It must never let a control character through.

/// The text with everything that could move a cursor or hide something written as an escape.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            // Quotes and backslashes are harmless, and JSON is full of them.
            let as_it_is = matches!(char, '"' | '\'' | '\\');
            let escaped = (!as_it_is).then(|| char.escape_debug());
            escaped.into_iter().flatten().chain(as_it_is.then_some(char))
        })
        .collect()
}

/// Octets as text, if they are; cut after `most` octets.
pub(crate) fn excerpt(octets: &[u8], most: usize) -> String {
    let shown = &octets[..octets.len().min(most)];
    match std::str::from_utf8(shown) {
        Ok(text) => printable(text),
        // A character may have been cut in two.
        Err(error) if error.error_len().is_none() => {
            printable(&String::from_utf8_lossy(&shown[..error.valid_up_to()]))
        }
        Err(_) => "(not text)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nothing that a terminal obeys gets out, and everything else stays; method: both together.
    #[test]
    fn printable_text() {
        assert_eq!(printable("{\"a\":\"b\\n\"} Grüße, 你好"), "{\"a\":\"b\\n\"} Grüße, 你好");
        assert_eq!(printable("a\u{1b}[2Jb\u{7f}\u{9b}\u{202e}\n"), "a\\u{1b}[2Jb\\u{7f}\\u{9b}\\u{202e}\\n");
    }

    /// Goal: an excerpt ends at a character; method: cut one in the middle, and give what is no text.
    #[test]
    fn excerpts() {
        assert_eq!(excerpt("aä".as_bytes(), 2), "a");
        assert_eq!(excerpt("aä".as_bytes(), 9), "aä");
        assert_eq!(excerpt(&[0xff, 0], 9), "(not text)");
    }
}
