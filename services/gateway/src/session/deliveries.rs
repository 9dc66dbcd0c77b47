//! Messages on their way to the client: in line for the socket, or written and not acked. And the acks on their way
//! back. It must never hand out a message twice unless it has asked for that, nor pass an ack for one it did not hand out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tmtp_contract::{Body, BodyRef, Content, Message};
use tmtp_domain::{BodyId, MsgId, OhiAct, OhiItem};
use tmtp_wire::{Response, Std, TooLong, UserChange};

/// A full TLS record.
const RECORD_OCTETS: usize = 16 * 1024;
/// Small frames are gathered into one write up to about this many octets.
const GATHER_OCTETS: usize = RECORD_OCTETS;

/// What the link does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Nothing waits.
    Nothing,
    /// Write the buffer, which holds whole frames, and ask again.
    Frames,
    /// The data of the next frame is in the body store: fetch its first chunk, and ask again with its name.
    Fetch(BodyRef),
    /// Write the buffer, which holds the header of a frame, and then this data, before asking again.
    Stream(BodyRef),
}

/// The messages of a session.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Handed to this session and not acked, oldest first. The home bounds it: by the delivery window, and as much again
    /// of urgent messages that were queued while others are to come again.
    in_flight: VecDeque<Flight>,
    /// Those of them that the link has not taken yet.
    in_line: VecDeque<Arc<Message>>,
    /// Acked by the client and not passed up yet.
    acked: Vec<MsgId>,
    /// Since when the client owes an ack: it got the first message that it has not acked, or acked one since. The time
    /// in which it was written to does not count.
    quiet_since: Duration,
}

/// A message that was handed to this session.
#[derive(Debug)]
struct Flight {
    id: MsgId,
    /// The client has been written it.
    written: bool,
    /// The client did not ack it in time, and the home has been asked to send it again. Until it does, an ack of the
    /// first time still counts.
    asked_again: bool,
}

impl Deliveries {
    /// Takes a message in, unless it is under way already.
    pub fn push(&mut self, message: Arc<Message>) -> bool {
        let known = self.in_flight.iter_mut().find(|flight| flight.id == message.id);
        let wanted = known.as_ref().is_none_or(|flight| flight.asked_again);
        if let Some(flight) = known {
            flight.asked_again = false;
        } else {
            self.in_flight.push_back(Flight { id: message.id, written: false, asked_again: false });
        }
        if wanted {
            self.in_line.push_back(message);
        }
        wanted
    }

    /// Something waits for the link.
    pub fn has_line(&self) -> bool {
        !self.in_line.is_empty()
    }

    /// The client has stored a message. False if it is none that this session holds: then nothing happens.
    pub fn ack(&mut self, id: MsgId, now: Duration) -> bool {
        // Clients ack in the order in which they got the messages, so this is nearly always the first one.
        let Some(index) = self.in_flight.iter().position(|flight| flight.id == id) else { return false };
        self.in_flight.remove(index);
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
        self.acked.push(id);
        self.quiet_since = now;
        true
    }

    /// The acks to pass up, which are not kept any longer.
    pub fn take_acked(&mut self) -> Vec<MsgId> {
        std::mem::take(&mut self.acked)
    }

    /// The client has acked this message, and that is not passed up.
    pub fn has_ack_of(&self, id: MsgId) -> bool {
        self.acked.contains(&id)
    }

    /// There are acks to pass up.
    pub fn has_acked(&self) -> bool {
        !self.acked.is_empty()
    }

    /// How many messages were handed to this session and are not acked.
    pub fn depth(&self) -> usize {
        self.in_flight.len()
    }

    /// What the home has to know when the session is opened again: what it is not to send.
    pub fn in_flight(&self) -> Vec<MsgId> {
        self.in_flight.iter().filter(|flight| !flight.asked_again).map(|flight| flight.id).collect()
    }

    /// The client did not ack in time: everything is to come again.
    pub fn ask_again(&mut self, now: Duration) {
        for flight in &mut self.in_flight {
            flight.asked_again = true;
            flight.written = false;
        }
        self.quiet_since = now;
        self.in_line = VecDeque::new();
    }

    /// The link ends: what it has not taken is not written any more.
    pub fn drop_line(&mut self) {
        self.in_line = VecDeque::new();
    }

    /// The client has been written everything; that began at `since`. A message that it had before, and owes an ack of,
    /// does not get more time by that.
    pub fn note_written(&mut self, since: Duration, now: Duration) {
        if self.in_flight.iter().any(|flight| flight.written) {
            self.quiet_since += now.saturating_sub(since.max(self.quiet_since));
        } else {
            self.quiet_since = now;
        }
        for flight in &mut self.in_flight {
            let in_line = self.in_line.iter().any(|message| message.id == flight.id);
            flight.written |= !flight.asked_again && !in_line;
        }
    }

    /// When to write again what is not acked, if anything is. Only meaningful while nothing waits for the socket.
    pub fn redeliver_at(&self, after: Duration) -> Option<Duration> {
        self.in_flight.iter().any(|flight| !flight.asked_again).then(|| self.quiet_since + after)
    }

