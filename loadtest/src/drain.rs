//! A backlog and its end: messages for somebody who is away, and how long it takes until all of them are delivered and
//! acknowledged once that somebody is there. It must never count a message that the books do not.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tmtp_client::{Account, Client, Receipt};
use tmtp_wire::{DataInfo, Recipient, Request, id::parse_message_id};
use tokio::time::{sleep, timeout};

use crate::{
    Counts, Error, Kind,
    books::Books,
    check_gateways,
    dialer::Dialer,
    payload::{self, SIZE_MIN, Stamp},
    processes::{self, Processes, Spent},
};

/// A recipient is a user, by uid.
const USER: i8 = 1;
/// Posts that wait for their acks together.
const POSTS: u64 = 64;
const MESSAGES_MAX: u32 = 1_000_000;
const SIZE_MAX: usize = 1 << 20;
const LONGEST: Duration = Duration::from_hours(1);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loopback addresses; the sender is at the first, the receiver at the last.
    pub gateways: Vec<SocketAddr>,
    /// The site's domain, sent as SNI.
    pub site: String,
    /// How many wait.
    pub messages: u32,
    /// Octets of each.
    pub size: usize,
    /// How long they wait at least: what waits longer than some seconds is somewhere else than what has just come.
    pub rest: Duration,
    /// For the posting, and for the draining.
    pub wait: Duration,
    /// Whose CPU time to measure.
    pub processes: Processes,
}

/// What it was like.
#[derive(Debug, Clone)]
pub struct Report {
    /// As they were asked for.
    pub options: Options,
    /// How long the posting took.
    pub posting: Duration,
    /// From before the receiver's login to behind the goodbye that confirms its last ack.
    pub draining: Duration,
    /// CPU time of the draining.
    pub cpu: Vec<Spent>,
    /// Messages that came, each counted once.
    pub delivered: u64,
    /// What was wrong, by kind.
    pub counts: Counts,
    /// What was wrong, for the first of it.
    pub problems: Vec<String>,
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        check_gateways(&self.gateways)?;
        let refuse = |what: String| Err(Error::Options(what));
        if !(1..=MESSAGES_MAX).contains(&self.messages) {
            return refuse(format!("the number of messages must be from 1 to {MESSAGES_MAX}"));
        }
        if !(SIZE_MIN..=SIZE_MAX).contains(&self.size) {
            return refuse(format!("the size must be from {SIZE_MIN} to {SIZE_MAX} octets"));
        }
        if self.rest > LONGEST || self.wait > LONGEST {
            return refuse(format!("no part of the run may be longer than {} s", LONGEST.as_secs()));
        }
        Ok(())
    }
}

/// Posts, waits, drains, and checks the books.
///
/// # Errors
/// When there was no run. What went wrong in a run is in the report.
pub async fn run(options: Options) -> Result<Report, Error> {
    options.check()?;
    processes::require(&options.processes)?;
    let mut mark = [0; 8];
    getrandom::fill(&mut mark).map_err(|cause| Error::System {
        what: "cannot get random octets".into(),
        cause: std::io::Error::other(cause),
    })?;
    let dialer = Dialer::new(options.gateways.clone(), options.site.clone());
    let away = options.gateways.len() - 1;
    let register = |number, cause| Error::Register { number, cause };
    let (sender, author) = dialer.register(0).await.map_err(|cause| register(0, cause))?;
    let (receiver, account) = dialer.register(away).await.map_err(|cause| register(1, cause))?;
    receiver.quit().await.map_err(|cause| register(1, cause))?;

    let mut drain = Drain {
        mark: u64::from_be_bytes(mark),
        author,
        books: Books::new(0, Duration::ZERO),
        delivered: 0,
        spoilt: 0,
        options,
    };
    let began = Instant::now();
    let posted = timeout(drain.options.wait, drain.post(sender, &account)).await;
    drain.note(posted, "posting");
    let posting = began.elapsed();
    sleep(drain.options.rest).await;

    let before = processes::cpu(&drain.options.processes)?;
    let began = Instant::now();
    let wait = drain.options.wait;
    let drained = timeout(wait, async {
        let client = dialer.log_in(away, &account).await?;
        drain.take(client).await.map_err(|error| error.to_string())
    })
    .await;
    drain.note(drained, "draining");
    let draining = began.elapsed();
    let cpu = processes::spent(&before, &processes::cpu(&drain.options.processes)?);
    let Drain { books, delivered, options, .. } = drain;
    let verdict = books.close();
    Ok(Report {
        options,
        posting,
        draining,
        cpu,
        delivered,
        counts: verdict.counts,
        problems: verdict.described,
    })
}

struct Drain {
    mark: u64,
    author: Account,
    books: Books,
    delivered: u64,
    /// Messages that came and are none that was posted: some that were will not come.
    spoilt: u64,
    options: Options,
}

