//! Whether Postgres and Redis answer, asked again and again, and whether Redis is set up as it has to be, asked until it is.
//!
//! A loss must never end the process: it is not ready until the answer is back, and then it is again.

use std::time::Duration;

use anyhow::Context as _;
use tmtp_bus::Bus;
use tmtp_chassis::Context;
use tmtp_store::Store;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::Config;

/// How often each is asked.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// An answer that takes longer is none.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// The name of the check that Redis keeps what it is given.
const POLICY: &str = "redis policy";

/// Starts asking. Both checks are registered, as failing, before this returns.
pub(crate) fn watch(cx: &Context<Config>, store: Store) {
    for name in ["postgres", "redis", POLICY] {
        cx.health.expect(name);
    }
    let (drain, check) = (cx.life.drain(), check_postgres(cx.clone(), store));
    cx.life.spawn("check_postgres", async move {
        drain.run_until_cancelled(check).await;
        Ok(())
    });
    let (drain, check) = (cx.life.drain(), check_redis(cx.clone()));
    cx.life.spawn("check_redis", async move {
        drain.run_until_cancelled(check).await;
        Ok(())
    });
}

/// Asks Postgres, without end.
async fn check_postgres(cx: Context<Config>, store: Store) {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        cx.health.set("postgres", within_wait(async { store.ping().await.context("ask Postgres") }).await);
    }
}

/// Asks Redis, without end.
async fn check_redis(cx: Context<Config>) {
    let (mut bus, mut ticks) = (None, ticks());
    let mut settled = false;
    loop {
        ticks.tick().await;
        cx.health.set("redis", within_wait(ask_redis(&cx.config, &mut bus)).await);
        if let Some(bus) = bus.as_ref().filter(|_| !settled) {
            let found = within_wait(async { Ok(bus.check_policy().await.map(drop)?) }).await;
            settled = found.is_ok();
            cx.health.set(POLICY, found);
        }
    }
}

/// The first at once; after a slow answer the next is a whole pause away.
fn ticks() -> Interval {
    let mut ticks = interval(CHECK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Connects if need be, keeps the connection, and asks for a sign of life.
async fn ask_redis(config: &Config, bus: &mut Option<Bus>) -> anyhow::Result<()> {
    let bus = match bus {
        Some(bus) => bus,
        None => bus.insert(Bus::connect(config.redis.url.expose()).await.context("connect to Redis")?),
    };
    bus.ping().await.context("ask Redis")
}

/// The result as the health check wants it, late answers included.
async fn within_wait(ask: impl Future<Output = anyhow::Result<()>>) -> Result<(), String> {
    match timeout(ANSWER_WAIT, ask).await {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(_) => Err(format!("no answer within {ANSWER_WAIT:?}")),
    }
}
