//! The migrations that this release embeds. Add-only: one that was released is never changed.

use std::sync::LazyLock;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

/// Name and text of each, by name.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// How a file begins that is not carried out in one transaction. It must have one statement only.
const NO_TRANSACTION: &str = "-- no-transaction";

/// All of them, in order.
pub(crate) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.iter().filter_map(migration).collect()));

/// `20261123000100_first.sql` is version 20261123000100, called "first". `cargo xtask tidy` refuses other names.
fn migration(&(name, sql): &(&'static str, &'static str)) -> Option<Migration> {
    let (version, rest) = name.split_once('_')?;
    let description = rest.strip_suffix(".sql")?.replace('_', " ");
    let runs_alone = sql.starts_with(NO_TRANSACTION);
    let sql = AssertSqlSafe(sql).into_sql_str();
    Some(Migration::new(version.parse().ok()?, description.into(), MigrationType::Simple, sql, runs_alone))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no migration is left out; method: as many as there are files, the first and the last by name.
    #[test]
    fn all_are_there() {
        assert_eq!(MIGRATIONS.iter().count(), FILES.len());
        let first = MIGRATIONS.iter().next().map(|first| (first.version, &*first.description));
        assert_eq!(first, Some((20_261_123_000_100, "first")));
        assert!(MIGRATIONS.iter().map(|migration| migration.version).is_sorted());
    }

    /// Goal: a file that says so runs outside of a transaction, and no other; method: their first lines.
    #[test]
    fn some_run_alone() {
        let alone: Vec<i64> = MIGRATIONS.iter().filter(|one| one.no_tx).map(|one| one.version).collect();
        assert_eq!(alone, [20_261_126_070_100]);
    }
}
