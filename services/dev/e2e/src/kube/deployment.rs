//! What the Deployment and ReplicaSet controllers do: pods of the newest template, as many as there should be, replaced
//! without ever having fewer than that.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tmtp_chart::{Manifest, Release};

use super::Node;
use super::pod::{Plan, Pod};

/// A Deployment and its pods.
pub(super) struct Deployment {
    pub(super) name: String,
    pub(super) replicas: usize,
    /// What a new pod is made from.
    template: Value,
    /// How long a pod has to be ready before it counts.
    min_ready: Duration,
    /// How long a roll-out may make no progress.
    progress: Duration,
    /// The pods that are not on their way out, the oldest first.
    pub(super) pods: Vec<Pod>,
    ending: Vec<Pod>,
}

impl Deployment {
    pub(super) fn new(manifest: &Manifest) -> Result<Self> {
        let mut deployment = Self {
            name: manifest.name().to_owned(),
            replicas: 0,
            template: Value::Null,
            min_ready: Duration::ZERO,
            progress: Duration::ZERO,
            pods: Vec::new(),
            ending: Vec::new(),
        };
        deployment.apply(manifest)?;
        Ok(deployment)
    }

    /// Takes over what is to be from now on.
    pub(super) fn apply(&mut self, manifest: &Manifest) -> Result<()> {
        let spec = &manifest.0["spec"];
        let strategy = &spec["strategy"]["rollingUpdate"];
        // What `roll_out` does.
        ensure!(strategy["maxSurge"] == 1 && strategy["maxUnavailable"] == 0, "{}: {strategy}", self.name);
        let replicas = spec["replicas"].as_u64().context("no number of replicas")?;
        self.replicas = usize::try_from(replicas)?;
        self.template = spec["template"].clone();
        self.min_ready = Duration::from_secs(spec["minReadySeconds"].as_u64().unwrap_or(0));
        // Kubernetes' own default.
        self.progress = Duration::from_secs(spec["progressDeadlineSeconds"].as_u64().unwrap_or(600));
        Ok(())
    }

    /// Starts and ends pods until all are of the template and their number is right. One that is to go is asked to, and not
    /// waited for.
    pub(super) async fn roll_out(&mut self, node: &Arc<Node>, release: &Release) -> Result<()> {
        // New ones first: as many as are missing, else one more than there should be for each that is old.
        while self.replicas > 0 && self.new_pods() < self.replicas {
            let missing = self.replicas.saturating_sub(self.pods.len()).max(1);
            let before = self.pods.len();
            for _ in 0..missing {
                let manifest = release.get("Deployment", &self.name).context("the Deployment is gone")?;
                let pod = manifest.pod().context("a Deployment without pods")?;
                self.pods.push(Plan::new(node, release, pod)?.start(self.template.clone()));
            }
            for pod in &mut self.pods[before..] {
                pod.available(self.min_ready, self.progress).await?;
            }
            self.end_surplus();
        }
        self.end_surplus();
        Ok(())
    }

    /// Waits for the pods that were asked to go.
    pub(super) async fn wait_for_ends(&mut self) {
        for pod in self.ending.drain(..) {
            pod.ended().await;
        }
    }

    fn new_pods(&self) -> usize {
        self.pods.iter().filter(|pod| pod.template == self.template).count()
    }

    /// Old pods go before new ones: the oldest of the old, the newest of the new.
    fn end_surplus(&mut self) {
        while self.pods.len() > self.replicas {
            let old = self.pods.iter().position(|pod| pod.template != self.template);
            let mut pod = self.pods.remove(old.unwrap_or(self.pods.len() - 1));
            pod.end();
            self.ending.push(pod);
        }
    }
}
