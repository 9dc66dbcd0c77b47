//! The chart, rendered by the real Helm and held against everything that can be known without a cluster.

mod breaking;
mod image;
mod reference;
mod refusals;
mod rendering;
mod settings;

use std::path::{Path, PathBuf};

use tmtp_chart::{Chart, Release};

fn chart() -> Chart {
    Chart::open().expect("the chart and Helm")
}

/// The values file of this name in `ci`.
fn values(name: &str) -> PathBuf {
    chart().folder().join("ci").join(name).with_extension("yaml")
}

fn render(name: &str, changes: &[&str]) -> Release {
    chart().render(&values(name), changes).unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

/// The name of a values file without its folder.
fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// Whether files that are made from others are to be renewed.
fn renews() -> bool {
    std::env::var_os("POSTERN_RENEW").is_some()
}

/// Compares a file with what it should hold; with `POSTERN_RENEW=1` it is written instead.
#[track_caller]
fn compare(path: &Path, expected: &str) {
    if renews() {
        std::fs::write(path, expected).expect("the file is written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let first = kept.lines().zip(expected.lines()).position(|(old, new)| old != new);
    assert!(
        kept == expected,
        "{} is old (from line {:?} on): run this test with POSTERN_RENEW=1 and look at what changes",
        path.display(),
        first.map_or(kept.lines().count().min(expected.lines().count()), |line| line) + 1
    );
}
