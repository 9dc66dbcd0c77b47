//! What kubelet asks a container: whether it has started, lives, and is ready.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tmtp_chart::text;
use tokio::time::{Instant, sleep_until, timeout};

use crate::http;

/// What the newest answers mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    Same,
    /// It takes connections.
    Ready,
    /// It takes no more.
    NotReady,
    /// It would be restarted.
    Dead(String),
}

/// The probes of a container.
#[derive(Debug)]
pub(super) struct Probes {
    /// Until it has succeeded once, the others are not asked.
    startup: Option<Probe>,
    liveness: Probe,
    readiness: Probe,
    ready: bool,
}

#[derive(Debug)]
struct Probe {
    address: SocketAddr,
    path: String,
    period: Duration,
    timeout: Duration,
    /// So many failures in a row count.
    threshold: u64,
    failures: u64,
    due: Instant,
}

impl Probes {
    /// # Errors
    /// When one is missing, or is not by HTTP.
    pub(super) fn new(container: &Value, address: Ipv4Addr) -> Result<Self> {
        let probe = |what: &'static str| Probe::new(container, what, address).context(what);
        Ok(Self {
            startup: Some(probe("startupProbe")?),
            liveness: probe("livenessProbe")?,
            readiness: probe("readinessProbe")?,
            ready: false,
        })
    }

    /// Waits until the next probe is due, and asks.
    pub(super) async fn next(&mut self) -> Verdict {
        if let Some(startup) = &mut self.startup {
            let succeeded = startup.ask().await;
            if startup.has_failed() {
                return Verdict::Dead("has not started in time".to_owned());
            }
            if succeeded {
                self.startup = None;
                let now = Instant::now();
                (self.liveness.due, self.readiness.due) = (now, now);
            }
            return Verdict::Same;
        }
        if self.liveness.due <= self.readiness.due {
            self.liveness.ask().await;
            return if self.liveness.has_failed() {
                Verdict::Dead(format!(
                    "has not answered {} {} times",
                    self.liveness.path, self.liveness.failures
                ))
            } else {
                Verdict::Same
            };
        }
        let succeeded = self.readiness.ask().await;
        match (self.ready, succeeded, self.readiness.has_failed()) {
            (false, true, _) => {
                self.ready = true;
                Verdict::Ready
            }
            (true, _, true) => {
                self.ready = false;
                Verdict::NotReady
            }
            _ => Verdict::Same,
        }
    }
}

impl Probe {
    fn new(container: &Value, what: &str, address: Ipv4Addr) -> Result<Self> {
        let probe = &container[what];
        let port = text(probe, "/httpGet/port");
        let ports = container["ports"].as_array().into_iter().flatten();
        let port = ports.into_iter().find(|one| text(one, "/name") == port);
        let port =
            port.and_then(|port| port["containerPort"].as_u64()).context("a port that is not there")?;
        let path = text(probe, "/httpGet/path");
        ensure!(!path.is_empty(), "no path");
        // The numbers are Kubernetes' own defaults.
        let number = |name: &str, default| probe[name].as_u64().unwrap_or(default);
        let period = Duration::from_secs(number("periodSeconds", 10));
        Ok(Self {
            address: SocketAddr::from((address, u16::try_from(port)?)),
            path: path.to_owned(),
            period,
            timeout: Duration::from_secs(number("timeoutSeconds", 1)),
            threshold: number("failureThreshold", 3),
            failures: 0,
            due: Instant::now() + Duration::from_secs(number("initialDelaySeconds", 0)),
        })
    }

    /// Waits until it is due, and asks once.
    async fn ask(&mut self) -> bool {
        sleep_until(self.due).await;
        // One that could not be asked in time is left out.
        self.due = (self.due + self.period).max(Instant::now());
        let answer = timeout(self.timeout, http::get(self.address, &self.path)).await;
        let succeeded =
            answer.is_ok_and(|answer| answer.is_ok_and(|answer| (200..400).contains(&answer.status)));
        self.failures = if succeeded { 0 } else { self.failures + 1 };
        succeeded
    }

    fn has_failed(&self) -> bool {
        self.failures >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers everything with this status; with nothing if it is 0.
    async fn server(status: &Arc<AtomicU16>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, status) = (listener.local_addr().unwrap(), Arc::clone(status));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 200];
                let status = status.load(Ordering::Relaxed);
                if stream.read(&mut request).await.is_ok() && status != 0 {
                    // Whoever asked may have gone.
                    let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes()).await;
                }
            }
        });
        address
    }

    fn probes(address: SocketAddr) -> Probes {
        let probe = |threshold| Probe {
            address,
            path: "/".to_owned(),
            period: Duration::from_millis(1),
            timeout: Duration::from_secs(5),
            threshold,
            failures: 0,
            due: Instant::now(),
        };
        Probes { startup: Some(probe(3)), liveness: probe(4), readiness: probe(2), ready: false }
    }

    /// The next verdict that is news.
    async fn news(probes: &mut Probes) -> Verdict {
        loop {
            let verdict = probes.next().await;
            if verdict != Verdict::Same {
                return verdict;
            }
        }
    }

    /// Goal: a process is ready when it says so, no longer when it does not twice, and dead after four failures, or when it
    /// has not started in time; failures that are not in a row do not count. Method: a server that answers as it is told.
    #[tokio::test]
    async fn verdicts() {
        let status = Arc::new(AtomicU16::new(200));
        let mut probes = probes(server(&status).await);
        assert_eq!(probes.next().await, Verdict::Same, "it has started, which is not to be ready");
        assert_eq!(news(&mut probes).await, Verdict::Ready);
        status.store(503, Ordering::Relaxed);
        assert_eq!(news(&mut probes).await, Verdict::NotReady);
        status.store(204, Ordering::Relaxed);
        assert_eq!(news(&mut probes).await, Verdict::Ready);
        assert_eq!(probes.liveness.failures, 0);
        status.store(0, Ordering::Relaxed);
        assert_eq!(news(&mut probes).await, Verdict::NotReady);
        let Verdict::Dead(why) = news(&mut probes).await else { panic!("it lives") };
        assert!(why.contains("has not answered / 4 times"), "{why}");
    }

    /// Goal: what never starts is dead, and nothing else is asked before; method: a server that is not ready to answer.
    #[tokio::test]
    async fn never_started() {
        let status = Arc::new(AtomicU16::new(503));
        let mut probes = probes(server(&status).await);
        assert_eq!(news(&mut probes).await, Verdict::Dead("has not started in time".to_owned()));
        assert_eq!((probes.liveness.failures, probes.readiness.failures), (0, 0));
    }
}
