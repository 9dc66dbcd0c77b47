//! The private servers, for real: they start, keep their data or lose it as promised, and end with us.
//! Must never leave a server behind, which is itself one of the cases.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tmtp_testkit::{Postgres, Redis, eventually, fresh_database, fresh_redis, wait_until};

const DEADLINE: Duration = Duration::from_mins(1);
/// Tells the copy of this program that [`servers_end_with_a_killed_process`] starts what to do.
const ROLE: &str = "POSTERN_TESTKIT_ROLE";

async fn count(url: &str) -> sqlx::Result<i64> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("SELECT count(*) FROM thing").fetch_one(&mut connection).await
}

async fn make_thing(url: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("CREATE TABLE thing AS SELECT 1 AS one").execute(&mut connection).await?;
    Ok(())
}

/// Committed data survives a clean restart and a crash, and a pause only delays: one row, three accidents.
#[tokio::test]
async fn postgres_survives_what_it_should() {
    let postgres = Postgres::start().unwrap();
    postgres.create_database("shop").unwrap();
    assert!(postgres.create_database("a; DROP").unwrap_err().to_string().contains("no name"));
    let url = postgres.url("shop");
    make_thing(&url).await.unwrap();

    let first = postgres.pid();
    postgres.restart().unwrap();
    assert_ne!(postgres.pid(), first);
    assert_eq!(count(&url).await.unwrap(), 1);

    postgres.kill().unwrap();
    assert_eq!(postgres.pid(), None);
    assert!(count(&url).await.is_err());
    postgres.start_again().unwrap();
    assert_eq!(count(&url).await.unwrap(), 1);

    postgres.pause().unwrap();
    // Any patience is enough here: a paused server never answers, however fast the machine.
    assert!(tokio::time::timeout(Duration::from_millis(100), count(&url)).await.is_err());
    postgres.resume().unwrap();
    assert_eq!(count(&url).await.unwrap(), 1);
}

/// The settings that tests of durability rely on are on at a server of their own, whatever the shared one has: ask it.
#[tokio::test]
async fn postgres_is_durable() {
    let postgres = Postgres::start().unwrap();
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    for (setting, expected) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("max_connections", "200"),
    ] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(value, expected, "{setting}");
    }
}

/// Fresh databases are separate: a table made in one is not in the other.
#[tokio::test]
async fn fresh_databases_are_separate() {
    let (one, other) = (fresh_database(), fresh_database());
    make_thing(&one).await.unwrap();
    assert!(count(&one).await.is_ok());
    assert!(count(&other).await.is_err());
}

/// One command in the inline form of Redis' protocol, and the first line of its answer.
fn ask(url: &str, command: &str) -> std::io::Result<String> {
    let address = url.trim_start_matches("redis://").trim_end_matches("/0");
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// A restarted Redis is empty and has its old address: write, restart, read.
#[test]
fn redis_restarts_empty() {
    let redis = Redis::start().unwrap();
    let url = redis.url();
    assert_eq!(ask(&url, "SET k v").unwrap(), "+OK");
    redis.restart_empty().unwrap();
    assert_eq!(ask(&url, "EXISTS k").unwrap(), ":0");
    redis.stop().unwrap();
    assert!(ask(&url, "PING").is_err());
    redis.start_again().unwrap();
    assert_eq!(ask(&url, "PING").unwrap(), "+PONG");
}

/// Fresh Redis servers are separate: a key set in one is not in the other.
#[test]
fn fresh_redis_servers_are_separate() {
    let (one, other) = (fresh_redis(), fresh_redis());
    assert_eq!(ask(&one, "SET k v").unwrap(), "+OK");
    assert_eq!(ask(&other, "EXISTS k").unwrap(), ":0");
}

/// Not a test by itself: in the copy of this program that the next test starts, it starts servers, tells
/// their ids, and waits to be killed.
#[test]
fn start_servers_and_wait_when_told_so() {
    if std::env::var(ROLE).as_deref() != Ok("victim") {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let redis = Redis::start().unwrap();
    for (pid, log) in [(postgres.pid(), postgres.log()), (redis.pid(), redis.log())] {
        println!("server {} {}", pid.unwrap(), log.parent().unwrap().display());
    }
    println!("started");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// No server and no directory outlives a killed process: run this program again as a victim, kill it with
/// SIGKILL, and look for what it had started.
#[tokio::test]
async fn servers_end_with_a_killed_process() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "start_servers_and_wait_when_told_so"])
        .env(ROLE, "victim")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let servers: Vec<(String, String)> = lines
        .take_while(|line| line != "started")
        .filter_map(|line| {
            let (pid, dir) = line.split_once("server ")?.1.split_once(' ')?;
            Some((format!("/proc/{pid}/cmdline"), dir.to_owned()))
        })
        .collect();
    assert_eq!(servers.len(), 2);
    // A zombie has an empty command line, so this is about living processes.
    let lives = |path: &str| std::fs::read(path).is_ok_and(|line| !line.is_empty());
    assert!(servers.iter().all(|(cmdline, dir)| lives(cmdline) && Path::new(dir).exists()));

    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually(DEADLINE, "the servers and directories of the victim to be gone", async || {
        servers.iter().all(|(cmdline, dir)| !lives(cmdline) && !Path::new(dir).exists()).then_some(())
    })
    .await
    .unwrap();
}

/// Dropping a server ends it and removes its directory: drop one of each and look.
#[test]
fn dropping_a_server_removes_it() {
    let (postgres, redis) = (Postgres::start().unwrap(), Redis::start().unwrap());
    let traces = [(postgres.pid(), postgres.log()), (redis.pid(), redis.log())];
    drop((postgres, redis));
    for (pid, log) in traces {
        assert!(!log.parent().unwrap().exists());
        let path = format!("/proc/{}/cmdline", pid.unwrap());
        wait_until(DEADLINE, "the process to be gone", || Ok((!Path::new(&path).exists()).then_some(())))
            .unwrap();
    }
}
