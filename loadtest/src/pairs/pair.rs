//! What the tasks of a run, and the two of a pair, share. No lock here may be held across an await.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tmtp_client::Account;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{Options, PARALLEL};
use crate::{
    Error, Kind, Progress,
    books::{Books, Verdict},
    dialer::Dialer,
    latencies::Latencies,
    progress::add,
};

/// One run.
pub(super) struct Run {
    pub(super) options: Options,
    pub(super) dialer: Dialer,
    /// Marks our messages.
    pub(super) mark: u64,
    /// No new posts.
    pub(super) stop: CancellationToken,
    /// No more waiting for anything.
    pub(super) give_up: CancellationToken,
    /// Whether latencies count now.
    pub(super) measuring: AtomicBool,
    pub(super) ack_latency: Latencies,
    pub(super) delivery_latency: Latencies,
    /// Last looks at the same time.
    pub(super) looks: Semaphore,
}

impl Run {
    pub(super) fn new(options: Options) -> Result<Self, Error> {
        let mut mark = [0; 8];
        getrandom::fill(&mut mark).map_err(|cause| Error::System {
            what: "cannot get random octets".into(),
            cause: std::io::Error::other(cause),
        })?;
        Ok(Self {
            dialer: Dialer::new(options.gateways.clone(), options.site.clone()),
            mark: u64::from_be_bytes(mark),
            // Who stops the run from outside stops the posting, too.
            stop: options.progress.stop.child_token(),
            give_up: CancellationToken::new(),
            measuring: AtomicBool::new(false),
            ack_latency: Latencies::new(),
            delivery_latency: Latencies::new(),
            looks: Semaphore::new(PARALLEL),
            options,
        })
    }

    /// Records a latency, if this is the time to measure.
    pub(super) fn record(&self, latencies: &Latencies, pair: u32, took: Option<Duration>) {
        if let Some(took) = took.filter(|_| self.measuring.load(Ordering::Relaxed)) {
            latencies.record(pair, took);
        }
    }
}

/// One pair.
pub(super) struct Pair {
    pub(super) number: u32,
    pub(super) sender: Account,
    pub(super) receiver: Account,
    progress: Arc<Progress>,
    books: Mutex<Option<Books>>,
    /// The sender posts nothing more, and has all acks that it will get.
    sender_done: AtomicBool,
    /// Told to the receiver when that has changed.
    pub(super) changed: Notify,
}

impl Pair {
    pub(super) fn new(number: u32, sender: Account, receiver: Account, options: &Options) -> Self {
        Self {
            number,
            sender,
            receiver,
            progress: Arc::clone(&options.progress),
            books: Mutex::new(Some(Books::new(number, options.ack_grace))),
            sender_done: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// Writes into the books; nothing happens when they are closed.
    pub(super) fn book<T: Default>(&self, write: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = self.books.lock();
        let Some(books) = books.as_mut() else { return T::default() };
        let before = books.problems();
        let written = write(books);
        add(&self.progress.problems, books.problems() - before);
        written
    }

    pub(super) fn problem(&self, kind: Kind, what: impl fmt::Display) {
        self.book(|books| books.problem(kind, what));
    }

    /// The sender has come to its end.
    pub(super) fn end_sender(&self) {
        self.sender_done.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Whether nothing is under way and nothing will be.
    pub(super) fn is_finished(&self) -> bool {
        self.sender_done.load(Ordering::Acquire) && self.books.lock().as_ref().is_none_or(Books::is_settled)
    }

    /// Closes the books, once.
    pub(super) fn close(&self) -> Option<Verdict> {
        self.books.lock().take().map(Books::close)
    }
}
