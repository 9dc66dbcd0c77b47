//! The sending half of a pair: keeps its window full, counts acks, and, if the run is resilient, connects again and
//! repeats what was not acked. A repeated post must be the same to the octet, and have the same id.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use tmtp_client::{Client, Frame, Receiver, Sender};
use tmtp_wire::{DataInfo, Recipient, Request, Response, id::parse_message_id};
use tokio::time::{sleep_until, timeout};

use super::pair::{Pair, Run};
use crate::{
    Kind,
    payload::{self, Stamp},
    progress::add,
};

/// A server that takes nothing for so long has lost the connection, whatever TCP thinks.
pub(super) const WRITE_WAIT: Duration = Duration::from_secs(30);
/// A refused post is sent again after this; the server is short of something.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);
/// A recipient that is a user.
pub(super) const USER: i8 = 1;

/// How a connection ended.
pub(super) enum Ended {
    /// There is nothing more to do.
    Done,
    /// It broke.
    Lost(String),
    /// Waiting any longer is of no use.
    GivenUp,
}

pub(super) struct Task {
    run: Arc<Run>,
    pair: Arc<Pair>,
    receiver: Receiver,
    sender: Sender,
    /// Posts that wait for their ack, and when each is due to be sent again.
    waiting: BTreeMap<u64, Instant>,
    /// The message that is being sent; kept for its room.
    body: Vec<u8>,
}

impl Task {
    pub(super) fn new(run: Arc<Run>, pair: Arc<Pair>, client: Client) -> Self {
        let (receiver, sender) = client.split();
        Self { run, pair, receiver, sender, waiting: BTreeMap::new(), body: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        loop {
            let why = match self.serve().await {
                Ended::Done | Ended::GivenUp => break,
                Ended::Lost(why) => why,
            };
            if !self.run.options.resilient {
                self.pair.problem(Kind::Connection, format_args!("the sender lost its connection: {why}"));
                break;
            }
            if !self.connect_again(&why).await {
                break;
            }
        }
        self.pair.end_sender();
    }

    /// Posts on one connection, until it ends.
    async fn serve(&mut self) -> Ended {
        loop {
            let stopping = self.run.stop.is_cancelled();
            while !stopping && self.waiting.len() < self.run.options.window {
                let seq = self.pair.book(|books| books.sent(Instant::now()));
                if let Err(why) = self.post(seq).await {
                    return Ended::Lost(why);
                }
            }
            if stopping && self.waiting.is_empty() {
                return self.quit().await;
            }
            let due = self.due();
            let frame = tokio::select! {
                frame = self.receiver.next() => frame,
                () = sleep_until(due.into()) => match self.resend_due().await {
                    Ok(()) => continue,
                    Err(why) => return Ended::Lost(why),
                },
                () = self.run.stop.cancelled(), if !stopping => continue,
                () = self.run.give_up.cancelled() => return Ended::GivenUp,
            };
            if let Err(why) = self.take_all(frame).await {
                return Ended::Lost(why);
            }
        }
    }

    /// Takes a frame, and all others that are there already.
    async fn take_all(&mut self, first: Result<Option<Frame>, tmtp_client::Error>) -> Result<(), String> {
        let mut next = Some(first);
        while let Some(frame) = next {
            let frame = frame.map_err(|error| chain(&error))?;
            self.take(frame.ok_or("the server closed it")?).await?;
            next = self.receiver.next().now_or_never();
        }
        Ok(())
    }

    async fn take(&mut self, frame: Frame) -> Result<(), String> {
        match &frame.response {
            Response::Ack { id, receipt, error } => {
                self.take_ack(id, receipt.as_ref().map(|(msg_id, _)| &**msg_id), error.as_deref());
            }
            Response::Quit { error } => return Err(format!("the server quit: {error}")),
            Response::Delivery { .. } => {
                self.pair.problem(Kind::Corrupted, "the sender got a message that nobody sent to it");
            }
            _ => {}
        }
        match frame.response.std() {
            Some(std) => written(self.sender.ack(&std.id)).await,
            None => Ok(()),
        }
    }

    fn take_ack(&mut self, id: &str, msg_id: Option<&str>, error: Option<&str>) {
        let Some(seq) = self.seq_of(id) else {
            self.pair.problem(Kind::Acks, format_args!("an ack for {id:?}, which was never sent"));
            return;
        };
        if let Some(error) = error {
            let again = self.run.options.resilient;
            self.pair.book(|books| books.refused(seq, error, again));
            if again {
                self.waiting.insert(seq, Instant::now() + REFUSED_PAUSE);
            } else {
                self.waiting.remove(&seq);
            }
            return;
        }
        let Some(msg_id) = msg_id.and_then(parse_message_id) else {
            self.pair
                .problem(Kind::Acks, format_args!("the ack of post {seq} has no well-formed message id"));
            return;
        };
        self.waiting.remove(&seq);
        let took = self.pair.book(|books| books.acked(seq, msg_id, Instant::now()));
        if took.is_some() {
            add(&self.run.options.progress.posts_acked, 1);
        }
        self.run.record(&self.run.ack_latency, self.pair.number, took);
    }

    /// When something is due to be sent again; far away if nothing ever is.
    fn due(&self) -> Instant {
        let never = || Instant::now() + Duration::from_hours(1);
        if self.run.options.resilient {
            self.waiting.values().min().copied().unwrap_or_else(never)
        } else {
            never()
        }
    }

    async fn resend_due(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let due = self.waiting.iter().filter(|(_, at)| **at <= now).map(|(seq, _)| *seq);
        for seq in due.collect::<Vec<_>>() {
            self.resend(seq).await?;
        }
        Ok(())
    }

    async fn resend(&mut self, seq: u64) -> Result<(), String> {
        self.pair.book(|books| books.resent(seq));
        add(&self.run.options.progress.resent, 1);
        self.post(seq).await
    }

    /// Sends the post `seq`, which is the same each time.
    async fn post(&mut self, seq: u64) -> Result<(), String> {
        let stamp = Stamp { run: self.run.mark, pair: self.pair.number, seq };
        let sum = payload::write(stamp, self.run.options.size, &mut self.body);
        let data = DataInfo { len: self.body.len() as u64, head: 0, sum: sum.into() };
        let recipients = vec![Recipient { id: self.pair.receiver.uid.clone(), kind: USER }];
        let request = Request::Post { id: format!("{}{seq}", self.prefix()), recipients, data };
        // Noted first: if writing fails, the server may have got it all the same.
        self.waiting.insert(seq, Instant::now() + self.run.options.resend_after);
        let body = std::mem::take(&mut self.body);
        let sent = written(self.sender.send(&request, &body)).await;
        self.body = body;
        sent
    }

    /// What the ids of all our requests begin with.
    fn prefix(&self) -> String {
        format!("{:016x}-{}-", self.run.mark, self.pair.number)
    }

    fn seq_of(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.prefix())?.parse().ok()
    }