    /// The data of the first message in line is gone from the store: it is passed over, but stays unacked.
    pub fn pass_over(&mut self, body: BodyId) {
        if self.in_line.front().is_some_and(|message| stored(message).is_some_and(|stored| stored.id == body))
        {
            self.in_line.pop_front();
        }
    }

    /// Appends whole frames to the buffer, or says what has to happen before. `fetched` names the body whose first
    /// chunk is at hand. A message that cannot be written is passed over, and counted by `unwritable`.
    pub fn output(
        &mut self,
        fetched: Option<BodyId>,
        buffer: &mut Vec<u8>,
        mut unwritable: impl FnMut(),
    ) -> Output {
        while buffer.len() < GATHER_OCTETS {
            let Some(message) = self.in_line.front() else { break };
            if !self.in_flight.iter().any(|flight| flight.id == message.id) {
                // An earlier copy was acked while this one was in line; its data may be gone.
                self.in_line.pop_front();
                continue;
            }
            if let Some(body) = stored(message) {
                if !buffer.is_empty() {
                    break;
                }
                if fetched != Some(body.id) {
                    return Output::Fetch(body);
                }
            }
            let Some(message) = self.in_line.pop_front() else { break };
            let begin = buffer.len();
            if render(&message, buffer).is_err() {
                unwritable();
                continue;
            }
            if begin > 0 && !lies_in_two_records(buffer.len(), message.body.inline_len()) {
                buffer.truncate(begin);
                self.in_line.push_front(message);
                break;
            }
            match &message.body {
                Body::Stored(body) => return Output::Stream(*body),
                Body::Inline(octets) => buffer.extend_from_slice(octets),
                Body::Empty => {}
            }
        }
        if self.in_line.is_empty() {
            self.in_line = VecDeque::new();
        }
        if buffer.is_empty() { Output::Nothing } else { Output::Frames }
    }
}

/// Whether data of this length behind a header that ends here is in the record of that end and the next one. The real
/// client takes it from no more. A frame that is alone in its write and yet too long for this is longer than two
/// records: of it, full ones are the best that there is.
fn lies_in_two_records(header_end: usize, data: usize) -> bool {
    let ends_in = header_end.div_ceil(RECORD_OCTETS);
    header_end + data <= (ends_in + 1) * RECORD_OCTETS
}

fn stored(message: &Message) -> Option<BodyRef> {
    match &message.body {
        Body::Stored(body) => Some(*body),
        Body::Empty | Body::Inline(_) => None,
    }
}

/// Writes a message's header.
fn render(message: &Message, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let std = Std {
        from: message.from.to_string().into(),
        id: message.id.to_string().into(),
        posted: message.posted.to_string().into(),
        data: tmtp_wire::DataInfo { len: message.data.len, head: message.data.head, sum: message.data.sum },
    };
    let response = match &message.content {
        Content::Delivery { notify } => Response::Delivery { std, notify: *notify },
        // The reference server has never said which node it was; clients ignore the frame.
        Content::Login => Response::Login { std, node: "tbd".into() },
        Content::NewAlias { alias } => {
            Response::User { std, change: UserChange::Alias(alias.as_str().into()) }
        }
        Content::NewNode { label, node_id } => Response::User {
            std,
            change: UserChange::Node { label: label.as_str().into(), node_id: node_id.as_str().into() },
        },
        Content::Notify { post_id } => Response::Notify { std, post_id: post_id.to_string().into() },
        Content::Ping { alias, to } => {
            Response::Ping { std, alias: alias.as_str().into(), to: to.as_str().into() }
        }
        Content::Invite { gid, alias, to } => Response::Invite {
            std,
            gid: gid.as_str().into(),
            alias: alias.as_str().into(),
            to: to.as_str().into(),
        },
        Content::Member { act, gid, alias, new_alias } => Response::Member {
            std,
            act: act.word().into(),
            gid: gid.as_str().into(),
            alias: alias.as_str().into(),
            new_alias: new_alias.as_deref().map(Cow::Borrowed),
        },
        Content::OhiEdit { act, list } => ohi_edit(std, *act, list),
    };
    response.encode(out)
}

fn ohi_edit<'a>(std: Std<'a>, act: OhiAct, list: &[OhiItem]) -> Response<'a> {
    let item = |item: &OhiItem| tmtp_wire::Recipient { id: item.id.clone(), kind: item.kind };
    Response::OhiEdit { std, recipients: list.iter().map(item).collect(), kind: act.word().into() }
}

/// Whether the message that tells a new node's password can be written as a frame.
pub fn new_node_fits(label: &str, node_id: &str) -> bool {
    let change = UserChange::Node { label: label.into(), node_id: node_id.into() };
    // Escaping makes six octets of one at most, and everything else is small: the short ones need no trial.
    label.len() < 8_000 || fits(|std| Response::User { std, change })
}

fn fits<'a>(response: impl FnOnce(Std<'a>) -> Response<'a>) -> bool {
    let std = Std {
        from: "f".repeat(32).into(),
        id: "ffffffffffffffff".into(),
        posted: "9999-12-31T23:59:59.999Z".into(),
        data: tmtp_wire::DataInfo::default(),
    };
    // The checksum's digits vary from message to message: leave room for the longest.
    let mut out = Vec::new();
    response(std).encode(&mut out).is_ok() && out.len() + 10 <= tmtp_wire::HEADER_MAX
}
