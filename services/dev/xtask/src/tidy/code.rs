//! Rust text reduced to what is code and ships: comments, the insides of strings and the tests at the bottom
//! become blanks, lines stay where they are. Not a parser; it knows just enough to not be fooled by prose.

/// One line of code with its number from 1.
pub(crate) type Line<'a> = (usize, &'a str);

/// The lines of blanked text with their numbers.
pub(crate) fn lines(blanked: &str) -> impl Iterator<Item = Line<'_>> {
    blanked.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Whether the identifier `word` stands in `line` as a whole, and not as a part of another path, as in
/// `bus::redis`.
pub(crate) fn has_crate(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = &line[..at];
        let after = &line[at + word.len()..];
        !before.ends_with(is_identifier)
            && !after.starts_with(is_identifier)
            && !before.trim_end().ends_with("::")
    })
}

/// Whether a path that begins with the crate `name` stands in `line`, or an import of all of it.
pub(crate) fn speaks_to(line: &str, name: &str) -> bool {
    let is_import = line.trim().strip_suffix(';').is_some_and(|line| line == format!("use {name}"));
    let is_path = line.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = &line[..at];
        !before.ends_with(is_identifier) && !before.trim_end().ends_with("::")
    });
    is_import || is_path
}

/// Whether the path `outer::inner` stands in `line`, also as one of `outer::{a, inner}`.
pub(crate) fn has_path(line: &str, outer: &str, inner: &str) -> bool {
    let prefix = format!("{outer}::");
    line.match_indices(&prefix).any(|(at, _)| {
        if line[..at].ends_with(is_identifier) {
            return false;
        }
        let rest = line[at + prefix.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => {
                group.split(['}', ';']).next().unwrap_or("").split(',').any(|item| is_first(item, inner))
            }
            None => is_first(rest, inner),
        }
    })
}

fn is_first(path: &str, name: &str) -> bool {
    path.trim_start().strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_identifier))
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Blanks comments and the insides of strings, keeping every line break.
pub(crate) fn without_prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let in_word = out.ends_with(is_identifier);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            string(rest)
        } else if let (false, Some(length)) = (in_word, raw_string(rest)) {
            length
        } else if let (false, Some(length)) = (in_word, char_literal(rest)) {
            length
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let (prose, code) = rest.split_at(length);
        out.extend(prose.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = code;
    }
    out
}

/// Blanks the prose, and everything from a `#[cfg(test)]` that opens a module: by the house style tests stand
/// at the bottom of the file.
pub(crate) fn shipped(text: &str) -> String {
    let mut code = without_prose(text);
    let tests = code.match_indices("#[cfg(test)]").find(|(at, marker)| {
        let rest = code[at + marker.len()..].trim_start();
        // Only a module with a body; `mod tests;` names a file of its own.
        rest.starts_with("mod ") && rest.find('{') < rest.find(';').or(Some(usize::MAX))
    });
    if let Some((at, _)) = tests {
        code.truncate(at);
    }
    code
}

/// The length of the block comment at the start, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal at the start.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string literal at the start, if there is one.
fn raw_string(text: &str) -> Option<usize> {
    let after = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let body = after.trim_start_matches('#');
    let hashes = after.len() - body.len();
    let body = body.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// The length of the character literal at the start, if it is one and not a lifetime.
fn char_literal(text: &str) -> Option<usize> {
    let body = text.strip_prefix("b'").or_else(|| text.strip_prefix('\''))?;
    let start = text.len() - body.len();
    let mut chars = body.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        // The escaped character may be a quote itself.
        let (at, _) = chars.nth(1)?;
        return body[at..].find('\'').map(|end| start + at + end + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| start + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prose goes and code stays, line by line: every kind of comment and literal with a word in it.
    #[test]
    fn prose_is_blanked() {
        for (text, expected) in [
            ("a // tokio\nb", "a         \nb"),
            ("a /* x /* y */\n tokio */ b", "a             \n          b"),
            ("f(\"to\\\"kio\") + g", "f(         ) + g"),
            ("r#\"to\"kio\"# + x", "            + x"),
            ("bar\"x\"", "bar   "),
            ("'\\'' '\"' 'a fn<'a>(b'x')", "         'a fn<'a>(    )"),
            ("'\\u{41}' + x", "         + x"),
        ] {
            assert_eq!(without_prose(text), expected, "{text}");
        }
    }

    /// The tests at the bottom do not ship, but a test-only import does not hide what follows it.
    #[test]
    fn tests_do_not_ship() {
        assert_eq!(shipped("a\n#[cfg(test)]\nmod tests {\n b\n}\n"), "a\n");
        assert!(shipped("#[cfg(test)]\nuse x;\nfn f() {}\n").contains("fn f"));
        assert!(shipped("#[cfg(test)]\nmod tests;\nfn f() {}\n").contains("fn f"));
    }

    /// Names are matched as whole crates and whole path parts: hits and near misses.
    #[test]
    fn whole_names_are_matched() {
        assert!(has_crate("use redis::Client;", "redis"));
        assert!(!has_crate("use bus::redis::Config;", "redis"));
        assert!(!has_crate("let redis_url = 1;", "redis"));
        assert!(has_path("use std::fs::File;", "std", "fs"));
        assert!(has_path("use std::{collections::HashMap, net};", "std", "net"));
        assert!(has_path("Instant::now()", "Instant", "now"));
        assert!(!has_path("use std::fsync;", "std", "fs"));
        assert!(!has_path("use nostd::fs;", "std", "fs"));
    }
}
