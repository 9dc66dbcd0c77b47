//! Pairs against the toy: each kind of fault, and broken connections.

use std::{sync::Arc, time::Duration};

use tmtp_loadtest::{
    Counts, Progress,
    pairs::{self, Options, Report},
};
use tmtp_testkit::eventually;

use crate::toy::{Fault, Toy};

const DEADLINE: Duration = Duration::from_secs(30);

fn options(toy: &Toy) -> Options {
    Options {
        pairs: 4,
        window: 8,
        size: 100,
        warmup: Duration::from_millis(50),
        span: Duration::from_mins(1),
        settle: Duration::from_secs(20),
        ..Options::new(toy.gateways(), "toy.test")
    }
}

/// Waits for so many more acked posts.
async fn more_posts(progress: &Progress, count: u64) {
    let wanted = progress.posts_acked() + count;
    let reached = async || (progress.posts_acked() >= wanted).then_some(());
    eventually(DEADLINE, "more acked posts", reached).await.unwrap();
}

/// Runs until some posts have been acked.
async fn run(options: Options) -> Report {
    let progress = Arc::clone(&options.progress);
    let (report, ()) = tokio::join!(pairs::run(options), async {
        more_posts(&progress, 400).await;
        progress.stop();
    });
    report.unwrap()
}

/// Goal: a right server gets a clean report with figures in it; method: run against one, in two sizes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_server_passes() {
    let toy = Toy::start(Fault::None).await;
    for size in [24, 40_000] {
        // Without a warm-up, in which a quick machine could do all of it.
        let report = run(Options { size, warmup: Duration::ZERO, ..options(&toy) }).await;
        assert!(report.is_clean(), "{report}");
        assert!(report.posts_acked >= 400 && report.deliveries == report.posts_acked, "{report}");
        assert_eq!(report.posted, report.posts_acked);
        assert!(
            report.span.ack.samples > 0 && report.span.delivery.p99 >= report.span.delivery.p50,
            "{report}"
        );
        assert_eq!((report.reconnects, report.resent, report.redelivered), (0, 0, 0));
    }
}

/// Goal: each fault of a server shows as what it is; method: a toy with that fault, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_found() {
    for (fault, wanted) in [
        (Fault::Lose, Counts { lost: 1, ..Counts::default() }),
        (Fault::Repeat, Counts { repeated: 1, ..Counts::default() }),
        (Fault::RepeatAtLogin, Counts { repeated: 1, ..Counts::default() }),
        (Fault::Corrupt, Counts { corrupted: 1, lost: 1, ..Counts::default() }),
        (Fault::Swap, Counts { reordered: 1, ..Counts::default() }),
        (Fault::Refuse, Counts { refused: 1, ..Counts::default() }),
        (Fault::OtherId, Counts { corrupted: 1, ..Counts::default() }),
        (Fault::AckTwice, Counts { acks: 1, ..Counts::default() }),
    ] {
        let toy = Toy::start(fault).await;
        // What is lost is waited for until the end.
        let report = run(Options { settle: Duration::from_secs(3), ..options(&toy) }).await;
        assert_eq!(report.counts, wanted, "{fault:?}: {report}");
        assert!(!report.is_clean() && !report.problems.is_empty());
        assert!(report.to_string().contains("WRONG"), "{report}");
    }
}

/// Goal: an ack that never comes is a problem, and does not hold up the end for ever; method: a toy that forgets one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_acks_are_found() {
    let toy = Toy::start(Fault::ForgetAck).await;
    let report = run(Options { settle: Duration::from_secs(3), ..options(&toy) }).await;
    assert_eq!(report.counts, Counts { acks: 1, ..Counts::default() }, "{report}");
}

/// Goal: a resilient sender repeats what was not acked, and the books take that well; method: the same toy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_acks_are_asked_for() {
    let toy = Toy::start(Fault::ForgetAck).await;
    let resend_after = Duration::from_millis(500);
    let report = run(Options { resilient: true, resend_after, ..options(&toy) }).await;
    assert!(report.is_clean(), "{report}");
    assert!(report.resent >= 1, "{report}");
}

/// Goal: strict pairs report broken connections; method: cut them all, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_pairs_report_breaks() {
    let toy = Toy::start(Fault::None).await;
    let options = Options { settle: Duration::from_secs(3), ..options(&toy) };
    let progress = Arc::clone(&options.progress);
    let (report, ()) = tokio::join!(pairs::run(options), async {
        more_posts(&progress, 100).await;
        toy.cut();
        let seen = async || (progress.problems() >= 8).then_some(());
        eventually(DEADLINE, "all breaks to be seen", seen).await.unwrap();
        progress.stop();
    });
    let report = report.unwrap();
    assert_eq!(report.counts.connection, 8, "{report}");
}

/// Goal: resilient pairs survive breaks without a blot in the books; method: cut all connections again and again,
/// and run on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resilient_pairs_survive_breaks() {
    let toy = Toy::start(Fault::None).await;
    let options = Options { resilient: true, ..options(&toy) };
    let progress = Arc::clone(&options.progress);
    let (report, ()) = tokio::join!(pairs::run(options), async {
        for _ in 0..5 {
            more_posts(&progress, 200).await;
            toy.cut();
        }
        more_posts(&progress, 200).await;
        progress.stop();
    });
    let report = report.unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.reconnects >= 5, "{report}");
    assert_eq!(report.deliveries, report.posts_acked);
}

/// Goal: breaks excuse no faults; method: cut connections of a toy that also repeats what was acked long ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_excuse_no_faults() {
    let toy = Toy::start(Fault::RepeatAtLogin).await;
    let options = Options { resilient: true, ack_grace: Duration::ZERO, ..options(&toy) };
    let progress = Arc::clone(&options.progress);
    let (report, ()) = tokio::join!(pairs::run(options), async {
        more_posts(&progress, 200).await;
        toy.cut();
        more_posts(&progress, 200).await;
        progress.stop();
    });
    let report = report.unwrap();
    assert!(report.counts.repeated >= 1, "{report}");
}
