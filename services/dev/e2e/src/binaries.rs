//! Where our programs are. `cargo test` builds them only for some selections of packages, so the first test of a
//! process asks cargo to bring them up to date. Must never download anything: the tests run without a network.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

/// Packages whose programs are run. This one is named as well, so that cargo chooses the same features of the
/// libraries as for the tests, and does not compile them twice.
const PACKAGES: &[&str] = &["tmtp-e2e", "tmtp-gateway", "tmtp-worker", "tmtp-admin", "tmtpctl"];

/// The program of this name, built as the tests are. Blocks; the first call of a process may compile.
///
/// # Errors
/// When cargo cannot build it; its own words are on standard error then.
pub fn find(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOLDER.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(folder) => Ok(folder.join(name)),
        Err(text) => bail!("no programs to test: {text}"),
    }
}

/// Builds all of them with the profile of the running test, and gives their folder.
fn build() -> Result<PathBuf> {
    let test = env::current_exe().context("find the running test")?;
    // Tests are in TARGET/PROFILE/deps, programs in TARGET/PROFILE.
    let deps = test.ancestors().find(|path| path.ends_with("deps")).context("the test is not in `deps`")?;
    let folder = deps.parent().context("`deps` has no parent")?;
    let target = folder.parent().context("the profile's folder has no parent")?;
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "--offline", "--bins", "--profile", profile(folder)?])
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "`cargo build` of {} failed ({status})", PACKAGES.join(", "));
    Ok(folder.to_owned())
}

/// Cargo names the folder after the profile, but for the oldest one.
fn profile(folder: &Path) -> Result<&str> {
    let name =
        folder.file_name().and_then(|name| name.to_str()).context("the profile's folder has no name")?;
    Ok(if name == "debug" { "dev" } else { name })
}
