//! The blocks of code in a Markdown file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// A block between two lines of backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// What stands behind the first backticks: `sh`, `console`, `promql`.
    pub language: String,
    /// Without the indentation that the backticks have.
    pub lines: Vec<String>,
}

/// A file of the repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// What is in it.
pub fn read(name: &str) -> Result<String> {
    fs::read_to_string(path(name)).with_context(|| format!("read {name}"))
}

/// All blocks, in their order.
pub fn fences(text: &str) -> Result<Vec<Fence>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Fence)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some((indent, Fence { language: language.trim().to_owned(), lines: Vec::new() }));
            }
            (Some(_), Some("")) => found.extend(open.take().map(|(_, fence)| fence)),
            (Some((indent, fence)), None) => {
                fence.lines.push(line.get(*indent..).unwrap_or_default().to_owned());
            }
            (Some(_), Some(other)) => anyhow::bail!("a block within a block: {other}"),
            (None, None) => {}
        }
    }
    ensure!(open.is_none(), "a block that does not end");
    Ok(found)
}

/// The commands of blocks for people's consoles: what stands behind `$ `, continued lines joined.
pub fn console(fences: &[Fence]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for fence in fences.iter().filter(|fence| fence.language == "console") {
        let mut goes_on = false;
        for line in &fence.lines {
            let (text, more) = match line.strip_suffix('\\') {
                Some(text) => (text, true),
                None => (line.as_str(), false),
            };
            match (text.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push(command.trim_end().to_owned()),
                (None, Some(last)) if goes_on => *last = format!("{last} {}", text.trim()),
                // What a command prints.
                _ => {}
            }
            goes_on = more;
        }
    }
    commands
}

/// Goal: blocks are found as readers see them. Method: indented ones, one that goes on, and output.
#[test]
fn blocks_are_found() -> Result<()> {
    let text =
        "a\n```sh\none\n  two\n```\n1. b\n\n   ```console\n   $ three \\\n       four\n   printed\n   ```\n";
    let found = fences(text)?;
    assert_eq!(found[0], Fence { language: "sh".into(), lines: vec!["one".into(), "  two".into()] });
    assert_eq!(console(&found), ["three four"]);
    assert!(fences("```sh\n").is_err());
    Ok(())
}
