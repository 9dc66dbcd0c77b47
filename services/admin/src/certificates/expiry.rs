//! Warns of certificates that are about to expire: in the log once a day each, and as metrics.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tmtp_chassis::Context;
use tmtp_domain::CertificateId;
use tmtp_store::{CertificateRecord, Store};
use tokio::time::MissedTickBehavior;

use super::check::{DAY_MS, WARN_DAYS};
use crate::Config;
use crate::metrics::AdminMetrics;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// Warned of one by one; of more there is the metric.
const WARNED_MAX: i64 = 1_000;

/// Starts to look.
pub(crate) fn watch(cx: &Context<Config>, store: Store, metrics: AdminMetrics) {
    let (drain, watched) = (cx.life.drain(), look_for_ever(store, metrics));
    cx.life.spawn("watch_certificates", async move {
        drain.run_until_cancelled(watched).await;
        Ok(())
    });
}

async fn look_for_ever(store: Store, metrics: AdminMetrics) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned = Warned::default();
    let within = Duration::from_hours(24) * u32::try_from(WARN_DAYS).unwrap_or_default();
    loop {
        ticks.tick().await;
        match store.certificates_expiring(within, WARNED_MAX).await {
            Ok(found) => {
                let now = now_ms();
                let over = found.iter().filter(|one| one.not_after <= now).count();
                metrics.certificates_expiring.set(i64::try_from(found.len() - over).unwrap_or(i64::MAX));
                metrics.certificates_expired.set(i64::try_from(over).unwrap_or(i64::MAX));
                for (one, days_left) in warned.news(&found, now) {
                    tracing::warn!(site.id = %one.site, certificate.id = %one.id, days_left, "certificate expires");
                }
            }
            // Whether Postgres answers is for others to say.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "cannot look for certificates that expire");
            }
        }
    }
}

/// The time (ms since 1970).
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How many days each certificate had left when it was last warned of.
#[derive(Default)]
struct Warned(HashMap<CertificateId, i64>);

impl Warned {
    /// Those that have a day less than before, with the days that they have. The others are forgotten.
    fn news<'f>(&mut self, found: &'f [CertificateRecord], now: i64) -> Vec<(&'f CertificateRecord, i64)> {
        let before = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for one in found {
            let days_left = (one.not_after - now).div_euclid(DAY_MS);
            self.0.insert(one.id, days_left);
            if before.get(&one.id) != Some(&days_left) {
                news.push((one, days_left));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use tmtp_domain::SiteId;
    use tmtp_store::CertificateSource;
    use uuid::Uuid;

    use super::*;

    /// Goal: each certificate is warned of once a day; method: look twice a day, at one that stays and one that goes.
    #[test]
    fn once_a_day() {
        let certificate = |n, not_after| CertificateRecord {
            id: CertificateId(Uuid::from_u128(n)),
            site: SiteId(Uuid::from_u128(1)),
            source: CertificateSource::Upload,
            names: Vec::new(),
            issuer: String::new(),
            not_before: 0,
            not_after,
            created_at: 0,
        };
        let found = [certificate(1, 3 * DAY_MS + 1), certificate(2, DAY_MS)];
        let mut warned = Warned::default();
        let mut days = |found: &[CertificateRecord], now| -> Vec<i64> {
            warned.news(found, now).into_iter().map(|(_, days)| days).collect()
        };
        assert_eq!(days(&found, 0), [3, 1]);
        assert_eq!(days(&found, 1), [0]);
        assert_eq!(days(&found[..1], 2), [2]);
        assert_eq!(days(&found[..1], 3), [0; 0]);
        assert_eq!(days(&found, DAY_MS + 2), [1, -1]);
    }
}
