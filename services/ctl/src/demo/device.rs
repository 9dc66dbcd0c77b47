//! A device of the story: it acknowledges whatever comes, at once, and hands on what the story is about.
//! It must never reconnect by itself: a connection that ends without being asked is what the story looks for.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use tmtp_client::{Client, Connect, Frame, Receipt, Receiver, Sender};
use tmtp_wire::{DataInfo, Recipient, Request, Response, UserChange, headsum_holds, id::crc32c};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// For anything that the cluster does; the attachment is the slowest.
const WAIT: Duration = Duration::from_mins(1);
/// More frames than the story has.
const FRAMES: usize = 64;
/// A recipient that is a user.
const USER: i8 = 1;

/// One connected device.
pub(crate) struct Device {
    name: &'static str,
    sender: Arc<Mutex<Sender>>,
    frames: mpsc::Receiver<Frame>,
    acks: mpsc::Receiver<Frame>,
    /// How many login notices have come, and been acknowledged.
    logins: watch::Receiver<usize>,
    pump: JoinHandle<anyhow::Result<()>>,
    requests: u32,
}

/// A message, as it came.
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) data: Vec<u8>,
}

/// Within the time that anything may take, or an error that says what took longer.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> anyhow::Result<T> {
    timeout(WAIT, future).await.with_context(|| format!("expected {what} within {} s", WAIT.as_secs()))
}

impl Device {
    /// A new user's first device, with uid and node id.
    pub(crate) async fn register(
        name: &'static str,
        connect: &Connect,
        alias: &str,
    ) -> anyhow::Result<(Self, String, String)> {
        let registered =
            in_time("an answer to a registration", Client::register(connect, alias, name)).await?;
        let (client, account) = registered.with_context(|| format!("register {alias}"))?;
        if let Some(error) = account.alias_error {
            bail!("expected {alias} to get the alias, but: {error}");
        }
        Ok((Self::start(name, client), account.uid, account.node_id))
    }

    /// A device that exists.
    pub(crate) async fn log_in(
        name: &'static str,
        connect: &Connect,
        uid: &str,
        node: &str,
    ) -> anyhow::Result<Self> {
        let login = in_time("an answer to a login", Client::login(connect, uid, node)).await?;
        let (client, _) = login.with_context(|| format!("log in {name}"))?;
        Ok(Self::start(name, client))
    }

    fn start(name: &'static str, client: Client) -> Self {
        let (receiver, sender) = client.split();
        let sender = Arc::new(Mutex::new(sender));
        let (frames_in, frames) = mpsc::channel(FRAMES);
        let (acks_in, acks) = mpsc::channel(FRAMES);
        let (logins_in, logins) = watch::channel(0);
        let out = Handed { frames: frames_in, acks: acks_in, logins: logins_in };
        let pump = tokio::spawn(pump(receiver, Arc::clone(&sender), out));
        Self { name, sender, frames, acks, logins, pump, requests: 0 }
    }

    /// Posts to one user, and waits for the ack.
    pub(crate) async fn post(&mut self, to: &str, data: &[u8]) -> anyhow::Result<Receipt> {
        let id = self.request_id();
        let info = DataInfo { len: data.len() as u64, head: 0, sum: crc32c(data).into() };
        let recipients = vec![Recipient { id: to.to_owned(), kind: USER }];
        self.ask(&id, &Request::Post { id: id.clone(), recipients, data: info }, data).await
    }

    /// Asks for another device of the same user, and gives its node id.
    pub(crate) async fn add_node(&mut self, wanted: &str) -> anyhow::Result<String> {
        let id = self.request_id();
        let request =
            Request::UserEdit { id: id.clone(), new_node: Some(wanted.to_owned()), new_alias: None };
        self.ask(&id, &request, &[]).await?;
        self.new_node(wanted).await
    }

    /// Waits for the message about a new device, and gives its node id.
    pub(crate) async fn new_node(&mut self, wanted: &str) -> anyhow::Result<String> {
        let frame = self.frame("the message about the new device").await?;
        match frame.response {
            Response::User { change: UserChange::Node { label, node_id }, .. } if label == wanted => {
                Ok(node_id.into_owned())
            }
            other => bail!("{}: expected the message about {wanted}, got {}", self.name, other.op()),
        }
    }

