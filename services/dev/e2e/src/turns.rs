//! One cluster at a time on this machine: tests that wait for leases and measure memory must not compete for two cores.
//! The lock is a file, so that it also holds between test processes, and the kernel opens it when its holder dies.

use std::env;
use std::fs::File;

use anyhow::{Context, Result};

/// Held as long as the cluster lives.
pub(crate) struct Turn(#[expect(dead_code, reason = "holding the file is the point")] File);

impl Turn {
    /// Blocks until no other cluster runs.
    pub(crate) fn take() -> Result<Self> {
        let path = env::temp_dir().join("postern-e2e.lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        file.lock().with_context(|| format!("lock {}", path.display()))?;
        Ok(Self(file))
    }
}