    /// Connects again after a break, and repeats what was not acked; false if that is of no use.
    async fn connect_again(&mut self, why: &str) -> bool {
        add(&self.run.options.progress.reconnects, 1);
        let gateway = super::gateway(2 * self.pair.number);
        let login = tokio::select! {
            login = self.run.dialer.log_in(gateway, &self.pair.sender) => login,
            () = self.run.give_up.cancelled() => Err("no gateway took it in time".to_owned()),
        };
        match login {
            Ok(client) => (self.receiver, self.sender) = client.split(),
            Err(error) => {
                let what = format_args!("the sender cannot connect again after \"{why}\": {error}");
                self.pair.problem(Kind::Connection, what);
                return false;
            }
        }
        for seq in self.waiting.keys().copied().collect::<Vec<_>>() {
            // If this breaks, too, reading says so, and the next connection repeats it.
            if self.resend(seq).await.is_err() {
                break;
            }
        }
        true
    }

    /// Says goodbye. All acks are there, so that only a strict run cares how the connection ends.
    async fn quit(&mut self) -> Ended {
        let goodbye = async {
            written(self.sender.send(&Request::Quit, &[])).await?;
            while let Some(frame) = self.receiver.next().await.map_err(|error| chain(&error))? {
                if matches!(frame.response, Response::Quit { .. }) {
                    return Ok(());
                }
            }
            Err("the server did not say goodbye".to_owned())
        };
        let said = tokio::select! {
            said = goodbye => said,
            () = self.run.give_up.cancelled() => return Ended::GivenUp,
        };
        match said {
            Err(why) if !self.run.options.resilient => Ended::Lost(why),
            _ => Ended::Done,
        }
    }
}

/// The result of a write, unless the server takes nothing for too long.
pub(super) async fn written(
    write: impl Future<Output = Result<(), tmtp_client::Error>>,
) -> Result<(), String> {
    match timeout(WRITE_WAIT, write).await {
        Ok(written) => written.map_err(|error| chain(&error)),
        Err(_) => Err(format!("the server took nothing for {} s", WRITE_WAIT.as_secs())),
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &tmtp_client::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
