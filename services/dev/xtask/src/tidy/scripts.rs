//! Shell scripts stop at the first failure and say what they are for.

use super::tree::File;
use super::{Problem, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files() {
        let Some(shell) = shell(file) else { continue };
        let strict = match shell {
            Shell::Bash => "set -euo pipefail",
            Shell::Posix => "set -eu",
        };
        if !file.text.lines().nth(1).is_some_and(is_comment) {
            problems.push(Problem::new(&file.path, 1, "say in a comment on line 2 what the script is for"));
        }
        if !file.text.lines().any(|line| line.trim() == strict) {
            problems.push(Problem::new(&file.path, 1, format!("add a line `{strict}`")));
        }
    }
    problems
}

enum Shell {
    Bash,
    /// Knows no `pipefail`.
    Posix,
}

/// Which shell reads the file: by its first line, else by its name.
fn shell(file: &File) -> Option<Shell> {
    let Some(interpreter) = file.text.lines().next().and_then(|line| line.strip_prefix("#!")) else {
        return file.has_extension("sh").then_some(Shell::Bash);
    };
    match interpreter.rsplit(['/', ' ']).next() {
        Some("bash") => Some(Shell::Bash),
        Some("sh" | "dash") => Some(Shell::Posix),
        _ => None,
    }
}

fn is_comment(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|words| !words.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// Every script needs a comment and strictness, whatever its name: good ones, bad ones, and no script.
    #[test]
    fn scripts_are_checked() {
        let tree = Tree::of(&[
            ("a", "#!/usr/bin/env bash\n# Does it.\nset -euo pipefail\n"),
            ("b", "#!/bin/sh\n# Does it.\nset -eu\n"),
            ("c", "#!/bin/bash\n\nset -euo pipefail\n"),
            ("d.sh", "# one\n# two\nset -e\n"),
            ("e", "#!/usr/bin/python3\n"),
            ("f.txt", "set\n"),
        ]);
        assert_eq!(places(&check(&tree)), [("c", 1), ("d.sh", 1)]);
    }
}
