//! A site's life as its provider and its members see it: made, suspended and resumed through the admin API with
//! `tmtpctl`, and felt at the gateways.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tmtp_e2e::{Cluster, DEFAULT_SITE, End, Setup, WAIT};
use tmtp_testkit::eventually;

/// Somebody with a key to the API.
struct Person<'c> {
    cluster: &'c Cluster,
    folder: &'c TempDir,
    /// The file of the key.
    key: &'static str,
}

impl Person<'_> {
    /// Runs `tmtpctl COMMAND --json …` with the key, and gives what the API answered.
    fn ask(&self, line: &str) -> Result<Value> {
        let (success, said) = self.run(line)?;
        ensure!(success, "{line}: {said}");
        serde_json::from_str(&said).with_context(|| format!("{line}: {said}"))
    }

    /// The complaint of a command that has to fail.
    fn fail(&self, line: &str) -> Result<String> {
        let (success, said) = self.run(line)?;
        ensure!(!success, "{line} succeeds: {said}");
        Ok(said)
    }

    fn run(&self, line: &str) -> Result<(bool, String)> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let output = Command::new(tmtp_e2e::binary("tmtpctl")?)
            .args([command, "--json", "--token-file", self.key, "--api", &self.cluster.admin_url()?])
            .args(rest.split(' ').filter(|word| !word.is_empty()))
            .current_dir(self.folder.path())
            .env_clear()
            .output()
            .context("start tmtpctl")?;
        let said = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }
}

/// Makes the first key, as who brings the deployment up does.
fn bootstrap<'c>(cluster: &'c Cluster, folder: &'c TempDir) -> Result<Person<'c>> {
    let status = Command::new(tmtp_e2e::binary("tmtpctl")?)
        .args(["bootstrap", "key", "--name", "first", "--save", "operator"])
        .current_dir(folder.path())
        .env_clear()
        .env("DATABASE_URL", cluster.database_url())
        .status()
        .context("start tmtpctl")?;
    ensure!(status.success(), "no key was made");
    Ok(Person { cluster, folder, key: "operator" })
}

/// Goal: one call makes a site that serves at once; a suspension ends its sessions and lets nobody in, and concerns
/// nobody else; what happened stands in the audit log; a key for one site reaches no other. Method: live through it
/// with two gateways, one member there and one elsewhere.
#[tokio::test]
async fn a_site_is_made_suspended_and_resumed() -> Result<()> {
    let cluster = Setup::new().with_admin().start().await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let site = operator.ask("site create --name Third --domain third.test --registration open")?;
    assert_eq!(site["name"], "Third");
    for number in 0..2 {
        let gateway = cluster.gateway(number).at("third.test");
        let served = async || gateway.greeting().await.is_ok_and(|said| said.name == "Third").then_some(());
        eventually(WAIT, "the new site to be served", served).await?;
    }
    let mut ann = cluster.gateway(0).at("third.test").connect_as("ann", "Ann of the third").await?;
    let mut eve = cluster.gateway(0).connect("eve").await?;

    let suspended = operator.ask("site suspend third.test --reason unpaid")?;
    assert_eq!(suspended["status"], "suspended");
    assert!(matches!(ann.end().await?, End::Quit(_)));
    let third = cluster.gateway(1).at("third.test");
    assert!(third.try_login(ann.account()).await.is_err(), "a suspended site lets users in");
    eve.expect_nothing_else().await?;

    operator.ask("site resume third.test")?;
    let back = async || third.try_login(ann.account()).await.ok();
    eventually(WAIT, "ann to be let in again", back).await?;

    let log = operator.ask("audit --site third.test")?;
    let actions: Vec<&str> =
        log.as_array().into_iter().flatten().filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, ["site.resume", "site.suspend", "site.create"]);

    operator.ask("key create --name helper --role admin --site third.test --save helper")?;
    let helper = Person { key: "helper", ..operator };
    let seen = helper.ask("site list")?;
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
    let refusal = helper.fail("site suspend third.test --reason no")?;
    assert!(refusal.contains("(forbidden"), "{refusal}");
    let refusal = helper.fail(&format!("site show {DEFAULT_SITE}"))?;
    assert!(refusal.contains("no site has the host name"), "{refusal}");
    cluster.passed()
}
