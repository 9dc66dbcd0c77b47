//! A private Redis server: own directory, own port on 127.0.0.1, nothing ever written to disk.
//!
//! It runs as production should: `noeviction`, so that memory pressure is an error and never a loss. Must
//! never listen on anything but 127.0.0.1.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::account::Account;
use crate::instance::Instance;
use crate::port::free_port;

/// Generous, for a loaded machine; a start takes some 20 ms.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long one look at the starting server may take.
const PING_DEADLINE: Duration = Duration::from_millis(500);

/// A running private Redis. Dropping it stops it and removes its directory.
pub struct Redis {
    instance: Mutex<Instance>,
    port: u16,
}

impl Redis {
    /// Starts an empty server; takes some 20 ms.
    ///
    /// # Errors
    /// When Redis is not installed, or does not start; the message holds the end of its log.
    pub fn start() -> Result<Self> {
        let port = free_port();
        let dir = tempfile::Builder::new().prefix("postern-redis-").tempdir().context("make a directory")?;
        // Redis rewrites its command line; this is the one part of it that is ours alone.
        let instance = Instance::new(dir, &format!("127.0.0.1:{port}"), Signal::SIGKILL)?;
        account()?.own(instance.dir())?;
        let redis = Self { instance: Mutex::new(instance), port };
        redis.start_again()?;
        Ok(redis)
    }

    /// The URL of logical database 0; stays the same over restarts.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The TCP port on 127.0.0.1; stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with everything the server has said since [`Redis::start`].
    pub fn log(&self) -> PathBuf {
        self.instance().log().to_owned()
    }

    /// The server's process id; `None` while it is stopped.
    pub fn pid(&self) -> Option<i32> {
        self.instance().pid()
    }

    /// Ends the server at once and waits for its end. All its data is gone.
    pub fn stop(&self) -> Result<()> {
        self.instance().end(Signal::SIGKILL)
    }

    /// Starts the stopped server on its old port, empty, and waits until it answers.
    ///
    /// # Errors
    /// When it runs already, or does not start.
    pub fn start_again(&self) -> Result<()> {
        let mut instance = self.instance();
        let mut command = Command::new("redis-server");
        account()?.lend(&mut command);
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir"]);
        command.arg(instance.dir());
        command.args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]);
        instance
            .start(&mut command, START_DEADLINE, |_| answers(self.port))
            .context("Redis does not start; is redis-server installed?")
    }

    /// [`Redis::stop`], then [`Redis::start_again`]: what a failover to an empty replica looks like.
    pub fn restart_empty(&self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Changes a setting of the running server until its next start.
    ///
    /// # Errors
    /// When the server does not answer, or refuses the setting.
    pub fn configure(&self, setting: &str, value: &str) -> Result<()> {
        let reply = self.ask(&["CONFIG", "SET", setting, value]).context("talk to Redis")?;
        ensure!(reply == "+OK\r\n", "Redis refuses {setting} {value}: {reply}");
        Ok(())
    }

    /// One command, one line of an answer.
    pub(crate) fn ask(&self, words: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address(), PING_DEADLINE)?;
        stream.set_read_timeout(Some(START_DEADLINE))?;
        stream.write_all(format!("{}\r\n", words.join(" ")).as_bytes())?;
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply)?;
        Ok(reply)
    }

    /// What lies there goes away with the server.
    #[cfg(feature = "tls")]
    pub(crate) fn dir(&self) -> PathBuf {
        self.instance().dir().to_owned()
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Stops the process where it is (SIGSTOP): connections stay open and get no answer.
    ///
    /// # Errors
    /// When the server is stopped.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Ends a [`Redis::pause`].
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the server is stopped")?;
        kill(Pid::from_raw(pid), signal).context("signal Redis")
    }

    fn instance(&self) -> MutexGuard<'_, Instance> {
        // A panic elsewhere leaves the instance consistent: each method changes it in its last step.
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Redis does run as root, so a machine without its account can run the tests, too.
pub(crate) fn account() -> Result<Account> {
    Ok(Account::find("redis")?.unwrap_or_else(Account::ourselves))
}

/// Whether a server there answers a ping. That it is ours follows from the port and from our child's being
/// alive: on a port that is taken, the child would have ended.
fn answers(port: u16) -> bool {
    let ping = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PING_DEADLINE)?;
        stream.set_read_timeout(Some(PING_DEADLINE))?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 7];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"+PONG\r\n")
    };
    ping().unwrap_or(false)
}
