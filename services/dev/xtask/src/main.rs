//! Checks of the repository itself: `cargo xtask tidy`.
//!
//! Must never change a file; it says what to change and where.

mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str =
    "usage: cargo xtask tidy    check the repository; prints PATH:LINE: WHAT TO DO, and fails if any";

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => run_tidy(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("{USAGE}"),
    }
}

fn run_tidy() -> Result<ExitCode> {
    let tree = tidy::Tree::load(&workspace_root()?)?;
    let problems = tidy::check(&tree);
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} to put right", problems.len());
    Ok(ExitCode::FAILURE)
}

/// The nearest directory upwards whose Cargo.toml declares a workspace.
fn workspace_root() -> Result<PathBuf> {
    let start = std::env::current_dir().context("find the current directory")?;
    let is_root = |dir: &&std::path::Path| {
        std::fs::read_to_string(dir.join("Cargo.toml"))
            .is_ok_and(|text| text.contains("[workspace]\nresolver"))
    };
    let root = start.ancestors().find(is_root).context("not inside the workspace")?;
    Ok(root.to_owned())
}
