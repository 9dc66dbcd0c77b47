//! SQL and Redis have homes: the crates that alone may speak to them, so that a reader knows where to look
//! and a change of schema has one place.

use super::code::{lines, shipped, speaks_to};
use super::{Problem, Tree};

/// A crate from outside, and the folders (or beginnings of paths) where it may be used.
struct Home {
    guest: &'static str,
    at: &'static [&'static str],
    advice: &'static str,
}

const HOMES: &[Home] = &[
    Home {
        guest: "sqlx",
        at: &["services/lib/store/", "services/lib/bodies/", "services/dev/", "services/ctl/src/demo"],
        advice: "move the SQL to `store` (or `bodies`); nobody else speaks to Postgres",
    },
    Home {
        guest: "redis",
        at: &["services/lib/bus/", "services/dev/"],
        advice: "move the Redis command to `bus`; nobody else speaks to Redis",
    },
];

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.rust_files().filter(|file| !file.is_test()) {
        let code = shipped(&file.text);
        for home in HOMES.iter().filter(|home| !home.at.iter().any(|at| file.path.starts_with(at))) {
            let found = lines(&code).filter(|(_, line)| speaks_to(line, home.guest));
            problems.extend(found.map(|(number, _)| Problem::new(&file.path, number, home.advice)));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// Guests are allowed at home and in tests only: the same line in several places.
    #[test]
    fn guests_stay_at_home() {
        let sql = "//! A.\nuse sqlx::PgPool;\n";
        let redis = "//! A.\nfn f(c: redis::Client) {}\n";
        let tree = Tree::of(&[
            ("services/lib/store/src/lib.rs", sql),
            ("services/ctl/src/demo/seed.rs", sql),
            ("services/ctl/src/site.rs", sql),
            ("services/worker/tests/model.rs", sql),
            ("services/lib/bus/src/lib.rs", redis),
            ("services/lib/store/src/x.rs", redis),
            ("services/lib/store/src/y.rs", "//! A.\nuse redis;\n"),
            ("services/worker/src/lib.rs", "//! A: redis::Client.\nlet redis = bus::redis::open();\n"),
            ("services/worker/src/x.rs", "//! A.\n#[cfg(test)]\nmod tests {\n use sqlx::PgPool;\n}\n"),
        ]);
        let expected = [
            ("services/ctl/src/site.rs", 2),
            ("services/lib/store/src/x.rs", 2),
            ("services/lib/store/src/y.rs", 2),
        ];
        assert_eq!(places(&check(&tree)), expected);
    }
}
