//! What every Postern process shares: configuration, logs, traces, metrics, health, lifecycle.
//!
//! A program is a `serve` function and a `main.rs` of a dozen lines that calls [`main`]; everything between
//! the command line and `serve`, and between the end of `serve` and the exit code, happens here.
//! This crate must never know anything about messages, sites or members, and must never open a port other
//! than the monitor's.

pub mod cli;
pub mod config;
pub mod health;
pub mod life;
pub mod logs;
pub mod metrics;
pub mod monitor;
pub mod run;
pub mod trace;

use std::pin::Pin;
use std::sync::Arc;

pub use cli::main;
pub use config::{Config, Secret};
pub use health::Health;
pub use life::Life;
pub use prometheus;
pub use run::run;
pub use schemars;

/// The whole work of a program, which its `serve` returns. In a box, because what an `async fn` awaits is compiled again in
/// every crate that awaits that: boxed, a program is compiled with its library and not once more with its `main.rs`.
pub type Serving = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// What a program's `serve` is given. Cheap to clone; all clones share the same state.
#[derive(Debug)]
pub struct Context<C> {
    /// The validated configuration.
    pub config: Arc<C>,
    /// Where the program registers its metrics; scraped at `/metrics` on the monitor port.
    pub registry: prometheus::Registry,
    /// What `/readyz` answers.
    pub health: Health,
    /// How the program is asked to stop, and where its tasks run.
    pub life: Life,
}

impl<C> Context<C> {
    /// A context of its own, which is also how a test runs a program inside its own process.
    ///
    /// The registry already holds the process metrics (memory, CPU, open files).
    pub fn new(config: C) -> Self {
        let registry = prometheus::Registry::new();
        metrics::register_process(&registry);
        Self { config: Arc::new(config), registry, health: Health::new(), life: Life::new() }
    }
}

// Derived `Clone` would ask for `C: Clone`, which the `Arc` makes needless.
impl<C> Clone for Context<C> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            registry: self.registry.clone(),
            health: self.health.clone(),
            life: self.life.clone(),
        }
    }
}
