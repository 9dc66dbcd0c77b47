//! A private PostgreSQL server: own data directory, own socket directory, own port on 127.0.0.1.
//!
//! Durable settings stay on, because tests of durability run against it. Must never run as root (Postgres
//! refuses that) and must never listen on anything but 127.0.0.1.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::account::Account;
use crate::instance::{Instance, open_log};
use crate::port::free_port;

/// Generous, for a loaded machine of two cores; a start takes a fraction of a second, and longer only when a
/// crash is recovered from.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// What differs from the server's defaults. The first three are defaults, spelled out because tests rely on
/// them.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "shared_buffers=64MB",
];

/// A running private Postgres. Dropping it stops it and removes its directory.
///
/// Its super user is `postgres`, and everybody on this machine may connect without a password.
pub struct Postgres {
    instance: Mutex<Instance>,
    binaries: PathBuf,
    port: u16,
}

impl Postgres {
    /// Creates an empty cluster in a temporary directory and starts it; takes about a second.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start; the message holds the end of its log.
    pub fn start() -> Result<Self> {
        let binaries = find_binaries()?;
        let port = free_port();
        let dir =
            tempfile::Builder::new().prefix("postern-postgres-").tempdir().context("make a directory")?;
        let data = dir.path().join("data");
        // The data directory stands in the command line, and nowhere else.
        let mark = data.to_str().context("the temporary directory's name is not UTF-8")?.to_owned();
        // Immediate shutdown: nobody will start this data directory again.
        let instance = Instance::new(dir, &mark, Signal::SIGQUIT)?;
        let account = account()?;
        account.own(instance.dir())?;
        initialize(&binaries, &account, &instance, &data)?;
        let postgres = Self { instance: Mutex::new(instance), binaries, port };
        postgres.start_again()?;
        Ok(postgres)
    }

    /// The URL of a database on this server, for the super user, over TCP. Needs no running server; the
    /// database need not exist. `postgres` always exists.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The TCP port on 127.0.0.1; stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with everything the server has said since [`Postgres::start`].
    pub fn log(&self) -> PathBuf {
        self.instance().log().to_owned()
    }

    /// The process id of the postmaster; `None` while it is stopped.
    pub fn pid(&self) -> Option<i32> {
        self.instance().pid()
    }

    /// Creates an empty database.
    ///
    /// # Errors
    /// When it exists, when the server is stopped, or when the name is not made of `a-z`, `0-9` and `_`.
    pub fn create_database(&self, name: &str) -> Result<()> {
        create_database(&self.url("postgres"), name)
    }

    /// Stops the server fast but clean (SIGINT: sessions are cut, a checkpoint is written), and waits for its end.
    pub fn stop(&self) -> Result<()> {
        self.instance().end(Signal::SIGINT)
    }

    /// Ends the server as a crash would (SIGQUIT: no checkpoint, so the next start recovers), and waits for its end.
    ///
    /// SIGKILL would leave its children alive, and shared memory that nobody removes.
    pub fn kill(&self) -> Result<()> {
        self.instance().end(Signal::SIGQUIT)
    }

    /// Starts the stopped or killed server on its old data and port, and waits until it takes connections.
    ///
    /// # Errors
    /// When it runs already, or does not start.
    pub fn start_again(&self) -> Result<()> {
        let data = self.data();
        let mut instance = self.instance();
        let mut command = Command::new(self.binaries.join("postgres"));
        account()?.lend(&mut command);
        command.arg("-D").arg(&data).arg("-k").arg(instance.dir().join("socket"));
        command.arg("-p").arg(self.port.to_string());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        instance.start(&mut command, START_DEADLINE, |pid| takes_connections(&data, pid))
    }

    /// [`Postgres::stop`], then [`Postgres::start_again`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Stops all of the server's processes where they are (SIGSTOP), as a stalled disk would: connections stay
    /// open and get no answer.
    ///
    /// # Errors
    /// When the server is stopped.
    pub fn pause(&self) -> Result<()> {
        self.signal_all(Signal::SIGSTOP)
    }

    /// Ends a [`Postgres::pause`].
    pub fn resume(&self) -> Result<()> {
        self.signal_all(Signal::SIGCONT)
    }

    /// Signals the postmaster, then every child of it there is now. The postmaster comes first, so that a
    /// paused one makes no more children while we look.
    fn signal_all(&self, signal: Signal) -> Result<()> {
        let postmaster = self.pid().context("the server is stopped")?;
        kill(Pid::from_raw(postmaster), signal).context("signal the postmaster")?;
        let path = format!("/proc/{postmaster}/task/{postmaster}/children");
        let children = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        for child in children.split_ascii_whitespace().filter_map(|id| id.parse().ok()) {
            // A session may end at any time; that it is gone is what we want.
            let _ = kill(Pid::from_raw(child), signal);
        }
        Ok(())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.instance().dir().join("data")
    }

    fn instance(&self) -> MutexGuard<'_, Instance> {
        // A panic elsewhere leaves the instance consistent: each method changes it in its last step.
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates an empty database on the server behind `admin_url`. Blocks; may be called from async code.
pub(crate) fn create_database(admin_url: &str, name: &str) -> Result<()> {
    let harmless = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(!name.is_empty() && name.chars().all(harmless), "{name:?} is no name for a test database");
    let create = async {
        let mut connection = PgConnection::connect(admin_url).await.context("connect")?;
        let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(statement).execute(&mut connection).await.context("create")?;
        connection.close().await.context("disconnect")
    };
    // A thread of its own, because a runtime cannot be entered from within another.
    let outcome = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("make a runtime")?
                .block_on(create)
        });
        worker.join()
    });
    let Ok(outcome) = outcome else { bail!("the thread that creates database {name} panicked") };
    outcome.with_context(|| format!("create database {name}"))
}

/// The directory of the newest installed Postgres, or the one that stands in `PATH`.
fn find_binaries() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).find(|dir| has_binaries(dir));
    if let Some(dir) = in_path {
        return Ok(dir);
    }
    // Debian keeps each major version in a directory of its own, outside of PATH.
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, dir)| has_binaries(dir))
        .collect();
    versions.sort();
    let (_, newest) = versions
        .pop()
        .context("PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql/*/bin")?;
    Ok(newest)
}

fn has_binaries(dir: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|name| dir.join(name).is_file())
}

/// Postgres refuses to run as root.
pub(crate) fn account() -> Result<Account> {
    Account::find("postgres")?.context("Postgres does not run as root, and there is no user postgres")
}

/// Makes the data and the socket directory.
fn initialize(binaries: &Path, account: &Account, instance: &Instance, data: &Path) -> Result<()> {
    let socket = instance.dir().join("socket");
    fs::create_dir(&socket).context("make the socket directory")?;
    account.own(&socket)?;
    let output = open_log(instance.log())?;
    let mut command = Command::new(binaries.join("initdb"));
    account.lend(&mut command);
    let status = command
        .arg("-D")
        .arg(data)
        // The data of a server that never ran needs no sync: after a crash of the machine nobody wants it.
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        .current_dir(instance.dir())
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("share the log")?)
        .stderr(output)
        .status()
        .context("start initdb")?;
    ensure!(status.success(), "initdb failed ({status}); {}", instance.log_tail());
    Ok(())
}

/// Whether the server says so itself: the last line of its pid file is its state, the first its process.
fn takes_connections(data: &Path, pid: i32) -> bool {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return false };
    text.lines().next() == Some(pid.to_string().as_str())
        && text.lines().last().is_some_and(|state| state.trim() == "ready")
}
