//! The commands that work on the database.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tmtp_domain::{KeySecret, Registration, Role};
use tmtp_store::Store;
use tmtp_testkit::{Postgres, fresh_database};

/// Runs `tmtpctl` with the words of `line`, and the database in the environment.
fn tmtpctl(url: &str, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tmtpctl"))
        .args(line.split(' '))
        .env("DATABASE_URL", url)
        .output()
        .expect("the program starts")
}

/// The same without waiting for its end.
fn tmtpctl_in_background(url: &str, line: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tmtpctl"))
        .args(line.split(' '))
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// What it has printed; it has to succeed.
#[track_caller]
fn text_of_success(child: Child, line: &str) -> String {
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
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
    let kept = succeed(&url, &format!("{create} --domain new.example.org --if-unclaimed"));
    assert!(kept.contains(&id) && kept.contains("nothing is changed"), "{kept}");
    let other = "bootstrap site --name Two --domain two.example.org --registration closed --if-unclaimed";
    assert!(succeed(&url, other).contains("is made"));
    assert!(succeed(&url, other).contains("nothing is changed"));
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

/// Goal: a key that a deployment tool has made is registered once, works, and is never shown; method: register it twice,
/// and five times at once; then revoke it and register it again. What is no key, or no random one, is refused in words.
#[tokio::test]
async fn a_key_of_a_deployment_tool() {
    let url = fresh_database();
    succeed(&url, "migrate --shards 4");
    let store = Store::connect(&url, 2, Duration::from_secs(20)).await.expect("a database");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        format!("bootstrap key --key-file {}", path.display())
    };
    let text = "tmk_live_aZ09bY18cX27dW36eV45fU54gT63hS72iR81jQ90kPw";
    let first = file("first", text);
    let made = succeed(&url, &first);
    assert!(made.starts_with("the key is registered as key_") && !made.contains(text), "{made}");
    let again = succeed(&url, &first);
    assert!(again.contains("nothing is changed") && !again.contains(text), "{again}");
    let hash = KeySecret::parse(text).expect("a key").hash();
    let key = store.use_key(&hash).await.expect("an answer").expect("a key that works");
    assert_eq!((key.role, key.name.as_str(), key.sites), (Role::Operator, "bootstrap", None));

    let second = file("second", &format!("{}\n", text.replace('a', "q")));
    let all: Vec<_> = (0..5).map(|_| tmtpctl_in_background(&url, &format!("{second} --name two"))).collect();
    let said: Vec<String> = all.into_iter().map(|child| text_of_success(child, &second)).collect();
    assert_eq!(
        said.iter().filter(|text| text.starts_with("the key is registered as")).count(),
        1,
        "{said:?}"
    );
    assert_eq!(store.keys(None, None, None, 10).await.expect("keys").len(), 2);

    let mut tx = store.admin().await.expect("a transaction");
    tx.revoke_key(key.id).await.expect("an answer").expect("a key");
    tx.commit().await.expect("a commit");
    assert!(succeed(&url, &first).contains("was revoked; it stays so"));
    assert!(store.use_key(&hash).await.expect("an answer").is_none());

    for (name, wrong) in [
        ("empty", String::new()),
        ("test", text.replace("live", "test")),
        ("short", text[..text.len() - 1].to_owned()),
        ("long", format!("{text}x")),
        ("foreign", text.replace("09", "+/")),
        ("two", format!("{text}\n{text}")),
    ] {
        let complaint = fail(&url, &file(name, &wrong), 1);
        assert!(complaint.contains("43 random letters and digits"), "{name}: {complaint}");
        assert!(wrong.is_empty() || !complaint.contains(&wrong), "{complaint}");
    }
    let dull = format!("tmk_live_{}", "abc".repeat(15).get(..43).expect("enough"));
    assert!(fail(&url, &file("dull", &dull), 1).contains("not random"));
    let absent = fail(&url, "bootstrap key --key-file /nonexistent/key", 1);
    assert!(absent.contains("/nonexistent/key"), "{absent}");
    assert_eq!(store.keys(None, None, None, 10).await.expect("keys").len(), 2);
}

/// Goal: migrations and the making of a site may be run by many at once, as Jobs do that are tried again; method: six of
/// each on a new database; all succeed, and the outcome is that of one.
#[tokio::test]
async fn many_jobs_at_once() {
    let url = fresh_database();
    let all: Vec<_> = (0..6).map(|_| tmtpctl_in_background(&url, "migrate --shards 8")).collect();
    for child in all {
        assert!(text_of_success(child, "migrate").contains("8 shards"));
    }
    let line = "bootstrap site --name One --domain one.example.org --registration invite --if-absent";
    let all: Vec<_> = (0..6).map(|_| tmtpctl_in_background(&url, line)).collect();
    let said: Vec<String> = all.into_iter().map(|child| text_of_success(child, line)).collect();
    assert_eq!(said.iter().filter(|text| text.contains("is made")).count(), 1, "{said:?}");
    let ids: std::collections::BTreeSet<_> = said.iter().filter_map(|text| text.split(' ').nth(1)).collect();
    assert_eq!(ids.len(), 1, "{said:?}");

    // What an admin has changed since is not changed back.
    let changed = succeed(&url, &line.replace("invite", "open"));
    assert!(changed.contains("there already"), "{changed}");
    let store = Store::connect(&url, 2, Duration::from_secs(20)).await.expect("a database");
    let site = store.site_by_domain("one.example.org").await.expect("an answer").expect("a site");
    assert_eq!(site.registration, Registration::Invite);
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
    let complaint = fail("postgres://someone@127.0.0.1:1/nothing", "migrate --wait 8", 1);
    assert!(complaint.contains("waiting: ") && complaint.contains("error: "), "{complaint}");
}
