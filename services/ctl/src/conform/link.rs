//! One raw link to the server under test. What comes is sorted by kind, because a server may send acks, messages and
//! notices in any order among each other; within a kind the order counts. Messages are acked when they come, unless the
//! case wants to do that itself. It must never wait without a limit.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::audit::{Audit, Seen};
use super::frame::{self, Frame};

/// Why a case failed: what was expected, what came.
#[derive(Debug)]
pub(super) struct Fault(pub(super) String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) type Result<T = ()> = std::result::Result<T, Fault>;

/// A fault in words.
pub(super) fn fault<T>(what: impl Into<String>) -> Result<T> {
    Err(Fault(what.into()))
}

/// Equal, or what the difference is.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, got: T, expected: T) -> Result {
    if got == expected { Ok(()) } else { fault(format!("{what}: expected {expected:?}, got {got:?}")) }
}

/// Data that marks a message as a fence; see [`Link::nothing`].
const FENCE: &[u8] = b"(fence)";

/// How the server ended the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With a `quit` frame, and then properly.
    Quit(String),
    /// Properly, without a word.
    Silent,
    /// Not properly: what TLS or the socket said.
    Cut(String),
}

/// A queued message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its header without `id`, `posted` and `headsum`, which differ from run to run.
    pub(super) core: Value,
    pub(super) id: String,
    pub(super) posted: String,
    pub(super) raw: Vec<u8>,
    pub(super) data: Vec<u8>,
    /// Frames of this link that came before it.
    pub(super) place: u64,
}

/// What an ack of a stored request tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) id: String,
    pub(super) posted: String,
}

pub(super) struct Link {
    reading: ReadHalf<TlsStream<TcpStream>>,
    writing: WriteHalf<TlsStream<TcpStream>>,
    input: Vec<u8>,
    audit: Arc<Audit>,
    seen: Seen,
    /// How long to wait for what has to come.
    pub(super) patience: Duration,
    /// Acks messages as they come.
    pub(super) acking: bool,
    /// The user, once it is logged in.
    pub(super) uid: String,
    acks: VecDeque<(u64, Map<String, Value>)>,
    /// Frames that came before the last ack that was looked at.
    pub(super) ack_place: u64,
    frames: u64,
    messages: VecDeque<Message>,
    fences: Vec<String>,
    notices: VecDeque<(String, u64)>,
    answers: VecDeque<Map<String, Value>>,
    quit: Option<String>,
    end: Option<End>,
}

impl Link {
    pub(super) fn new(stream: TlsStream<TcpStream>, audit: Arc<Audit>, patience: Duration) -> Self {
        let (reading, writing) = split(stream);
        Self {
            reading,
            writing,
            input: Vec::new(),
            audit,
            seen: Seen::default(),
            patience,
            acking: true,
            uid: String::new(),
            acks: VecDeque::new(),
            ack_place: 0,
            frames: 0,
            messages: VecDeque::new(),
            fences: Vec::new(),
            notices: VecDeque::new(),
            answers: VecDeque::new(),
            quit: None,
            end: None,
        }
    }

    // Sending.

    /// Sends octets as they are. That the server has gone meanwhile shows when its answer is read.
    pub(super) async fn send_raw(&mut self, octets: &[u8]) {
        let sending = async {
            let written = self.writing.write_all(octets).await.is_ok();
            if written {
                let _ = self.writing.flush().await;
            }
        };
        let _ = tokio::time::timeout(self.patience, sending).await;
    }

    /// Sends a frame with this header, whatever it is.
    pub(super) async fn send_text(&mut self, header: &str, data: &[u8]) {
        self.send_raw(&frame::request(header.as_bytes(), data)).await;
    }

    /// Sends a frame; `datalen` is added if there is data.
    pub(super) async fn send(&mut self, mut header: Value, data: &[u8]) {
        if !data.is_empty() && header.get("datalen").is_none() {
            header["datalen"] = json!(data.len());
        }
        self.send_text(&header.to_string(), data).await;
    }

    /// Acks a message.
    pub(super) async fn ack(&mut self, id: &str) {
        self.seen.acks(id);
        self.send(json!({"op": 10, "id": id, "type": "ok"}), b"").await;
    }

