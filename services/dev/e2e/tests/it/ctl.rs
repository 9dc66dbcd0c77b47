//! `tmtpctl` as people use it, against a cluster: the real program, its words and its exit codes. What needs no cluster is
//! tested where the program is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tmtp_e2e::{Cluster, DEFAULT_SITE, Setup};

/// Every command that speaks with a server.
const COMMANDS: [&str; 7] = ["register", "login", "send", "listen", "newnode", "newalias", "demo"];

/// A folder with credentials, and the way to a gateway.
struct Desk<'c> {
    cluster: &'c Cluster,
    folder: TempDir,
}

impl<'c> Desk<'c> {
    fn new(cluster: &'c Cluster) -> Result<Self> {
        Ok(Self { cluster, folder: tempfile::tempdir().context("make a folder")? })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command at a gateway, in the folder.
    fn run(&self, gateway: usize, words: &[&str]) -> Result<Output> {
        let server = self.cluster.gateway(gateway).address().to_string();
        let (command, rest) = words.split_first().context("no command")?;
        let place = ["--server", &server, "--sni", DEFAULT_SITE, "--insecure"];
        tmtpctl(self.path(), &[&[*command], place.as_slice(), rest].concat())
    }

    /// Runs a command that has to succeed, and gives what it prints.
    fn succeed(&self, gateway: usize, words: &[&str]) -> Result<String> {
        let output = self.run(gateway, words)?;
        ensure!(output.status.code() == Some(0), "{words:?}: {}", shown(&output));
        Ok(text(&output.stdout))
    }

    /// Runs a command that has to fail with 1 and to say this.
    fn fail(&self, gateway: usize, words: &[&str], expected: &str) -> Result<()> {
        let output = self.run(gateway, words)?;
        ensure!(output.status.code() == Some(1), "{words:?}: {}", shown(&output));
        let complaint = text(&output.stderr);
        ensure!(complaint.starts_with("error: ") && complaint.contains(expected), "{words:?}: {complaint}");
        Ok(())
    }

    /// Makes a user whose credentials are in this file, and gives its uid.
    fn register(&self, gateway: usize, alias: &str, file: &str) -> Result<String> {
        let said = self.succeed(gateway, &["register", "--alias", alias, "--save", file])?;
        let uid = said.lines().find_map(|line| line.strip_prefix("uid   ")).context("no uid")?;
        Ok(uid.to_owned())
    }
}

/// Goal: two people can talk by hand. Method: ann and ben register at one gateway each; ann sends a text and a file beyond
/// the inline limit; ben listens, and has both, octet by octet; a second look finds nothing but the notice of itself.
#[tokio::test]
async fn people_talk_by_hand() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let desk = Desk::new(&cluster)?;
    desk.register(0, "Ann Example", "ann.json")?;
    let ben = desk.register(1, "Ben Example", "ben.json")?;
    let mode = fs::metadata(desk.path().join("ben.json"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "others can read the credentials: {mode:o}");

    let octets: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(desk.path().join("file"), &octets)?;
    let ann = ["--credentials", "ann.json", "--to", &ben];
    for content in [["--text", "hello, Ben"], ["--file", "file"]] {
        let sent = desk.succeed(0, &[&["send"], ann.as_slice(), &content].concat())?;
        ensure!(sent.starts_with("message ") && sent.contains(" stored at "), "{sent}");
    }
    let listen = ["listen", "--credentials", "ben.json", "--seconds", "20", "--save-dir", "inbox", "--count"];
    let heard = desk.succeed(1, &[listen.as_slice(), &["3"]].concat())?;
    ensure!(heard.contains("10 octets: hello, Ben") && heard.contains("3 messages"), "{heard}");
    let mut saved = Vec::new();
    for file in fs::read_dir(desk.path().join("inbox"))? {
        saved.push(fs::read(file?.path())?);
    }
    saved.sort_unstable_by_key(Vec::len);
    ensure!(saved == [b"hello, Ben".to_vec(), octets], "something else is in the folder");
    let heard = desk.succeed(0, &[listen.as_slice(), &["1"]].concat())?;
    ensure!(heard.contains(r#""op":"login""#) && heard.contains("1 messages"), "{heard}");
    cluster.passed()
}

/// Goal: users can be changed by hand, and the program says so when they cannot. Method: register, log in, add a device and
/// an alias; each of them with something that the server or the disk refuses.
#[tokio::test]
async fn users_are_changed_by_hand() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let desk = Desk::new(&cluster)?;
    let ann = desk.register(0, "Ann Example", "ann.json")?;
    let identity = ["--credentials", "ann.json"];
    let as_ann = |words: &[&'static str]| [&words[..1], identity.as_slice(), &words[1..]].concat();

    let said = desk.succeed(1, &as_ann(&["newnode", "--label", "tablet", "--save", "tablet.json"]))?;
    ensure!(said.contains(&ann) && said.contains("tablet.json"), "{said}");
    for file in ["ann.json", "tablet.json"] {
        let said = desk.succeed(0, &["login", "--credentials", file])?;
        ensure!(said.contains("logged in"), "{said}");
    }
    let said = desk.succeed(1, &as_ann(&["newalias", "--alias", "Ann Another"]))?;
    ensure!(said.contains("Ann Another"), "{said}");

    let taken = "the user is made, but without the alias: AddAlias: alias Ann Another already taken";
    desk.fail(0, &["register", "--alias", "Ann Another"], taken)?;
    desk.fail(0, &["register", "--alias", "Somebody", "--save", "ann.json"], "must not exist yet")?;
    desk.fail(0, &["login", "--uid", &ann, "--node", &"%".repeat(40)], "login failed")?;
    desk.fail(0, &["login", "--credentials", "nobody.json"], "cannot read the credentials in nobody.json")?;
    desk.fail(0, &as_ann(&["send", "--to", "nobody", "--text", "x"]), "OpenNodes: iUid nobody not found")?;
    desk.fail(0, &as_ann(&["send", "--to", "nobody", "--text", ""]), "the text is empty")?;
    desk.fail(0, &as_ann(&["send", "--to", "nobody", "--file", "nothing"]), "cannot read nothing")?;
    desk.fail(0, &as_ann(&["listen", "--seconds", "1", "--save-dir", "ann.json"]), "cannot make ann.json")?;
    desk.fail(0, &as_ann(&["newnode", "--label", "x", "--save", "ann.json"]), "must not exist yet")?;
    desk.fail(0, &as_ann(&["newalias", "--alias", "short"]), "newalias must be 8+ characters")?;
    cluster.passed()
}

/// Goal: the whole story of the demonstration comes true, also on a cluster that has stories of its own. Method: it has to
/// end well twice; once more with a database that is not there, and with a gateway that is not.
#[tokio::test]
async fn the_demonstration_ends_well() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let desk = Desk::new(&cluster)?;
    let gateways: Vec<String> = cluster.gateway_addresses().iter().map(ToString::to_string).collect();
    let gateways = gateways.join(",");
    let database = cluster.database_url();
    let demo = |gateways: &str, database: &str| {
        tmtpctl(desk.path(), &["demo", "--gateways", gateways, "--database-url", database])
    };
    for _ in 0..2 {
        let output = demo(&gateways, &database)?;
        ensure!(output.status.code() == Some(0), "{}", shown(&output));
        ensure!(text(&output.stdout).contains("everything was as it should be"), "{}", shown(&output));
    }
    let nowhere = "127.0.0.1:1";
    for (output, expected) in [
        (demo(nowhere, &database)?, "cannot connect to 127.0.0.1:1; does the server run?"),
        (demo(&gateways, "postgres://somebody:secret-word@127.0.0.1:1/x")?, "error: "),
    ] {
        ensure!(output.status.code() == Some(1), "{}", shown(&output));
        let complaint = text(&output.stderr);
        ensure!(complaint.contains(expected) && !complaint.contains("secret-word"), "{complaint}");
    }
    cluster.passed()
}

/// Goal: every command explains itself, and refuses a line that it does not understand. Method: `--help`, no arguments, and
/// an unknown option for each, without any server.
#[test]
fn every_command_explains_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for command in COMMANDS {
        let help = tmtpctl(folder.path(), &[command, "--help"])?;
        ensure!(help.status.code() == Some(0), "{command}: {}", shown(&help));
        let usage = format!("Usage: tmtpctl {command}");
        ensure!(text(&help.stdout).contains(&usage) && help.stderr.is_empty(), "{command}: {}", shown(&help));
        for wrong in [&[command][..], &[command, "--no-such-option"]] {
            let output = tmtpctl(folder.path(), wrong)?;
            ensure!(output.status.code() == Some(2), "{wrong:?}: {}", shown(&output));
            let complaint = text(&output.stderr);
            ensure!(complaint.starts_with("error: ") && output.stdout.is_empty(), "{wrong:?}: {complaint}");
        }
        if command != "demo" {
            let line = [command, "--server", "127.0.0.1:1", "--insecure"];
            let identity = ["--uid", "U", "--node", "N"];
            let rest: &[&str] = match command {
                "register" => &["--alias", "_"],
                "send" => &["--to", "U", "--text", "x"],
                "newnode" => &["--label", "x"],
                "newalias" => &["--alias", "an alias"],
                _ => &[],
            };
            let identity: &[&str] = if command == "register" { &[] } else { &identity };
            let output = tmtpctl(folder.path(), &[&line, identity, rest].concat())?;
            ensure!(output.status.code() == Some(1), "{command}: {}", shown(&output));
            let complaint = text(&output.stderr);
            ensure!(complaint.contains("does the server run?"), "{command}: {complaint}");
        }
    }
    Ok(())
}

/// Runs the program in this folder, without any environment that could help it.
fn tmtpctl(folder: &Path, words: &[&str]) -> Result<Output> {
    let program = tmtp_e2e::binary("tmtpctl")?;
    Command::new(program).args(words).current_dir(folder).env_clear().output().context("start tmtpctl")
}

fn shown(output: &Output) -> String {
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
