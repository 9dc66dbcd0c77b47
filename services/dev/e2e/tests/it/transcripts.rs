//! Conversations of clients as text files (`testdata/transcripts`), played at the pure cluster and at a real one.

mod client;
mod play;
mod script;
mod stage;
mod variables;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use serde_json::{Map, Value};
use tmtp_domain::{Registration, SiteId};
use tmtp_e2e::{Pure, Setup};
use tmtp_store::CreateSite;
use uuid::Uuid;

use play::Play;
use script::{Act, Octets, Outcome, Script, Step};
use stage::{Real, SCALE};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/transcripts");

/// All transcripts, by name.
fn scripts() -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(FOLDER).context("read the transcripts")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmtp") {
            let name = path.file_stem().and_then(|name| name.to_str()).context("a file has an odd name")?;
            scripts.push(Script::parse(name, &fs::read_to_string(&path)?)?);
        }
    }
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scripts)
}

/// All failures in one message.
fn report(results: Vec<Result<()>>) -> Result<()> {
    let failures: Vec<String> =
        results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failures.is_empty(), "{} transcripts failed:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Goal: the session machine and the home behave as the transcripts say; method: play all of them on a fake clock.
#[tokio::test]
async fn pure() -> Result<()> {
    let mut results = Vec::new();
    for script in scripts()?.into_iter().filter(|script| !script.real_only) {
        let mut stage = Pure::with_policy(&script.name, script.registration, script.policy.clone());
        results.push(Play::run(&mut stage, &script).await);
    }
    report(results)
}

/// Goal: so they do with one message in flight to a node, as the older server has it; method: play all that have no more.
#[tokio::test]
async fn pure_one_by_one() -> Result<()> {
    let mut results = Vec::new();
    let scripts: Vec<Script> =
        scripts()?.into_iter().filter(|script| !script.wide && !script.real_only).collect();
    ensure!(scripts.len() >= 25, "only {} transcripts", scripts.len());
    for script in scripts {
        let mut stage = Pure::one_by_one(&script.name, script.registration, script.policy.clone());
        results.push(Play::run(&mut stage, &script).await);
    }
    report(results)
}

/// Goal: so does a real cluster, across its gateways, over TLS; method: play all of them there, each at a site of its
/// own, all at the same time; with times that are a quarter of the usual ones, but for the login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real() -> Result<()> {
    let cluster = Setup::new()
        .gateway_setting("limits.silence_max", &format!("{}s", 120 / SCALE))
        .gateway_setting("limits.redeliver_after", &format!("{}ms", 30_000 / SCALE))
        .gateway_setting("limits.write_wait", &format!("{}s", 60 / SCALE))
        .worker_setting("delivery.expiry_every", "1s")
        .worker_setting("journal.spill_after", "1s")
        .start()
        .await?;
    let scripts: Vec<Script> = scripts()?.into_iter().filter(|script| !script.pure_only).collect();
    let mut sites = Vec::new();
    for (number, script) in scripts.iter().enumerate() {
        let site = CreateSite {
            id: SiteId(Uuid::new_v4()),
            name: script.name.clone(),
            domains: vec![format!("t{number}.test")],
            registration: script.registration,
        };
        cluster.store.create_site(&site).await?;
        if !script.policy.is_default() {
            let mut change = cluster.store.admin().await?;
            change.set_site_policy(site.id, &serde_json::to_string(&script.policy)?, None).await?;
            change.commit().await?;
        }
        sites.push(site.id);
    }
    let last = format!("t{}.test", scripts.len());
    cluster.add_site("The last one", &[&last], Registration::Open).await?;
    let plays = scripts.iter().zip(sites).enumerate().map(|(number, (script, site))| {
        let domain = format!("t{number}.test");
        let mut stage = Real::new(&cluster, domain, site);
        async move { Play::run(&mut stage, script).await }
    });
    report(futures::stream::iter(plays).buffer_unordered(64).collect().await)?;
    cluster.passed()
}

/// Goal: nothing of the protocol's tables is left out; method: `rows.txt` lists their rows, and texts that have to
/// occur. Every row is named by a transcript, every text is expected by one, and every operation is used.
#[test]
fn everything_is_covered() -> Result<()> {
    let scripts = scripts()?;
    let covered: BTreeSet<&str> =
        scripts.iter().flat_map(|script| &script.covers).map(String::as_str).collect();
    let expected: Vec<String> =
        scripts.iter().flat_map(|script| &script.steps).filter_map(expectation).collect();
    let rows = fs::read_to_string(Path::new(FOLDER).join("rows.txt"))?;
    let mut known = BTreeSet::new();
    let mut missing = Vec::new();
    for row in rows.lines().filter(|row| !row.is_empty() && !row.starts_with('#')) {
        if let Some(text) = row.strip_prefix("text: ") {
            if !expected.iter().any(|expected| is_like(expected, text)) {
                missing.push(row);
            }
        } else {
            let name = row.split_whitespace().next().unwrap_or_default();
            known.insert(name);
            if !covered.contains(name) {
                missing.push(row);
            }
        }
    }
    let sent: BTreeSet<u64> = scripts.iter().flat_map(|script| &script.steps).filter_map(operation).collect();
    ensure!((0..=12).all(|op| sent.contains(&op)), "of all operations only {sent:?} are sent");
    let unknown: Vec<_> = covered.difference(&known).collect();
    ensure!(missing.is_empty() && unknown.is_empty(), "missing: {missing:#?}, unknown: {unknown:?}");
    ensure!(known.len() > 80 && scripts.len() >= 30, "{} rows, {} transcripts", known.len(), scripts.len());
    Ok(())
}

/// The error text that a step expects, if it expects one.
fn expectation((_, step): &(usize, Step)) -> Option<String> {
    let Step::Does { act, .. } = step else { return None };
    match act {
        Act::Gets { frame, .. } => {
            let frame: Value = serde_json::from_str(frame).ok()?;
            frame["error"].as_str().map(str::to_owned)
        }
        Act::GetsQuit(text)
        | Act::Sends { outcome: Some(Outcome::Quit(text) | Outcome::Refused(text)), .. } => {
            Some(text.clone())
        }
        Act::Quits => Some("logout ok".to_owned()),
        _ => None,
    }
}

/// The operation of a well-formed request that a step sends.
fn operation((_, step): &(usize, Step)) -> Option<u64> {
    let Step::Does { act: Act::Sends { octets: Octets::Frame { header, .. }, .. }, .. } = step else {
        return None;
    };
    let header: Map<String, Value> = serde_json::from_str(header).ok()?;
    header.iter().find(|(name, _)| name.eq_ignore_ascii_case("op")).and_then(|(_, op)| op.as_u64())
}

/// Whether a text is this one, in which `...` stands for what differs.
fn is_like(text: &str, pattern: &str) -> bool {
    let (first, rest) =
        pattern.split_once("...").map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    let Some(left) = text.strip_prefix(first) else { return false };
    match rest {
        None => left.is_empty(),
        Some(rest) => (0..=left.len()).any(|at| left.get(at..).is_some_and(|left| is_like(left, rest))),
    }
}
