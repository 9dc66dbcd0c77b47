//! A client's link with the words that tests use. Every wait has a deadline, and every failure says who waited and what
//! came instead. Must never ack by itself: when a message is acked is part of the story.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tmtp_client::{Account, Client, Error, Frame, Receipt};
use tmtp_wire::{DataInfo, Recipient, Request, Response, headsum_holds};
use tokio::time::timeout;

/// How long a client waits for anything. Well beyond a take-over of shards by another worker.
pub const WAIT: Duration = Duration::from_secs(30);

/// A node that is logged in.
pub struct Link {
    who: String,
    account: Account,
    client: Client,
}

/// A message of another user, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message's id.
    pub id: String,
    /// Who sent it.
    pub from: String,
    /// When it was taken in.
    pub posted: String,
    /// What the header says about the data.
    pub info: DataInfo,
    /// The data.
    pub data: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a quit frame and a proper close.
    Quit(String),
    /// With a proper close.
    Closed,
    /// Without.
    Cut,
}

impl Link {
    /// A connection that is logged in; `who` is for messages of the test only.
    pub fn new(who: &str, account: Account, client: Client) -> Self {
        Self { who: who.to_owned(), account, client }
    }

    /// What the node needs to log in again.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The user.
    pub fn uid(&self) -> &str {
        &self.account.uid
    }

    /// The client below, for what has no word here.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The client below, for good.
    pub fn into_client(self) -> Client {
        self.client
    }

    /// Posts a text to these users, and waits for the ack.
    pub async fn post(&mut self, id: &str, to: &[&str], text: &str) -> Result<Receipt> {
        let posted = timeout(WAIT, self.client.post(id, to, b"", text.as_bytes())).await;
        posted
            .context("no ack")
            .and_then(|posted| Ok(posted?))
            .with_context(|| format!("{} posts {id}", self.who))
    }

    /// Sends a request as it is, and waits for its ack.
    pub async fn request(&mut self, request: &Request, data: &[u8]) -> Result<Receipt> {
        let id = request_id(request)?;
        self.client.send(request, data).await.with_context(|| format!("{} sends {id}", self.who))?;
        self.acked(&id).await
    }

