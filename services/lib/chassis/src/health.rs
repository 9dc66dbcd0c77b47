//! Whether this process should get traffic: named checks, and the process's own phase.
//!
//! State: one map of checks and one phase, in memory only. Nothing here may wait or do I/O; whoever checks
//! something reports the result with [`Health::set`].

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tokio::sync::watch;

/// The state behind `/readyz`. Cheap to clone; all clones share the state.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    checks: BTreeMap<&'static str, Result<(), String>>,
}

#[derive(Debug)]
enum Phase {
    /// The program has not called [`Health::ready`] yet.
    Starting,
    Serving,
    /// Final: a process that drains never takes traffic again.
    Ended(String),
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the process wants traffic.
    pub ready: bool,
    /// Why not, unless a check says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every registered check: `ok`, or what is wrong.
    pub checks: BTreeMap<&'static str, String>,
}

impl Health {
    /// A process that is starting: not ready until [`Health::ready`].
    pub fn new() -> Self {
        let state = State { phase: Phase::Starting, checks: BTreeMap::new() };
        Self { state: Arc::new(watch::Sender::new(state)) }
    }

    /// Registers a check that has no result yet, which keeps the process from being ready.
    pub fn expect(&self, name: &'static str) {
        self.state.send_modify(|state| {
            state.checks.entry(name).or_insert_with(|| Err("not checked yet".to_owned()));
        });
    }

    /// Registers a check or renews its result. Only a change is logged, so it may be called in a loop.
    pub fn set(&self, name: &'static str, result: Result<(), String>) {
        self.state.send_if_modified(|state| {
            let before = state.checks.get(name);
            if before == Some(&result) {
                return false;
            }
            match &result {
                Ok(()) => tracing::info!(check = name, "check passes"),
                Err(error) => tracing::warn!(check = name, error, "check fails"),
            }
            state.checks.insert(name, result);
            true
        });
    }

    /// Ends the start: from now on the checks alone decide. Does nothing after [`Health::not_ready`].
    pub fn ready(&self) {
        self.state.send_if_modified(|state| {
            let starting = matches!(state.phase, Phase::Starting);
            if starting {
                state.phase = Phase::Serving;
            }
            starting
        });
    }

    /// Gives up readiness for good, for example with `draining`. The first reason stays.
    pub fn not_ready(&self, reason: &str) {
        self.state.send_if_modified(|state| {
            let first = !matches!(state.phase, Phase::Ended(_));
            if first {
                state.phase = Phase::Ended(reason.to_owned());
            }
            first
        });
    }

    /// Whether the process is ready now.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().is_ready()
    }

    /// Waits until the process is ready; forever if it never is.
    pub async fn wait_ready(&self) {
        // Cannot fail: the sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(State::is_ready).await;
    }

    /// Everything that is known, for people and probes.
    pub fn report(&self) -> Report {
        let state = self.state.borrow();
        let reason = match &state.phase {
            Phase::Starting => Some("starting".to_owned()),
            Phase::Serving => None,
            Phase::Ended(reason) => Some(reason.clone()),
        };
        let shown = |result: &Result<(), String>| result.clone().err().unwrap_or_else(|| "ok".to_owned());
        let checks = state.checks.iter().map(|(name, result)| (*name, shown(result))).collect();
        Report { ready: state.is_ready(), reason, checks }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Serving) && self.checks.values().all(Result::is_ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: readiness needs a finished start and every check. Method: walk through a life step by step.
    #[test]
    fn follows_phase_and_checks() {
        let health = Health::new();
        assert_eq!(health.report().reason.as_deref(), Some("starting"));
        health.expect("store");
        health.ready();
        assert_eq!(health.report().checks["store"], "not checked yet");
        assert!(!health.is_ready());
        health.set("store", Err("refused".to_owned()));
        health.expect("store");
        assert_eq!(health.report().checks["store"], "refused");
        health.set("store", Ok(()));
        assert!(health.is_ready());
        health.not_ready("draining");
        health.ready();
        health.not_ready("later");
        assert!(!health.is_ready());
        assert_eq!(health.report().reason.as_deref(), Some("draining"));
    }

    /// Goal: a waiter wakes when the last check passes. Method: poll it before and after, without a clock.
    #[tokio::test]
    async fn wakes_who_waits() {
        let health = Health::new();
        health.set("bus", Err("down".to_owned()));
        health.ready();
        let waiter = tokio::spawn({
            let health = health.clone();
            async move { health.wait_ready().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        health.set("bus", Ok(()));
        waiter.await.unwrap();
    }
}
