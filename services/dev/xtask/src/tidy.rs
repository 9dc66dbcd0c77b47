//! The rules of the repository that no compiler knows, one module each, over a snapshot of its text files.
//!
//! A rule is a function from the snapshot to problems. Rules must never read the disk themselves, so that
//! each can be tested on a tree of three lines.

mod code;
mod headers;
mod homes;
mod layers;
mod leftovers;
mod manifests;
mod migrations;
mod purity;
mod scripts;
mod tree;

use std::fmt;

pub(crate) use tree::Tree;

/// One thing to put right, printed as `path:line: what to do`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    path: String,
    /// From 1.
    line: usize,
    advice: String,
}

impl Problem {
    fn new(path: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, advice: advice.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

/// Every problem of the tree, in the order of paths and lines.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let rules = [
        headers::check,
        homes::check,
        layers::check,
        leftovers::check,
        manifests::check,
        migrations::check,
        purity::check,
        scripts::check,
    ];
    let mut problems: Vec<Problem> = rules.iter().flat_map(|rule| rule(tree)).collect();
    problems.sort();
    problems
}

/// What a rule's tests compare: where the problems are.
#[cfg(test)]
fn places(problems: &[Problem]) -> Vec<(&str, usize)> {
    problems.iter().map(|problem| (problem.path.as_str(), problem.line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All rules run, and problems come sorted and readable: a tree that breaks two rules.
    #[test]
    fn problems_of_all_rules_are_reported() {
        let tree = Tree::of(&[("b.rs", "fn f() {}\n"), ("a.sh", "#!/bin/bash\n")]);
        let lines: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("a.sh:1: "), "{lines:?}");
        assert!(lines[2].starts_with("b.rs:1: begin the file with `//!`"), "{lines:?}");
    }

    /// A good tree has no problems: one crate and one script that follow all rules.
    #[test]
    fn a_good_tree_is_silent() {
        let tree = Tree::of(&[
            ("services/lib/wire/Cargo.toml", "[package]\nname = \"tmtp-wire\"\n[lints]\nworkspace = true\n"),
            ("services/lib/wire/src/lib.rs", "//! Frames.\n"),
            ("deploy/local/up", "#!/usr/bin/env bash\n# Starts it.\nset -euo pipefail\n"),
        ]);
        assert_eq!(check(&tree), []);
    }
}
