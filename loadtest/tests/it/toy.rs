//! A server of one process and no disk, just enough for the load generator: register, log in, post, ack, quit.
//! It commits one fault, or none. It must never commit it twice: tests count.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tmtp_testkit::eventually;
use tmtp_wire::{DataInfo, Decoder, Item, Request, Response, Std, id::message_id};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

/// The post that the fault is about, counted from 1; far enough from both ends of a run.
const VICTIM: u64 = 150;
const POSTED: &str = "2026-01-01T00:00:00.000Z";

/// What the toy does wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// A message is acked and forgotten.
    Lose,
    /// A message comes twice.
    Repeat,
    /// A message that was acked comes again when its receiver logs in.
    RepeatAtLogin,
    /// An octet is changed.
    Corrupt,
    /// A message comes after the next one of the same sender.
    Swap,
    /// A post is refused.
    Refuse,
    /// The ack tells another id than the message has.
    OtherId,
    /// A post is acked twice.
    AckTwice,
    /// A post is stored and not acked.
    ForgetAck,
}

/// Frames for a connection; the end of the channel ends the connection.
type Link = UnboundedSender<Vec<u8>>;

#[derive(Default)]
struct User {
    node: String,
    queue: BTreeMap<u64, Vec<u8>>,
    /// Counts logins, so that the end of an old connection does not end a new session.
    session: Option<(u64, Link)>,
    /// Acked, and to come again.
    ghost: Option<(u64, Vec<u8>)>,
}

struct State {
    fault: Fault,
    users: HashMap<String, User>,
    /// Acks by sender and request.
    receipts: HashMap<(String, String), u64>,
    posts: u64,
    last_id: u64,
    sessions: u64,
    /// A message that waits for the next one, by its receiver.
    swapped: Option<(String, u64, Vec<u8>)>,
    connections: Vec<AbortHandle>,
}

pub(crate) struct Toy {
    gateways: Vec<SocketAddr>,
    state: Arc<Mutex<State>>,
}

impl Toy {
    /// Two gateways.
    pub(crate) async fn start(fault: Fault) -> Self {
        let state = Arc::new(Mutex::new(State {
            fault,
            users: HashMap::new(),
            receipts: HashMap::new(),
            posts: 0,
            last_id: 1 << 60,
            sessions: 0,
            swapped: None,
            connections: Vec::new(),
        }));
        let acceptor = acceptor();
        let mut gateways = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gateways.push(listener.local_addr().unwrap());
            tokio::spawn(accept(listener, acceptor.clone(), Arc::downgrade(&state)));
        }
        Self { gateways, state }
    }

    pub(crate) fn gateways(&self) -> Vec<SocketAddr> {
        self.gateways.clone()
    }

    pub(crate) fn users(&self) -> usize {
        self.state.lock().users.len()
    }

    /// Ends all connections at once, without a word.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock();
        state.connections.drain(..).for_each(|connection| connection.abort());
        state.users.values_mut().for_each(|user| user.session = None);
    }

    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        eventually(Duration::from_secs(30), what, async || reached(self).then_some(())).await.unwrap();
    }
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["toy.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Weak<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Some(state) = state.upgrade() else { return };
        let connection = tokio::spawn(serve(stream, acceptor.clone(), Arc::downgrade(&state)));
        state.lock().connections.push(connection.abort_handle());
    }
}

/// One connection, from its handshake to its end. Errors are ends, too.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Weak<Mutex<State>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let stream = acceptor.accept(stream).await.ok()?;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let (link, mut frames): (Link, UnboundedReceiver<Vec<u8>>) = mpsc::unbounded_channel();
    let write = async {
        while let Some(frame) = frames.recv().await {
            writing.write_all(&frame).await.ok()?;
            writing.flush().await.ok()?;
        }
        writing.shutdown().await.ok()
    };
    let read = async {
        let mut session = Session { state, link, user: None };
        let mut decoder = Decoder::<Request>::new();
        let (mut buffer, mut request, mut data) = (vec![0; 16 << 10], None, Vec::new());
        loop {
            let len = reading.read(&mut buffer).await.ok().filter(|len| *len > 0)?;
            let mut input = &buffer[..len];
            while let Some(item) = decoder.next(&mut input).ok()? {
                match item {
                    Item::Header { header, .. } => request = Some(header),
                    Item::Data(piece) => data.extend_from_slice(piece),
                    Item::End => session.handle(request.take()?, std::mem::take(&mut data))?,
                }
            }
        }
    };
    // After a goodbye, or a break, what is left is written; who cut us has aborted this task.
    let _: (Option<()>, Option<()>) = tokio::join!(read, write);
    Some(())
}

struct Session {
    state: Weak<Mutex<State>>,
    link: Link,
    /// Uid, and the number of the login.
    user: Option<(String, u64)>,
}

/// The user is offline then, unless there is a newer session.
impl Drop for Session {
    fn drop(&mut self) {
        let Some(state) = self.state.upgrade() else { return };
        let Some((uid, number)) = &self.user else { return };
        if let Some(user) = state.lock().users.get_mut(uid) {
            user.session.take_if(|(current, _)| current == number);
        }
    }
}

