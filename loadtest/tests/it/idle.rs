//! Idle connections against the toy.

use std::time::Duration;

use tmtp_loadtest::{Error, idle, processes::Processes};

use crate::toy::{Fault, Toy};

fn options(toy: &Toy) -> idle::Options {
    idle::Options {
        gateways: toy.gateways(),
        site: "toy.test".into(),
        connections: 40,
        span: Duration::from_millis(300),
        processes: Processes::given(vec![std::process::id()]),
    }
}

/// Goal: all connections are made, kept and measured; method: forty, for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept() {
    let toy = Toy::start(Fault::None).await;
    let report = idle::run(options(&toy)).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(toy.users(), 40);
    assert!(report.before[0].octets > 0 && report.after[0].octets > 0, "{report}");
    assert!(report.cpu[0].cpu.is_some(), "{report}");
}

/// Goal: connections that the server ends are reported; method: cut them all once they are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_connections_are_reported() {
    let toy = Toy::start(Fault::None).await;
    let (report, ()) = tokio::join!(idle::run(options(&toy)), async {
        toy.until("all users", |toy| toy.users() == 40).await;
        toy.cut();
    });
    // The last ones may have been cut while registering, which is an error of its own.
    match report {
        Ok(report) => assert!(report.ended > 0 && !report.problems.is_empty(), "{report}"),
        Err(error) => assert!(matches!(error, Error::Register { .. }), "{error}"),
    }
}
