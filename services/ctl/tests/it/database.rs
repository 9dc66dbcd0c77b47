//! The commands that work on the database.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use tmtp_testkit::{Postgres, fresh_database};

/// Runs `tmtpctl` with the words of `line`, and the database in the environment.
fn tmtpctl(url: &str, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tmtpctl"))
        .args(line.split(' '))
        .env("DATABASE_URL", url)
        .output()
        .expect("the program starts")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Succeeds and gives what was printed.
#[track_caller]
fn succeed(url: &str, line: &str) -> String {
    let output = tmtpctl(url, line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Fails with the code and gives the complaint.
#[track_caller]
fn fail(url: &str, line: &str, code: i32) -> String {
    let output = tmtpctl(url, line);
    assert_eq!(output.status.code(), Some(code), "{line}: {}", text(&output.stdout));
    text(&output.stderr)
}

/// Goal: a site needs a migrated database, is made once, and is found again; method: the commands in the order in
/// which a deployment uses them, with the mistakes that people make.
#[test]
fn migrate_and_make_sites() {
    let url = fresh_database();
    let create = "bootstrap site --name One --domain One.example.org --domain localhost --registration open";
    assert!(fail(&url, create, 1).contains("tmtpctl migrate"));
    assert!(succeed(&url, "migrate --shards 8").contains("8 shards"));
    assert!(succeed(&url, "migrate").contains("8 shards"));

    let made = succeed(&url, create);
    let id = made.split(' ').nth(1).expect("the id is the second word").to_owned();
    assert!(fail(&url, create, 1).contains("site list"), "a domain belongs to one site");
    assert!(succeed(&url, &format!("{create} --if-missing")).contains(&id));
    let more = fail(&url, &format!("{create} --domain new.example.org --if-missing"), 1);
    assert!(more.contains("new.example.org is not one of its domains"), "{more}");
}

/// Goal: the first key is made once, and where it goes nobody else can read it; method: make it into a file, make it
/// again, and make another.
#[test]
fn the_first_key() {
    let url = fresh_database();
    succeed(&url, "migrate --shards 4");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    let create = "bootstrap key --name first --if-missing";
    let save = format!("{create} --save {}", path.display());
    assert_eq!(succeed(&url, &save), "");
    let key = fs::read_to_string(&path).expect("a file");
    assert!(key.starts_with("tmk_live_") && key.ends_with('\n'), "{key}");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(succeed(&url, create), "", "it is there");
    assert!(fail(&url, &format!("bootstrap key --name b --save {}", path.display()), 1).contains("key"));
    let other = succeed(&url, "bootstrap key --name first");
    assert!(other.starts_with("tmk_live_") && other != key, "{other}");
}

/// Goal: wrong lines and unreachable servers are told apart, and no password is shown; method: one of each.
#[test]
fn complaints() {
    let url = "postgres://someone:secret-word@127.0.0.1:1/nothing";
    let complaint = fail(url, "migrate", 1);
    assert!(complaint.contains("DATABASE_URL") && !complaint.contains("secret-word"), "{complaint}");
    let complaint = fail(url, "bootstrap site --name N --domain 127.0.0.1 --registration open", 2);
    assert!(complaint.contains("host name") && !complaint.contains("secret-word"), "{complaint}");
    assert!(!succeed(url, "bootstrap site --help").contains("secret-word"));
}

/// Goal: a migration that is told to wait goes on as soon as the database is there, and gives up when it does not come;
/// method: a server that starts again after the first complaint, and one that never does.
#[test]
fn a_migration_waits_for_the_database() {
    let server = Postgres::start().expect("a server");
    server.create_database("later").expect("a database");
    server.stop().expect("it stops");
    let mut migration = Command::new(env!("CARGO_BIN_EXE_tmtpctl"))
        .args(["migrate", "--wait", "120"])
        .env("DATABASE_URL", server.url("later"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut complaints = BufReader::new(migration.stderr.take().expect("a pipe")).lines();
    let first = complaints.next().expect("a complaint").expect("it is text");
    assert!(first.starts_with("waiting: "), "{first}");
    server.start_again().expect("it starts");
    complaints.for_each(drop);
    assert!(migration.wait().expect("it ends").success());
    let complaint = fail("postgres://someone@127.0.0.1:1/nothing", "migrate --wait 2", 1);
    assert!(complaint.contains("waiting: ") && complaint.contains("error: "), "{complaint}");
}
