//! A request whose data is arriving. Small data is collected, larger data goes to the body store chunk by chunk,
//! one chunk under way at a time. It must never hold more than a chunk and one read of it, whatever was announced.

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use tmtp_contract::{Body, BodyRef, Command, DataInfo, Digest};
use tmtp_domain::{BodyId, Recipient, RecipientKind};

/// What the link does for a body on its way into the store. One at a time; `Put` is reported back.
#[derive(Debug, PartialEq, Eq)]
pub enum Upload {
    /// Store this chunk.
    Put {
        /// Of which body.
        body: BodyId,
        /// Its number, from 0.
        seq: u64,
        /// It.
        octets: Bytes,
    },
    /// Remove what was stored of this body.
    Discard {
        /// Which body.
        body: BodyId,
        /// Chunks that may be there.
        chunks: u64,
    },
}

/// A request whose data is arriving.
pub enum Incoming {
    /// Its data is thrown away, and then its ack has this error.
    Refused { id: String, error: &'static str },
    /// A post.
    Post(Box<Post>),
}

/// A post whose data is arriving.
pub struct Post {
    id: String,
    recipients: Vec<Recipient>,
    data: DataInfo,
    digest: digest::Context,
    sink: Sink,
    /// Octets of the header, for the budget.
    header_octets: usize,
}

#[derive(Debug)]
enum Sink {
    /// Collected here.
    Inline(Vec<u8>),
    /// Goes to the store.
    Store(Store),
    /// The store failed.
    Failed,
}

/// A body on its way into the store.
#[derive(Debug)]
struct Store {
    body: BodyId,
    chunk_octets: u32,
    /// What has come and is not in a chunk yet.
    rest: BytesMut,
    /// Chunks handed out.
    chunks: u64,
    /// The last of them is not reported back.
    busy: bool,
}

/// A post whose data is complete.
pub struct Complete {
    /// The request's name.
    pub id: String,
    /// What to publish.
    pub command: Command,
    /// What it takes from the budget.
    pub octets: usize,
}

/// Octets that a command takes from the budget beside header and body.
pub const COMMAND_OCTETS: usize = 256;

impl Post {
    /// Begins with the header. `raw` is its text as it came. `store` names the body if it goes to the store, and
    /// its chunk size.
    pub fn new(
        id: String,
        recipients: Vec<tmtp_wire::Recipient>,
        data: tmtp_wire::DataInfo,
        raw: &[u8],
        store: Option<(BodyId, u32)>,
    ) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(raw);
        let sink = match store {
            None => Sink::Inline(Vec::new()),
            Some((body, chunk_octets)) => Sink::Store(Store {
                body,
                chunk_octets: chunk_octets.max(1),
                rest: BytesMut::new(),
                chunks: 0,
                busy: false,
            }),
        };
        Self {
            id,
            recipients: recipients.into_iter().map(recipient).collect(),
            data: DataInfo { len: data.len, head: data.head, sum: data.sum },
            digest,
            sink,
            header_octets: raw.len(),
        }
    }

    /// The request's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes a piece of the data. No more may be offered while [`Self::is_busy`].
    pub fn take(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        match &mut self.sink {
            Sink::Inline(octets) => octets.extend_from_slice(piece),
            Sink::Store(store) => store.rest.extend_from_slice(piece),
            Sink::Failed => {}
        }
    }

    /// The next chunk to store, if one is full, or if the data is complete and some is left.
    pub fn next_chunk(&mut self, complete: bool) -> Option<Upload> {
        let Sink::Store(store) = &mut self.sink else { return None };
        let chunk = store.chunk_octets as usize;
        let ready = store.rest.len() >= chunk || (complete && !store.rest.is_empty());
        if store.busy || !ready {
            return None;
        }
        let octets = store.rest.split_to(chunk.min(store.rest.len())).freeze();
        let seq = store.chunks;
        store.chunks += 1;
        store.busy = true;
        Some(Upload::Put { body: store.body, seq, octets })
    }

    /// A chunk is on its way into the store.
    pub fn is_busy(&self) -> bool {
        matches!(&self.sink, Sink::Store(store) if store.busy)
    }

    /// The chunk is stored, or is not. What was stored before a failure is to be removed.
    pub fn stored(&mut self, success: bool) -> Option<Upload> {
        let Sink::Store(store) = &mut self.sink else { return None };
        store.busy = false;
        if success {
            return None;
        }
        let discard = self.discard();
        self.sink = Sink::Failed;
        discard
    }

    /// The store has failed this post.
    pub fn has_failed(&self) -> bool {
        matches!(self.sink, Sink::Failed)
    }

    /// What to remove if the post comes to nothing.
    pub fn discard(&self) -> Option<Upload> {
        match &self.sink {
            Sink::Store(store) if store.chunks > 0 => {
                Some(Upload::Discard { body: store.body, chunks: store.chunks })
            }
            _ => None,
        }
    }

    /// The command, now that all data has come.
    pub fn complete(self) -> Complete {
        let body = match self.sink {
            Sink::Inline(octets) if octets.is_empty() => Body::Empty,
            Sink::Inline(octets) => Body::Inline(octets.into()),
            Sink::Store(store) => {
                Body::Stored(BodyRef { id: store.body, len: self.data.len, chunk: store.chunk_octets })
            }
            Sink::Failed => Body::Empty,
        };
        let octets = COMMAND_OCTETS + self.header_octets + body.inline_len();
        let digest = short(self.digest);
        let command = Command::Post { digest, recipients: self.recipients, data: self.data, body };
        Complete { id: self.id, command, octets }
    }
}

/// The digest of a request without data.
pub fn header_digest(raw: &[u8]) -> Digest {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(raw);
    short(digest)
}

fn short(digest: digest::Context) -> Digest {
    let hash = digest.finish();
    let mut octets = [0; 16];
    octets.copy_from_slice(&hash.as_ref()[..16]);
    Digest(octets)
}

/// The codec lets only the types 1, 2 and 3 pass.
fn recipient(item: tmtp_wire::Recipient) -> Recipient {
    let kind = match item.kind {
        2 => RecipientKind::Group,
        3 => RecipientKind::GroupOthers,
        _ => RecipientKind::User,
    };
    Recipient { id: item.id, kind }
}
