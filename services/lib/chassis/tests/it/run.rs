//! From the start of `serve` to the outcome. Where a grace runs out, the clock is paused and jumps.

use std::{future::pending, sync::Arc, time::Duration};

use anyhow::anyhow;
use tmtp_chassis::{Context, run};
use tokio::{sync::Notify, time::timeout};

use super::{PATIENCE, Settings};

fn context() -> Context<Settings> {
    Context::new(Settings::default())
}

/// Goal: a drain ends readiness first, then the program, and the outcome is clean. Method: drain a program
/// that serves until then and keeps one task.
#[tokio::test]
async fn drains_cleanly() {
    let cx = context();
    let handle = cx.clone();
    let running = tokio::spawn(run(cx, |cx| async move {
        let drain = cx.life.drain();
        cx.life.spawn("task", async move {
            drain.cancelled().await;
            Ok(())
        });
        cx.health.ready();
        cx.life.drain().cancelled().await;
        Ok(())
    }));
    timeout(PATIENCE, handle.health.wait_ready()).await.unwrap();
    handle.life.start_drain("test");
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(handle.health.report().reason.as_deref(), Some("draining"));
    assert!(!handle.life.abort().is_cancelled());
}

/// Goal: a failing task ends the program with its error. Method: fail a task while `serve` waits for a drain.
#[tokio::test]
async fn a_failing_task_ends_the_program() {
    let outcome = run(context(), |cx| async move {
        cx.life.spawn("accept", async { Err(anyhow!("too many open files")) });
        cx.life.drain().cancelled().await;
        Ok(())
    });
    let error = timeout(PATIENCE, outcome).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "accept: too many open files");
}

/// Goal: a `serve` that fails or panics is a failure, and its tasks are asked to stop. Method: one of each.
#[tokio::test]
async fn a_failing_serve_ends_its_tasks() {
    let error = run(context(), |cx| async move {
        let drain = cx.life.drain();
        cx.life.spawn("task", async move {
            drain.cancelled().await;
            Ok(())
        });
        Err(anyhow!("no database").context("start"))
    });
    let error = timeout(PATIENCE, error).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "serve: start: no database");

    let error = timeout(PATIENCE, run(context(), |_| async { panic!("on purpose") })).await.unwrap();
    assert_eq!(error.unwrap_err().to_string(), "serve: panicked");
}

/// Goal: when the grace is over, tasks are told to abort, and one that obeys is no failure of the stop.
/// Method: a paused clock, and a task that listens to the abort only.
#[tokio::test(start_paused = true)]
async fn the_grace_ends_in_an_abort() {
    let cx = context();
    let grace = cx.config.runtime.shutdown_grace;
    let life = cx.life.clone();
    let begun = tokio::time::Instant::now();
    let running = tokio::spawn(run(cx, |cx| async move {
        let abort = cx.life.abort();
        cx.life.spawn("slow", async move {
            abort.cancelled().await;
            Ok(())
        });
        cx.life.drain().cancelled().await;
        Ok(())
    }));
    life.start_drain("test");
    running.await.unwrap().unwrap();
    assert!(begun.elapsed() >= grace && begun.elapsed() < grace + Duration::from_secs(1));
}

/// Goal: a program that never stops is left behind, with an error. Method: a paused clock, and a `serve` and
/// a task that listen to nothing.
#[tokio::test(start_paused = true)]
async fn who_never_stops_is_left_behind() {
    let cx = context();
    let life = cx.life.clone();
    let started = Arc::new(Notify::new());
    let starting = Arc::clone(&started);
    let running = tokio::spawn(run(cx, |cx| async move {
        cx.life.spawn("deaf", pending());
        starting.notify_one();
        pending().await
    }));
    started.notified().await;
    life.start_drain("test");
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "serve: did not end in time");
    assert_eq!(life.tasks(), 1);
}
