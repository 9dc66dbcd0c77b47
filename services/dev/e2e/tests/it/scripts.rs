//! The scripts of `deploy/local`, run as people run them: a cluster in a folder and on ports of its own. They start the
//! programs that the tests were built with.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tmtp_client::{Client, Connect, Trust};
use tmtp_testkit::eventually;
use tmtp_wire::Request;

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// A place for a local cluster. Whatever runs there is ended with it.
struct Place {
    folder: TempDir,
    base: u16,
    target: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let program = tmtp_e2e::binary("tmtpctl")?;
        let target = program.ancestors().nth(2).context("the program is not in TARGET/PROFILE")?.to_owned();
        Ok(Self { folder: tempfile::tempdir().context("make a folder")?, base: free_base()?, target })
    }

    fn local(&self) -> PathBuf {
        self.folder.path().join("local")
    }

    fn command(&self, script: &str, words: &[&str]) -> Command {
        let mut command = Command::new(Path::new(ROOT).join("deploy/local").join(script));
        command.args(words).env("POSTERN_LOCAL_DIR", self.local()).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    fn run(&self, script: &str, words: &[&str]) -> Result<Output> {
        self.command(script, words).output().with_context(|| format!("start {script}"))
    }

    /// Runs a script that has to succeed.
    fn succeed(&self, script: &str, words: &[&str]) -> Result<String> {
        let output = self.run(script, words)?;
        ensure!(output.status.success(), "{script} {words:?}: {}", shown(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a script that has to fail with this code and these words.
    fn fail(&self, script: &str, words: &[&str], code: i32, expected: &str) -> Result<()> {
        let output = self.run(script, words)?;
        let said = shown(&output);
        ensure!(output.status.code() == Some(code) && said.contains(expected), "{script} {words:?}: {said}");
        Ok(())
    }

    fn up(&self, words: &[&str]) -> Result<String> {
        self.up_and_demonstrate(&[&["--no-demo"], words].concat())
    }

    fn up_and_demonstrate(&self, words: &[&str]) -> Result<String> {
        let base = self.base.to_string();
        let profile = if self.target.join("debug/tmtpctl").exists() { &["--debug"][..] } else { &[] };
        let fixed = ["--no-build", "--base-port", &base];
        self.succeed("up", &[&fixed, profile, words].concat())
    }

    /// What `cluster.env` says.
    fn env(&self) -> Result<BTreeMap<String, String>> {
        let text = fs::read_to_string(self.local().join("cluster.env")).context("read cluster.env")?;
        let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        text.lines().map(|line| pair(line).with_context(|| format!("odd line {line}"))).collect()
    }

    /// Every process of the cluster, by the name that `cluster.env` has for it, all of them alive and the right ones.
    fn processes(&self) -> Result<BTreeMap<String, u32>> {
        let mut found = BTreeMap::new();
        for (key, value) in self.env()?.into_iter().filter(|(key, _)| key.starts_with("PID")) {
            let part = key.trim_start_matches("PIDS_").trim_start_matches("PID_").to_lowercase();
            for (index, pid) in value.split(',').enumerate() {
                let pid: u32 = pid.parse().with_context(|| format!("{key}={value}"))?;
                let name = fs::read_to_string(format!("/proc/{pid}/comm"))
                    .with_context(|| format!("{key} is dead"))?;
                ensure!(name.contains(&part), "{key} is {name}");
                found.insert(format!("{part}-{}", index + 1), pid);
            }
        }
        Ok(found)
    }

    /// Registers at one gateway and sends a message to oneself, which another connection gets through the other gateway.
    fn works(&self, server_name: &[&str]) -> Result<()> {
        let gateways = self.env()?.remove("GATEWAYS").context("no GATEWAYS")?;
        let gateways: Vec<&str> = gateways.split(',').collect();
        let file = self.folder.path().join("credentials.json");
        let _ = fs::remove_file(&file);
        let file = file.to_str().context("odd folder")?;
        let place = |gateway: usize| [&["--server", gateways[gateway], "--insecure"], server_name].concat();
        let said = self.ctl(&[&["register", "--alias", "_", "--save", file], &place(0)[..]].concat())?;
        let uid = said.lines().find_map(|line| line.strip_prefix("uid   ")).context("no uid")?.to_owned();
        let identity = ["--credentials", file];
        let send = ["send", "--to", &uid, "--text", "hello, me"];
        self.ctl(&[&send[..], &identity, &place(0)[..]].concat())?;
        let listen = ["listen", "--count", "2", "--seconds", "20"];
        let heard = self.ctl(&[&listen[..], &identity, &place(1)[..]].concat())?;
        ensure!(heard.contains("hello, me"), "{heard}");
        Ok(())
    }

    /// The invite of the demonstration site leads to its page, and lets somebody in.
    async fn invites(&self) -> Result<()> {
        let mut env = self.env()?;
        let mut of = |key: &str| {
            env.remove(key).filter(|value| !value.is_empty()).with_context(|| format!("no {key}"))
        };
        let (link, site, gateways) = (of("DEMO_INVITE")?, of("DEMO_SITE")?, of("GATEWAYS")?);
        ensure!(of("DEMO_ADMIN_TOKEN")?.starts_with("tmk_"), "no key of the site's admin");
        let address = gateways.split(',').next().context("no gateway")?.parse()?;
        let code = link.rsplit('/').next().context("no code")?.to_owned();
        let page = reqwest::get(&link).await?.error_for_status()?.text().await?;
        ensure!(page.contains("Join Postern Demo"), "{page}");
        let connect = Connect { address, server_name: Some(site), trust: Trust::Any };
        let request = Request::Register {
            new_node: "laptop".to_owned(),
            new_alias: "Ann of Postern".to_owned(),
            oidc: None,
            invite: Some(code),
        };
        let (_, account) = Client::register_with(&connect, &request).await?;
        ensure!(account.alias_error.is_none(), "{:?}", account.alias_error);
        Ok(())
    }

    fn ctl(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(tmtp_e2e::binary("tmtpctl")?)
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .output()?;
        ensure!(output.status.success(), "{words:?}: {}", shown(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.run("down", &["--purge"]);
    }
}

/// Goal: the local cluster comes up and demonstrates itself, is what its file says, works whatever name a client gives,
/// can be restarted part by part, and goes again. Method: the scripts one after the other, as README.md has them, with a
/// look at the processes and a conversation after each step.
#[tokio::test]
async fn a_local_cluster_lives_and_dies() -> Result<()> {
    let place = Place::new()?;
    place.fail("status", &[], 3, "there is no cluster")?;
    place.fail("restart", &["worker"], 1, "./deploy/local/up starts one")?;
    check_demonstration(&place.up_and_demonstrate(&[])?)?;
    place.invites().await?;
    let env = place.env()?;
    for key in ["GATEWAYS", "ADMIN_URL", "DATABASE_URL", "REDIS_URL", "PIDS_GATEWAY", "PIDS_WORKER"] {
        ensure!(env.get(key).is_some_and(|value| !value.is_empty()), "no {key}: {env:?}");
    }
    let first = place.processes()?;
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let all = ["admin-1", "gateway-1", "gateway-2", "postgres-1", "redis-1", "worker-1", "worker-2"];
    ensure!(names == all, "{names:?}");
    for server_name in [&["--sni", "local.postern.test"][..], &["--sni", "localhost"], &[]] {
        place.works(server_name)?;
    }
    place.succeed("status", &[])?;
    ensure!(place.up(&[])?.contains("the cluster is up"), "a second up says nothing");
    ensure!(place.processes()? == first, "a second up has restarted something");

    let mut before = first;
    for (words, changed) in [
        (&["gateway", "2"][..], &["gateway-2"][..]),
        (&["--kill", "worker", "1"], &["worker-1"]),
        (&["admin"], &["admin-1"]),
        (&["redis"], &["redis-1"]),
        (&["postgres"], &["postgres-1"]),
        (&["--kill", "all"], &all),
    ] {
        place.succeed("restart", words)?;
        let after = place.processes()?;
        for name in all {
            let is_other = before.get(name) != after.get(name);
            ensure!(is_other == changed.contains(&name), "restart {words:?}: {name} {before:?} {after:?}");
        }
        before = after;
    }
    place.works(&[])?;

    // More of them, and fewer again; what is gone is told.
    place.up(&["--gateways", "3", "--workers", "1"])?;
    let names: Vec<String> = place.processes()?.into_keys().collect();
    ensure!(names == ["admin-1", "gateway-1", "gateway-2", "gateway-3", "postgres-1", "redis-1", "worker-1"]);
    let worker = place.processes()?["worker-1"];
    Command::new("kill").args(["-9", &worker.to_string()]).status()?;
    eventually(Duration::from_secs(10), "the end of a worker", async || (!is_alive(worker)).then_some(()))
        .await?;
    place.fail("status", &[], 1, "down")?;

    place.succeed("down", &[])?;
    ensure!(!place.local().join("cluster.env").exists(), "cluster.env is left");
    for (name, pid) in before {
        ensure!(!is_alive(pid), "{name} is left");
    }
    place.fail("status", &[], 3, "there is no cluster")?;

    // The data has stayed: who registered before can log in.
    place.up(&[])?;
    let file = place.folder.path().join("credentials.json");
    let gateways = place.env()?.remove("GATEWAYS").context("no GATEWAYS")?;
    let gateway = gateways.split(',').next().context("no gateway")?;
    let file = file.to_str().context("odd folder")?;
    place.ctl(&["login", "--server", gateway, "--insecure", "--credentials", file])?;
    place.succeed("down", &["--purge"])?;
    ensure!(!place.local().exists(), "something is left");
    Ok(())
}

/// Goal: what cannot be done is said in words, and nothing is started. Method: wrong options, a port that is taken, a
/// cluster on other ports, and two scripts at once.
#[test]
fn scripts_refuse_what_they_cannot_do() -> Result<()> {
    let place = Place::new()?;
    for script in ["up", "down", "status", "restart", "test"] {
        ensure!(place.succeed(script, &["--help"])?.contains(&format!("usage: ./deploy/local/{script}")));
    }
    for script in ["up", "down", "status", "restart"] {
        place.fail(script, &["--no-such-option"], 1, "unknown option --no-such-option; see --help")?;
    }
    place.fail("up", &["--gateways", "0"], 1, "--gateways must be a number from 1 to 31, not '0'")?;
    place.fail("up", &["--workers", "many"], 1, "--workers must be a number from 1 to 99, not 'many'")?;
    place.fail("up", &["--base-port"], 1, "--base-port needs a number")?;

    let base = place.base.to_string();
    let taken = TcpListener::bind(("127.0.0.1", place.base + 2)).context("take a port")?;
    let words = ["--no-demo", "--no-build", "--debug", "--base-port", &base];
    place.fail("up", &words, 1, &format!("port {}, needed by gateway-2, is in use", place.base + 2))?;
    ensure!(!place.local().join("cluster.env").exists(), "something was started");
    drop(taken);

    let mut one = place.command("up", &words).stdout(std::process::Stdio::null()).spawn()?;
    let other = place.up(&[])?;
    ensure!(one.wait()?.success(), "the first has failed: {other}");
    place.processes()?;
    let elsewhere = (place.base - 1).to_string();
    place.fail("up", &["--no-build", "--base-port", &elsewhere], 1, "run ./deploy/local/down first")?;
    place.fail("restart", &[], 1, "what to restart?")?;
    place.fail("restart", &["worker", "3"], 1, "the number of the worker must be a number from 1 to 2")?;
    place.fail("restart", &["redis", "1"], 1, "redis has no number")?;
    place.succeed("down", &["--purge"])?;
    Ok(())
}

/// Looks whether a story is whole: what is told in it, in this order, with one and the same hash of the attachment where
/// it is sent and where each device gets it. The times and ids in it differ each time.
fn check_demonstration(told: &str) -> Result<()> {
    let mut rest = told;
    for expected in [
        "cluster   gateway 1 is 127.0.0.1:",
        "gateway 2 serves it",
        "Ann registers through gateway 1: uid ",
        "Ben registers through gateway 2, with his phone: uid ",
        "Ann -> Ben \"Hello Ben!\": id ",
        "Ben -> Ann \"Hello Ann!\": id ",
        "Ben adds his tablet, which logs in through gateway 1",
        "both devices have it",
        "Ben's phone and tablet go offline",
        "Ann -> Ben \"Are you there?\": id ",
        "Ann -> Ben \"The plans are ready.\": id ",
        "Ann -> Ben \"They come with the next message.\": id ",
        "while the messages wait: ",
        "it is over; Ann is back",
        "Ann -> Ben attachment of 20971521 octets: id ",
        "Ben's phone comes back, through gateway 1 this time",
        "Ben's phone receives all 4 in order",
        "Ben's tablet comes back, through gateway 2 this time",
        "Ben's tablet receives all 4 in order",
        "everybody has everything; now the database has to forget it",
        "everything was as it should be",
        "the cluster is up after ",
    ] {
        let found = rest.find(expected).with_context(|| format!("no {expected:?} in its place: {told}"))?;
        rest = &rest[found..];
    }
    let hash =
        |line: &str| Some(line.split_once("SHA-256 ")?.1.trim_start_matches("is ").get(..16)?.to_owned());
    let hashes: Vec<String> = told.lines().filter_map(hash).collect();
    ensure!(hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}: {told}");
    Ok(())
}

/// A first port from which on all ports that a small cluster uses are free. Not among those that other tests, and what
/// they start, are given meanwhile ([`tmtp_testkit::free_port`]).
fn free_base() -> Result<u16> {
    const RANGE: std::ops::Range<u16> = 10_000..19_600;
    const PORTS: u16 = 400;
    let offsets = [1, 2, 3, 32, 79, 101, 102, 103, 201, 202, 300, 301];
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut bases: Vec<u16> = RANGE.step_by(PORTS.into()).collect();
    fastrand::shuffle(&mut bases);
    bases
        .into_iter()
        .find(|base| offsets.iter().all(|offset| is_free(base + offset)))
        .context("no free ports")
}

fn is_alive(pid: u32) -> bool {
    // A process that nobody buries is dead, too.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn shown(output: &Output) -> String {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
