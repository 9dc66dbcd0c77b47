//! Every Rust file says at its top what it is for.

use super::{Problem, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let missing = tree.rust_files().filter(|file| !has_header(&file.text));
    missing.map(|file| Problem::new(&file.path, 1, "begin the file with `//!` and what it is for")).collect()
}

fn has_header(text: &str) -> bool {
    text.lines()
        .next()
        .and_then(|line| line.strip_prefix("//!"))
        .is_some_and(|header| !header.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// A file needs a header with words in it: one good file, and three without.
    #[test]
    fn a_header_is_asked_for() {
        let tree = Tree::of(&[
            ("a.rs", "//! For this.\n"),
            ("b.rs", "fn f() {}\n//! Late.\n"),
            ("c.rs", "//!\n"),
            ("d.rs", ""),
            ("e.txt", "prose\n"),
        ]);
        assert_eq!(places(&check(&tree)), [("b.rs", 1), ("c.rs", 1), ("d.rs", 1)]);
    }
}
