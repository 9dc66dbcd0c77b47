//! A session's side of the conversation with its home: numbers commands, keeps them until they are answered, and
//! opens the session again under new numbers when anything may have been lost.
//!
//! State: the queue of what is unanswered, in the order in which the client asked. It must never forget a command
//! that was not answered while the session lives, and never let one answer overtake another.

use std::collections::VecDeque;
use std::time::Duration;

use tmtp_contract::{Attach, Command, Envelope, Showing};
use tmtp_domain::{MsgId, NodeNum, SessionId, SiteId, Uid};

use super::host::{Trace, Turn};

/// The longest pause between two attempts to publish again.
const REPUBLISH_PAUSE_MAX: Duration = Duration::from_mins(1);

/// What ends a command's wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Expect {
    /// The answer to a login or registration.
    Opening,
    /// An answer, which becomes the ack of this request.
    Ack(String),
    /// The news that it is committed.
    Done,
}

/// A place in the queue.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every place is a command, and a box is one more allocation for each"
)]
enum Place {
    /// A command, published under this number.
    Command { seq: u64, command: Command, expect: Expect, octets: usize, trace: Option<Box<Trace>> },
    /// The frame that answers a request and waits for the answers before it.
    Reply(Vec<u8>),
}

/// How far the session is with its home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing was ever published.
    Unknown,
    /// Opened, or about to be.
    Open,
    /// `Detach` is in the queue; nothing may follow it.
    Leaving,
    /// The home holds nothing of this session any more.
    Over,
}

/// What a session brings along when it is opened again.
#[derive(Debug)]
pub struct Resumed {
    /// Messages that are not to be sent again.
    pub in_flight: Vec<MsgId>,
    /// To whom the user shows presence.
    pub showing: Option<Showing>,
    /// Whom the client believes to be online.
    pub seen: Vec<Uid>,
}

/// The conversation with the home.
#[derive(Debug)]
pub struct Home {
    site: SiteId,
    session: SessionId,
    /// The number of the next command.
    next: u64,
    /// The number of the current opening command; 0 while nothing may be delivered.
    opened: u64,
    /// The current opening is an `Attach` that is not answered.
    attaching: bool,
    standing: Standing,
    queue: VecDeque<Place>,
    /// Octets reserved for the queue.
    octets: usize,
    /// When the home was last heard, or began to be waited for.
    heard: Duration,
    /// When anything was last published.
    published: Duration,
    /// How long to wait from then; zero stands for the configured time.
    pause: Duration,
}

