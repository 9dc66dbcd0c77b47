//! The rendered chart, run: its Jobs and Deployments as processes of this machine, started, probed, replaced and ended as
//! Helm, the controllers and kubelet would.
//!
//! Arguments, environment, files, modes, account and capabilities, probes, delays and grace periods are those of the
//! manifests. Three things differ where there are no containers, and are put in place of what the manifests say wherever it
//! stands: a path at which something is mounted lies below the pod's own folder, all interfaces (`0.0.0.0`) are the pod's own
//! address of 127.0.0.0/8, and the name of a Service is its address. Limits, placement, network policies, seccomp and a
//! root file system that cannot be written have no effect; nor has the account, if the test does not run as root. Releases
//! cannot be run that have Secrets of the chart's own making (each rendering makes new ones), or a trial's databases (their
//! images are not ours).
//!
//! Whatever a cluster would repair quietly is an incident, and [`Kube::passed`] fails with it: a process that ended by itself,
//! or panicked, or did not start or live by its probes, or had to be killed, and a connection to a Service that nobody took.

mod deployment;
mod files;
mod pod;
mod probes;
mod service;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use tempfile::TempDir;
use tmtp_chart::{Chart, Manifest, Release, text};
use tokio::time::timeout;

use crate::turns::Turn;
use crate::watchdog::Watchdog;
use crate::{Image, kube::deployment::Deployment, kube::pod::Plan, kube::service::Service};

pub use pod::Pod;

/// What Secrets that exist beside the release hold: (secret, key) → content.
pub type Secrets = BTreeMap<(String, String), Vec<u8>>;

/// A release that runs. A test ends it with [`Kube::passed`]; otherwise its drop prints the ends of all logs.
pub struct Kube {
    // In the order in which they end.
    deployments: Vec<Deployment>,
    services: Vec<Service>,
    node: Arc<Node>,
    chart: Chart,
    values: PathBuf,
    release: Release,
    passed: bool,
}

/// What all pods have in common.
struct Node {
    watchdog: Watchdog,
    image: Image,
    /// After the image, which is closed to its owner, too, until it goes.
    folder: TempDir,
    secrets: Secrets,
    /// The addresses of Services, by name.
    names: BTreeMap<String, Ipv4Addr>,
    /// Every pod that serves, or is to.
    pods: Mutex<Vec<Arc<pod::State>>>,
    /// How many pods there were, each of which has an address of its own.
    counter: AtomicU8,
    /// What a cluster would repair quietly.
    incidents: Mutex<Vec<String>>,
    #[expect(dead_code, reason = "the next cluster may start when this one has ended")]
    turn: Turn,
}

