//! The conformance suite for any TMTP server, played against a cluster.

use anyhow::{Context as _, Result, ensure};
use tmtp_e2e::Setup;
use tokio::process::Command;

/// Set by those who have the time for slow cases.
const SLOW: &str = "POSTERN_CONFORM_SLOW";

/// Goal: the black-box part of the conformance suite passes, with the users of each case at two gateways; method:
/// `tmtpctl conform`, with more patience than a person needs. Cases of half a minute and more are left to people; what
/// they check is checked with a clock that tests drive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_conforms() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let [first, second] = cluster.gateway_addresses()[..] else { anyhow::bail!("two gateways") };
    let output = Command::new(tmtp_e2e::binary("tmtpctl")?)
        .args(["conform", &first.to_string(), "--second", &second.to_string()])
        .args(["--insecure", "--patience", "60"])
        .args(std::env::var_os(SLOW).map(|_| "--slow"))
        .kill_on_drop(true)
        .output()
        .await
        .context("start tmtpctl")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.lines().filter(|line| line.starts_with("ok ")).count() > 400, "{said}");
    cluster.passed()
}
