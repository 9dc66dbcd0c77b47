//! The admin API against requests that nobody would write, made of its own document by Schemathesis.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tmtp_e2e::Setup;

use crate::administration::bootstrap;

/// The variable that says where the program is; `deploy/local/test` sets it.
const VARIABLE: &str = "POSTERN_TEST_SCHEMATHESIS";
/// Requests of each kind to each operation, at most.
const EXAMPLES: &str = "6";
/// Kinds of changes that such a run makes at least; without them it would have tried nothing but refusals.
const CHANGES: usize = 10;
/// The same requests each time: what is found can be found again.
const SEED: &str = "20261126";

/// Goal: whatever is sent to the API, it never fails and never answers what its document does not say; method: requests
/// made of the document, good ones and bad ones, with the operator's key, to a cluster with a site, a member, a group, an
/// invite and a provider that they are about. What ends the site or the key itself is aimed at others.
#[tokio::test]
async fn nothing_undocumented() -> Result<()> {
    let program = std::env::var(VARIABLE).with_context(|| {
        format!(
            "{VARIABLE} is not set: run the tests with ./deploy/local/test, or set it to the path of schemathesis \
             (pip install schemathesis)"
        )
    })?;
    let cluster = Setup::new()
        .with_admin()
        .admin_setting("limits.requests_per_minute", "1000000")
        .admin_setting("limits.failures_per_minute", "1000000")
        .start()
        .await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let site = operator.ask("site create --name Tried --domain tried.test --registration open")?;
    let other = operator.ask("site create --name Other --domain other.test --registration open")?;
    let served =
        async || cluster.gateway(0).at("tried.test").greeting().await.is_ok_and(|said| said.name == "Tried");
    tmtp_testkit::eventually(tmtp_e2e::WAIT, "the site to be served", async || served().await.then_some(()))
        .await?;
    let ann = cluster.gateway(0).at("tried.test").connect_as("ann", "Ann of the tried").await?;
    let ben = cluster.gateway(0).at("tried.test").connect_as("ben", "Ben of the tried").await?;
    let invite = operator.ask("invite create tried.test --max-uses 5")?;
    // It may end: the operator's own must not.
    let key = operator.ask("key create --name spare --role readonly --site tried.test")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let config = format!(
        r#"
        [parameters]
        "path.site" = "{site}"
        "path.uid" = "{uid}"
        "path.invite" = "{invite}"
        "path.num" = "1"
        "path.gid" = "The tried team"
        "path.alias" = "Ann of the tried"
        "path.name" = "A name to try"
        "path.domain" = "tried.test"
        "path.provider" = "corp"
        "path.key" = "{key}"

        [[operations]]
        include-operation-id = ["delete_site", "suspend_site", "restore_site"]
        [operations.parameters]
        "path.site" = "{other}"

        [[operations]]
        include-operation-id = "erase_member"
        [operations.parameters]
        "path.uid" = "{erased}"
        "#,
        site = text(&site["id"]),
        other = text(&other["id"]),
        uid = ann.uid(),
        erased = ben.uid(),
        invite = text(&invite["id"]),
        key = text(&key["id"]),
    );
    let file = folder.path().join("schemathesis.toml");
    fs::write(&file, config).context("write the settings")?;
    let token = fs::read_to_string(folder.path().join("operator")).context("read the key")?;
    let url = cluster.admin_url()?;
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let mut command = Command::new(program);
    command
        .arg("--config-file")
        .arg(&file)
        .args(["run", &format!("{url}/v1/openapi.json"), "--url", &url])
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--phases", "examples,coverage,fuzzing", "--checks", checks])
        .args(["--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure", "--no-shrink"])
        .args(["--request-timeout", "40", "--warnings", "off", "--suppress-health-check", "all"])
        .current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .context("wait for schemathesis")?
        .context("start schemathesis")?;
    let said = String::from_utf8_lossy(&output.stdout).replace(token.trim(), "…");
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let log = operator.ask("audit --most 10000")?;
    let actions: BTreeSet<&str> =
        log.as_array().into_iter().flatten().filter_map(|entry| entry["action"].as_str()).collect();
    ensure!(actions.len() >= CHANGES, "only {actions:?} were tried with success");
    cluster.passed()
}