impl Home {
    /// A conversation that has not begun.
    pub fn new(site: SiteId, session: SessionId) -> Self {
        Self {
            site,
            session,
            next: 1,
            opened: 0,
            attaching: false,
            standing: Standing::Unknown,
            queue: VecDeque::new(),
            octets: 0,
            heard: Duration::ZERO,
            published: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }

    /// The number of the current opening command; 0 while there is none.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// The session is to be opened again, and that is not answered.
    pub fn is_attaching(&self) -> bool {
        self.attaching
    }

    /// The home holds nothing of this session: nothing was published, or the session was ended.
    pub fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Unknown | Standing::Over)
    }

    /// Commands may still be published.
    pub fn accepts_commands(&self) -> bool {
        matches!(self.standing, Standing::Unknown | Standing::Open)
    }

    /// `Detach` has been published.
    pub fn is_leaving(&self) -> bool {
        self.standing == Standing::Leaving
    }

    /// How many places of the queue are taken.
    pub fn depth(&self) -> usize {
        self.queue.len()
    }

    /// Octets reserved for unanswered commands.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Requests of the client that are not answered.
    pub fn owes_answers(&self) -> bool {
        self.queue.iter().any(|place| matches!(place, Place::Command { expect: Expect::Ack(_), .. }))
    }

    /// An `Acks` is published and not committed.
    pub fn has_acks_under_way(&self) -> bool {
        self.queue.iter().any(|place| matches!(place, Place::Command { command: Command::Acks { .. }, .. }))
    }

    /// Publishes a command. `octets` have been reserved for it. Nothing may follow a `Detach`.
    pub fn publish(
        &mut self,
        t: &mut Turn<'_>,
        command: Command,
        expect: Expect,
        octets: usize,
        trace: Option<Box<Trace>>,
    ) {
        debug_assert!(
            !matches!(self.standing, Standing::Leaving | Standing::Over),
            "nothing follows a detach"
        );
        if !self.is_waiting() {
            self.heard = t.now;
        }
        self.published = t.now;
        let seq = self.next;
        self.next += 1;
        if command.opens() {
            self.opened = seq;
        }
        self.standing = if command == Command::Detach { Standing::Leaving } else { Standing::Open };
        self.octets += octets;
        let context = trace.as_ref().map(|trace| trace.context.clone());
        t.publish.push(self.envelope(seq, context, command.clone()));
        self.queue.push_back(Place::Command { seq, command, expect, octets, trace });
    }

    /// Puts a command in the queue without publishing it: [`Self::attach_again`] follows and does.
    pub fn hold(&mut self, command: Command, expect: Expect) {
        self.queue.push_back(Place::Command { seq: 0, command, expect, octets: 0, trace: None });
    }

    /// Puts the frame that answers a request at once into its place among the answers.
    pub fn reply(&mut self, frame: Vec<u8>, replies: &mut Vec<u8>) {
        if self.owes_answers() {
            self.queue.push_back(Place::Reply(frame));
        } else {
            replies.extend_from_slice(&frame);
        }
    }

    /// What the command of this number waits for; `None` if it does not wait.
    pub fn expects(&self, seq: u64) -> Option<&Expect> {
        self.queue.iter().find_map(|place| match place {
            Place::Command { seq: number, expect, .. } if *number == seq => Some(expect),
            _ => None,
        })
    }

    /// Ends the wait of the command of this number with the frame that answers it (empty for none), and lets go
    /// what waited only for that.
    pub fn settle(&mut self, t: &Turn<'_>, seq: u64, frame: Vec<u8>, replies: &mut Vec<u8>) {
        for place in &mut self.queue {
            if let Place::Command { seq: number, octets, .. } = place
                && *number == seq
            {
                self.octets -= *octets;
                t.host.release(*octets);
                *place = Place::Reply(frame);
                break;
            }
        }
        self.note_progress(t.now);
        // `Acks` and `Detach` have no answer that could be overtaken, so replies pass them by.
        let mut blocked = false;
        self.queue.retain(|place| match place {
            Place::Reply(frame) if !blocked => {
                replies.extend_from_slice(frame);
                false
            }
            Place::Reply(_) => true,
            Place::Command { expect, .. } => {
                blocked |= *expect != Expect::Done;
                true
            }
        });
        self.shrink();
    }

    /// The opening is answered: the session is open (again).
    pub fn attached(&mut self, now: Duration) {
        self.attaching = false;
        self.note_progress(now);
    }

    /// Everything up to this number is committed.
    pub fn done(&mut self, now: Duration, up_to: u64) {
        let mut detached = false;
        let before = self.queue.len();
        self.queue.retain(|place| match place {
            Place::Command { seq, command, expect: Expect::Done, .. } if *seq <= up_to => {
                detached |= *command == Command::Detach;
                false
            }
            _ => true,
        });
        if self.queue.len() < before {
            self.note_progress(now);
            self.shrink();
        }
        if detached {
            self.standing = Standing::Over;
        }
    }

    /// Opens the session again under new numbers, and publishes all that is unanswered behind that. Without a node
    /// (the login itself is unanswered) the login opens the session as it did before.
    pub fn attach_again(&mut self, t: &mut Turn<'_>, node: Option<(Uid, NodeNum)>, state: Resumed) {
        if self.is_over() {
            return;
        }
        (self.heard, self.published) = (t.now, t.now);
        self.attaching = node.is_some();
        if let Some((uid, node)) = node {
            self.opened = self.next;
            self.next += 1;
            let pending =
                self.queue.iter().filter(|place| matches!(place, Place::Command { .. })).count() as u64;
            let Resumed { in_flight, showing, seen } = state;
            let attach = Command::Attach(Attach { uid, node, in_flight, pending, showing, seen });
            t.publish.push(self.envelope(self.opened, None, attach));
        }
        for index in 0..self.queue.len() {
            let Place::Command { seq, command, trace, .. } = &mut self.queue[index] else { continue };
            *seq = self.next;
            self.next += 1;
            if command.opens() {
                self.opened = *seq;
            }
            let (seq, command) = (*seq, command.clone());
            let context = trace.as_ref().map(|trace| trace.context.clone());
            t.publish.push(self.envelope(seq, context, command));
        }
    }

    /// The same because no answer came: the next time it waits longer.
    pub fn lengthen_pause(&mut self, base: Duration) {
        self.pause = (self.pause.max(base) * 2).min(REPUBLISH_PAUSE_MAX);
    }

    /// The home may take this session for dead: nothing it delivers counts until the session is opened again.
    pub fn suspend(&mut self) {
        if !self.is_over() {
            self.opened = 0;
            self.attaching = true;
        }
    }

    /// It waits to be opened again.
    pub fn is_suspended(&self) -> bool {
        !self.is_over() && self.attaching && self.opened == 0
    }

    /// When anything was last published.
    pub fn published(&self) -> Duration {
        self.published
    }

    /// Waits as long again, because what was published is still on its way.
    pub fn wait_again(&mut self, now: Duration) {
        self.heard = now;
    }

    /// The longest pause has been reached: the home has taken what was published several times, and never answered.
    pub fn is_unheard(&self) -> bool {
        self.pause >= REPUBLISH_PAUSE_MAX
    }

    /// This client has acked the message, and the home may not have heard of it.
    pub fn has_ack_of(&self, id: MsgId) -> bool {
        self.queue.iter().any(
            |place| matches!(place, Place::Command { command: Command::Acks { ids }, .. } if ids.contains(&id)),
        )
    }

    /// When to publish again what is unanswered, if anything is.
    pub fn republish_at(&self, base: Duration) -> Option<Duration> {
        self.is_waiting().then(|| self.heard + self.pause.max(base))
    }

    /// Gives up the client's requests. What is left is what nobody but this session could say: its goodbye, the login
    /// before that if there was no answer to it, and what the client has acked.
    pub fn keep_goodbye(&mut self, t: &Turn<'_>) {
        t.host.release(self.octets);
        self.octets = 0;
        self.queue.retain(|place| match place {
            Place::Command { expect, .. } => !matches!(expect, Expect::Ack(_)),
            Place::Reply(_) => false,
        });
        self.queue.shrink_to_fit();
    }

    /// The home holds nothing of this session any more, and will not answer.
    pub fn end(&mut self, t: &Turn<'_>) {
        t.host.release(self.octets);
        self.octets = 0;
        self.queue = VecDeque::new();
        self.attaching = false;
        self.opened = 0;
        self.standing = Standing::Over;
    }

    /// Something is published and not answered.
    fn is_waiting(&self) -> bool {
        !self.is_over()
            && (self.attaching || self.queue.iter().any(|place| matches!(place, Place::Command { .. })))
    }

    fn note_progress(&mut self, now: Duration) {
        self.heard = now;
        self.pause = Duration::ZERO;
    }

    /// An idle session holds nothing on the heap.
    fn shrink(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    fn envelope(&self, seq: u64, trace: Option<String>, command: Command) -> Envelope {
        Envelope { site: self.site, session: self.session, seq, trace, command }
    }
}
