//! A site's life as its provider and its members see it: made, suspended and resumed through the admin API with
//! `tmtpctl`, and felt at the gateways.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tmtp_e2e::{Cluster, DEFAULT_SITE, End, Link, Setup, WAIT};
use tmtp_loadtest::processes::Processes;
use tmtp_loadtest::sites;
use tmtp_testkit::eventually;

/// Somebody with a key to the API.
pub struct Person<'c> {
    cluster: &'c Cluster,
    folder: &'c TempDir,
    /// The file of the key.
    key: &'static str,
}

impl<'c> Person<'c> {
    /// The same place with another key, which was saved in this file.
    pub fn with_key(&self, key: &'static str) -> Person<'c> {
        Person { key, ..*self }
    }

    /// Runs `tmtpctl COMMAND --json …` with the key, and gives what the API answered.
    pub fn ask(&self, line: &str) -> Result<Value> {
        let (success, said) = self.run(line)?;
        ensure!(success, "{line}: {said}");
        serde_json::from_str(&said).with_context(|| format!("{line}: {said}"))
    }

    /// The complaint of a command that has to fail.
    pub fn fail(&self, line: &str) -> Result<String> {
        let (success, said) = self.run(line)?;
        ensure!(!success, "{line} succeeds: {said}");
        Ok(said)
    }

    fn run(&self, line: &str) -> Result<(bool, String)> {
        self.run_as(line, &["--json"])
    }

    /// The same for people to read, or with these options.
    fn run_as(&self, line: &str, options: &[&str]) -> Result<(bool, String)> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let output = Command::new(tmtp_e2e::binary("tmtpctl")?)
            .arg(command)
            .args(options)
            .args(["--token-file", self.key, "--api", &self.cluster.admin_url()?])
            .args(rest.split(' ').filter(|word| !word.is_empty()))
            .current_dir(self.folder.path())
            .env_clear()
            .output()
            .context("start tmtpctl")?;
        let said = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }
}

/// Makes the first key, as who brings the deployment up does.
pub fn bootstrap<'c>(cluster: &'c Cluster, folder: &'c TempDir) -> Result<Person<'c>> {
    let status = Command::new(tmtp_e2e::binary("tmtpctl")?)
        .args(["bootstrap", "key", "--name", "first", "--save", "operator"])
        .current_dir(folder.path())
        .env_clear()
        .env("DATABASE_URL", cluster.database_url())
        .status()
        .context("start tmtpctl")?;
    ensure!(status.success(), "no key was made");
    Ok(Person { cluster, folder, key: "operator" })
}

/// Goal: one call makes a site that serves at once; a suspension ends its sessions and lets nobody in, tells its members
/// why, at once and when they log in, and concerns nobody else; what happened stands in the audit log; a key for one site reaches no other. Method: live through it
/// with two gateways, one member there and one elsewhere.
#[tokio::test]
async fn a_site_is_made_suspended_and_resumed() -> Result<()> {
    let cluster = Setup::new().with_admin().start().await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let site = operator.ask("site create --name Third --domain third.test --registration open")?;
    assert_eq!(site["name"], "Third");
    for number in 0..2 {
        let gateway = cluster.gateway(number).at("third.test");
        let served = async || gateway.greeting().await.is_ok_and(|said| said.name == "Third").then_some(());
        eventually(WAIT, "the new site to be served", served).await?;
    }
    let mut ann = cluster.gateway(0).at("third.test").connect_as("ann", "Ann of the third").await?;
    let mut eve = cluster.gateway(0).connect("eve").await?;

    let suspended = operator.ask("site suspend third.test --reason unpaid --notice back-on-Monday")?;
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(ann.end().await?, End::Quit("back-on-Monday".into()));
    for number in 0..2 {
        let third = cluster.gateway(number).at("third.test");
        for (account, told) in [(ann.account(), "back-on-Monday"), (eve.account(), "login failed")] {
            let Err(refused) = third.try_login(account).await else {
                anyhow::bail!("a suspended site lets users in")
            };
            ensure!(refused.to_string().contains(told), "{told}: {refused}");
        }
    }
    let third = cluster.gateway(1).at("third.test");
    eve.expect_nothing_else().await?;

    operator.ask("site resume third.test")?;
    let back = async || third.try_login(ann.account()).await.ok();
    eventually(WAIT, "ann to be let in again", back).await?;

    let log = operator.ask("audit --site third.test")?;
    let actions: Vec<&str> =
        log.as_array().into_iter().flatten().filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, ["site.resume", "site.suspend", "site.create"]);

    operator.ask("key create --name helper --role admin --site third.test --save helper")?;
    let helper = operator.with_key("helper");
    let seen = helper.ask("site list")?;
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
    let refusal = helper.fail("site suspend third.test --reason no")?;
    assert!(refusal.contains("(forbidden"), "{refusal}");
    let refusal = helper.fail(&format!("site show {DEFAULT_SITE}"))?;
    assert!(refusal.contains("no site has the host name"), "{refusal}");
    let tried = operator.ask("site delete third.test --dry-run")?;
    ensure!(tried["members"] == 1 && tried["domains"] == 1 && tried["keys"] == 1, "{tried}");
    let (_, table) = operator.run_as("audit --site third.test --action site.create", &[])?;
    ensure!(table.contains("REQUEST") && table.contains("req_"), "the table lacks requests: {table}");
    let keys = operator.ask("key list --site third.test")?;
    let id = keys[0]["id"].as_str().context("no key is listed")?;
    let revoked = operator.ask(&format!("key revoke {id}"))?;
    ensure!(revoked == serde_json::json!({ "id": id, "revoked": true }), "{revoked}");
    ensure!(helper.fail("site list")?.contains("(unauthenticated"), "the key is still good");
    let (_, help) = operator.run_as("site create --help", &[])?;
    ensure!(help.contains("open|closed|invite|oidc|approval"), "the help lacks modes: {help}");
    cluster.passed()
}

