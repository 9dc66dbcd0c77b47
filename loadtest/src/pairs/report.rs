//! What a run was like. It must never round a problem away.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Options,
    pair::{Pair, Run},
};
use crate::{Counts, Quantiles, processes::Spent};

/// Problems that are described; all are counted.
const DESCRIBED: usize = 100;

/// The measured part of a run.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// How long it was.
    pub took: Duration,
    /// Posts acknowledged in it.
    pub posts_acked: u64,
    /// Messages delivered in it, each counted once.
    pub deliveries: u64,
    /// From sending a post for the first time to its ack.
    pub ack: Quantiles,
    /// From sending a post for the first time to its delivery.
    pub delivery: Quantiles,
    /// CPU time of each role; `None` if a process of it was restarted.
    pub cpu: Vec<Spent>,
}

/// The whole run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Posts that were made.
    pub posted: u64,
    /// Posts that were acknowledged, each counted once.
    pub posts_acked: u64,
    /// Messages that arrived, each counted once.
    pub deliveries: u64,
    /// Posts that were sent again.
    pub resent: u64,
    /// Second acks of resent posts, under the same message id.
    pub acks_repeated: u64,
    /// Posts that were refused for a time, and sent again.
    pub refused: u64,
    /// Messages that came again after a broken connection, as they may: not acknowledged, or just before.
    pub redelivered: u64,
    /// Connections that broke and were made again.
    pub reconnects: u64,
    /// The measured part.
    pub span: Span,
    /// What is wrong, counted.
    pub counts: Counts,
    /// What is wrong, described; the first of them.
    pub problems: Vec<String>,
    options: String,
}

impl Report {
    pub(super) fn of(run: &Run, span: Span, pairs: &[Arc<Pair>]) -> Self {
        let progress = &run.options.progress;
        let mut report = Self {
            posted: 0,
            posts_acked: progress.posts_acked(),
            deliveries: progress.deliveries(),
            resent: progress.resent(),
            acks_repeated: 0,
            refused: 0,
            redelivered: 0,
            reconnects: progress.reconnects(),
            span,
            counts: Counts::default(),
            problems: Vec::new(),
            options: describe(&run.options),
        };
        for verdict in pairs.iter().filter_map(|pair| pair.close()) {
            report.posted += verdict.posted;
            report.acks_repeated += verdict.acks_repeated;
            report.refused += verdict.refused;
            report.redelivered += verdict.redelivered;
            report.counts.add(&verdict.counts);
            let room = DESCRIBED.saturating_sub(report.problems.len());
            report.problems.extend(verdict.described.into_iter().take(room));
        }
        report
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.counts.total() == 0
    }
}

fn describe(options: &Options) -> String {
    let Options { gateways, pairs, window, size, warmup, span, resilient, .. } = options;
    format!(
        "{pairs} pairs over {} gateways, window {window}, {size} octets, {} s after {} s of warm-up{}",
        gateways.len(),
        span.as_secs_f64(),
        warmup.as_secs_f64(),
        if *resilient { ", resilient" } else { "" }
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = &self.span;
        writeln!(f, "options     {}", self.options)?;
        writeln!(f, "acked       {:.0} posts/s", per_second(span.posts_acked, span.took))?;
        writeln!(f, "delivered   {:.0} messages/s", per_second(span.deliveries, span.took))?;
        writeln!(f, "post->ack   {}", Shown(&span.ack))?;
        writeln!(f, "post->there {}", Shown(&span.delivery))?;
        write_cpu(f, span)?;
        writeln!(
            f,
            "whole run   {} posted, {} acked, {} delivered",
            self.posted, self.posts_acked, self.deliveries
        )?;
        writeln!(
            f,
            "            {} reconnects, {} resent, {} acks repeated, {} refused for a time, \
             {} redelivered after reconnect",
            self.reconnects, self.resent, self.acks_repeated, self.refused, self.redelivered
        )?;
        if self.is_clean() {
            return writeln!(f, "books       nothing lost, repeated, reordered or corrupted");
        }
        writeln!(f, "books       WRONG: {}", self.counts)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "            {problem}"))
    }
}

fn per_second(count: u64, took: Duration) -> f64 {
    // Counts of a run fit into a double.
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    let count = count as f64;
    if took.is_zero() { 0.0 } else { count / took.as_secs_f64() }
}

/// CPU time per thousand messages, of each role and together.
fn write_cpu(f: &mut fmt::Formatter<'_>, span: &Span) -> fmt::Result {
    if span.cpu.is_empty() {
        return Ok(());
    }
    let thousands = per_second(span.deliveries, Duration::from_secs(1_000));
    let each = |cpu: Duration| if thousands > 0.0 { cpu.as_secs_f64() / thousands } else { 0.0 };
    write!(f, "cpu         ")?;
    let mut sum = Some(Duration::ZERO);
    for Spent { role, cpu } in &span.cpu {
        sum = sum.zip(*cpu).map(|(sum, cpu)| sum + cpu);
        match cpu {
            Some(cpu) => write!(f, "{role} {:.3}, ", each(*cpu))?,
            None => write!(f, "{role} unknown (restarted), ")?,
        }
    }
    match sum {
        Some(sum) => writeln!(f, "together {:.3} CPU s per 1000 messages", each(sum)),
        None => writeln!(f, "CPU s per 1000 messages"),
    }
}

struct Shown<'a>(&'a Quantiles);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quantiles { samples, p50, p99, max } = self.0;
        let millis = |time: &Duration| time.as_secs_f64() * 1_000.0;
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms ({samples} samples)",
            millis(p50),
            millis(p99),
            millis(max)
        )
    }
}
