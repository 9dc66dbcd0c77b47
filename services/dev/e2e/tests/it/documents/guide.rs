//! The way from an empty cluster to a first message, as `deploy/README.md` has it.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tmtp_chart::{Chart, yaml};
use tmtp_domain::{KeySecret, Registration};
use tmtp_e2e::Setup;
use tmtp_testkit::wait_until;

use super::fences::{Fence, console, fences, read};

/// The page.
pub const GUIDE: &str = "deploy/README.md";
/// Its commands wait for a site to be served, and for messages.
const WITHIN: Duration = Duration::from_mins(5);

/// Goal: what the guide says works, word for word. Method: run all its blocks for the shell, one after the other in one
/// shell, on a cluster whose addresses stand where the reader's would; then look for what they must have done.
#[tokio::test]
async fn the_guide_leads_to_a_first_message() -> Result<()> {
    let cluster = Setup::new().with_admin().without_default_site().start().await?;
    let blocks: Vec<String> = fences(&read(GUIDE)?)?
        .into_iter()
        .filter(|fence| fence.language == "sh")
        .map(|fence| fence.lines.join("\n"))
        .collect();
    ensure!(blocks.len() >= 6, "the guide has only {} blocks to run", blocks.len());

    let folder = tempfile::tempdir()?;
    let programs = tmtp_e2e::binary("tmtpctl")?;
    let programs = programs.parent().context("a program without a folder")?.display();
    let log = folder.path().join("log");
    let output = std::fs::File::create(&log)?;
    let mut shell = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", &blocks.join("\n")])
        .env_clear()
        .env("PATH", format!("{programs}:{}", env::var("PATH")?))
        .env("DATABASE_URL", cluster.database_url())
        .env("ADMIN_URL", cluster.admin_url()?)
        .env("SERVER", cluster.gateway(0).address().to_string())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("start bash")?;
    let ended = tokio::task::spawn_blocking(move || {
        let status = wait_until(WITHIN, "the guide's commands", || Ok(shell.try_wait()?));
        if status.is_err() {
            // Whatever it waits for does not come.
            let _ = shell.kill();
            let _ = shell.wait();
        }
        status
    });
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let status = ended.await?.with_context(said)?;
    ensure!(status.success(), "{}", said());

    let file =
        |name: &str| std::fs::read_to_string(folder.path().join(name)).with_context(|| name.to_owned());
    ensure!(file("heard.txt")?.contains("hello, Ben"), "{}", said());
    let site = cluster.store.site_by_domain("tmtp.example.org").await?.context("no site")?;
    assert_eq!((site.name.as_str(), site.registration), ("Example", Registration::Invite));
    for name in ["operator.key", "admin.key"] {
        let secret = KeySecret::parse(file(name)?.trim()).with_context(|| format!("{name} holds no key"))?;
        ensure!(cluster.store.use_key(&secret.hash()).await?.is_some(), "the key in {name} opens nothing");
    }
    cluster.passed()
}

/// Goal: all values that the guide shows are values of the chart. Method: have Helm render each block of them, on top of those
/// that the guide installs, or alone if they are for a trial.
#[test]
fn the_values_shown_are_taken() -> Result<()> {
    let blocks = fences(&read(GUIDE)?)?;
    let folder = tempfile::tempdir()?;
    let install = folder.path().join("values.yaml");
    std::fs::write(&install, values(&blocks)?)?;
    let chart = Chart::open()?;
    let shown: Vec<String> =
        blocks.iter().filter(|fence| fence.language == "yaml").map(|fence| fence.lines.join("\n")).collect();
    ensure!(shown.len() >= 3, "the guide shows only {} blocks of values", shown.len());
    for text in shown {
        let values = yaml(&text)?.into_iter().next().with_context(|| format!("nothing in {text}"))?;
        let fields = values.as_object().with_context(|| format!("no values: {text}"))?;
        let changes: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let base = Some(install.as_path()).filter(|_| !fields.contains_key("trial"));
        chart.template(base, &changes).with_context(|| text.clone())?;
    }
    Ok(())
}

/// The values with which the guide installs the chart.
pub fn values(blocks: &[Fence]) -> Result<String> {
    let begins =
        |fence: &&Fence| fence.lines.first().is_some_and(|line| line.starts_with("cat >values.yaml"));
    let lines = &blocks.iter().find(begins).context("the guide has no values")?.lines;
    ensure!(lines.last().is_some_and(|line| line == "END"), "values without an end");
    Ok(lines[1..lines.len() - 1].join("\n") + "\n")
}

/// Goal: the guide's commands for other consoles are of this release, as far as can be told here. Method: no `tmtpctl` among
/// them, which a shell could run; and all that they need is made before: files by earlier blocks.
#[test]
fn what_can_run_is_run() -> Result<()> {
    for command in console(&fences(&read(GUIDE)?)?) {
        let program = command.split(' ').next().unwrap_or_default();
        ensure!(
            ["docker", "kubectl", "helm", "export"].contains(&program),
            "`{command}` could run here: let it stand in a block for the shell"
        );
    }
    Ok(())
}