/// Goal: whoever has installed a deployment sees that messages get through, as often as they like, and nothing stays behind;
/// method: `check-delivery` twice over two gateways, what the API shows between, and a gateway that is not there.
#[tokio::test]
async fn a_deployment_is_checked() -> Result<()> {
    let cluster = Setup::new().with_admin().start().await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let (first, second) = (cluster.gateway(0).address(), cluster.gateway(1).address());
    for _ in 0..2 {
        let line = format!(
            "check-delivery --domain delivery-test.one.invalid --server {first} --second {second} --insecure"
        );
        let (success, said) = operator.run(&line)?;
        ensure!(success && said.contains("two accounts exchanged messages"), "{said}");
        ensure!(said.matches(" delivered").count() == 2, "{said}");
        let site = operator.ask("site show delivery-test.one.invalid")?;
        ensure!(site["registration"] == "closed", "the site stays open: {site}");
        let members = operator.ask("member list delivery-test.one.invalid")?;
        ensure!(members == serde_json::json!([]), "somebody stays behind: {members}");
    }
    let nowhere =
        "check-delivery --domain delivery-test.one.invalid --server 127.0.0.1:1 --site-wait 1 --insecure";
    let complaint = operator.fail(nowhere)?;
    ensure!(complaint.contains("cannot register at 127.0.0.1:1"), "{complaint}");
    let site = operator.ask("site show delivery-test.one.invalid")?;
    ensure!(site["registration"] == "closed", "the site stays open after a failure: {site}");
    cluster.passed()
}

