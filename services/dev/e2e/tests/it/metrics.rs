//! The inventory of metrics: what dashboards and alerts rely on is there from the start.

use anyhow::Result;
use tmtp_admin::AdminMetrics;
use tmtp_e2e::{Program, Setup};
use tmtp_worker::WorkerMetrics;

/// Goal: every metric that a program declares is scraped, before anything has happened, and no other of ours. Method:
/// compare the scraped names of each program with its list.
#[tokio::test]
async fn every_metric_is_scraped() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).with_admin().start().await?;
    compare(&cluster.gateway(0), tmtp_gateway::Metrics::NAMES).await?;
    compare(cluster.worker(0), WorkerMetrics::NAMES).await?;
    compare(cluster.admin()?, AdminMetrics::NAMES).await?;
    cluster.passed()
}

async fn compare(program: &Program, names: &[&str]) -> Result<()> {
    let text = program.scrape().await?;
    let mut scraped: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| name.starts_with("tmtp_"))
        .collect();
    let mut declared = names.to_vec();
    scraped.sort_unstable();
    declared.sort_unstable();
    assert_eq!(scraped, declared, "{}", program.name());
    Ok(())
}
