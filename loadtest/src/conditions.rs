//! Under which conditions a number was taken: when, where, of what. It must never name a place on this machine.

use std::{fmt, fs, process::Command};

use jiff::Timestamp;

use crate::{Error, processes::Processes};

/// What a result is worth nothing without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// UTC, to the minute.
    pub date: String,
    /// Cores, model, memory, kernel.
    pub machine: String,
    /// Of the repository around us; `unknown` outside of one.
    pub commit: String,
    /// `release` or `debug`.
    pub generator: &'static str,
    /// The same of the server, as far as the path of its program says it.
    pub server: &'static str,
}

impl Conditions {
    /// As they are now.
    pub fn now(processes: &Processes) -> Self {
        Self {
            date: Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            machine: machine(),
            commit: commit(),
            generator: if cfg!(debug_assertions) { "debug" } else { "release" },
            server: processes.any().map_or("unknown", build_of),
        }
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "date        {}", self.date)?;
        writeln!(f, "machine     {}; loopback, load generator on the same cores", self.machine)?;
        writeln!(f, "commit      {}", self.commit)?;
        writeln!(f, "builds      server {}, load generator {}", self.server, self.generator)
    }
}

fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = value_of(&cpus, "model name").unwrap_or("unknown CPU");
    let memory = read("/proc/meminfo");
    let kibibytes: u64 = value_of(&memory, "MemTotal")
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, {} MiB, Linux {}", kibibytes / 1_024, kernel.trim())
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let is_clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    if is_clean { commit } else { format!("{commit} with changes") }
}

/// Which of cargo's folders the program of a process lies in.
fn build_of(pid: u32) -> &'static str {
    let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let has = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
    match (has("release"), has("debug")) {
        (true, false) => "release",
        (false, true) => "debug",
        _ => "unknown",
    }
}

/// Fails if this process may not have so many files open.
pub(crate) fn require_open_files(needed: u64) -> Result<(), Error> {
    let problem = |cause| Error::System { what: "cannot read the limits of this process".into(), cause };
    let limits = fs::read_to_string("/proc/self/limits").map_err(problem)?;
    let allowed = open_files(&limits).unwrap_or(u64::MAX);
    if needed > allowed { Err(Error::OpenFiles { needed, allowed }) } else { Ok(()) }
}

/// The soft limit; `None` if there is none.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a number comes with its conditions; method: take them here, where they exist, and look for gaps.
    #[test]
    fn conditions_are_complete() {
        let conditions = Conditions::now(&Processes::given(vec![std::process::id()]));
        assert_eq!(conditions.date.len(), "2026-11-24 00:30 UTC".len(), "{conditions}");
        assert!(
            conditions.machine.contains("cores of ") && !conditions.machine.contains(" 0 MiB"),
            "{conditions}"
        );
        assert_eq!(conditions.generator, conditions.server, "a test is its own server here");
    }

    /// Goal: too few files are noticed before the run; method: limits as the kernel writes them, and our own.
    #[test]
    fn limits() {
        let line = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 4096     files\n";
        assert_eq!(open_files(line), Some(1_024));
        assert_eq!(open_files("Max open files   unlimited   unlimited  files"), None);
        assert!(require_open_files(1).is_ok());
        let error = require_open_files(u64::MAX - 1);
        assert!(error.is_err_and(|error| error.to_string().contains("ulimit -n")));
    }
}