    /// Waits for the next message, whose checksums have to hold.
    pub(crate) async fn message(&mut self) -> anyhow::Result<Message> {
        let frame = self.frame("a message").await?;
        ensure!(headsum_holds(&frame.raw), "{}: expected a headsum that holds", self.name);
        let Response::Delivery { std, .. } = frame.response else {
            bail!("{}: expected a delivery, got {}", self.name, frame.response.op());
        };
        let sum = u64::from(crc32c(&frame.data));
        ensure!(
            std.data.sum == sum,
            "{}: expected data with checksum {}, got {sum}",
            self.name,
            std.data.sum
        );
        Ok(Message { id: std.id.into_owned(), from: std.from.into_owned(), data: frame.data })
    }

    /// Waits until so many login notices have come on this connection. Every device of a user gets one for each login
    /// of any of them, and one that it does not fetch stays on the server.
    pub(crate) async fn logins(&mut self, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} login notices for {}", self.name);
        let ended = in_time(&what, self.logins.wait_for(|come| *come >= count)).await?.is_err();
        if ended { Err(self.ended().await) } else { Ok(()) }
    }

    /// Lets go of a connection that the server has ended, or is about to.
    pub(crate) fn forget(self) {
        self.pump.abort();
    }

    /// Quits, and waits until the server has let go. Whatever was acknowledged before is so for good then.
    pub(crate) async fn go_offline(self) -> anyhow::Result<()> {
        in_time("to say goodbye", async { self.sender.lock().await.send(&Request::Quit, &[]).await })
            .await?
            .with_context(|| format!("{}: say goodbye", self.name))?;
        in_time("the goodbye of the server", self.pump).await?.context("the device's task failed")?
    }

    fn request_id(&mut self) -> String {
        self.requests += 1;
        format!("{}-{}", self.name, self.requests)
    }

    async fn ask(&mut self, id: &str, request: &Request, data: &[u8]) -> anyhow::Result<Receipt> {
        let sent = async { self.sender.lock().await.send(request, data).await };
        in_time("to send a request", sent).await?.with_context(|| format!("{}: send", self.name))?;
        let Some(ack) = in_time("an ack", self.acks.recv()).await? else { return Err(self.ended().await) };
        match ack.response {
            Response::Ack { error: Some(error), .. } => bail!("{}: expected an ack, got: {error}", self.name),
            Response::Ack { id: acked, receipt, .. } if acked == id => {
                let (msg_id, posted) = receipt.unwrap_or_default();
                Ok(Receipt { msg_id: msg_id.into_owned(), posted: posted.into_owned() })
            }
            _ => bail!("{}: expected the ack of {id}, got another one", self.name),
        }
    }

    async fn frame(&mut self, what: &str) -> anyhow::Result<Frame> {
        let frame = in_time(&format!("{what} for {}", self.name), self.frames.recv()).await?;
        match frame {
            Some(frame) => Ok(frame),
            None => Err(self.ended().await),
        }
    }

    /// Why there are no more frames.
    async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.pump).await {
            Ok(Err(error)) => error.context(format!("{} lost its connection", self.name)),
            _ => anyhow::anyhow!("{} lost its connection", self.name),
        }
    }
}

/// Where the pump hands on what it receives.
struct Handed {
    frames: mpsc::Sender<Frame>,
    acks: mpsc::Sender<Frame>,
    logins: watch::Sender<usize>,
}

/// Receives until the server says goodbye. What needs an ack gets it at once; messages and acks are handed on.
async fn pump(mut receiver: Receiver, sender: Arc<Mutex<Sender>>, out: Handed) -> anyhow::Result<()> {
    let mut asked = false;
    while let Some(frame) = receiver.next().await.context("receive")? {
        let id = frame.response.std().map(|std| std.id.clone().into_owned());
        let is_login = matches!(frame.response, Response::Login { .. });
        match &frame.response {
            Response::Quit { error } if error == "logout ok" => asked = true,
            Response::Quit { error } => bail!("the server quit: {error}"),
            Response::Unknown { op, .. } => bail!("the server sent an unknown op: {op}"),
            // Nobody listens any more when the device is on its way out.
            Response::Ack { .. } => drop(out.acks.send(frame).await),
            Response::Delivery { .. } | Response::User { .. } => drop(out.frames.send(frame).await),
            _ => {}
        }
        if let Some(id) = id {
            sender.lock().await.ack(&id).await.context("acknowledge")?;
        }
        if is_login {
            out.logins.send_modify(|come| *come += 1);
        }
    }
    ensure!(asked, "the server closed the connection");
    Ok(())
}
