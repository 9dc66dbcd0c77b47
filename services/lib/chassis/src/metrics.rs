//! Metrics: the `metrics!` macro that declares a struct of them, and what it needs.
//!
//! Ids of sites, members, nodes or messages must never become a label: labels come from closed sets, and
//! every value of a set is there from the start, at zero, so that rates and alerts see the first event.

pub use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, Result,
};
use prometheus::{HistogramOpts, Opts, core::Collector, process_collector::ProcessCollector};

/// Bucket bounds for durations of requests and transactions, in seconds: 0.5 ms to 10 s.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bucket bounds for counts per batch: powers of two up to 4096.
pub const COUNTS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// Bucket bounds for sizes, in bytes: powers of four from 256 B to 64 MiB.
pub const BYTES: &[f64] = &[
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Declares a struct of metrics: the doc comment is the help text, prefix and field make the name.
///
/// Kinds: `IntGauge`, `IntCounter`, `Histogram[buckets]`, and with one label whose values are listed
/// `IntCounterVec["label" = values]`, `IntGaugeVec["label" = values]`,
/// `HistogramVec["label" = values; buckets]`. Values are a `&[&str]`, buckets a `&[f64]`, in ascending order.
///
/// The struct gets `register(&Registry) -> prometheus::Result<Self>`, which fails if a name is taken, and
/// `NAMES`, the names of its metrics.
///
/// ```
/// tmtp_chassis::metrics! { pub struct DoorMetrics in "tmtp_door" {
///     /// Doors open now.
///     doors_open: IntGauge,
///     /// Visitors turned away, by reason.
///     refused_total: IntCounterVec["reason" = &["late", "unknown"]],
///     /// Time from the bell to the answer, in seconds.
///     answer_seconds: Histogram[tmtp_chassis::metrics::SECONDS],
/// } }
///
/// let registry = tmtp_chassis::prometheus::Registry::new();
/// let metrics = DoorMetrics::register(&registry)?;
/// metrics.doors_open.inc();
/// metrics.refused_total.with_label_values(&["late"]).inc();
/// assert_eq!(DoorMetrics::NAMES[0], "tmtp_door_doors_open");
/// # Ok::<(), tmtp_chassis::prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! metrics {
    (@make IntGauge [] $at:expr) => { $crate::metrics::make::int_gauge($at) };
    (@make IntCounter [] $at:expr) => { $crate::metrics::make::int_counter($at) };
    (@make Histogram [$buckets:expr] $at:expr) => { $crate::metrics::make::histogram($at, $buckets) };
    (@make IntGaugeVec [$label:literal = $values:expr] $at:expr) => {
        $crate::metrics::make::int_gauge_vec($at, $label, $values)
    };
    (@make IntCounterVec [$label:literal = $values:expr] $at:expr) => {
        $crate::metrics::make::int_counter_vec($at, $label, $values)
    };
    (@make HistogramVec [$label:literal = $values:expr; $buckets:expr] $at:expr) => {
        $crate::metrics::make::histogram_vec($at, $label, $values, $buckets)
    };
    (
        $(#[$outer:meta])*
        $vis:vis struct $name:ident in $prefix:literal {
            $($(#[doc = $help:literal])+ $field:ident : $kind:ident $([$($shape:tt)+])?),* $(,)?
        }
    ) => {
        $(#[$outer])*
        #[doc = concat!("\n\nMetrics whose names begin with `", $prefix, "_`.")]
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[doc = $help])+ pub $field: $crate::metrics::$kind,)*
        }

        impl $name {
            /// The names of these metrics.
            pub const NAMES: &'static [&'static str] = &[$(concat!($prefix, "_", stringify!($field))),*];

            /// Creates the metrics, every label value at zero. Fails if a name is taken in `registry`.
            pub fn register(registry: &$crate::metrics::Registry) -> $crate::metrics::Result<Self> {
                Ok(Self {
                    $($field: $crate::metrics!(@make $kind [$($($shape)+)?] $crate::metrics::make::At {
                        registry,
                        name: concat!($prefix, "_", stringify!($field)),
                        help: concat!($($help),+),
                    })?,)*
                })
            }
        }
    };
}

/// What the macro calls; not meant to be called by hand.
#[doc(hidden)]
pub mod make {
    use super::{
        Collector, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
        Opts, Registry, Result,
    };

