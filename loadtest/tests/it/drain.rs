//! A backlog at the toy.

use std::time::Duration;

use tmtp_loadtest::{Counts, drain, processes::Processes};

use crate::toy::{Fault, Toy};

async fn run(fault: Fault) -> drain::Report {
    let toy = Toy::start(fault).await;
    let options = drain::Options {
        gateways: toy.gateways(),
        site: "toy.test".into(),
        messages: 400,
        size: 100,
        rest: Duration::ZERO,
        wait: Duration::from_secs(20),
        processes: Processes::given(vec![std::process::id()]),
    };
    drain::run(options).await.unwrap()
}

/// Goal: a backlog is drained, and measured; method: at a right server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_drained() {
    let report = run(Fault::None).await;
    assert!(report.is_clean() && report.delivered == 400, "{report}");
    assert!(report.cpu[0].cpu.is_some() && report.draining > Duration::ZERO, "{report}");
}

/// Goal: what is wrong with a backlog is found; method: a toy with a fault, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_found() {
    for (fault, wanted) in [
        (Fault::OtherId, Counts { corrupted: 1, ..Counts::default() }),
        (Fault::Corrupt, Counts { corrupted: 1, lost: 1, ..Counts::default() }),
    ] {
        let report = run(fault).await;
        assert_eq!(report.counts, wanted, "{report}");
    }
}
