//! A request whose data is arriving. Small data is collected, larger data goes to the body store chunk by chunk,
//! one chunk under way at a time. It must never hold more than a chunk, one read of it, and a datahead that the home may
//! have to look at, whatever was announced.

use std::borrow::Cow;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use tmtp_contract::{Body, BodyRef, Command, DataInfo, Digest};
use tmtp_domain::policy::FRONT_MAX;
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
    Refused { id: String, error: Cow<'static, str> },
    /// A message for the recipients' devices.
    Post(Box<Post>),
    /// A short text.
    Text(Box<Text>),
}

/// What a request with large data asks for.
#[derive(Debug)]
pub enum Demand {
    /// Post.
    Post {
        /// `for`.
        recipients: Vec<Recipient>,
    },
    /// PostNotify.
    PostNotify {
        /// `for`.
        recipients: Vec<Recipient>,
        /// `notefor`.
        note_recipients: Vec<Recipient>,
        /// `fornotself`.
        for_not_self: bool,
    },
}

/// A post whose data is arriving. A note comes before the message.
pub struct Post {
    id: String,
    demand: Demand,
    note: Option<Part>,
    message: Part,
    digest: digest::Context,
    /// Octets of the header, for the budget.
    header_octets: usize,
    failed: bool,
}

/// One body of a request.
#[derive(Debug)]
pub struct Part {
    info: DataInfo,
    /// Octets that have come.
    taken: u64,
    /// The datahead as far as it has come, of what goes to the store.
    front: Vec<u8>,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    /// Collected here.
    Inline(Vec<u8>),
    /// Goes to the store.
    Store(Store),
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

/// A request whose data is complete.
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

impl Part {
    /// A body of which nothing has come. `store` names it if it goes to the store, and its chunk size.
    pub fn new(info: tmtp_wire::DataInfo, store: Option<(BodyId, u32)>) -> Self {
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
        Self { info: data_info(info), taken: 0, front: Vec::new(), sink }
    }

    /// Takes what is its own off the front.
    fn take<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let missing = usize::try_from(self.info.len - self.taken).unwrap_or(usize::MAX);
        let (own, rest) = piece.split_at(piece.len().min(missing));
        self.taken += own.len() as u64;
        match &mut self.sink {
            Sink::Inline(octets) => octets.extend_from_slice(own),
            Sink::Store(store) => {
                store.rest.extend_from_slice(own);
                if self.info.head <= FRONT_MAX {
                    let missing =
                        usize::try_from(self.info.head).unwrap_or(0).saturating_sub(self.front.len());
                    self.front.extend_from_slice(&own[..own.len().min(missing)]);
                }
            }
        }
        rest
    }

    /// The next chunk to store, if one is full, or if all has come and some is left.
    fn next_chunk(&mut self) -> Option<Upload> {
        let complete = self.taken == self.info.len;
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

    fn is_busy(&self) -> bool {
        matches!(&self.sink, Sink::Store(store) if store.busy)
    }

    fn stored(&mut self) {
        if let Sink::Store(store) = &mut self.sink {
            store.busy = false;
        }
    }

    fn discard(&self) -> Option<Upload> {
        match &self.sink {
            Sink::Store(store) if store.chunks > 0 => {
                Some(Upload::Discard { body: store.body, chunks: store.chunks })
            }
            _ => None,
        }
    }

    fn complete(self) -> (DataInfo, Body, Option<Bytes>) {
        let front = (!self.front.is_empty()).then(|| self.front.into());
        let body = match self.sink {
            Sink::Inline(octets) if octets.is_empty() => Body::Empty,
            Sink::Inline(octets) => Body::Inline(octets.into()),
            Sink::Store(store) => {
                Body::Stored(BodyRef { id: store.body, len: self.info.len, chunk: store.chunk_octets })
            }
        };
        (self.info, body, front)
    }
}

impl Post {
    /// Begins with the header. `raw` is its text as it came.
    pub fn new(id: String, demand: Demand, raw: &[u8], note: Option<Part>, message: Part) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(raw);
        Self { id, demand, note, message, digest, header_octets: raw.len(), failed: false }
    }