    /// Where a metric goes and what it is called.
    #[derive(Debug)]
    pub struct At<'a> {
        pub registry: &'a Registry,
        pub name: &'static str,
        pub help: &'static str,
    }

    impl At<'_> {
        fn opts(&self) -> Opts {
            Opts::new(self.name, self.help.trim())
        }

        fn histogram_opts(&self, buckets: &[f64]) -> HistogramOpts {
            HistogramOpts::from(self.opts()).buckets(buckets.to_vec())
        }

        fn add<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M> {
            self.registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }
    }

    pub fn int_gauge(at: At<'_>) -> Result<IntGauge> {
        at.add(IntGauge::with_opts(at.opts())?)
    }

    pub fn int_counter(at: At<'_>) -> Result<IntCounter> {
        at.add(IntCounter::with_opts(at.opts())?)
    }

    pub fn histogram(at: At<'_>, buckets: &[f64]) -> Result<Histogram> {
        at.add(Histogram::with_opts(at.histogram_opts(buckets))?)
    }

    pub fn int_gauge_vec(at: At<'_>, label: &str, values: &[&str]) -> Result<IntGaugeVec> {
        let family = at.add(IntGaugeVec::new(at.opts(), &[label])?)?;
        values.iter().try_for_each(|value| family.get_metric_with_label_values(&[value]).map(drop))?;
        Ok(family)
    }

    pub fn int_counter_vec(at: At<'_>, label: &str, values: &[&str]) -> Result<IntCounterVec> {
        let family = at.add(IntCounterVec::new(at.opts(), &[label])?)?;
        values.iter().try_for_each(|value| family.get_metric_with_label_values(&[value]).map(drop))?;
        Ok(family)
    }

    pub fn histogram_vec(at: At<'_>, label: &str, values: &[&str], buckets: &[f64]) -> Result<HistogramVec> {
        let family = at.add(HistogramVec::new(at.histogram_opts(buckets), &[label])?)?;
        values.iter().try_for_each(|value| family.get_metric_with_label_values(&[value]).map(drop))?;
        Ok(family)
    }
}

/// Adds memory, CPU and file descriptor metrics of this process to a fresh registry.
pub(crate) fn register_process(registry: &Registry) {
    let collector = Box::new(ProcessCollector::for_self());
    registry.register(collector).expect("a fresh registry has no names that could clash");
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    const REASONS: &[&str] = &["crc", "size"];

    metrics! {
        /// Metrics of every kind.
        pub struct TestMetrics in "tmtp_test" {
            /// Links open
            /// now.
            links_open: IntGauge,
            /// Frames seen.
            frames_total: IntCounter,
            /// Time of a batch, in seconds.
            batch_seconds: Histogram[&[0.1, 1.0]],
            /// Depth by class.
            depth: IntGaugeVec["class" = &["urgent", "normal"]],
            /// Refusals by reason.
            refused_total: IntCounterVec["reason" = REASONS],
            /// Time by reason, in seconds.
            wait_seconds: HistogramVec["reason" = REASONS; &[0.5]],
        }
    }

    /// Goal: names, help and zeroes come from the declaration. Method: register, count, read the exposition.
    #[test]
    fn declares_and_exposes() {
        let registry = Registry::new();
        let metrics = TestMetrics::register(&registry).unwrap();
        metrics.links_open.set(3);
        metrics.frames_total.inc();
        metrics.batch_seconds.observe(0.5);
        metrics.depth.with_label_values(&["urgent"]).set(7);
        metrics.refused_total.with_label_values(&["crc"]).inc_by(2);
        metrics.wait_seconds.with_label_values(&["size"]).observe(1.0);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "# HELP tmtp_test_links_open Links open now.",
            "tmtp_test_links_open 3",
            "tmtp_test_frames_total 1",
            r#"tmtp_test_batch_seconds_bucket{le="0.1"} 0"#,
            r#"tmtp_test_batch_seconds_bucket{le="1"} 1"#,
            r#"tmtp_test_depth{class="normal"} 0"#,
            r#"tmtp_test_depth{class="urgent"} 7"#,
            r#"tmtp_test_refused_total{reason="crc"} 2"#,
            r#"tmtp_test_refused_total{reason="size"} 0"#,
            r#"tmtp_test_wait_seconds_count{reason="crc"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
        }
        let registered: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        let mut names = TestMetrics::NAMES.to_vec();
        names.sort_unstable();
        assert_eq!(registered, names);
    }

    /// Goal: a name can be taken once only. Method: register the same struct twice.
    #[test]
    fn refuses_a_name_twice() {
        let registry = Registry::new();
        TestMetrics::register(&registry).unwrap();
        assert!(TestMetrics::register(&registry).is_err());
    }
}