impl Drain {
    /// A part of the run has ended, in time or not.
    fn note(
        &mut self,
        ended: Result<Result<(), impl fmt::Display>, tokio::time::error::Elapsed>,
        what: &str,
    ) {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.books.problem(Kind::Connection, format_args!("{what}: {error}")),
            Err(_) => self.books.problem(Kind::Connection, format_args!("{what} took too long")),
        }
    }

    async fn post(&mut self, mut client: Client, to: &Account) -> Result<(), tmtp_client::Error> {
        let mut left = u64::from(self.options.messages);
        let mut body = Vec::new();
        while left > 0 {
            let together = left.min(POSTS);
            left -= together;
            let mut waiting = Vec::new();
            for _ in 0..together {
                let seq = self.books.sent(Instant::now());
                let sum =
                    payload::write(Stamp { run: self.mark, pair: 0, seq }, self.options.size, &mut body);
                let data = DataInfo { len: body.len() as u64, head: 0, sum: sum.into() };
                let recipients = vec![Recipient { id: to.uid.clone(), kind: USER }];
                let id = format!("{:016x}-{seq}", self.mark);
                client.send(&Request::Post { id: id.clone(), recipients, data }, &body).await?;
                waiting.push((seq, id));
            }
            for (seq, id) in waiting {
                let Receipt { msg_id, .. } = client.expect_ack(&id).await?;
                match parse_message_id(&msg_id) {
                    Some(msg_id) => _ = self.books.acked(seq, msg_id, Instant::now()),
                    None => self.books.problem(Kind::Acks, format_args!("{msg_id} is no message id")),
                }
            }
        }
        client.quit().await
    }

    /// Takes what comes, one after the other, as a device does, until nothing is missing.
    async fn take(&mut self, mut client: Client) -> Result<(), tmtp_client::Error> {
        let all = u64::from(self.options.messages);
        while !self.books.is_settled() && self.delivered + self.spoilt < all {
            let frame = client.next().await?.ok_or(tmtp_client::Error::Closed)?;
            let Some(std) = frame.response.std() else { continue };
            let id = std.id.clone().into_owned();
            // The notice of the login is not the sender's.
            let seq = if std.from == self.author.uid { self.enter(&id, &frame.data) } else { None };
            client.ack(&id).await?;
            self.books.acknowledged(seq.as_slice(), Instant::now());
        }
        client.quit().await?;
        self.books.receiver_quit();
        Ok(())
    }

    fn enter(&mut self, id: &str, data: &[u8]) -> Option<u64> {
        let ours = payload::read(data)
            .filter(|(stamp, _)| stamp.run == self.mark && data.len() == self.options.size);
        let (Some((stamp, _)), Some(msg_id)) = (ours, parse_message_id(id)) else {
            self.books.problem(Kind::Corrupted, format_args!("message {id} is not ours"));
            self.spoilt += 1;
            return None;
        };
        if self.books.delivered(stamp.seq, msg_id, Instant::now()).is_some() {
            self.delivered += 1;
        }
        Some(stamp.seq)
    }
}

impl Report {
    /// Whether the books are right.
    pub fn is_clean(&self) -> bool {
        self.counts.total() == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { gateways, messages, size, rest, .. } = &self.options;
        writeln!(
            f,
            "options     {messages} messages of {size} octets over {} gateways, {} s of rest",
            gateways.len(),
            rest.as_secs_f64()
        )?;
        // Counts of a run fit into a double.
        #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
        let rate = |count: u64, took: Duration| count as f64 / took.as_secs_f64().max(f64::EPSILON);
        let (posting, draining) = (self.posting, self.draining);
        writeln!(
            f,
            "posted      in {:.2} s, {:.0}/s",
            posting.as_secs_f64(),
            rate((*messages).into(), posting)
        )?;
        writeln!(
            f,
            "drained     in {:.2} s, {:.0}/s",
            draining.as_secs_f64(),
            rate(self.delivered, draining)
        )?;
        for Spent { role, cpu } in &self.cpu {
            match cpu {
                Some(cpu) => writeln!(f, "cpu         {role} {:.2} s", cpu.as_secs_f64())?,
                None => writeln!(f, "cpu         {role} unknown (restarted)")?,
            }
        }
        if self.is_clean() {
            return writeln!(f, "books       nothing lost, repeated, reordered or corrupted");
        }
        writeln!(f, "books       WRONG: {}", self.counts)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "            {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: runs without end are refused; method: the edges.
    #[test]
    fn bad_options_are_refused() {
        let good = Options {
            gateways: vec!["127.0.0.1:1".parse().unwrap()],
            site: "a.test".into(),
            messages: 1,
            size: SIZE_MIN,
            rest: Duration::ZERO,
            wait: LONGEST,
            processes: Processes::default(),
        };
        assert!(good.check().is_ok());
        assert!(Options { messages: 0, ..good.clone() }.check().is_err());
        assert!(Options { messages: MESSAGES_MAX + 1, ..good.clone() }.check().is_err());
        assert!(Options { size: SIZE_MIN - 1, ..good.clone() }.check().is_err());
        assert!(Options { rest: LONGEST * 2, ..good.clone() }.check().is_err());
        assert!(Options { gateways: Vec::new(), ..good }.check().is_err());
    }
}
