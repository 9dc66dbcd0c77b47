//! Ends a cluster's programs when the test process is gone without having done so. A killed process runs no
//! destructors, so a shell waits on a pipe that closes with us. Must never end a process that is not the cluster's: ids
//! are used again, so it looks for the cluster's folder in the command line first.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// `$1` is the cluster's folder. Reads process ids until the pipe closes; `done` means that nothing is left to do.
const SCRIPT: &str = r#"
pids=
while read -r word; do
    case $word in
        done) exit 0 ;;
        *) pids="$pids $word" ;;
    esac
done
for pid in $pids; do
    case $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) in
        *" --config $1/"* | "$1/image/"*) kill -s KILL "$pid" ;;
    esac
done
chmod -R u+w -- "$1"
rm -rf -- "$1"
"#;

/// The shell, with our end of its pipe.
pub(crate) struct Watchdog(Mutex<Child>);

impl Watchdog {
    /// Guards the programs that are run from an image in the folder, or with `--config FOLDER/…`.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: Ctrl-C at the terminal must end the test, not the one who tidies up after it.
            .process_group(0)
            .spawn()
            .context("start the watchdog")?;
        Ok(Self(Mutex::new(shell)))
    }

    /// Guards one more process.
    pub(crate) fn watch(&self, pid: u32) -> Result<()> {
        self.tell(&pid.to_string())
    }

    fn tell(&self, word: &str) -> Result<()> {
        let mut shell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = shell.stdin.as_mut().context("the watchdog has a pipe")?;
        writeln!(pipe, "{word}").context("tell the watchdog")
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.tell("done");
        let _ = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).wait();
    }
}
