//! How a process ends: two tokens, and a tracker for everything it runs.
//!
//! *Drain* asks: take nothing new, finish what you hold. *Abort* tells: time is over. A task that fails
//! starts the drain; it must never be able to die unnoticed while the rest carries on.

use std::{future::Future, sync::Arc};

use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The life of one process. Cheap to clone; all clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Life {
    drain: CancellationToken,
    abort: CancellationToken,
    tracker: TaskTracker,
    failure: Arc<Mutex<Option<String>>>,
}

impl Life {
    /// A life in which nobody has asked for the end yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process is asked to stop.
    pub fn drain(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Cancelled when the process must stop at once. Drain is always cancelled before.
    pub fn abort(&self) -> CancellationToken {
        self.abort.clone()
    }

    /// Asks everything to stop. The first reason is logged; later calls do nothing.
    pub fn start_drain(&self, reason: &str) {
        if !self.drain.is_cancelled() {
            tracing::info!(reason, "draining");
            self.drain.cancel();
        }
    }

    /// Tells everything to stop at once. The first reason is logged; later calls do nothing.
    pub fn start_abort(&self, reason: &str) {
        self.start_drain(reason);
        if !self.abort.is_cancelled() {
            tracing::warn!(reason, "aborting");
            self.abort.cancel();
        }
    }

    /// Runs a task until it ends by itself. The process waits for it before it exits.
    ///
    /// A task that returns an error or panics is logged, starts the drain and makes the exit code 1.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let life = self.clone();
        // A task of its own, because its join handle is how a panic is noticed.
        let task = tokio::spawn(task);
        self.tracker.spawn(async move {
            match task.await {
                Ok(Err(error)) => life.fail(name, &format!("{error:#}")),
                Err(join) if join.is_panic() => life.fail(name, "panicked"),
                // Done, or the runtime is going away.
                Ok(Ok(())) | Err(_) => {}
            }
        });
    }

    /// Notes and logs a failure and starts the drain. For failures outside of a spawned task.
    pub fn fail(&self, name: &str, error: &str) {
        tracing::error!(task = name, error, "task failed");
        self.failure.lock().get_or_insert_with(|| format!("{name}: {error}"));
        self.start_drain("a task failed");
    }

    /// The first failure, as `task: error`.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// How many tasks have not ended yet.
    pub fn tasks(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until every task has ended. Call it only after the drain has started.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Goal: a failing task drains the process. Method: spawn one next to a task that waits for the drain.
    #[tokio::test]
    async fn an_error_drains() {
        let life = Life::new();
        let drain = life.drain();
        life.spawn("waits", async move {
            drain.cancelled().await;
            Ok(())
        });
        life.spawn("breaks", async { Err(anyhow::anyhow!("disk full").context("write")) });
        life.drain().cancelled().await;
        life.ended().await;
        assert_eq!(life.failure().as_deref(), Some("breaks: write: disk full"));
        assert!(!life.abort().is_cancelled());
    }

    /// Goal: a panic counts as a failure. Method: spawn a task that panics.
    #[tokio::test]
    async fn a_panic_drains() {
        let life = Life::new();
        life.spawn("bug", async { panic!("on purpose") });
        life.drain().cancelled().await;
        assert_eq!(life.failure().as_deref(), Some("bug: panicked"));
    }

    /// Goal: a task that ends well changes nothing. Method: let one end beside one that never does.
    #[tokio::test]
    async fn success_is_quiet() {
        let life = Life::new();
        life.spawn("stays", pending());
        let (done, ended) = tokio::sync::oneshot::channel();
        life.spawn("ends", async move {
            let _ = done.send(());
            Ok(())
        });
        ended.await.unwrap();
        assert!(!life.drain().is_cancelled());
        assert_eq!(life.failure(), None);
        assert!(life.tasks() >= 1);
    }

    /// Goal: abort implies drain. Method: abort and look at both tokens.
    #[test]
    fn abort_drains_too() {
        let life = Life::new();
        life.start_abort("test");
        assert!(life.drain().is_cancelled() && life.abort().is_cancelled());
    }
}
