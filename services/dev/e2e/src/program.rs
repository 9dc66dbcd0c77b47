//! One process of ours, with its settings, its log and its monitor port. Keeps its child under a lock, so that a test
//! can kill what another task of it uses. Must never signal an id whose process it has already waited for.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tmtp_chassis::logs::PANIC;
use tmtp_testkit::{eventually, free_port};

use crate::watchdog::Watchdog;
use crate::{Image, binaries, http};

/// A debug build on a loaded machine; an idle one is ready within a second.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// Longer than the programs' own grace.
const END_DEADLINE: Duration = Duration::from_secs(40);
/// Lines of a log that a failure shows.
const TAIL: usize = 40;

/// A program that was started at least once.
pub struct Program {
    name: String,
    binary: &'static str,
    image: Option<Arc<Image>>,
    /// The cluster's folder, which marks the process as the cluster's.
    folder: PathBuf,
    environment: Vec<(String, String)>,
    monitor: SocketAddr,
    watchdog: Arc<Watchdog>,
    child: Mutex<Option<Child>>,
}

/// What a program is started from.
pub(crate) struct Plan {
    /// As in `tmtp-gateway`.
    pub(crate) binary: &'static str,
    /// Names the log.
    pub(crate) name: String,
    /// Settings, as environment variables.
    pub(crate) environment: Vec<(String, String)>,
    /// The cluster's.
    pub(crate) folder: PathBuf,
    /// Where the binary is taken from, unless from where it was built.
    pub(crate) image: Option<Arc<Image>>,
    /// The cluster's.
    pub(crate) watchdog: Arc<Watchdog>,
}

impl Program {
    /// Starts the process, and does not wait for it.
    pub(crate) fn spawn(plan: Plan) -> Result<Self> {
        let monitor = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut environment = plan.environment;
        environment.push(("TMTP_MONITOR__ADDRESS".to_owned(), monitor.to_string()));
        let program = Self {
            binary: plan.binary,
            image: plan.image,
            name: plan.name,
            folder: plan.folder,
            environment,
            monitor,
            watchdog: plan.watchdog,
            child: Mutex::new(None),
        };
        program.start_process()?;
        Ok(program)
    }

