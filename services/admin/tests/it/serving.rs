//! The server with real Postgres and Redis: ready, bereft, ready again, gone.

use std::net::SocketAddr;

use tmtp_testkit::{Postgres, Redis, wait_until};

use super::process::{PATIENCE, Server, request};

/// Waits until `/readyz` answers with this status and mentions this text.
fn wait_ready(server: &Server, monitor: SocketAddr, status: u16, mention: &str) {
    wait_until(PATIENCE, &format!("readyz {status} {mention}"), || {
        let answer = request(monitor, "GET", "/readyz", "");
        Ok((answer.status == status && answer.body.contains(mention)).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}; log: {}", server.log()));
}

/// Goal: readiness follows Postgres and Redis and recovers by itself. Method: start without Redis, bring it
/// up, restart Postgres, and ask both ports each time.
#[test]
fn readiness_follows_its_stores() {
    let (postgres, redis) = (Postgres::start().unwrap(), Redis::start().unwrap());
    redis.stop().unwrap();
    let server = Server::start(&postgres.url("postgres"), &redis.url());
    let (monitor, api) = (server.address("monitor listens"), server.address("api listens"));

    wait_ready(&server, monitor, 503, r#""postgres":"ok""#);
    let refused = request(api, "GET", "/v1/health", "");
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains(r#""code":"not_ready""#), "{}", refused.body);

    redis.start_again().unwrap();
    wait_ready(&server, monitor, 200, r#""redis":"ok""#);
    assert_eq!(request(api, "GET", "/v1/health", "").body, r#"{"status":"ok"}"#);

    postgres.stop().unwrap();
    wait_ready(&server, monitor, 503, "postgres");
    assert_eq!(request(monitor, "GET", "/livez", "").status, 200, "not ready, but alive");
    postgres.start_again().unwrap();
    wait_ready(&server, monitor, 200, r#""postgres":"ok""#);

    assert_eq!(server.terminate().code(), Some(0));
}

/// Goal: a Redis that throws keys away keeps the server from being ready, says what to do, and is noticed when it is set
/// right; method: start one with such a policy, look, and set it right.
#[test]
fn an_evicting_redis_is_told() {
    let (postgres, redis) = (Postgres::start().unwrap(), Redis::start().unwrap());
    redis.configure("maxmemory", "100mb").unwrap();
    redis.configure("maxmemory-policy", "allkeys-lru").unwrap();
    let server = Server::start(&postgres.url("postgres"), &redis.url());
    let monitor = server.address("monitor listens");
    wait_ready(&server, monitor, 503, "set maxmemory-policy to noeviction");
    redis.configure("maxmemory-policy", "noeviction").unwrap();
    wait_ready(&server, monitor, 200, r#""redis policy":"ok""#);
    assert_eq!(server.terminate().code(), Some(0));
}

/// Goal: the API's errors are problems, and they are counted. Method: a wrong path, a wrong method, a scrape.
/// The process neither needs nor finds Postgres and Redis here.
#[test]
fn errors_are_problems() {
    let server = Server::start("postgres://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/");
    let (monitor, api) = (server.address("monitor listens"), server.address("api listens"));
    let absent = request(api, "GET", "/v1/nothing", "");
    assert_eq!(absent.status, 404);
    assert!(absent.head.contains("content-type: application/problem+json"), "{}", absent.head);
    let problem: serde_json::Value = serde_json::from_str(&absent.body).unwrap();
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("not_found"), Some(404)));
    let wrong = request(api, "DELETE", "/v1/health", "");
    assert_eq!((wrong.status, wrong.body.contains("method_not_allowed")), (405, true));

    let scraped = request(monitor, "GET", "/metrics", "").body;
    for line in [
        r#"tmtp_admin_requests_total{status="2xx"} 0"#,
        r#"tmtp_admin_requests_total{status="4xx"} 2"#,
        r#"tmtp_admin_requests_total{status="5xx"} 0"#,
    ] {
        assert!(scraped.lines().any(|found| found == line), "no line {line} in\n{scraped}");
    }
    assert_eq!(server.terminate().code(), Some(0), "a store that is away delays no stop");
}

/// Goal: the log filter changes while the server runs. Method: change it over HTTP, also to nonsense.
#[test]
fn the_log_filter_changes() {
    let server = Server::start("postgres://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/");
    let monitor = server.address("monitor listens");
    assert_eq!(request(monitor, "GET", "/log-filter", "").body, "info");
    let changed = request(monitor, "PUT", "/log-filter", "info,tmtp_admin=debug\n");
    assert_eq!(changed.status, 200);
    let in_use = request(monitor, "GET", "/log-filter", "").body;
    assert!(in_use.contains("tmtp_admin=debug"), "{in_use}");
    assert_eq!(request(monitor, "PUT", "/log-filter", "tmtp=loudest").status, 400);
    assert_eq!(request(monitor, "PUT", "/log-filter", &"x".repeat(5000)).status, 413);
    assert_eq!(request(monitor, "GET", "/log-filter", "").body, in_use);
    let told = || Ok(server.log().contains("log filter changed").then_some(()));
    wait_until(PATIENCE, "a line in the log", told)
        .unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
}

/// Goal: a port that is taken ends the process with exit code 1 and says which. Method: point the API at the
/// monitor port of another server.
#[test]
fn a_taken_port_exits_1() {
    let first = Server::start("postgres://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/");
    let taken = first.address("monitor listens").to_string();
    let output = super::process::admin(&[
        ("TMTP_POSTGRES__URL", "postgres://nobody@127.0.0.1:1/none"),
        ("TMTP_REDIS__URL", "redis://127.0.0.1:1/"),
        ("TMTP_LISTEN__ADDRESS", &taken),
        ("TMTP_MONITOR__ADDRESS", "127.0.0.1:0"),
    ])
    .output()
    .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("open the API port {taken}")), "{stderr}");
}
