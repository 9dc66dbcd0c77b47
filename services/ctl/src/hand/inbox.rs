//! Receives one frame after the other: prints it, stores its data if wished, and acknowledges it.
//! A file name must never be what a server says; only a well-formed message id becomes one.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tmtp_client::{Client, Frame, Receiver, Sender};
use tmtp_wire::{Request, Response, UserChange, id::parse_message_id};
use tokio::{
    fs::File,
    io::{AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};

use crate::{
    server::answer,
    text::{excerpt, printable},
};

/// Octets of a message that are printed.
const EXCERPT: usize = 1 << 10;

/// Servers close a connection that says nothing for two minutes.
const PULSE: Duration = Duration::from_secs(115);

/// A link that is listened to.
pub(super) struct Inbox {
    receiver: Receiver,
    sender: Sender,
    save_dir: Option<PathBuf>,
}

impl Inbox {
    /// Data of messages goes to files in `save_dir`, if there is one.
    pub(super) fn new(client: Client, save_dir: Option<PathBuf>) -> Self {
        let (receiver, sender) = client.split();
        Self { receiver, sender, save_dir }
    }

    /// Sends a request without data.
    pub(super) async fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        self.sender.send(request, &[]).await.context("cannot send")
    }

    /// The next frame, printed, stored and acknowledged; `None` if none has come until `end`. A frame that was
    /// being received then stays unacknowledged, and [`Inbox::quit`] is all that is left to do.
    pub(super) async fn receive(
        &mut self,
        end: Option<Instant>,
    ) -> anyhow::Result<Option<Response<'static>>> {
        let mut sink = Sink::open(self.save_dir.as_deref()).await?;
        let Some(frame) = self.next(&mut sink, end).await? else { return Ok(None) };
        println!("{}", header(&frame));
        if let Response::Quit { error } = &frame.response {
            bail!("the server quit: {}", printable(error));
        }
        if sink.seen > 0 {
            println!("    {} octets: {}", sink.seen, excerpt(&sink.kept, EXCERPT));
        }
        if let Some(std) = frame.response.std() {
            if sink.seen > 0 {
                sink.keep(&std.id).await?;
            }
            self.sender.ack(&std.id).await.context("cannot acknowledge")?;
        }
        Ok(Some(frame.response))
    }

    /// Ends the link; what still comes is not acknowledged.
    pub(super) async fn quit(mut self) -> anyhow::Result<()> {
        self.send(&Request::Quit).await?;
        answer("quit", async {
            while self.receiver.next().await?.is_some() {}
            Ok(())
        })
        .await
    }

    /// Waits for a frame, and shows the server meanwhile that somebody is there.
    async fn next(&mut self, sink: &mut Sink, end: Option<Instant>) -> anyhow::Result<Option<Frame>> {
        let mut next = Box::pin(self.receiver.next_streaming(sink));
        loop {
            let pulse = Instant::now() + PULSE;
            match timeout_at(end.map_or(pulse, |end| end.min(pulse)), &mut next).await {
                Ok(frame) => {
                    return Ok(Some(
                        frame.context("cannot receive")?.context("the server closed the connection")?,
                    ));
                }
                Err(_) if end.is_some_and(|end| Instant::now() >= end) => return Ok(None),
                Err(_) => {
                    self.sender.send(&Request::Pulse, &[]).await.context("cannot send the pulse")?;
                }
            }
        }
    }
}

/// The header as it came, but without passwords.
fn header(frame: &Frame) -> String {
    let text = String::from_utf8_lossy(&frame.raw);
    match &frame.response {
        Response::User { change: UserChange::Node { node_id, .. }, .. } if !node_id.is_empty() => {
            printable(&text.replace(&**node_id, "…"))
        }
        _ => printable(&text),
    }
}

/// Takes a frame's data: the beginning into memory, all of it into a file, if wished.
struct Sink {
    kept: Vec<u8>,
    seen: u64,
    file: Option<Incoming>,
}

/// A file that has no name of its own yet, and goes away unless it gets one.
struct Incoming {
    dir: PathBuf,
    path: PathBuf,
    file: File,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `keep` it is not there any more; else nobody wants it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Sink {
    async fn open(save_dir: Option<&Path>) -> anyhow::Result<Self> {
        let file = match save_dir {
            None => None,
            Some(dir) => {
                let path = dir.join(format!(".incoming-{}", std::process::id()));
                let file = File::create(&path)
                    .await
                    .with_context(|| format!("cannot write into {}", dir.display()))?;
                Some(Incoming { dir: dir.to_owned(), path, file })
            }
        };
        Ok(Self { kept: Vec::new(), seen: 0, file })
    }

    /// Gives the file its name: the message id. It is on the disk when this returns.
    async fn keep(mut self, message_id: &str) -> anyhow::Result<()> {
        let Some(mut incoming) = self.file.take() else { return Ok(()) };
        if parse_message_id(message_id).is_none() {
            bail!("{} is no message id, and no name for a file", printable(message_id));
        }
        let path = incoming.dir.join(message_id);
        // The file writes behind our back; only flushing tells whether that went well.
        incoming.file.flush().await.context("cannot store the data")?;
        incoming.file.sync_all().await.context("cannot store the data")?;
        tokio::fs::rename(&incoming.path, &path)
            .await
            .with_context(|| format!("cannot make {}", path.display()))?;
        println!("    stored in {}", path.display());
        Ok(())
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let len = match &mut self.file {
            Some(incoming) => ready!(Pin::new(&mut incoming.file).poll_write(cx, octets))?,
            None => octets.len(),
        };
        let room = EXCERPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&octets[..len.min(room)]);
        self.seen += len as u64;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.file {
            Some(incoming) => Pin::new(&mut incoming.file).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: all data reaches the file, the beginning is kept for printing, and nothing else is left in the folder;
    /// method: write more than is kept, name one file and drop another.
    #[tokio::test]
    async fn data_is_stored_whole() {
        let dir = tempfile::tempdir().unwrap();
        let octets = vec![b'x'; EXCERPT + 10];
        let mut sink = Sink::open(Some(dir.path())).await.unwrap();
        sink.write_all(&octets).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!((sink.kept.len(), sink.seen), (EXCERPT, octets.len() as u64));
        sink.keep("00000000000000ab").await.unwrap();
        drop(Sink::open(Some(dir.path())).await.unwrap());
        assert_eq!(std::fs::read(dir.path().join("00000000000000ab")).unwrap(), octets);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Goal: a server cannot choose where a file goes; method: an id that is a path.
    #[tokio::test]
    async fn ids_are_no_paths() {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::open(Some(dir.path())).await.unwrap();
        assert!(sink.keep("../0000000000000").await.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// Goal: passwords are not printed; method: the header of a new node.
    #[test]
    fn passwords_are_left_out() {
        let data = tmtp_wire::DataInfo::default();
        let std = tmtp_wire::Std { from: "U".into(), id: "I".into(), posted: "P".into(), data };
        let change = UserChange::Node { label: "phone".into(), node_id: "SECRET".into() };
        let raw = br#"{"newnode":"phone","nodeid":"SECRET","op":"user"}"#.to_vec();
        let frame = Frame { response: Response::User { std, change }, raw, data: Vec::new() };
        assert_eq!(header(&frame), r#"{"newnode":"phone","nodeid":"…","op":"user"}"#);
    }
}