    /// Such as `gateway-0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A setting that it was started with, such as `listen.address`.
    pub fn setting(&self, key: &str) -> Option<&str> {
        let variable = crate::setup::variable(key);
        self.environment.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.as_str())
    }

    /// The id of the running process.
    pub fn pid(&self) -> Result<i32> {
        let child = self.child();
        let child = child.as_ref().with_context(|| format!("{} does not run", self.name))?;
        i32::try_from(child.id()).context("a process id beyond i32")
    }

    /// Ends the process as a crash would, at once.
    pub fn kill(&self) -> Result<()> {
        let mut child = self.child().take().with_context(|| format!("{} does not run", self.name))?;
        child.kill().context("kill")?;
        child.wait().context("wait for the killed process")?;
        Ok(())
    }

    /// Asks the process to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not end within its grace; it goes on running then.
    pub async fn terminate(&self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let what = format!("{} to end", self.name);
        let status = eventually(END_DEADLINE, &what, async || {
            self.child().as_mut().and_then(|child| child.try_wait().transpose())
        });
        let status = status.await?.context("wait for the process")?;
        *self.child() = None;
        Ok(status)
    }

    /// Stops the process where it is (SIGSTOP), like a stalled machine.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Ends a [`Program::pause`].
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Kills the process if it runs, starts it anew on its old ports, and waits until it is ready.
    pub async fn restart(&self) -> Result<()> {
        if self.child().is_some() {
            self.kill()?;
        }
        self.start_process()?;
        self.ready().await
    }

    /// Waits until the process says that it is ready.
    ///
    /// # Errors
    /// When it ends instead, or takes too long.
    pub async fn ready(&self) -> Result<()> {
        let what = format!("{} to be ready", self.name);
        let ready = eventually(START_DEADLINE, &what, async || {
            match self.exit_status() {
                Ok(None) => {}
                Ok(Some(status)) => return Some(Err(anyhow::anyhow!("{} ended ({status})", self.name))),
                Err(error) => return Some(Err(error)),
            }
            let answer = http::get(self.monitor, "/readyz").await.ok()?;
            (answer.status == 200).then_some(Ok(()))
        });
        ready.await.flatten().with_context(|| self.log_tail())
    }

    /// Whether it says of itself that it is ready. False while it does not answer.
    pub async fn is_ready(&self) -> bool {
        http::get(self.monitor, "/readyz").await.is_ok_and(|answer| answer.status == 200)
    }

    /// Its metrics as a scraper sees them.
    pub async fn scrape(&self) -> Result<String> {
        Ok(http::get(self.monitor, "/metrics").await?.text)
    }

    /// The value of a metric, summed over its labels.
    ///
    /// # Errors
    /// When the program does not answer, or has no such metric.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        metric_in(&self.scrape().await?, name).with_context(|| self.name.clone())
    }

    /// The most memory that the process has had resident so far, in octets.
    pub fn peak_memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid()?);
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")?;
        Ok(kib << 10)
    }

    /// Everything the program has logged, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Checks that the running process is what the image's should be.
    ///
    /// # Errors
    /// With what is different, or when it does not run from an image.
    pub fn check_as_image(&self) -> Result<()> {
        let image = self.image.as_ref().with_context(|| format!("{} is not the image's", self.name))?;
        image.check(self.pid()?, self.binary, &self.log_path()).with_context(|| self.name.clone())
    }

    /// The end of it.
    pub fn log_tail(&self) -> String {
        tail(&self.name, &self.log())
    }

    /// What is wrong with the process now: it ended by itself, or a bug showed in its log.
    pub(crate) fn complaint(&self) -> Option<String> {
        if let Ok(Some(status)) = self.exit_status() {
            return Some(format!("{} ended by itself ({status})", self.name));
        }
        has_panicked(&self.log()).then(|| format!("{} has panicked", self.name))
    }

    fn start_process(&self) -> Result<()> {
        let config = self.folder.join(format!("{}.toml", self.name));
        File::create(&config).context("make the configuration file")?;
        let log = File::options().create(true).append(true).open(self.log_path()).context("open the log")?;
        let mut command = match &self.image {
            Some(image) => image.command(self.binary),
            None => Command::new(binaries::find(self.binary)?),
        };
        if self.image.is_none() {
            command.current_dir(&self.folder).env_clear();
        }
        let child = command
            // Nothing but this marks the process as ours, for the watchdog.
            .arg("--config")
            .arg(&config)
            .arg("run")
            .envs(["PATH", "RUST_BACKTRACE"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.binary))?;
        self.watchdog.watch(child.id())?;
        *self.child() = Some(child);
        Ok(())
    }

    /// `None` while it runs, or if it was ended on purpose.
    fn exit_status(&self) -> Result<Option<ExitStatus>> {
        match self.child().as_mut() {
            Some(child) => child.try_wait().context("look after the process"),
            None => Ok(None),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid()?);
        kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing to be done about one that cannot be killed.
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The end of somebody's log.
pub(crate) fn tail(name: &str, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
    format!("the log of {name} ends with:\n  {tail}\n")
}

/// The value of a metric in what a program shows, summed over its labels.
pub(crate) fn metric_in(text: &str, name: &str) -> Result<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    });
    let values: Vec<f64> = values.collect();
    ensure!(!values.is_empty(), "there is no metric {name}");
    Ok(values.iter().sum())
}

/// Whether a log shows a bug: a panic of a task, which need not end its process, as the programs log it, or as the
/// standard library says it before they do.
pub(crate) fn has_panicked(log: &str) -> bool {
    log.contains(PANIC) || log.contains("panicked at")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a panic in any task is seen, and nothing else is taken for one. Method: lines of every kind.
    #[test]
    fn panics_are_seen() {
        let human = format!("2026-11-25T00:00:00Z ERROR tmtp_chassis::logs: {PANIC} location=\"a.rs:1:1\"");
        let json = format!(r#"{{"level":"ERROR","message":"{PANIC}","location":"a.rs:1:1"}}"#);
        for line in [&human, &json, "thread 'main' panicked at a.rs:1:1:"] {
            assert!(has_panicked(&format!("INFO ready\n{line}\nINFO drained\n")), "{line}");
        }
        assert!(!has_panicked("INFO ready\nERROR do not panic, says the client\n"));
    }
}
