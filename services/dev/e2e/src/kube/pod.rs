//! What kubelet does: one pod, from its first container to its end. Must never signal a process that it did not start.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;
use tmtp_chart::{Manifest, Release, layout, text};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Node;
use super::files::{Words, mount};
use super::probes::{Probes, Verdict};
use crate::image::{SETPRIV, as_account, check_account};
use crate::program::{has_panicked, tail};

/// Where the image has its programs.
const PROGRAMS_IN: &str = "/usr/local/bin";
/// For how long a Service still leads to a pod that is asked to end, as news take to get through a cluster. Shorter than any
/// preStop delay of the chart, which is there to outlast it.
const NEWS_TAKE: Duration = Duration::from_secs(1);
/// Where Kubernetes is told nothing.
const GRACE_DEFAULT: u64 = 30;

/// A pod to be.
pub(super) struct Plan {
    pub(super) node: Arc<Node>,
    pub(super) release: Release,
    owner: Manifest,
    pub(super) spec: Value,
    state: Arc<State>,
    folder: PathBuf,
}

/// What others see of a pod.
pub(super) struct State {
    name: String,
    address: Ipv4Addr,
    labels: Value,
    account: u32,
    group: u32,
    /// Names and numbers.
    ports: Vec<(String, u16)>,
    /// Since when it takes connections.
    ready: watch::Sender<Option<Instant>>,
    /// Since when it is to end, whatever it says itself.
    ending: OnceLock<Instant>,
    /// Of its running process.
    pid: Mutex<Option<i32>>,
    log: PathBuf,
}

/// A pod of a Deployment. Its process ends with it.
pub struct Pod {
    pub(super) template: Value,
    state: Arc<State>,
    node: Arc<Node>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
}

impl Plan {
    pub(super) fn new(node: &Arc<Node>, release: &Release, pod: tmtp_chart::Pod) -> Result<Self> {
        let (name, address) = node.next(pod.owner.name());
        let folder = node.folder.path().join(&name);
        make_folder(&folder)?;
        let security = &pod.spec["securityContext"];
        let id = |name: &str| security[name].as_u64().and_then(|id| u32::try_from(id).ok());
        let state = State {
            address,
            account: id("runAsUser").context("no runAsUser")?,
            group: id("fsGroup").context("no fsGroup")?,
            labels: pod.labels.clone(),
            ports: pod.ports().map(|(number, name)| (name.to_owned(), number)).collect(),
            ready: watch::Sender::new(None),
            ending: OnceLock::new(),
            pid: Mutex::default(),
            log: folder.join("log"),
            name,
        };
        Ok(Self {
            node: Arc::clone(node),
            release: release.clone(),
            owner: pod.owner.clone(),
            spec: pod.spec.clone(),
            state: Arc::new(state),
            folder,
        })
    }