impl Kube {
    /// `helm install --wait`: hooks before, everything else, hooks after. `values` is the text of a values file, with the
    /// comments that [`tmtp_chart::Existing`] reads; `changes` are as for [`Chart::template`]. Waits its turn first.
    ///
    /// # Errors
    /// When Helm refuses, a Job fails, or a Deployment does not become available; the message holds the end of a log.
    pub async fn install(values: &str, changes: &[&str], secrets: Secrets) -> Result<Self> {
        // Before the turn: whoever holds it may be waiting for the same build.
        crate::binary("")?;
        let turn = Turn::take()?;
        let folder = tempfile::Builder::new().prefix("postern-kube-").tempdir().context("make a folder")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).context("let others in")?;
        let file = folder.path().join("values.yaml");
        fs::write(&file, values).context("write the values")?;
        let chart = Chart::open()?;
        let release = chart.render(&file, changes)?;
        let names = (1..).zip(release.all("Service"));
        let names =
            names.map(|(n, service)| (service.name().to_owned(), Ipv4Addr::new(127, 9, 255, n))).collect();
        let node = Arc::new(Node {
            image: Image::lay_out(folder.path())?,
            watchdog: Watchdog::start(folder.path())?,
            secrets,
            names,
            pods: Mutex::default(),
            counter: AtomicU8::new(0),
            incidents: Mutex::default(),
            folder,
            turn,
        });
        let mut kube = Self {
            deployments: Vec::new(),
            services: Vec::new(),
            node,
            chart,
            values: file,
            release,
            passed: false,
        };
        kube.check_ports()?;
        kube.hooks("pre-install").await?;
        for manifest in kube.release.all("Service") {
            kube.services.push(Service::start(&kube.node, manifest).await?);
        }
        kube.deployments = kube.release.all("Deployment").map(Deployment::new).collect::<Result<_>>()?;
        kube.roll_out().await?;
        kube.hooks("post-install").await?;
        Ok(kube)
    }

    /// `helm upgrade --wait` to changed values.
    ///
    /// # Errors
    /// As for [`Kube::install`]; also when the change is one that only an install can make here (other Services).
    pub async fn upgrade(&mut self, changes: &[&str]) -> Result<()> {
        let release = self.chart.render(&self.values, changes)?;
        for service in release.all("Service") {
            ensure!(
                self.release.get("Service", service.name()) == Some(service),
                "{} changes",
                service.title()
            );
        }
        ensure!(release.all("Deployment").count() == self.deployments.len(), "there are other Deployments");
        self.release = release;
        self.hooks("pre-upgrade").await?;
        for deployment in &mut self.deployments {
            let manifest = self.release.get("Deployment", &deployment.name);
            deployment.apply(manifest.with_context(|| format!("Deployment {} is gone", deployment.name))?)?;
        }
        self.roll_out().await?;
        self.hooks("post-upgrade").await.map(drop)
    }

    /// `helm test`; answers with what the tests' pods have said.
    ///
    /// # Errors
    /// When one fails, or there is none.
    pub async fn test(&self) -> Result<String> {
        self.hooks("test").await
    }

    /// `kubectl scale`, until it is done.
    ///
    /// # Errors
    /// When there is no such Deployment, or it does not become available.
    pub async fn scale(&mut self, component: &str, replicas: usize) -> Result<()> {
        let (node, release) = (&self.node, &self.release);
        let name = release.own("Deployment", component)?.name();
        let found = self.deployments.iter_mut().find(|deployment| deployment.name == name);
        let deployment = found.with_context(|| format!("there is no {name}"))?;
        deployment.replicas = replicas;
        deployment.roll_out(node, release).await?;
        deployment.wait_for_ends().await;
        Ok(())
    }

    /// The pods of a Deployment that serve.
    pub fn pods(&self, component: &str) -> impl Iterator<Item = &Pod> {
        let name = format!("{}-{component}", self.release.name);
        self.deployments.iter().filter(move |deployment| deployment.name == name).flat_map(|one| &one.pods)
    }

    /// Where a Service takes connections, by the name of its port.
    ///
    /// # Errors
    /// When there is none.
    pub fn service(&self, component: &str, port: &str) -> Result<SocketAddr> {
        let service = self.release.own("Service", component)?;
        let address = self.node.names.get(service.name()).context("a Service without address")?;
        let ports = service.0["spec"]["ports"].as_array().into_iter().flatten();
        let port = ports.into_iter().find(|one| text(one, "/name") == port).context("no such port")?;
        Ok(SocketAddr::from((*address, service::number(&port["port"])?)))
    }

    /// The end of the release: all pods at once, as `helm uninstall` ends them.
    ///
    /// # Errors
    /// With everything that a cluster would have repaired quietly.
    pub async fn passed(mut self) -> Result<()> {
        for deployment in &mut self.deployments {
            deployment.replicas = 0;
        }
        self.roll_out().await?;
        let incidents = self.node.incidents();
        ensure!(incidents.is_empty(), "{}", incidents.join("\n"));
        self.passed = true;
        Ok(())
    }

    /// What a cluster would have repaired quietly so far.
    pub fn incidents(&self) -> Vec<String> {
        self.node.incidents()
    }

    /// Whoever listens on all addresses has those of our pods, too.
    fn check_ports(&self) -> Result<()> {
        for (port, name) in
            self.release.pods().filter(tmtp_chart::Pod::is_long_running).flat_map(|pod| pod.ports())
        {
            let free = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
            free.with_context(|| {
                format!("port {port} ({name}) has to be free, on all addresses, to run the chart")
            })?;
        }
        Ok(())
    }

    /// Brings all Deployments to what they should be, all at once, and waits for the pods that go.
    async fn roll_out(&mut self) -> Result<()> {
        let (node, release) = (&self.node, &self.release);
        try_join_all(self.deployments.iter_mut().map(|deployment| deployment.roll_out(node, release)))
            .await?;
        for deployment in &mut self.deployments {
            deployment.wait_for_ends().await;
        }
        Ok(())
    }

    /// Runs the hooks of an event, lower weights first, one after the other. Answers with what they have said.
    async fn hooks(&self, event: &str) -> Result<String> {
        let mut hooks: Vec<&Manifest> =
            self.release.manifests.iter().filter(|manifest| manifest.hooks().contains(&event)).collect();
        hooks.sort_by_key(|manifest| (manifest.weight(), manifest.kind(), manifest.name()));
        let mut said = String::new();
        for manifest in hooks {
            if manifest.pod().is_some() {
                said +=
                    &self.run(manifest).await.with_context(|| format!("{event}: {}", manifest.title()))?;
            }
        }
        Ok(said)
    }

    /// A Job or a Pod, to its end. One attempt has to do, also where a cluster would make more.
    async fn run(&self, manifest: &Manifest) -> Result<String> {
        let pod = manifest.pod().context("no pod")?;
        let seconds =
            manifest.0["spec"]["activeDeadlineSeconds"].as_u64().context("no activeDeadlineSeconds")?;
        let plan = Plan::new(&self.node, &self.release, pod)?;
        timeout(Duration::from_secs(seconds), plan.run_to_end()).await.context("it takes too long")?
    }
}

impl Node {
    /// What a key of a Secret beside the release holds.
    fn secret(&self, name: &str, key: &str) -> Vec<u8> {
        self.secrets.get(&(name.to_owned(), key.to_owned())).cloned().unwrap_or_default()
    }

    /// A name for a pod, and an address that no other has had.
    fn next(&self, owner: &str) -> (String, Ipv4Addr) {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        (format!("{owner}-{number}"), Ipv4Addr::new(127, 9, 0, number + 1))
    }

    fn incident(&self, what: String) {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn incidents(&self) -> Vec<String> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pods(&self) -> Vec<Arc<pod::State>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Kube {
    #[expect(clippy::print_stderr, reason = "for the one who reads why a test failed")]
    fn drop(&mut self) {
        if !self.passed {
            for pod in self.node.pods() {
                eprintln!("{}", pod.log_tail());
            }
            eprintln!("the release was in {}", self.node.folder.path().display());
        }
    }
}
