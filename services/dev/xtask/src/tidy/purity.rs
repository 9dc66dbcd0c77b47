//! The pure parts do no I/O and ask no clock, so that everything they do can be replayed in a test.

use super::code::{has_crate, has_path, shipped};
use super::{Problem, Tree};

/// Beginnings of the paths of pure code.
const PURE: &[&str] = &[
    "services/lib/wire/src/",
    "services/lib/domain/src/",
    "services/lib/contract/src/",
    "services/gateway/src/session",
];

/// Crates that do what a pure part must not.
const CRATES: &[&str] = &["tokio", "rand", "getrandom"];

/// The same as the first two parts of a path.
const PATHS: &[(&str, &str)] =
    &[("std", "net"), ("std", "fs"), ("std", "env"), ("SystemTime", "now"), ("Instant", "now")];

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let pure = tree.rust_files().filter(|file| PURE.iter().any(|start| file.path.starts_with(start)));
    pure.filter(|file| !file.is_test())
        .flat_map(|file| check_code(&file.path, &shipped(&file.text)))
        .collect()
}

/// Looks at whole statements, because an import may go over several lines.
fn check_code(path: &str, code: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut line = 1;
    for statement in code.split_inclusive(';') {
        let start =
            line + statement.bytes().take_while(u8::is_ascii_whitespace).filter(|b| *b == b'\n').count();
        let is_import =
            statement.trim_start().starts_with("use ") || statement.trim_start().starts_with("pub use ");
        if is_import {
            let flat = statement.replace('\n', " ");
            problems.extend(impure(&flat).map(|what| problem(path, start, &what)));
        } else {
            for (offset, text) in statement.split('\n').enumerate() {
                problems.extend(impure(text).map(|what| problem(path, line + offset, &what)));
            }
        }
        line += statement.matches('\n').count();
    }
    problems
}

fn problem(path: &str, line: usize, what: &str) -> Problem {
    Problem::new(
        path,
        line,
        format!("take `{what}` out: this part is pure; let the caller pass what it gives"),
    )
}

fn impure(text: &str) -> impl Iterator<Item = String> {
    let crates = CRATES.iter().filter(|name| has_crate(text, name)).map(ToString::to_string);
    let paths = PATHS.iter().filter(|(a, b)| has_path(text, a, b)).map(|(a, b)| format!("{a}::{b}"));
    crates.chain(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// Each forbidden thing is found in pure code, at its line, and left alone elsewhere and in prose.
    #[test]
    fn impure_code_is_found() {
        let impure = "//! No tokio here.\nuse std::{\n    collections::HashMap,\n    net::IpAddr,\n};\n\
                      fn f() {\n    let a = Instant::now();\n    let b = rand::random();\n    std::env::var(x)\n}\n";
        let path = "services/gateway/src/session/post.rs";
        let tree = Tree::of(&[(path, impure), ("services/gateway/src/accept.rs", impure)]);
        assert_eq!(places(&check(&tree)), [(path, 2), (path, 7), (path, 8), (path, 9)]);
    }

    /// Tests of pure code may do I/O, and words that only look alike are silent.
    #[test]
    fn pure_code_is_silent() {
        let tree = Tree::of(&[
            (
                "services/lib/wire/src/lib.rs",
                "//! A.\nfn operand(brand: u8) {}\n#[cfg(test)]\nmod tests {\n std::fs::x()\n}\n",
            ),
            ("services/lib/wire/tests/golden.rs", "//! A.\nuse std::fs;\n"),
        ]);
        assert_eq!(check(&tree), []);
    }
}
