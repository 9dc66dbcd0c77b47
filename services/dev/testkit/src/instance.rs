//! One server process with its directory: starting, signalling, and making sure that it ends with us.
//!
//! Rust runs no destructors for statics, and none at all in a killed process. So each instance has a watchdog:
//! a shell that waits on a pipe held by us. When we are gone, for whatever reason, the pipe closes, and the
//! shell ends the server and removes the directory. Must never signal a process that is not the server: the
//! shell compares the command line first, because process ids are used again.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::wait::wait_until;

/// A server that has not ended by then is killed. A fast Postgres shutdown writes a checkpoint first.
const END_GRACE: Duration = Duration::from_secs(30);

/// `$1` is the directory, `$2` a text found in the server's command line only, `$3` the signal to end it.
const WATCHDOG: &str = r#"
pid=
while read -r word value; do
    case $word in
        pid) pid=$value ;;
        done) exit 0 ;;
    esac
done
ours() { [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2"; }
tries=0
ours "$@" && kill -s "$3" "$pid"
while ours "$@" && [ "$tries" -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
ours "$@" && kill -s KILL "$pid"
rm -rf -- "$1"
"#;

/// A directory, at most one server process that lives in it, and the watchdog of both.
pub(crate) struct Instance {
    dir: TempDir,
    log: PathBuf,
    end_signal: Signal,
    watchdog: Child,
    server: Option<Child>,
}

impl Instance {
    /// Makes the directory and its watchdog; no server runs yet. `mark` is a text that only this server's
    /// command line holds, `end_signal` ends it quickly without leaving anything behind in the kernel.
    pub(crate) fn new(dir: TempDir, mark: &str, end_signal: Signal) -> Result<Self> {
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(dir.path())
            .args([mark, end_signal.as_str().trim_start_matches("SIG")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: Ctrl-C at the terminal must end us, not the one who tidies up after us.
            .process_group(0)
            .spawn()
            .context("start the watchdog shell")?;
        let log = dir.path().join("server.log");
        Ok(Self { dir, log, end_signal, watchdog, server: None })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The running server's process id; `None` while it is stopped.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.server.as_ref().and_then(|server| i32::try_from(server.id()).ok())
    }

    /// Starts the server, with its output appended to the log, and waits until `ready` says so.
    pub(crate) fn start(
        &mut self,
        command: &mut Command,
        deadline: Duration,
        mut ready: impl FnMut(i32) -> bool,
    ) -> Result<()> {
        // One that a test has killed by its id is no obstacle.
        let runs = |server: &mut Child| server.try_wait().is_ok_and(|ended| ended.is_none());
        if self.server.as_mut().is_some_and(runs) {
            bail!("the server in {} runs already", self.dir().display());
        }
        let output = open_log(&self.log)?;
        let server = command
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the log")?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        self.server = Some(server);
        let pid = self.pid().context("a process id beyond i32")?;
        self.tell_watchdog(&format!("pid {pid}\n"))?;

        let what = format!("{} to be ready", command.get_program().display());
        let server = self.server.as_mut().context("the server just started")?;
        let started = wait_until(deadline, &what, || {
            if let Some(status) = server.try_wait().context("look after the server")? {
                bail!("the server ended at once ({status})");
            }
            Ok(ready(pid).then_some(()))
        });
        let end_signal = self.end_signal;
        started.inspect_err(|_| drop(self.end(end_signal))).with_context(|| self.log_tail())
    }

    /// Sends `signal` and waits for the end of the process. Nothing happens when none runs.
    ///
    /// # Errors
    /// When it had to be killed after the grace; it is gone then, too.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let pid = Pid::from_raw(i32::try_from(server.id()).context("a process id beyond i32")?);
        // A process that has just ended by itself is still ours to wait for, so its id is not used again.
        let _ = kill(pid, signal);
        // A test may have paused it; a stopped process takes no other signal.
        let _ = kill(pid, Signal::SIGCONT);
        let ended =
            wait_until(END_GRACE, "the server to end", || server.try_wait().context("wait for the server"));
        if ended.is_err() {
            let _ = server.kill();
            let _ = server.wait();
        }
        self.tell_watchdog("pid\n")?;
        ended.map(drop).with_context(|| format!("killed after {END_GRACE:?}; see {}", self.log.display()))
    }

    /// Where the log is and what it says at its end; for error messages.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n  ");
        format!("the log {} ends with:\n  {tail}\n", self.log.display())
    }

    fn tell_watchdog(&mut self, line: &str) -> Result<()> {
        let pipe = self.watchdog.stdin.as_mut().context("the watchdog has a pipe")?;
        pipe.write_all(line.as_bytes()).context("tell the watchdog")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.end(self.end_signal);
        let _ = self.tell_watchdog("done\n");
        let _ = self.watchdog.wait();
    }
}

/// Opens the log for appending.
pub(crate) fn open_log(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open the log {}", path.display()))
}