    /// Sends a request, and gives the error of its ack.
    pub async fn refused(&mut self, request: &Request, data: &[u8]) -> Result<String> {
        match self.request(request, data).await {
            Ok(receipt) => bail!("{}'s request was not refused: {receipt:?}", self.who),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::Refused(text)) => Ok(text.clone()),
                _ => Err(error),
            },
        }
    }

    /// Waits for the ack of a request that was sent.
    pub async fn acked(&mut self, id: &str) -> Result<Receipt> {
        let acked = timeout(WAIT, self.client.expect_ack(id)).await;
        acked
            .context("no ack")
            .and_then(|acked| Ok(acked?))
            .with_context(|| format!("{} waits for the ack of {id}", self.who))
    }

    /// The next frame.
    ///
    /// # Errors
    /// When none comes, or the connection ends.
    pub async fn next(&mut self) -> Result<Frame> {
        let next = timeout(WAIT, self.client.next()).await;
        let frame = next.context("nothing came").and_then(|next| Ok(next?));
        frame
            .and_then(|frame| frame.context("the server closed"))
            .with_context(|| format!("{} listens", self.who))
    }

    /// The next frame, which has to be one that waits for an ack, with a headsum that holds. It is not acked.
    pub async fn message(&mut self) -> Result<Frame> {
        let frame = self.next().await?;
        ensure!(
            frame.response.std().is_some(),
            "{} got {:?} in place of a message",
            self.who,
            frame.response
        );
        ensure!(headsum_holds(&frame.raw), "the headsum of {} is wrong", String::from_utf8_lossy(&frame.raw));
        Ok(frame)
    }

    /// The next message, which has to be a delivery. It is not acked.
    pub async fn delivery(&mut self) -> Result<Delivery> {
        let frame = self.message().await?;
        match frame.response {
            Response::Delivery { std, .. } => Ok(Delivery {
                id: std.id.into_owned(),
                from: std.from.into_owned(),
                posted: std.posted.into_owned(),
                info: std.data,
                data: frame.data,
            }),
            other => bail!("{} got {other:?} in place of a delivery", self.who),
        }
    }

    /// The next message, which has to be a delivery of this text. It is acked.
    pub async fn take(&mut self, text: &str) -> Result<Delivery> {
        let delivery = self.delivery().await?;
        let got = String::from_utf8_lossy(&delivery.data);
        ensure!(got == text, "{} got {got:?} in place of {text:?}", self.who);
        self.ack(&delivery.id).await?;
        Ok(delivery)
    }

    /// The next message, which has to say that a node of the user has logged in. It is acked.
    pub async fn take_login_notice(&mut self) -> Result<()> {
        let frame = self.message().await?;
        let Response::Login { std, node } = &frame.response else {
            bail!("{} got {:?} in place of a login notice", self.who, frame.response);
        };
        ensure!(std.from == self.account.uid && node == "tbd", "an odd login notice: {:?}", frame.response);
        let id = std.id.clone();
        self.ack(&id).await
    }

    /// Acks a message.
    pub async fn ack(&mut self, msg_id: &str) -> Result<()> {
        self.client.ack(msg_id).await.with_context(|| format!("{} acks {msg_id}", self.who))
    }

    /// Shows that nothing is on its way to this node: posts [`barrier`] to its user, and that has to be the next message
    /// to come.
    pub async fn expect_nothing_else(&mut self) -> Result<()> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let uid = self.account.uid.clone();
        // An id that was used before would make it a resent request, and no message.
        let id = format!("barrier {}", CALLS.fetch_add(1, Ordering::Relaxed));
        let text = barrier(&self.who);
        self.post(&id, &[&uid], &text).await?;
        self.take(&text).await?;
        Ok(())
    }

    /// Logs out, and waits until the server has closed.
    pub async fn quit(self) -> Result<()> {
        let quit = timeout(WAIT, self.client.quit()).await;
        quit.context("no end").and_then(|quit| Ok(quit?)).with_context(|| format!("{} quits", self.who))
    }

    /// Waits for the end of the connection, past everything else that comes.
    pub async fn end(&mut self) -> Result<End> {
        end_of(&mut self.client).await.with_context(|| format!("{} waits for the end", self.who))
    }
}

/// Waits for the end of a connection, past everything else that comes.
pub async fn end_of(client: &mut Client) -> Result<End> {
    let mut said = None;
    loop {
        match timeout(WAIT, client.next()).await.context("no end")? {
            Ok(Some(Frame { response: Response::Quit { error }, .. })) => said = Some(error.into_owned()),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(said.map_or(End::Closed, End::Quit)),
            Err(Error::Cut | Error::Read(_)) => return Ok(End::Cut),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What [`Link::expect_nothing_else`] posts; the user's other nodes get it, too.
pub fn barrier(who: &str) -> String {
    format!("nothing else for {who}")
}

/// A post to users, as [`Link::post`] makes it.
pub fn post(id: &str, to: &[&str], data: &[u8]) -> Request {
    let recipients = to.iter().map(|uid| Recipient { id: (*uid).to_owned(), kind: 1 }).collect();
    Request::Post {
        id: id.to_owned(),
        recipients,
        data: DataInfo { len: data.len() as u64, ..DataInfo::default() },
    }
}

fn request_id(request: &Request) -> Result<String> {
    match request {
        Request::UserEdit { id, .. }
        | Request::OhiEdit { id, .. }
        | Request::GroupInvite { id, .. }
        | Request::GroupEdit { id, .. }
        | Request::Post { id, .. }
        | Request::PostNotify { id, .. }
        | Request::Ping { id, .. } => Ok(id.clone()),
        other => bail!("{other:?} has no ack"),
    }
}