    /// Ends the stream of this side properly.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(self.patience, self.writing.shutdown()).await;
    }

    // Receiving.

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Takes one more frame in, or notices the end. False when the deadline has passed.
    async fn pump(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            if let Some(frame) = Frame::cut(&mut self.input).map_err(Fault)? {
                self.audit.look(&frame, &mut self.seen);
                self.file(frame).await;
                return Ok(true);
            }
            if let Some(end) = &self.end {
                return fault(format!("the link has ended: {}", describe(end)));
            }
            match timeout_at(deadline, self.reading.read_buf(&mut self.input)).await {
                Err(_) => return Ok(false),
                Ok(Ok(0)) => self.end = Some(self.quit.clone().map_or(End::Silent, End::Quit)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => self.end = Some(End::Cut(error.to_string())),
            }
            if self.end.is_some() && self.input.is_empty() {
                return Ok(true);
            }
        }
    }

    async fn file(&mut self, frame: Frame) {
        self.frames += 1;
        if frame.is_message() {
            return self.file_message(frame).await;
        }
        match frame.op() {
            "ack" => self.acks.push_back((self.frames, frame.header)),
            "ohi" => {
                let status = frame.header.get("status").and_then(Value::as_u64).unwrap_or_default();
                self.notices.push_back((frame.text("from").to_owned(), status));
            }
            "quit" => self.quit = Some(frame.text("error").to_owned()),
            _ => self.answers.push_back(frame.header),
        }
    }

    async fn file_message(&mut self, frame: Frame) {
        let (id, posted) = (frame.text("id").to_owned(), frame.text("posted").to_owned());
        let mut core = frame.header;
        for name in ["id", "posted", "headsum"] {
            core.remove(name);
        }
        if self.acking {
            self.ack(&id).await;
        }
        if frame.data == FENCE {
            self.fences.push(id);
            return;
        }
        let core = Value::Object(core);
        self.messages.push_back(Message {
            core,
            id,
            posted,
            raw: frame.raw,
            data: frame.data,
            place: self.frames,
        });
    }

    /// Waits until `find` finds something.
    async fn until<T>(&mut self, what: &str, mut find: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let deadline = self.deadline();
        loop {
            if let Some(found) = find(self) {
                return Ok(found);
            }
            match self.pump(deadline).await {
                Ok(true) => {}
                Ok(false) => {
                    let waited = self.patience.as_secs_f32();
                    return fault(format!("expected {what}, got {} within {waited} s", self.pending()));
                }
                Err(Fault(why)) => return fault(format!("expected {what}, but {why}")),
            }
        }
    }

    /// What has come and nobody asked for.
    fn pending(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        let acks = self.acks.iter().map(|(_, header)| header);
        words.extend(self.answers.iter().chain(acks).map(|header| json!(header).to_string()));
        words.extend(self.messages.iter().map(|message| message.core.to_string()));
        words.extend(self.notices.iter().map(|notice| format!("ohi {notice:?}")));
        words.extend(self.quit.iter().map(|text| format!("quit: {text}")));
        if words.is_empty() { "nothing".to_owned() } else { words.join(" and ") }
    }

    /// The next of `tmtprev`, `registered`, `info`, which has to be of this operation.
    pub(super) async fn answer(&mut self, op: &str) -> Result<Map<String, Value>> {
        let header = self.until(op, |link| link.answers.pop_front()).await?;
        same("op", header.get("op").and_then(Value::as_str), Some(op))?;
        Ok(header)
    }

    /// The next ack.
    pub(super) async fn next_ack(&mut self) -> Result<Value> {
        let (place, header) = self.until("an ack", |link| link.acks.pop_front()).await?;
        self.ack_place = place;
        Ok(Value::Object(header))
    }

    /// The next ack, which has to be this.
    pub(super) async fn expect_ack(&mut self, expected: Value) -> Result<Value> {
        let ack = self.next_ack().await?;
        matches(&expected, &ack)?;
        Ok(ack)
    }

    /// The next message.
    pub(super) async fn next_message(&mut self) -> Result<Message> {
        self.until("a message", |link| link.messages.pop_front()).await
    }

    /// The next message, which has to have these fields besides `id`, `posted` and `headsum`, and this data.
    /// `datalen` is added.
    pub(super) async fn message(&mut self, mut expected: Value, data: &[u8]) -> Result<Message> {
        expected["datalen"] = json!(data.len());
        let what = expected.to_string();
        let message = self.until(&what, |link| link.messages.pop_front()).await?;
        matches(&expected, &message.core)?;
        same("data", &message.data[..], data)?;
        Ok(message)
    }

    /// The next presence notice, which has to be this.
    pub(super) async fn notice(&mut self, from: &str, status: u64) -> Result {
        let what = format!("ohi of {from} with status {status}");
        let got = self.until(&what, |link| link.notices.pop_front()).await?;
        same("ohi", got, (from.to_owned(), status))
    }

    /// How many notices have come and were not asked for.
    pub(super) fn spare_notices(&self) -> usize {
        self.notices.len()
    }

    /// Sends a request, and gives its ack.
    pub(super) async fn request(&mut self, header: Value, data: &[u8]) -> Result<Value> {
        let id = header["id"].clone();
        self.send(header, data).await;
        let ack = self.next_ack().await?;
        same("id of the ack", &ack["id"], &id)?;
        Ok(ack)
    }

    /// A request that stores a message: its ack tells id and time.
    pub(super) async fn store(&mut self, header: Value, data: &[u8]) -> Result<Receipt> {
        let ack = self.request(header, data).await?;
        receipt(&ack)
    }

    /// An edit that succeeds: its ack has only the id.
    pub(super) async fn edit(&mut self, header: Value) -> Result {
        let ack = self.request(header, b"").await?;
        matches(&json!({"op": "ack", "id": "*"}), &ack)
    }

    /// A request that is refused in its ack with this text.
    pub(super) async fn refused(&mut self, header: Value, data: &[u8], text: &str) -> Result {
        let ack = self.request(header, data).await?;
        matches(&json!({"op": "ack", "id": "*", "error": text}), &ack)
    }

    /// Nothing has come but what was asked for: neither messages nor acks nor notices. Messages to oneself come last,
    /// so one that arrives shows that there were no others; other links of the user do not count such fences.
    pub(super) async fn nothing(&mut self) -> Result {
        self.fence().await?;
        if self.messages.is_empty() && self.acks.is_empty() && self.notices.is_empty() && self.quit.is_none()
        {
            return Ok(());
        }
        fault(format!("expected nothing, got {}", self.pending()))
    }

    /// Waits for what is on its way, and forgets it.
    pub(super) async fn settle(&mut self) -> Result {
        self.fence().await?;
        self.messages.clear();
        self.notices.clear();
        Ok(())
    }

    async fn fence(&mut self) -> Result {
        let id = fresh();
        let recipients = json!([{"id": self.uid, "type": 1}]);
        let sent = self.store(json!({"op": 7, "id": id, "for": recipients}), FENCE).await?;
        let acked_by_case = !self.acking;
        self.until("a message to oneself", |link| link.fences.contains(&sent.id).then_some(())).await?;
        if acked_by_case {
            self.ack(&sent.id).await;
        }
        Ok(())
    }

    // The end.

    /// Waits for the end of the link, and for what comes before it.
    pub(super) async fn end_within(&mut self, wait: Duration) -> Result<End> {
        let deadline = Instant::now() + wait;
        while self.end.is_none() {
            if !self.pump(deadline).await? {
                return fault(format!(
                    "expected the end of the link, got {} within {} s",
                    self.pending(),
                    wait.as_secs_f32()
                ));
            }
        }
        if !self.input.is_empty() {
            return fault("the link ended in the middle of a frame");
        }
        self.end.clone().map_or_else(|| fault("the link has not ended"), Ok)
    }

    /// The server ends the link with this text.
    pub(super) async fn quits(&mut self, text: &str) -> Result<String> {
        let end = self.end_within(self.patience).await?;
        if end == End::Quit(text.to_owned()) {
            return Ok(describe(&end));
        }
        fault(format!("expected {}, got {}", describe(&End::Quit(text.to_owned())), describe(&end)))
    }

    /// A quit frame has come; the connection may still be open.
    pub(super) async fn quit_frame(&mut self, text: &str) -> Result {
        let got = self.until("quit", |link| link.quit.clone()).await?;
        same("quit", got.as_str(), text)
    }

    /// The server ends the link without a frame.
    pub(super) async fn ends_silently(&mut self) -> Result<String> {
        let end = self.end_within(self.patience).await?;
        if end == End::Silent {
            return Ok(describe(&end));
        }
        fault(format!("expected {}, got {}", describe(&End::Silent), describe(&end)))
    }
}

