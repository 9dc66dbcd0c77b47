//! Writes what names look like that earlier releases have left without it, in small steps.

use std::time::Duration;

use tmtp_chassis::Context;
use tmtp_store::Store;

use crate::Config;

/// Names of one step.
const STEP: i64 = 500;
/// Between two steps: members' requests come first.
const PAUSE: Duration = Duration::from_millis(200);
/// After an error.
const AFTER_ERROR: Duration = Duration::from_mins(1);
/// How often all names are looked at: workers of the earlier release may still make some.
const AGAIN: Duration = Duration::from_hours(6);

/// Starts the task; it ends with the drain.
pub fn start(cx: &Context<Config>, store: Store) {
    let drain = cx.life.drain().cancelled_owned();
    cx.life.spawn("looks", async move {
        tokio::pin!(drain);
        let mut after = None;
        loop {
            let pause = match store.look_at_names(after.as_ref(), STEP).await {
                Ok(next) => {
                    after = next;
                    if after.is_some() { PAUSE } else { AGAIN }
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "cannot write what names look like; trying again later");
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = &mut drain => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}