    pub(super) fn pod(&self) -> tmtp_chart::Pod<'_> {
        tmtp_chart::Pod { owner: &self.owner, labels: &self.state.labels, spec: &self.spec }
    }

    /// The group to which its volumes belong.
    pub(super) fn group(&self) -> u32 {
        self.state.group
    }

    /// Starts a pod that runs until it is told to end.
    pub(super) fn start(self, template: Value) -> Pod {
        let (state, node) = (Arc::clone(&self.state), Arc::clone(&self.node));
        node.pods.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&state));
        let (end, told) = oneshot::channel();
        let task = tokio::spawn(async move {
            let served = self.serve(told).await;
            self.state.ready.send_replace(None);
            self.state.set_pid(None);
            let tail = || format!("{}: {}", self.state.name, self.state.log_tail());
            served.with_context(tail).inspect_err(|error| self.node.incident(format!("{error:#}")))
        });
        Pod { template, state, node, end: Some(end), task }
    }

    /// Runs the pod of a Job or a hook: its containers one after the other. Answers with what they have said.
    ///
    /// # Errors
    /// When one fails; the message holds the end of its log.
    pub(super) async fn run_to_end(self) -> Result<String> {
        for container in self.pod().containers() {
            self.run_container(container).await?;
        }
        fs::read_to_string(&self.state.log).context("read what was said")
    }

    async fn run_container(&self, container: &Value) -> Result<()> {
        let status = self.spawn(container)?.wait().await.context("wait for a container")?;
        let name = text(container, "/name");
        ensure!(status.success(), "{name} ended with {status}; {}", self.state.log_tail());
        ensure!(!has_panicked(&self.state.log()), "{name} has panicked; {}", self.state.log_tail());
        Ok(())
    }

    /// Runs the pod until it is told to end, and to its end. Everything that is not as it should be is an error.
    async fn serve(&self, mut told: oneshot::Receiver<()>) -> Result<()> {
        let mut main = self.pod().main_containers();
        let container = main.next().context("a pod without containers")?;
        ensure!(main.next().is_none(), "more than one container");
        for initial in self.spec["initContainers"].as_array().into_iter().flatten() {
            self.run_container(initial).await?;
        }
        let mut probes = Probes::new(container, self.state.address)?;
        let mut child = self.spawn(container)?;
        loop {
            tokio::select! {
                // In this order: a process that has ended already was not asked to.
                biased;
                status = child.wait() => bail!("ended by itself ({})", status?),
                _ = &mut told => return self.end(container, child).await,
                verdict = probes.next() => match verdict {
                    Verdict::Same => {}
                    Verdict::Ready => drop(self.state.ready.send_replace(Some(Instant::now()))),
                    Verdict::NotReady => drop(self.state.ready.send_replace(None)),
                    Verdict::Dead(why) => {
                        child.kill().await.context("kill")?;
                        bail!(why);
                    }
                },
            }
        }
    }

    /// preStop, SIGTERM, and SIGKILL when the grace is over, which begins with the first.
    async fn end(&self, container: &Value, mut child: Child) -> Result<()> {
        let grace = self.spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(GRACE_DEFAULT);
        let deadline = Instant::now() + Duration::from_secs(grace);
        let pre_stop = container.pointer("/lifecycle/preStop/sleep/seconds").and_then(Value::as_u64);
        tokio::select! {
            biased;
            status = child.wait() => bail!("ended by itself before it was asked to ({})", status?),
            () = sleep(Duration::from_secs(pre_stop.unwrap_or(0))) => {}
        }
        let pid = i32::try_from(child.id().context("it has no id")?)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("send SIGTERM")?;
        let Ok(status) = timeout_at(deadline, child.wait()).await else {
            child.kill().await.context("kill")?;
            bail!("had to be killed");
        };
        let status = status.context("wait for the process")?;
        ensure!(status.success(), "ended with {status}");
        ensure!(!has_panicked(&self.state.log()), "has panicked");
        Ok(())
    }

    fn spawn(&self, container: &Value) -> Result<Child> {
        let name = text(container, "/name");
        let root = self.folder.join(name);
        let words = Words::new(self, container, &root, self.state.address);
        make_folder(&root)?;
        mount(self, container, &root, &words).with_context(|| format!("mount the volumes of {name}"))?;
        let secrets = |secret: &str, key: &str| self.node.secret(secret, key);
        let environment = layout::environment(&self.release, container, &secrets)?;
        let mut words_of = ["command", "args"]
            .into_iter()
            .flat_map(|list| container[list].as_array().into_iter().flatten())
            .filter_map(Value::as_str);
        let program = Path::new(words_of.next().context("no command")?);
        ensure!(program.starts_with(PROGRAMS_IN), "{} is not in the image", program.display());
        let program = program.file_name().and_then(|name| name.to_str()).context("no name")?;
        let log = File::options().create(true).append(true).open(&self.state.log).context("open the log")?;
        let mut command = self.as_account(container, &self.node.image.binary(program))?;
        let child = command
            .args(words_of.map(|word| words.replace(word)))
            .env_clear()
            .env("PATH", PROGRAMS_IN)
            .env("HOSTNAME", &self.state.name)
            .envs(environment.iter().map(|(name, value)| (name, words.replace(value))))
            .current_dir(&root)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let pid = child.id().context("it has ended already")?;
        self.node.watchdog.watch(pid)?;
        self.state.set_pid(Some(i32::try_from(pid)?));
        Ok(child)
    }

    /// The program, as the account and with the rights that the manifests give. Only root can do that.
    fn as_account(&self, container: &Value, binary: &Path) -> Result<Command> {
        let own = &container["securityContext"];
        let capabilities = &own["capabilities"];
        let (account, group) = (self.id(container, "runAsUser")?, self.id(container, "runAsGroup")?);
        ensure!(self.spec["securityContext"]["runAsNonRoot"] == true && account != 0, "it may be root");
        ensure!(own["allowPrivilegeEscalation"] == false, "it may get more rights");
        ensure!(capabilities["drop"][0] == "ALL" && capabilities["add"].is_null(), "{capabilities}");
        if !geteuid().is_root() {
            return Ok(Command::new(binary));
        }
        let mut command = Command::new(SETPRIV);
        command.args(as_account(account, group, Some(self.state.group))).arg(binary);
        Ok(command)
    }

    /// A number of the container's security context, or the pod's.
    fn id(&self, container: &Value, name: &str) -> Result<u32> {
        let contexts = [&container["securityContext"], &self.spec["securityContext"]];
        let id = contexts.iter().find_map(|context| context[name].as_u64());
        Ok(u32::try_from(id.with_context(|| format!("no {name}"))?)?)
    }
}

