//! Traces across programs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use tmtp_e2e::{Setup, WAIT};
use tmtp_testkit::eventually;

use crate::collector::Collector;

/// Goal: a post is one trace from the gateway that takes it to the gateway that delivers it. Method: with all traces
/// kept, ann posts to ben over two gateways, and a collector has to see one trace with the post, its decision by the
/// worker, and its delivery.
#[tokio::test]
async fn a_post_is_one_trace() -> Result<()> {
    let collector = Collector::start().await?;
    let cluster = Setup::new()
        .setting("tracing.otlp_endpoint", collector.endpoint())
        .setting("tracing.sample_ratio", "1")
        .start()
        .await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    ann.post("traced", &[ben.uid()], "traced").await?;
    ben.take("traced").await?;

    let wanted: BTreeSet<_> = [
        ("tmtp-gateway", "session.post"),
        ("tmtp-worker", "worker.decide"),
        ("tmtp-gateway", "link.deliver"),
    ]
    .map(|(service, name)| (service.to_owned(), name.to_owned()))
    .into();
    let found = async || {
        let mut traces: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for seen in collector.seen() {
            traces.entry(seen.trace).or_default().insert((seen.service, seen.name));
        }
        traces.values().any(|spans| spans.is_superset(&wanted)).then_some(())
    };
    let waited = eventually(WAIT, "the trace of the post", found).await;
    waited.map_err(|error| error.context(format!("seen: {:?}", collector.seen())))?;
    cluster.passed()
}
