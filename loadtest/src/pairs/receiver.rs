//! The receiving half of a pair: enters what comes into the books and acknowledges it at once. In the end it looks
//! whether its queue is really empty. It must never acknowledge what it has not entered.

use std::{sync::Arc, time::Instant};

use futures::FutureExt as _;
use tmtp_client::{Client, Frame, Receiver, Sender};
use tmtp_wire::{DataInfo, Recipient, Request, Response, Std, headsum_holds, id::parse_message_id};

use super::{
    pair::{Pair, Run},
    sender::{Ended, USER, chain, written},
};
use crate::{Kind, books::Books, payload, progress::add};

/// Acks that go out together, at most; only those of frames that came together do.
const BATCH: usize = 64;
/// Of so many headers one has its checksum verified: it costs more than all else here.
const HEADSUM_EVERY: u64 = 64;
/// What a receiver posts to itself, to see what its queue holds before that.
const MARKER: &[u8] = b"marker";
const MARKER_ID: &str = "marker";

pub(super) struct Task {
    run: Arc<Run>,
    pair: Arc<Pair>,
    receiver: Receiver,
    sender: Sender,
    /// Acks that are not yet written, and the messages that they are for.
    acks: Vec<u8>,
    acked: Vec<u64>,
    frames: u64,
}

impl Task {
    pub(super) fn new(run: Arc<Run>, pair: Arc<Pair>, client: Client) -> Self {
        let (receiver, sender) = client.split();
        Self { run, pair, receiver, sender, acks: Vec::new(), acked: Vec::new(), frames: 0 }
    }

    pub(super) async fn run(mut self) {
        loop {
            let why = match self.serve().await {
                Ended::GivenUp => return,
                Ended::Done => break,
                Ended::Lost(why) => why,
            };
            self.pair.book(|books| books.receiver_lost(Instant::now()));
            if !self.run.options.resilient {
                self.pair.problem(Kind::Connection, format_args!("the receiver lost its connection: {why}"));
                return;
            }
            add(&self.run.options.progress.reconnects, 1);
            if let Err(error) = self.connect_again().await {
                let what = format_args!("the receiver cannot connect again after \"{why}\": {error}");
                self.pair.problem(Kind::Connection, what);
                return;
            }
        }
        self.pair.book(Books::receiver_quit);
        let run = Arc::clone(&self.run);
        let looked = tokio::select! {
            looked = self.look_again() => looked,
            () = run.give_up.cancelled() => Err("it took too long".to_owned()),
        };
        if let Err(why) = looked {
            self.pair.problem(Kind::Connection, format_args!("the last look into the queue failed: {why}"));
        }
    }

    /// Receives on one connection, until it ends.
    async fn serve(&mut self) -> Ended {
        while !self.pair.is_finished() {
            let frame = tokio::select! {
                frame = self.receiver.next() => frame,
                () = self.pair.changed.notified() => continue,
                () = self.run.give_up.cancelled() => return Ended::GivenUp,
            };
            if let Err(why) = self.take_all(frame).await {
                return Ended::Lost(why);
            }
        }
        let run = Arc::clone(&self.run);
        let said = tokio::select! {
            said = self.quit() => said,
            () = run.give_up.cancelled() => return Ended::GivenUp,
        };
        match said {
            Ok(()) => Ended::Done,
            Err(why) => Ended::Lost(why),
        }
    }

    /// Says goodbye; the server has read all acks when it answers. What comes before that is entered, too.
    async fn quit(&mut self) -> Result<(), String> {
        written(self.sender.send(&Request::Quit, &[])).await?;
        loop {
            let frame = self.receiver.next().await.map_err(|error| chain(&error))?;
            let frame = frame.ok_or("the server did not say goodbye")?;
            if matches!(&frame.response, Response::Quit { error } if error == "logout ok") {
                return Ok(());
            }
            self.take(&frame)?;
        }
    }

    /// Takes a frame, and others that are there already, and writes their acks together.
    async fn take_all(&mut self, first: Result<Option<Frame>, tmtp_client::Error>) -> Result<(), String> {
        let mut next = Some(first);
        let mut taken = 0;
        let mut end = Ok(());
        while let Some(frame) = next {
            end = frame
                .map_err(|error| chain(&error))
                .and_then(|frame| frame.ok_or_else(|| "the server closed it".to_owned()))
                .and_then(|frame| self.take(&frame));
            taken += 1;
            if end.is_err() || taken == BATCH {
                break;
            }
            next = self.receiver.next().now_or_never();
        }
        let acked = self.write_acks().await;
        end.and(acked)
    }

