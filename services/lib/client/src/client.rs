//! Both halves of a link together, and the conversations that every user of the client needs.
//! It must never swallow a frame that the caller might want: what is not part of a conversation waits for `next`.

use tmtp_wire::{AuthBy, DataInfo, Recipient, Request, Response, id::crc32c};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Connect, Error, Frame, Receipt, Receiver, Sender};

/// The revision of TMTP that we speak.
const REVISION: &str = "1";
/// A recipient that is a user.
const USER: i8 = 1;

/// One link to a server.
#[derive(Debug)]
pub struct Client {
    receiver: Receiver,
    sender: Sender,
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The site's name.
    pub name: String,
    /// Whether users have to sign in elsewhere; `None` if the site knows nothing like that.
    pub auth: Option<u8>,
    /// Where users may sign in.
    pub auth_by: Option<Vec<AuthBy<'static>>>,
}

/// What a new user has to remember.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Who it is.
    pub uid: String,
    /// The node's id, which is a password.
    pub node_id: String,
    /// Why the user did not get the alias asked for.
    pub alias_error: Option<String>,
}

/// Leaves the password out.
impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Account")
            .field("uid", &self.uid)
            .field("alias_error", &self.alias_error)
            .finish_non_exhaustive()
    }
}

/// What a login brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginInfo {
    /// The uids of those who are online and show it.
    pub ohi: Vec<String>,
}

impl Client {
    /// Connects, and says nothing yet.
    pub async fn connect(connect: &Connect) -> Result<Self, Error> {
        let (reading, writing) = tokio::io::split(connect.dial().await?);
        Ok(Self { receiver: Receiver::new(reading), sender: Sender::new(writing) })
    }

    /// Connects and agrees on the revision.
    pub async fn open(connect: &Connect) -> Result<(Self, Greeting), Error> {
        let mut client = Self::connect(connect).await?;
        client.send(&revision(), &[]).await?;
        let greeting = client.greeting().await?;
        Ok((client, greeting))
    }

    /// Connects and makes a new user, who is logged in then. `alias` is `_` for none; the user exists even if the
    /// alias was refused.
    pub async fn register(connect: &Connect, alias: &str, label: &str) -> Result<(Self, Account), Error> {
        let request = Request::Register {
            new_node: label.to_owned(),
            new_alias: alias.to_owned(),
            oidc: None,
            invite: None,
        };
        Self::register_with(connect, &request).await
    }

    /// The same with a request of the caller's, which may show a sign-in or an invite.
    pub async fn register_with(connect: &Connect, request: &Request) -> Result<(Self, Account), Error> {
        let mut client = Self::connect(connect).await?;
        client.send(&revision(), &[]).await?;
        client.send(request, &[]).await?;
        client.greeting().await?;
        let account = client.registered().await?;
        Ok((client, account))
    }

    /// What comes of a Register that was sent: a new user, who is logged in then.
    pub async fn registered(&mut self) -> Result<Account, Error> {
        let account = match self.answer().await? {
            Response::Registered { uid, node_id, error } => Account {
                uid: uid.into_owned(),
                node_id: node_id.into_owned(),
                alias_error: error.map(Into::into),
            },
            other => return Err(unexpected(&other, "registered")),
        };
        self.info().await?;
        Ok(account)
    }

    /// Connects and logs a node in.
    pub async fn login(connect: &Connect, uid: &str, node_id: &str) -> Result<(Self, LoginInfo), Error> {
        let mut client = Self::connect(connect).await?;
        // Like real clients, without waiting for the answer to the first.
        client.send(&revision(), &[]).await?;
        client.send(&Request::Login { uid: uid.to_owned(), node: node_id.to_owned() }, &[]).await?;
        client.greeting().await?;
        let info = client.info().await?;
        Ok((client, info))
    }

    /// See [`Sender::send`].
    pub async fn send(&mut self, request: &Request, data: &[u8]) -> Result<(), Error> {
        self.sender.send(request, data).await
    }

    /// See [`Sender::send_stream`].
    pub async fn send_stream(
        &mut self,
        request: &Request,
        data: impl AsyncRead + Unpin,
    ) -> Result<(), Error> {
        self.sender.send_stream(request, data).await
    }

    /// See [`Sender::send_raw`].
    pub async fn send_raw(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.sender.send_raw(octets).await
    }

    /// See [`Receiver::next`].
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        self.receiver.next().await
    }

    /// See [`Receiver::next_streaming`].
    pub async fn next_streaming(
        &mut self,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Option<Frame>, Error> {
        self.receiver.next_streaming(sink).await
    }

    /// See [`Receiver::expect_ack`].
    pub async fn expect_ack(&mut self, id: &str) -> Result<Receipt, Error> {
        self.receiver.expect_ack(id).await
    }

    /// Posts a message to users and waits for its ack. `head` is JSON for the receiving clients and may be empty;
    /// `body` may not.
    pub async fn post(
        &mut self,
        id: &str,
        recipients: &[&str],
        head: &[u8],
        body: &[u8],
    ) -> Result<Receipt, Error> {
        let octets = [head, body].concat();
        let data =
            DataInfo { len: octets.len() as u64, head: head.len() as u64, sum: u64::from(crc32c(&octets)) };
        let recipients =
            recipients.iter().map(|uid| Recipient { id: (*uid).to_owned(), kind: USER }).collect();
        self.send(&Request::Post { id: id.to_owned(), recipients, data }, &octets).await?;
        self.expect_ack(id).await
    }

    /// Acknowledges a message.
    pub async fn ack(&mut self, msg_id: &str) -> Result<(), Error> {
        self.sender.ack(msg_id).await
    }

    /// Asks the server to end the link and waits until it has. Frames that come before are dropped.
    pub async fn quit(mut self) -> Result<(), Error> {
        self.send(&Request::Quit, &[]).await?;
        let mut said_so = false;
        while let Some(frame) = self.next().await? {
            said_so |= matches!(frame.response, Response::Quit { .. });
        }
        if said_so { Ok(()) } else { Err(Error::Closed) }
    }

    /// Ends the link properly on the level of TLS, without a word in TMTP.
    pub async fn close(mut self) -> Result<(), Error> {
        self.sender.shutdown().await
    }

    /// Takes the link apart, to send and receive at the same time.
    pub fn split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    async fn greeting(&mut self) -> Result<Greeting, Error> {
        match self.answer().await? {
            Response::TmtpRev { name, auth, auth_by } => {
                Ok(Greeting { name: name.into_owned(), auth, auth_by })
            }
            other => Err(unexpected(&other, "tmtprev")),
        }
    }

    async fn info(&mut self) -> Result<LoginInfo, Error> {
        match self.answer().await? {
            Response::Info { ohi, .. } => Ok(LoginInfo { ohi: ohi.into_iter().map(Into::into).collect() }),
            other => Err(unexpected(&other, "info")),
        }
    }

    /// The next frame, which has to be there and not be a quit.
    async fn answer(&mut self) -> Result<Response<'static>, Error> {
        match self.next().await?.ok_or(Error::Closed)?.response {
            Response::Quit { error } => Err(Error::Quit(error.into_owned())),
            response => Ok(response),
        }
    }
}

fn revision() -> Request {
    Request::TmtpRev { id: REVISION.to_owned() }
}

fn unexpected(response: &Response<'_>, expected: &'static str) -> Error {
    Error::Unexpected { op: response.op().to_owned(), expected }
}
