//! The account that runs a server: ours, or the server's own when we are root. Must never run a server as root,
//! if there is an account for it: a Redis of root lets everybody who reaches its port write files.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::{User, geteuid};

/// `None` means ourselves.
pub(crate) struct Account(Option<User>);

impl Account {
    /// The named account if we are root, else ourselves; `None` when we are root and it does not exist.
    pub(crate) fn find(name: &str) -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(Some(Self::ourselves()));
        }
        let user = User::from_name(name).with_context(|| format!("look up user {name}"))?;
        Ok(user.map(|user| Self(Some(user))))
    }

    pub(crate) fn ourselves() -> Self {
        Self(None)
    }

    /// Gives the file or directory to the account.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        let Some(user) = &self.0 else { return Ok(()) };
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("give {} to user {}", path.display(), user.name))
    }

    /// Makes the command run as the account, without our other groups.
    pub(crate) fn lend(&self, command: &mut Command) {
        if let Some(user) = &self.0 {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
    }
}