    /// Enters a frame into the books and prepares its ack.
    fn take(&mut self, frame: &Frame) -> Result<(), String> {
        if let Response::Quit { error } = &frame.response {
            return Err(format!("the server quit: {error}"));
        }
        let Some(std) = frame.response.std() else { return Ok(()) };
        self.frames += 1;
        if self.frames.is_multiple_of(HEADSUM_EVERY) && !headsum_holds(&frame.raw) {
            self.pair.problem(Kind::Corrupted, format_args!("the headsum of {} does not hold", std.id));
        }
        if matches!(frame.response, Response::Delivery { .. }) {
            self.enter(std, &frame.data);
        }
        let ack = Request::Ack { id: std.id.clone().into_owned(), kind: "ok".to_owned() };
        ack.encode(&mut self.acks).map_err(|error| error.to_string())
    }

    fn enter(&mut self, std: &Std<'_>, data: &[u8]) {
        let stamp = payload::read(data).filter(|(stamp, sum)| {
            stamp.run == self.run.mark
                && stamp.pair == self.pair.number
                && data.len() == self.run.options.size
                && std.data.sum == u64::from(*sum)
                && std.from == self.pair.sender.uid
        });
        let (Some((stamp, _)), Some(msg_id)) = (stamp, parse_message_id(&std.id)) else {
            let what =
                format_args!("message {} of {} octets from {} is not ours", std.id, data.len(), std.from);
            self.pair.problem(Kind::Corrupted, what);
            return;
        };
        let took = self.pair.book(|books| books.delivered(stamp.seq, msg_id, Instant::now()));
        if took.is_some() {
            add(&self.run.options.progress.deliveries, 1);
        }
        self.acked.push(stamp.seq);
        self.run.record(&self.run.delivery_latency, self.pair.number, took);
    }

    async fn write_acks(&mut self) -> Result<(), String> {
        if self.acks.is_empty() {
            return Ok(());
        }
        let sent = written(self.sender.send_raw(&self.acks)).await;
        self.acks.clear();
        // An ack that could not be written may have arrived all the same, so it counts as written shortly before the
        // break.
        self.pair.book(|books| books.acknowledged(&self.acked, Instant::now()));
        self.acked.clear();
        sent
    }

    async fn connect_again(&mut self) -> Result<(), String> {
        self.acks.clear();
        self.acked.clear();
        let gateway = super::gateway(2 * self.pair.number + 1);
        let client = tokio::select! {
            login = self.run.dialer.log_in(gateway, &self.pair.receiver) => login?,
            () = self.run.give_up.cancelled() => return Err("no gateway took it in time".to_owned()),
        };
        (self.receiver, self.sender) = client.split();
        Ok(())
    }

    /// Logs in once more and posts to itself. The queue is in order, so whatever it held comes before that.
    async fn look_again(&mut self) -> Result<(), String> {
        let run = Arc::clone(&self.run);
        let _turn = run.looks.acquire().await.map_err(|error| error.to_string())?;
        self.connect_again().await?;
        let data = DataInfo { len: MARKER.len() as u64, head: 0, sum: 0 };
        // A sender that names itself gets a copy.
        let recipients = vec![Recipient { id: self.pair.receiver.uid.clone(), kind: USER }];
        let request = Request::Post { id: MARKER_ID.to_owned(), recipients, data };
        written(self.sender.send(&request, MARKER)).await?;
        loop {
            let frame = self.receiver.next().await.map_err(|error| chain(&error))?;
            let frame = frame.ok_or("the server closed the connection")?;
            match &frame.response {
                Response::Ack { error: Some(error), .. } => {
                    return Err(format!("the server refused: {error}"));
                }
                Response::Delivery { std, .. } if std.from == self.pair.receiver.uid => {
                    written(self.sender.ack(&std.id)).await?;
                    break;
                }
                _ => {
                    self.take(&frame)?;
                    self.write_acks().await?;
                }
            }
        }
        self.quit().await
    }
}