impl State {
    /// Where a Service that selects these labels finds it, if it takes connections.
    pub(super) fn endpoint(&self, selector: &Value, port: &str) -> Option<SocketAddr> {
        let selects = selector.as_object()?.iter().all(|(name, value)| self.labels.get(name) == Some(value));
        let in_news = self.ending.get().is_none_or(|since| since.elapsed() < NEWS_TAKE);
        let ready = self.ready.borrow().is_some() && in_news;
        let (_, number) = self.ports.iter().find(|(name, _)| name == port).filter(|_| selects && ready)?;
        Some(SocketAddr::from((self.address, *number)))
    }

    fn set_pid(&self, pid: Option<i32>) {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it has said.
    pub(super) fn log_tail(&self) -> String {
        tail(&self.name, &self.log())
    }
}

impl Pod {
    /// Its name, which no other pod of the release has had.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The id of its process.
    ///
    /// # Errors
    /// When none runs.
    pub fn pid(&self) -> Result<i32> {
        let pid = *self.state.pid.lock().unwrap_or_else(PoisonError::into_inner);
        pid.with_context(|| format!("{} does not run", self.state.name))
    }

    /// Checks that its process runs as the account and with the rights that the manifests give, if we can give them.
    ///
    /// # Errors
    /// With what is different.
    pub fn check_account(&self) -> Result<()> {
        if geteuid().is_root() {
            check_account(self.pid()?, self.state.account, Some(self.state.group))
        } else {
            Ok(())
        }
    }

    /// Where it listens, by the name of the port.
    ///
    /// # Errors
    /// When it has no such port.
    pub fn address(&self, port: &str) -> Result<SocketAddr> {
        let found = self.state.ports.iter().find(|(name, _)| name == port);
        Ok(SocketAddr::from((self.state.address, found.context("no such port")?.1)))
    }

    /// The value of one of its metrics, summed over labels.
    ///
    /// # Errors
    /// When it does not answer, or has no such metric.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        crate::program::metric_in(&crate::http::get(self.address("monitor")?, "/metrics").await?.text, name)
    }

    /// Waits until it has been ready for so long.
    pub(super) async fn available(&mut self, for_long: Duration, within: Duration) -> Result<()> {
        let mut ready = self.state.ready.subscribe();
        let available = async {
            loop {
                let since = *ready.borrow_and_update();
                let Some(since) = since else {
                    ready.changed().await?;
                    continue;
                };
                // It counts from anew when it has not been ready in between.
                if timeout_at(since + for_long, ready.changed()).await.is_err() {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            done = timeout(within, available) => {
                done.with_context(|| format!("{} is not ready; {}", self.state.name, self.state.log_tail()))?
            }
            ended = &mut self.task => ended.context("the pod's task")?.and_then(|()| bail!("it has ended")),
        }
    }

    /// Asks it to end. It takes no more connections from now on.
    pub(super) fn end(&mut self) {
        self.state.ending.get_or_init(Instant::now);
        if let Some(end) = self.end.take() {
            // One that has ended already has said so.
            let _ = end.send(());
        }
    }

    /// Waits for its end. What went wrong with it is an incident.
    pub(super) async fn ended(mut self) {
        // It is an error of the pod, or one of the test that has dropped it.
        let _ = (&mut self.task).await;
        let mut pods = self.node.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.retain(|state| state.name != self.state.name);
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A folder into which others may look, whatever the test's own umask is.
fn make_folder(path: &Path) -> Result<()> {
    let make = || {
        fs::create_dir(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o755))
    };
    make().with_context(|| format!("make {}", path.display()))
}
