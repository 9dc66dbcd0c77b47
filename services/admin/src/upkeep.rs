//! What has to be done from time to time: forget what nobody asks for any longer.

use std::time::Duration;

use tmtp_chassis::life::Life;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::Api;

/// How often.
const EVERY: Duration = Duration::from_mins(1);
/// For how long the API promises to recognise a repeated request.
const REQUESTS_KEPT: Duration = Duration::from_hours(24);

/// Starts the upkeep, which goes on until the drain.
pub(crate) fn start(life: &Life, api: &Api) {
    let (drain, upkeep) = (life.drain(), keep_up(api.clone()));
    life.spawn("upkeep", async move {
        drain.run_until_cancelled(upkeep).await;
        Ok(())
    });
}

async fn keep_up(api: Api) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        api.limits.forget();
        // Several admin servers do this side by side, and one that cannot does it the next time.
        if let Err(error) = api.store.forget_requests(REQUESTS_KEPT).await {
            tracing::debug!(%error, "old requests are not forgotten yet");
        }
    }
}
