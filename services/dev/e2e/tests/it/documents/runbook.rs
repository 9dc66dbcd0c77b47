//! The runbook: whole, and of this release.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tmtp_admin::AdminMetrics;
use tmtp_worker::WorkerMetrics;

use super::fences::{console, fences, path, read};

/// Where the pages are.
const FOLDER: &str = "deploy/runbook";
/// The index.
const INDEX: &str = "README.md";
/// What every page says, in this order.
const PARTS: [&str; 3] = ["## What a member feels", "## How to see it", "## What to do"];
/// Conditions that must have a page.
const CONDITIONS: [&str; 7] = [
    "gateway-down.md",
    "worker-lag.md",
    "redis-unreachable.md",
    "redis-evicting.md",
    "postgres-unreachable.md",
    "certificate-expiring.md",
    "migration-failed.md",
];

/// Name and text of all pages, the index first.
fn pages() -> Result<Vec<(String, String)>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path(FOLDER)).context("open the runbook")? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(names.remove(INDEX), "there is no index");
    let names = [INDEX.to_owned()].into_iter().chain(names);
    names.map(|name| Ok((name.clone(), read(&format!("{FOLDER}/{name}"))?))).collect()
}

/// Goal: every condition has a page that says all that is needed, and the index leads to each. Method: compare the index,
/// the folder and the list; look for the parts; follow the links.
#[test]
fn the_pages_are_whole() -> Result<()> {
    let pages = pages()?;
    let (_, index) = pages.first().context("no pages")?;
    let found: BTreeSet<&str> = pages.iter().skip(1).map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, CONDITIONS.into_iter().collect());
    for (name, text) in &pages {
        if name != INDEX {
            ensure!(index.contains(&format!("]({name})")), "the index does not lead to {name}");
            let places: Vec<_> = PARTS.iter().map(|part| text.find(&format!("\n{part}\n"))).collect();
            ensure!(
                places.iter().all(Option::is_some) && places.is_sorted(),
                "{name} lacks a part: {places:?}"
            );
        }
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            ensure!(path(FOLDER).join(target).exists(), "{name} leads to {target}, which is not there");
        }
    }
    Ok(())
}

/// Goal: no page sends somebody to a metric that does not exist. Method: every word that looks like one of ours, against
/// what the programs declare; histograms have names with endings.
#[test]
fn metrics_exist() -> Result<()> {
    let declared: BTreeSet<&str> = [tmtp_gateway::Metrics::NAMES, WorkerMetrics::NAMES, AdminMetrics::NAMES]
        .concat()
        .into_iter()
        .collect();
    let mut seen = 0;
    for (page, text) in pages()? {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.starts_with("tmtp_")) {
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            let known = declared.contains(word) || bare.is_some_and(|bare| declared.contains(bare));
            ensure!(known, "{page} mentions {word}, which no program has");
            seen += 1;
        }
    }
    ensure!(seen > 20, "only {seen} metrics are mentioned at all");
    Ok(())
}

/// Goal: no page sends somebody to a command or an option of `tmtpctl` that does not exist. Method: ask the program for the
/// help of every command that a page has, with its options.
#[test]
fn commands_exist() -> Result<()> {
    let mut seen = 0;
    for (page, text) in pages()? {
        for command in console(&fences(&text)?) {
            let Some(words) = command.strip_prefix("tmtpctl ") else { continue };
            let asked = Command::new(tmtp_e2e::binary("tmtpctl")?)
                .args(words.split_whitespace().map(|word| word.trim_matches('"')))
                .arg("--help")
                .output()?;
            let said = String::from_utf8_lossy(&asked.stderr).into_owned();
            ensure!(asked.status.success(), "{page} has `{command}`: {said}");
            seen += 1;
        }
    }
    ensure!(seen > 3, "only {seen} commands are mentioned at all");
    Ok(())
}