/// A request id that nobody has used: a server may take a repeated one for a repeated request.
pub(super) fn fresh() -> String {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    format!("conform-{}", NUMBERS.fetch_add(1, Ordering::Relaxed))
}

/// What the ack of a stored request tells, if it is one.
pub(super) fn receipt(ack: &Value) -> Result<Receipt> {
    matches(&json!({"op": "ack", "id": "*", "msgid": "*", "posted": "*"}), ack)?;
    let text = |name: &str| ack[name].as_str().unwrap_or_default().to_owned();
    Ok(Receipt { id: text("msgid"), posted: text("posted") })
}

/// Equal, where `"*"` stands for any text.
pub(super) fn matches(expected: &Value, got: &Value) -> Result {
    if alike(expected, got) { Ok(()) } else { fault(format!("expected {expected}, got {got}")) }
}

fn alike(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(any), Value::String(_)) if any == "*" => true,
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().all(|(name, value)| got.get(name).is_some_and(|got| alike(value, got)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(expected, got)| alike(expected, got))
        }
        _ => expected == got,
    }
}

pub(super) fn describe(end: &End) -> String {
    match end {
        End::Quit(text) => format!("quit: {text}"),
        End::Silent => "a silent end".to_owned(),
        End::Cut(why) => format!("a connection that was cut ({why})"),
    }
}
