//! What a device needs to log in, on the command line or in a file. It must never write a file that others can
//! read, nor overwrite one: the password in it exists nowhere else.

use std::{
    fmt,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// A user's uid and the password of one of its devices.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) uid: String,
    /// The node id.
    pub(crate) node: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("uid", &self.uid).finish_non_exhaustive()
    }
}

/// How a command is told who it is.
#[derive(clap::Args)]
pub(crate) struct Identity {
    /// File that `register --save` or `newnode --save` wrote
    #[arg(long, value_name = "FILE", required_unless_present_all = ["uid", "node"], conflicts_with_all = ["uid", "node"])]
    credentials: Option<PathBuf>,
    /// The user
    #[arg(long, requires = "node")]
    uid: Option<String>,
    /// The device's node id, which is its password; prefer --credentials: others can read command lines
    #[arg(long, requires = "uid")]
    node: Option<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn credentials(self) -> anyhow::Result<Credentials> {
        match (self.credentials, self.uid, self.node) {
            (Some(file), _, _) => Credentials::read(&file),
            (None, Some(uid), Some(node)) => Ok(Credentials { uid, node }),
            _ => anyhow::bail!("give --credentials, or --uid and --node"),
        }
    }
}

impl Credentials {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            fs::read(path).with_context(|| format!("cannot read the credentials in {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| {
            format!("{} does not hold credentials: {{\"uid\":…,\"node\":…}}", path.display())
        })
    }
}

/// A file for a secret that is about to be made.
pub(crate) struct SaveFile {
    path: PathBuf,
    file: File,
}

impl SaveFile {
    /// Makes the file before anything else happens, lest a password be made that cannot be kept.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot make {}; it must not exist yet", path.display()))?;
        Ok(Self { path, file })
    }

    pub(crate) fn write(self, credentials: &Credentials) -> anyhow::Result<()> {
        let text = serde_json::to_string(credentials).context("encode the credentials")?;
        let path = self.write_line(&text)?;
        println!("the credentials are in {}", path.display());
        Ok(())
    }

    /// Writes one line, and says where it is.
    pub(crate) fn write_line(mut self, text: &str) -> anyhow::Result<PathBuf> {
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| self.file.sync_all())
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.path)
    }

    /// Nothing came of it.
    pub(crate) fn discard(self) {
        // An empty file that stays is a nuisance, not an error.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Goal: credentials come back as they were, from a private file that is never overwritten; method: write, read,
    /// and try again.
    #[test]
    fn saved_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ann.json");
        let credentials = Credentials { uid: "U%+".into(), node: "N\"1".into() };
        SaveFile::create(path.clone()).unwrap().write(&credentials).unwrap();
        assert_eq!(Credentials::read(&path).unwrap(), credentials);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SaveFile::create(path.clone()).is_err());
        assert_eq!(Credentials::read(&path).unwrap(), credentials);
    }

    /// Goal: a discarded file is gone, and other people's JSON is refused; method: look.
    #[test]
    fn discarded_and_foreign() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        SaveFile::create(path.clone()).unwrap().discard();
        assert!(!path.exists());
        fs::write(&path, "{\"uid\":1}").unwrap();
        assert!(Credentials::read(&path).is_err());
    }
}