impl Session {
    /// `None` ends the connection.
    fn handle(&mut self, request: Request, data: Vec<u8>) -> Option<()> {
        let state = self.state.upgrade()?;
        let mut state = state.lock();
        match request {
            Request::TmtpRev { .. } => {
                self.send(&Response::TmtpRev { name: "toy".into(), auth: None, auth_by: None });
            }
            Request::Register { .. } => {
                let (uid, node) = (format!("U{}", state.users.len()), format!("N{}", state.users.len()));
                state.users.insert(uid.clone(), User { node: node.clone(), ..User::default() });
                self.send(&Response::Registered {
                    uid: uid.as_str().into(),
                    node_id: node.as_str().into(),
                    error: None,
                });
                self.attach(&mut state, uid)?;
            }
            Request::Login { uid, node } => {
                let user = state.users.get(&uid).filter(|user| user.node == node)?;
                if user.session.is_some() {
                    self.send(&Response::Quit { error: "node already connected".into() });
                    return None;
                }
                self.attach(&mut state, uid)?;
            }
            Request::Post { id, recipients, data: info } => {
                let (uid, _) = self.user.clone()?;
                let to = recipients.first()?.id.clone();
                self.post(&mut state, &uid, &id, &to, info, data);
            }
            Request::Ack { id, .. } => {
                let (uid, _) = self.user.as_ref()?;
                let id = tmtp_wire::id::parse_message_id(&id)?;
                let acked = state.users.get_mut(uid)?.queue.remove(&id);
                if state.fault == Fault::RepeatAtLogin
                    && state.posts >= VICTIM
                    && let Some(frame) = acked
                {
                    state.fault = Fault::None;
                    state.users.get_mut(uid)?.ghost = Some((id, frame));
                }
            }
            Request::Pulse => {}
            _ => {
                let (uid, _) = self.user.take()?;
                state.users.get_mut(&uid)?.session = None;
                self.send(&Response::Quit { error: "logout ok".into() });
                return None;
            }
        }
        Some(())
    }

    fn send(&self, response: &Response<'_>) {
        let mut frame = Vec::new();
        response.encode(&mut frame).unwrap();
        let _ = self.link.send(frame);
    }

    /// Logs in: what waits comes in order.
    fn attach(&mut self, state: &mut State, uid: String) -> Option<()> {
        self.send(&Response::Info { info: "login ok".into(), ohi: Vec::new() });
        state.sessions += 1;
        let user = state.users.get_mut(&uid)?;
        if let Some((id, frame)) = user.ghost.take() {
            user.queue.insert(id, frame);
        }
        for frame in user.queue.values() {
            let _ = self.link.send(frame.clone());
        }
        user.session = Some((state.sessions, self.link.clone()));
        self.user = Some((uid, state.sessions));
        Some(())
    }

    fn post(&self, state: &mut State, from: &str, id: &str, to: &str, info: DataInfo, mut data: Vec<u8>) {
        let request = (from.to_owned(), id.to_owned());
        if let Some(known) = state.receipts.get(&request) {
            self.ack(id, *known);
            return;
        }
        // What a receiver posts to itself is no victim.
        state.posts += u64::from(from != to);
        let fault = if state.posts == VICTIM { state.fault } else { Fault::None };
        if fault == Fault::Refuse {
            state.posts += 1;
            self.send(&Response::Ack { id: id.into(), receipt: None, error: Some("not now".into()) });
            return;
        }
        state.last_id += 2;
        let msg_id = state.last_id;
        state.receipts.insert(request, msg_id);
        match fault {
            Fault::ForgetAck => {}
            Fault::OtherId => self.ack(id, msg_id - 1),
            Fault::AckTwice => {
                self.ack(id, msg_id);
                self.ack(id, msg_id);
            }
            _ => self.ack(id, msg_id),
        }
        if fault == Fault::Corrupt {
            data[22] ^= 1;
        }
        let frame = delivery(from, msg_id, info, &data);
        match fault {
            Fault::Lose => {}
            Fault::Swap => state.swapped = Some((to.to_owned(), msg_id, frame)),
            Fault::Repeat => {
                state.enqueue(to, msg_id, frame.clone());
                state.enqueue(to, msg_id, frame);
            }
            _ => {
                state.enqueue(to, msg_id, frame);
                if let Some((_, msg_id, frame)) = state.swapped.take_if(|(receiver, ..)| receiver == to) {
                    state.enqueue(to, msg_id, frame);
                }
            }
        }
    }

    fn ack(&self, id: &str, msg_id: u64) {
        let receipt = Some((message_id(msg_id).into(), POSTED.into()));
        self.send(&Response::Ack { id: id.into(), receipt, error: None });
    }
}

impl State {
    fn enqueue(&mut self, to: &str, msg_id: u64, frame: Vec<u8>) {
        let Some(user) = self.users.get_mut(to) else { return };
        if let Some((_, link)) = &user.session {
            let _ = link.send(frame.clone());
        }
        user.queue.insert(msg_id, frame);
    }
}

fn delivery(from: &str, msg_id: u64, data: DataInfo, octets: &[u8]) -> Vec<u8> {
    let std = Std { from: from.into(), id: message_id(msg_id).into(), posted: POSTED.into(), data };
    let mut frame = Vec::new();
    Response::Delivery { std, notify: 0 }.encode(&mut frame).unwrap();
    frame.extend_from_slice(octets);
    frame
}
