//! Runs a program's `serve` from its first moment to its last: drain, grace, abort, outcome.
//!
//! It installs nothing global (no signals, no logs), so a test may run several programs in one process.

use std::{future::Future, time::Duration};

use anyhow::anyhow;
use tokio::{select, time::sleep};

use crate::{Config, Context, Health, Life};

/// After the abort, how long tasks get to let go before the process leaves without them.
const ABORT_WAIT: Duration = Duration::from_secs(2);

/// Runs `serve` until it and every task it spawned have ended, or until the grace after a drain is over.
///
/// Fails if `serve` fails or panics, if a task does, or if the grace was not enough. The failure is already
/// logged by then; the result is for the exit code.
pub async fn run<C, S, F>(cx: Context<C>, serve: S) -> anyhow::Result<()>
where
    C: Config,
    S: FnOnce(Context<C>) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let life = cx.life.clone();
    let grace = cx.config.process().runtime.shutdown_grace;
    let watch = tokio::spawn(watch_drain(cx.health.clone(), life.clone(), grace));

    // A task of its own, because its join handle is how a panic is noticed.
    let mut serving = tokio::spawn(serve(cx));
    select! {
        outcome = &mut serving => match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => life.fail("serve", &format!("{error:#}")),
            Err(_) => life.fail("serve", "panicked"),
        },
        () = abandoned(&life) => {
            serving.abort();
            life.fail("serve", "did not end in time");
        }
    }

    life.start_drain("serve has ended");
    select! {
        () = life.ended() => {}
        () = abandoned(&life) => life.fail("shutdown", &format!("{} tasks did not end in time", life.tasks())),
    }
    watch.abort();
    life.failure().map_or(Ok(()), |failure| Err(anyhow!(failure)))
}

/// Gives up readiness when the drain starts, and aborts when the grace is over.
async fn watch_drain(health: Health, life: Life, grace: Duration) {
    life.drain().cancelled().await;
    health.not_ready("draining");
    sleep(grace).await;
    life.start_abort("the grace is over");
}

/// Ends when tasks had their time after an abort.
async fn abandoned(life: &Life) {
    life.abort().cancelled().await;
    sleep(ABORT_WAIT).await;
}