    /// The request's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn parts(&mut self) -> impl Iterator<Item = &mut Part> {
        self.note.iter_mut().chain([&mut self.message])
    }

    /// Takes a piece of the data. No more may be offered while [`Self::is_busy`].
    pub fn take(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        if !self.failed {
            self.parts().fold(piece, |piece, part| part.take(piece));
        }
    }

    /// The next chunk to store. One at a time.
    pub fn next_chunk(&mut self) -> Option<Upload> {
        if self.failed || self.is_busy() { None } else { self.parts().find_map(Part::next_chunk) }
    }

    /// A chunk is on its way into the store.
    pub fn is_busy(&self) -> bool {
        self.note.as_ref().is_some_and(Part::is_busy) || self.message.is_busy()
    }

    /// The chunk is stored, or is not. What was stored before a failure is to be removed.
    pub fn stored(&mut self, success: bool) -> Vec<Upload> {
        self.parts().for_each(Part::stored);
        self.failed |= !success;
        if success { Vec::new() } else { self.discard() }
    }

    /// The store has failed this post.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// What to remove if the post comes to nothing.
    pub fn discard(&self) -> Vec<Upload> {
        self.note.iter().chain([&self.message]).filter_map(Part::discard).collect()
    }

    /// The command, now that all data has come.
    pub fn complete(self) -> Complete {
        let digest = short(self.digest);
        let (data, body, front) = self.message.complete();
        let (note, note_body, note_front) =
            self.note.map_or((DataInfo::default(), Body::Empty, None), Part::complete);
        let fronts: usize = front.iter().chain(&note_front).map(Bytes::len).sum();
        let octets =
            COMMAND_OCTETS + self.header_octets + body.inline_len() + note_body.inline_len() + fronts;
        let command = match self.demand {
            Demand::Post { recipients } => Command::Post { digest, recipients, data, body, front },
            Demand::PostNotify { recipients, note_recipients, for_not_self } => Command::PostNotify {
                digest,
                recipients,
                note_recipients,
                for_not_self,
                data,
                body,
                note,
                note_body,
                front,
                note_front,
            },
        };
        Complete { id: self.id, command, octets }
    }
}

/// Octets of a text at most.
pub const TEXT_OCTETS_MAX: u64 = 420;
/// UTF-16 code units of a text at most.
const TEXT_UNITS_MAX: usize = 140;

/// What a request with a text asks for.
#[derive(Debug)]
pub enum Addressing {
    /// Ping.
    Ping {
        /// `from`.
        from: String,
        /// `to`.
        to: String,
    },
    /// GroupInvite.
    Invite {
        /// `gid`.
        gid: String,
        /// `from`.
        from: String,
        /// `to`.
        to: String,
    },
}

/// A request whose text is arriving; its length was checked.
pub struct Text {
    id: String,
    addressing: Addressing,
    info: DataInfo,
    octets: Vec<u8>,
    digest: digest::Context,
    header_octets: usize,
}

/// Why a text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextError {
    /// It is not strict UTF-8.
    Encoding,
    /// It has too many characters.
    Length,
}

impl Text {
    /// Begins with the header. `raw` is its text as it came.
    pub fn new(id: String, addressing: Addressing, info: tmtp_wire::DataInfo, raw: &[u8]) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(raw);
        Self { id, addressing, info: data_info(info), octets: Vec::new(), digest, header_octets: raw.len() }
    }

    /// Takes a piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        self.octets.extend_from_slice(piece);
    }

    /// The command, now that all of it has come. What is both, too long and no UTF-8, is reported as no UTF-8.
    pub fn complete(self) -> Result<Complete, TextError> {
        let text = std::str::from_utf8(&self.octets).map_err(|_| TextError::Encoding)?;
        if text.encode_utf16().count() > TEXT_UNITS_MAX {
            return Err(TextError::Length);
        }
        let octets = COMMAND_OCTETS + self.header_octets + self.octets.len();
        let digest = short(self.digest);
        let data = self.info;
        let body = if self.octets.is_empty() { Body::Empty } else { Body::Inline(self.octets.into()) };
        let command = match self.addressing {
            Addressing::Ping { from, to } => Command::Ping { digest, from, to, data, body },
            Addressing::Invite { gid, from, to } => {
                Command::GroupInvite { digest, gid, from, to, data, body }
            }
        };
        Ok(Complete { id: self.id, command, octets })
    }
}

fn data_info(info: tmtp_wire::DataInfo) -> DataInfo {
    DataInfo { len: info.len, head: info.head, sum: info.sum }
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
pub fn recipient(item: tmtp_wire::Recipient) -> Recipient {
    let kind = match item.kind {
        2 => RecipientKind::Group,
        3 => RecipientKind::GroupOthers,
        _ => RecipientKind::User,
    };
    Recipient { id: item.id, kind }
}
