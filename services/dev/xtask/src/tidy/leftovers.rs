//! Nothing unfinished and nothing too long to proofread.

use super::code::{lines, without_prose};
use super::{Problem, Tree};

/// Comfortable is half of this; a file that is longer holds two ideas.
const LINES_MAX: usize = 700;

/// What must not stand in code, tests included, and what to do instead.
const LEFTOVERS: &[(&str, &str)] = &[
    ("#[ignore", "mend the test or remove it; an ignored test proves nothing"),
    ("todo!", "finish it"),
    ("unimplemented!", "finish it, or make the case impossible by type"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.rust_files() {
        let code = without_prose(&file.text);
        for (number, line) in lines(&code) {
            let found = LEFTOVERS.iter().filter(|(leftover, _)| line.contains(leftover));
            problems.extend(
                found.map(|(what, advice)| Problem::new(&file.path, number, format!("{what}: {advice}"))),
            );
        }
        let count = file.text.lines().count();
        let is_source = file.path.starts_with("services/") && file.path.contains("/src/");
        if is_source && count > LINES_MAX {
            let advice = format!("split the file: {count} lines, at most {LINES_MAX}");
            problems.push(Problem::new(&file.path, LINES_MAX + 1, advice));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// Unfinished code is found, talk about it is not: each word as code, and once in prose.
    #[test]
    fn leftovers_are_found() {
        let tree = Tree::of(&[
            ("a.rs", "//! A.\n#[ignore = \"slow\"]\nfn f() { todo!() }\nfn g() { unimplemented!(\"x\") }\n"),
            ("b.rs", "//! No todo!() here.\nconst A: &str = \"#[ignore]\";\n"),
        ]);
        assert_eq!(places(&check(&tree)), [("a.rs", 2), ("a.rs", 3), ("a.rs", 4)]);
    }

    /// Sources have a length limit, tests have none: the limit itself, one line more, and a long test.
    #[test]
    fn long_files_are_found() {
        let (fits, long) = ("//! A.\n".repeat(LINES_MAX), "//! A.\n".repeat(LINES_MAX + 1));
        let tree = Tree::of(&[
            ("services/a/src/fits.rs", &fits),
            ("services/a/src/long.rs", &long),
            ("services/a/tests/long.rs", &long),
        ]);
        assert_eq!(places(&check(&tree)), [("services/a/src/long.rs", LINES_MAX + 1)]);
    }
}