/// Goal: the daily work at a site is done with `tmtpctl`, and felt by its members: policy, invites (one and many), members,
/// providers. Method: each command once, with a member who is online, and a provider that the test plays.
#[tokio::test]
async fn the_daily_work() -> Result<()> {
    let cluster = Setup::new().with_admin().admin_setting("oidc.reach", "anywhere").start().await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    operator.ask("site create --name Fourth --domain fourth.test --registration open")?;
    let gateway = cluster.gateway(0).at("fourth.test");
    let served = async || gateway.greeting().await.is_ok_and(|said| said.name == "Fourth").then_some(());
    eventually(WAIT, "the new site to be served", served).await?;
    let mut ann = cluster.gateway(0).at("fourth.test").connect_as("ann", "ann-of-the-fourth").await?;
    let mut ben = cluster.gateway(0).at("fourth.test").connect_as("ben", "ben-of-the-fourth").await?;

    let policy = operator.ask("policy set fourth.test posts.octets_max=10 groups.create=nobody")?;
    ensure!(policy["set"]["posts"]["octets_max"] == 10, "{policy}");
    let uid = ben.uid().to_owned();
    // The change is in the stream when its request is answered, so the next post is behind it.
    let refusal = ann.refused(&tmtp_e2e::post("p1", &[&uid], &[b'x'; 100]), &[b'x'; 100]).await?;
    ensure!(refusal.contains("at most 10 octets"), "{refusal}");
    ensure!(operator.ask("policy show fourth.test")?["registration"] == "open", "the registration is lost");
    operator.ask("policy rollback fourth.test 0")?;
    let history = operator.ask("policy history fourth.test")?;
    ensure!(history.as_array().map(Vec::len) == Some(3), "{history}");
    // Gateways hear of a higher limit within seconds.
    let mut tries = 0..;
    let taken = async || {
        let id = format!("p2-{}", tries.next()?);
        ann.request(&tmtp_e2e::post(&id, &[&uid], &[b'x'; 100]), &[b'x'; 100]).await.ok()
    };
    eventually(WAIT, "a larger post to be taken", taken).await?;
    let as_made = serde_json::json!({ "registration": "open" });
    ensure!(operator.ask("policy show fourth.test")? == as_made, "more is set than when it was made");
    ensure!(operator.ask("policy show fourth.test --effective")?["posts"].is_object(), "nothing holds");

    let made = operator.ask("invite create fourth.test --alias cat-of-the-fourth --role staff")?;
    let id = made["id"].as_str().context("an invite without id")?.to_owned();
    ensure!(made["code"].is_string(), "{made}");
    let resent = operator.ask(&format!("invite resend fourth.test {id}"))?;
    ensure!(resent["code"] != made["code"], "{resent}");
    let table = "external_id,max_uses\ne-1,1\ne-2,many\n";
    std::fs::write(folder.path().join("people.csv"), table).context("write a table")?;
    let tried = operator.ask("invite bulk fourth.test people.csv --dry-run")?;
    ensure!(tried["valid"] == 1 && tried["invalid"] == 1, "{tried}");
    let bulk = operator.ask("invite bulk fourth.test people.csv")?;
    ensure!(bulk["created"] == 1 && bulk["rows"][0]["code"].is_string(), "{bulk}");
    ensure!(
        operator.ask(&format!("invite revoke fourth.test {id}"))?["state"] == "revoked",
        "it is not revoked"
    );
    let listed = operator.ask("invite list fourth.test --state pending")?;
    ensure!(listed.as_array().map(Vec::len) == Some(1), "{listed}");
    ensure!(
        operator.ask(&format!("invite joined fourth.test {id}"))? == serde_json::json!([]),
        "somebody joined"
    );

    let sent = ann.post("p3", &[&uid], "followed").await?;
    ben.take(&"x".repeat(100)).await?;
    ben.take("followed").await?;
    let steps = |trace: &Value| -> Vec<String> {
        let steps = trace["steps"].as_array().into_iter().flatten();
        steps.filter_map(|step| step["step"].as_str().map(str::to_owned)).collect()
    };
    let acked = async || {
        let trace = operator.ask(&format!("trace fourth.test {}", sent.msg_id)).ok()?;
        (trace["devices"]["acked"] == 1).then_some(trace)
    };
    let trace = eventually(WAIT, "ben's ack to be in the trace", acked).await?;
    for step in ["accepted", "committed", "queued", "sent", "acked"] {
        ensure!(steps(&trace).iter().filter(|known| *known == step).count() == 1, "{step}: {trace}");
    }
    ensure!(!trace.to_string().contains("followed"), "{trace}");
    let refusal = operator.fail("trace fourth.test 18d75b8423f30000")?;
    ensure!(refusal.contains("older than traces are kept"), "{refusal}");

    let members = operator.ask("member list fourth.test --search of-the-fourth")?;
    ensure!(members.as_array().map(Vec::len) == Some(2), "{members}");
    operator.ask("member set fourth.test ben-of-the-fourth --external-id crm-7")?;
    let devices = operator.ask("member devices fourth.test ben-of-the-fourth")?;
    ensure!(devices[0]["online"] == true, "{devices}");
    rules_and_devices(&operator, &mut ann, &mut ben).await?;
    let mut ben = cluster.gateway(0).at("fourth.test").login("ben", ben.account()).await?;
    operator.ask("member suspend fourth.test ben-of-the-fourth --reason unpaid --notice call-us")?;
    assert_eq!(ben.end().await?, End::Quit("call-us".into()));
    let Err(refused) = gateway.try_login(ben.account()).await else { anyhow::bail!("ben is in") };
    ensure!(refused.to_string().contains("call-us"), "{refused}");
    operator.ask(&format!("member resume fourth.test {}", ben.uid()))?;
    let refusal = operator.fail("member approve fourth.test ben-of-the-fourth")?;
    ensure!(refusal.contains("does not wait for approval"), "{refusal}");
    let tried = operator.ask("member erase fourth.test ben-of-the-fourth --dry-run")?;
    ensure!(tried["aliases"] == 1 && tried["devices"] == 1, "{tried}");
    let report = operator.ask("member erase fourth.test ben-of-the-fourth")?;
    ensure!(report["erased"] == true, "{report}");
    let fourth = cluster.gateway(1).at("fourth.test");
    ensure!(fourth.try_login(ben.account()).await.is_err(), "an erased member logs in");
    let refusal = operator.fail("member show fourth.test ben-of-the-fourth")?;
    ensure!(refusal.contains("no member has the alias"), "{refusal}");

    let issuer = play_issuer()?;
    let made = operator
        .ask(&format!("provider create fourth.test corp --label Corp --issuer {issuer} --client-id 1"))?;
    ensure!(made["jwks_uri"] == format!("{issuer}/keys"), "{made}");
    let tested = operator.ask("provider test fourth.test corp")?;
    ensure!(tested["ok"] == true, "{tested}");
    ensure!(operator.ask("provider refresh fourth.test corp")?["keys"] == 1, "no keys");
    operator.ask("provider remove fourth.test corp")?;
    ensure!(operator.ask("provider list fourth.test")? == serde_json::json!([]), "it is still there");
    cluster.passed()
}

