//! The snapshot of the repository's text files that the rules look at.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Bigger files are data; no rule is about them.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One text file: its path from the root with `/`, and its content.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    /// Extensions count in lower case only, as the tools that read these files count them.
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        self.name().rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    /// Whether the file holds tests only, by its place.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/benches/")
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The directory, without a slash at its end; empty for the root.
    pub(crate) fn dir(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(dir, _)| dir)
    }
}

/// All text files that git tracks or would track, sorted by path.
pub(crate) struct Tree {
    files: Vec<File>,
}

impl Tree {
    /// Reads the repository at `root`. New files count before they are added, ignored ones never.
    ///
    /// # Errors
    /// When `root` is no git repository, or a file cannot be read.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .context("run git")?;
        ensure!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
        let listing = String::from_utf8(listing.stdout).context("a path that is not UTF-8")?;
        let mut files = Vec::new();
        for path in listing.split_terminator('\0') {
            files.extend(load_file(root, path).with_context(|| format!("read {path}"))?);
        }
        Ok(Self::sorted(files))
    }

    /// A tree of the given paths and contents.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self::sorted(files.iter().map(file).collect())
    }

    fn sorted(mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.is_rust())
    }

    /// Every Cargo.toml.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.name() == "Cargo.toml")
    }
}

/// `None` for what is no text file: links, data, and files that are deleted but still in the index.
fn load_file(root: &Path, path: &str) -> Result<Option<File>> {
    let full = root.join(path);
    let Ok(metadata) = fs::symlink_metadata(&full) else { return Ok(None) };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Ok(None);
    }
    let text = String::from_utf8(fs::read(&full)?).ok();
    Ok(text.map(|text| File { path: path.to_owned(), text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tracked and new files are read, ignored and binary ones are not: make a repository with one of each.
    #[test]
    fn the_right_files_are_read() {
        let root = std::env::temp_dir().join(format!("postern-xtask-tree-{}", std::process::id()));
        fs::create_dir_all(root.join("sub")).unwrap();
        for (path, content) in
            [("sub/a.rs", &b"//! A."[..]), ("b", b"\xff\xfe"), (".gitignore", b"c\n"), ("c", b"ignored")]
        {
            fs::write(root.join(path), content).unwrap();
        }
        let init = Command::new("git").args(["init", "--quiet"]).current_dir(&root).status().unwrap();
        assert!(init.success());
        let tree = Tree::load(&root);
        fs::remove_dir_all(&root).unwrap();
        let paths: Vec<String> = tree.unwrap().files().map(|file| file.path.clone()).collect();
        assert_eq!(paths, [".gitignore", "sub/a.rs"]);
    }
}
