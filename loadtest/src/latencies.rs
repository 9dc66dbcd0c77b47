//! Distribution of how long something took. Many tasks record at the same time, so there are several histograms,
//! which are added up at the end. It must never grow with the number of samples.

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Enough that tasks on all cores seldom meet.
const SHARDS: usize = 16;
/// Whatever takes longer is counted as this long.
const LONGEST_MICROS: u64 = 600_000_000;

pub(crate) struct Latencies {
    shards: Vec<Mutex<Histogram<u64>>>,
}

/// What is told of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// How many samples there are.
    pub samples: u64,
    /// Half of them were at most this.
    pub p50: Duration,
    /// 99 of 100 were at most this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("the bounds are constants");
        Self { shards: (0..SHARDS).map(|_| Mutex::new(histogram())).collect() }
    }

    /// `who` spreads the callers.
    pub(crate) fn record(&self, who: u32, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST_MICROS);
        self.shards[who as usize % SHARDS].lock().saturating_record(micros);
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let mut all = self.shards[0].lock().clone();
        for shard in &self.shards[1..] {
            // Equal bounds always add up.
            let _ = all.add(&*shard.lock());
        }
        let at = |quantile| Duration::from_micros(all.value_at_quantile(quantile));
        Quantiles { samples: all.len(), p50: at(0.5), p99: at(0.99), max: Duration::from_micros(all.max()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: samples of all tasks count; method: a thousand of known distribution from many callers, one absurd one.
    #[test]
    fn quantiles_cover_all_shards() {
        let latencies = Latencies::new();
        assert_eq!(latencies.quantiles(), Quantiles::default());
        for n in 1..=1_000 {
            latencies.record(n, Duration::from_millis(n.into()));
        }
        let near = |seen: Duration, wanted: u64| seen.as_millis().abs_diff(wanted.into()) <= 1;
        let seen = latencies.quantiles();
        assert!(seen.samples == 1_000 && near(seen.p50, 500) && near(seen.p99, 990), "{seen:?}");
        latencies.record(1, Duration::from_hours(24));
        let max = latencies.quantiles().max;
        assert!(max.abs_diff(Duration::from_micros(LONGEST_MICROS)) < Duration::from_secs(1), "{max:?}");
    }
}