/// What an admin sets of a member, and does about its devices; ben has no session afterwards.
async fn rules_and_devices(operator: &Person<'_>, ann: &mut Link, ben: &mut Link) -> Result<()> {
    let place = "fourth.test ben-of-the-fourth";
    let shown = operator.ask(&format!("member receive-only {place}"))?;
    ensure!(shown["receive_only"] == true, "{shown}");
    let to_ann = tmtp_e2e::post("r1", &[ann.uid()], b"hello");
    let refusal = ben.refused(&to_ann, b"hello").await?;
    ensure!(refusal.starts_with("site policy: "), "{refusal}");
    let shown = operator.ask(&format!("member receive-only {place} --off"))?;
    ensure!(shown["receive_only"] == false, "{shown}");
    let away = "--text back-soon --until 2126-01-01T00:00:00Z --delegate ann-of-the-fourth";
    let shown = operator.ask(&format!("member away {place} {away}"))?;
    ensure!(shown["away"]["text"] == "back-soon" && shown["away"]["delegate"] == ann.uid(), "{shown}");
    let shown = operator.ask(&format!("member back {place}"))?;
    ensure!(shown["away"].is_null(), "{shown}");

    let refusal = operator.fail(&format!("member device revoke {place} 9"))?;
    ensure!(refusal.contains("(not_found"), "{refusal}");
    let dropped = operator.ask(&format!("member device drop-queue {place} 1"))?;
    ensure!(dropped == serde_json::json!({ "num": 1, "dropped": true }), "{dropped}");
    ensure!(matches!(ben.end().await?, End::Quit(_)), "ben is still there");
    ensure!(
        operator.ask(&format!("member device disconnect {place} 1"))?["sessions"] == 0,
        "a session is left"
    );
    Ok(())
}

/// A provider with a configuration and a key, until the test ends.
fn play_issuer() -> Result<String> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("open a port")?;
    let url = format!("http://{}", listener.local_addr().context("ask for the port")?);
    let configuration = serde_json::json!({
        "issuer": url, "authorization_endpoint": format!("{url}/login"), "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
    });
    // The example of RFC 8037.
    let key = serde_json::json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k",
                                             "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let asks_for_keys = lines.next().is_some_and(|line| line.contains("/keys"));
            // The rest of the head.
            lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
            let body = if asks_for_keys { key.to_string() } else { configuration.to_string() };
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
        }
    });
    Ok(url)
}

/// Goal: the scenario that measures many sites makes them all, once each, and they are served; method: a few of them.
#[tokio::test]
async fn many_sites_are_made() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).with_admin().start().await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let key = std::fs::read_to_string(folder.path().join(operator.key)).context("read the key")?;
    let report = sites::run(sites::Options {
        api: sites::Api::new(&cluster.admin_url()?, key.trim())?,
        sites: 20,
        span: Duration::from_millis(100),
        processes: Processes::default(),
    })
    .await?;
    assert_eq!((report.sites, report.pauses), (20, 0));
    let listed = operator.ask("site list")?;
    let listed = listed.as_array().context("no list")?;
    let made: Vec<&str> = listed
        .iter()
        .filter(|site| site["registration"] == "invite")
        .filter_map(|site| site["domains"][0].as_str())
        .collect();
    assert_eq!(made.len(), 20, "{made:?}");
    for domain in made {
        let gateway = cluster.gateway(0).at(domain);
        let served =
            async || gateway.greeting().await.is_ok_and(|said| said.name.starts_with("Site ")).then_some(());
        eventually(WAIT, "a new site to be served", served).await?;
    }
    cluster.passed()
}
