//! Migrations are named so that their order is plain, and say why they exist.

use std::collections::HashMap;

use super::tree::File;
use super::{Problem, Tree};

/// `YYYYMMDDHHMMSS`.
const STAMP_DIGITS: usize = 14;

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: HashMap<(&str, &str), &str> = HashMap::new();
    for file in tree.files().filter(|file| is_migration(file)) {
        match stamp(file.name()) {
            None => problems.push(Problem::new(
                &file.path,
                1,
                "name it YYYYMMDDHHMMSS_words_with_underscores.sql",
            )),
            Some(stamp) => {
                if let Some(twin) = seen.insert((file.dir(), stamp), file.name()) {
                    let advice =
                        format!("give it a time of its own; {twin} has the same, so their order is open");
                    problems.push(Problem::new(&file.path, 1, advice));
                }
            }
        }
        if !begins_with_comment(&file.text) {
            problems.push(Problem::new(&file.path, 1, "begin with a `--` comment that says why"));
        }
    }
    problems
}

fn is_migration(file: &File) -> bool {
    file.has_extension("sql") && file.dir().rsplit('/').next() == Some("migrations")
}

/// The time in a well-formed name. That months end at 12 is checked because a typing error there changes the order.
fn stamp(name: &str) -> Option<&str> {
    let (stamp, words) = name.strip_suffix(".sql")?.split_once('_')?;
    let part = |at: usize, length: usize| stamp.get(at..at + length)?.parse::<u32>().ok();
    let is_time = stamp.len() == STAMP_DIGITS
        && stamp.bytes().all(|b| b.is_ascii_digit())
        && (1..=12).contains(&part(4, 2)?)
        && (1..=31).contains(&part(6, 2)?)
        && part(8, 2)? < 24
        && part(10, 2)? < 60
        && part(12, 2)? < 60;
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (is_time && words.split('_').all(is_word)).then_some(stamp)
}

fn begins_with_comment(text: &str) -> bool {
    text.lines().next().and_then(|line| line.strip_prefix("--")).is_some_and(|words| !words.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// Names and first lines are checked, in `migrations` folders only: good ones, bad ones, one elsewhere.
    #[test]
    fn names_and_comments_are_checked() {
        let good = "-- Because.\nSELECT 1;\n";
        let tree = Tree::of(&[
            ("migrations/20250102030405_first_tables.sql", good),
            ("migrations/20250102030406_no_reason.sql", "SELECT 1;\n"),
            ("migrations/20251302030405_month.sql", good),
            ("migrations/20260102030405_twin_a.sql", good),
            ("migrations/20260102030405_twin_b.sql", good),
            ("migrations/2026_short.sql", good),
            ("migrations/20270102030405_Caps.sql", good),
            ("queries/x.sql", "SELECT 1;\n"),
        ]);
        let expected = [
            "20250102030406_no_reason.sql",
            "20251302030405_month.sql",
            "20260102030405_twin_b.sql",
            "2026_short.sql",
            "20270102030405_Caps.sql",
        ]
        .map(|name| (format!("migrations/{name}"), 1));
        let problems = check(&tree);
        let found: Vec<_> =
            places(&problems).into_iter().map(|(path, line)| (path.to_owned(), line)).collect();
        assert_eq!(found, expected);
    }
}
