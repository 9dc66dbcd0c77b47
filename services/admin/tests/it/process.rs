//! The program as a child process, and one HTTP request to it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tmtp_testkit::wait_until;

/// No wait in these tests may be longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program with nothing in its environment but `variables`.
pub fn admin(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tmtp-admin"));
    command.env_clear().envs(variables.iter().copied());
    command
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts it on free ports, logging JSON.
    pub fn start(postgres: &str, redis: &str) -> Self {
        let mut child = admin(&[
            ("TMTP_POSTGRES__URL", postgres),
            ("TMTP_REDIS__URL", redis),
            ("TMTP_LISTEN__ADDRESS", "127.0.0.1:0"),
            ("TMTP_MONITOR__ADDRESS", "127.0.0.1:0"),
            ("TMTP_LOG__FORMAT", "json"),
            ("TMTP_RUNTIME__THREADS", "1"),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
        let log = Arc::new(Mutex::new(Vec::new()));
        collect(child.stderr.take().expect("piped"), Arc::clone(&log));
        Self { child, log }
    }

    /// Where something listens, from the log.
    pub fn address(&self, message: &str) -> SocketAddr {
        wait_until(PATIENCE, message, || {
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let lines = log.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let line = lines.into_iter().find(|line| line["message"] == message);
            Ok(line.and_then(|line| line["address"].as_str()?.parse().ok()))
        })
        .unwrap_or_else(|error| panic!("{error}; log: {}", self.log()))
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).expect("signalled");
        wait_until(PATIENCE, "the server to end", || Ok(self.child.try_wait()?)).expect("ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: ChildStderr, log: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

/// An answer, as text; the head in lower case.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends a request and reads until the server closes.
pub fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}
