//! The monitor port over real HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use tmtp_chassis::{Context, config::Monitor, monitor};

use super::{Settings, http::request};

/// A monitor on a free port, and the context it shows.
async fn monitored() -> (SocketAddr, Context<Settings>) {
    let cx = Context::new(Settings::default());
    let config = Monitor { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
    let shown = monitor::Shown { registry: cx.registry.clone(), health: cx.health.clone(), log_filter: None };
    (monitor::start(&config, shown).await.expect("started"), cx)
}

/// Goal: `/readyz` follows the checks and says why not. Method: fail, pass, drain, and ask each time.
#[tokio::test]
async fn readiness_over_http() {
    let (address, cx) = monitored().await;
    let starting = request(address, "GET", "/readyz", "").await;
    assert_eq!((starting.status, starting.body.contains("starting")), (503, true));

    cx.health.ready();
    cx.health.set("postgres", Err("connection refused".to_owned()));
    cx.health.set("redis", Ok(()));
    let failing = request(address, "GET", "/readyz", "").await;
    assert_eq!(failing.status, 503);
    let report: serde_json::Value = serde_json::from_str(&failing.body).unwrap();
    assert_eq!(
        report,
        serde_json::json!({
            "ready": false,
            "checks": { "postgres": "connection refused", "redis": "ok" },
        })
    );

    cx.health.set("postgres", Ok(()));
    assert_eq!(request(address, "GET", "/readyz", "").await.status, 200);

    cx.health.not_ready("draining");
    let draining = request(address, "GET", "/readyz", "").await;
    assert_eq!((draining.status, draining.body.contains("draining")), (503, true));
    assert_eq!(request(address, "GET", "/livez", "").await.status, 200, "alive while it drains");
}

/// Goal: a scrape shows the process and the program. Method: register a metric and read `/metrics`.
#[tokio::test]
async fn metrics_over_http() {
    tmtp_chassis::metrics! { struct ShopMetrics in "tmtp_shop" {
        /// Sales so far.
        sales_total: IntCounter,
    } }
    let (address, cx) = monitored().await;
    ShopMetrics::register(&cx.registry).unwrap().sales_total.inc();
    let scraped = request(address, "GET", "/metrics", "").await;
    assert_eq!(scraped.status, 200);
    assert!(scraped.head.contains("content-type: text/plain; version=0.0.4"), "{}", scraped.head);
    for name in
        ["tmtp_shop_sales_total 1", "process_resident_memory_bytes ", "process_open_fds ", "process_cpu_"]
    {
        assert!(scraped.body.contains(name), "no {name} in\n{}", scraped.body);
    }
}

/// Goal: a process without logs has no filter to show. Method: ask for it; `logs` and the tests of the admin
/// binary cover the rest.
#[tokio::test]
async fn no_filter_without_logs() {
    let (address, _cx) = monitored().await;
    assert_eq!(request(address, "GET", "/log-filter", "").await.status, 404);
    assert_eq!(request(address, "PUT", "/log-filter", "debug").await.status, 404);
}

/// Goal: a port in use is an error that names it. Method: open the same one twice.
#[tokio::test]
async fn a_taken_port_is_an_error() {
    let (address, cx) = monitored().await;
    let shown = monitor::Shown { registry: cx.registry, health: cx.health, log_filter: None };
    let error = monitor::start(&Monitor { address }, shown).await.unwrap_err();
    assert!(format!("{error:#}").contains(&address.to_string()), "{error:#}");
}
