//! What one link means to the cluster, as a pure state machine: octets, events and time go in; frames, commands and
//! uploads come out. It must never do I/O, read a clock or draw random numbers; all of that is passed in by
//! [`Turn`].
//!
//! State: how far the login is ([`Phase`]), how far the end is ([`Ending`]), the request whose data is arriving, the
//! conversation with the home ([`Home`]), and what waits for the client. An idle session holds nothing on the heap.
//!
//! A session outlives its socket until the home has confirmed that it holds nothing of it, so that every request
//! that was received completely counts, and no node stays taken. How many do so is bounded: by the links that were
//! open when the home or the bus went silent, as nobody logs in meanwhile, and by the room in the command streams.

mod deliveries;
mod ending;
mod frames;
mod home;
mod host;
mod ops;
mod post;
mod presence;
mod registration;
mod requests;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tmtp_contract::{Answer, Command, Message};
use tmtp_domain::{BodyId, NodeNum, NodeSecret, SessionId, Site, Uid};
use tmtp_wire::{Decoder, Item, Request};

use deliveries::Deliveries;
use frames::render_ack;
use home::{Expect, Home};
use post::Incoming;
use presence::Presence;
use registration::SigningIn;

pub use deliveries::Output;
pub use host::{Cause, Count, Held, Host, Intake, Limits, Reason, Trace, Turn};
pub use post::Upload;

/// Texts of `quit` frames, as clients of the protocol know them.
mod quit {
    pub const HEADER: &str = "invalid header";
    pub const REPETITION: &str = "disallowed op repetition";
    pub const UNAUTHENTICATED: &str = "disallowed op on unauthenticated link";
    pub const CONNECTED: &str = "disallowed op on connected link";
    pub const BASE32: &str = "corrupt base32 value";
    pub const LOGIN: &str = "login failed";
    pub const SIGN_IN: &str = "authentication required";
    pub const INVITE: &str = "this invitation is not valid, or no longer";
    pub const WAITING: &str = "registered; an admin has to approve before you can log in";
    pub const LOGOUT: &str = "logout ok";
    pub const TOO_LONG: &str = "data too long for request type";
    pub const TOO_SHORT: &str = "data too short for request type";
    pub const NOT_UTF8: &str = "data not valid UTF8";
    pub const NO_RECIPIENTS: &str = "recipient list empty";
}

/// Texts of refusals by this gateway, in acks.
mod refused {
    pub const BODY_TOO_LARGE: &str = "attachment exceeds the limit of this site";
    pub const STORE: &str = "attachment could not be stored, please send again";
    pub const OVERLOADED: &str = "overloaded, please send again";
    /// As long as the longest of them, and of `Refusal::TooLarge`.
    pub const LONGEST: &str = "--------------------------------------------------------";
}

/// How long a client's machine is asked whether it is still there: a little more than it has to answer.
const PROBE_FOR: Duration = Duration::from_secs(6);

/// How the link closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Write what is in line, then end the TLS stream and the connection properly.
    Clean,
    /// Reset the connection: the client takes nothing, and an end within a TLS record would be worse.
    Cut,
}

/// How far the login is.
#[derive(Debug)]
enum Phase {
    /// Nothing has been accepted.
    New,
    /// `TmtpRev` was answered.
    Greeted,
    /// A registration came with a sign-in token, which the link has checked. No input is taken meanwhile.
    SigningIn(Box<SigningIn>),
    /// A login is published and not answered. No input is taken meanwhile.
    Opening(Box<Opening>),
    /// Logged in.
    Open { uid: Uid, node: NodeNum },
}

/// A login that is not answered.
#[derive(Debug)]
enum Opening {
    Register { uid: Uid, secret: NodeSecret },
    Login { uid: Uid },
}

/// How far the end is.
#[derive(Debug)]
enum Ending {
    /// The link serves.
    No,
    /// `Detach` is published. When it is done, or waited for long enough, the client gets the quit frame, if any.
    Farewell { quit: Option<Cow<'static, str>>, since: Duration },
    /// The link is to close.
    Exit(Exit),
    /// The socket is gone; the home may still have to be told.
    Gone { since: Duration },
    /// The same, for so long that only the goodbye is left.
    Ghost,
}

/// A session. See the module's text.
pub struct Session {
    site: Arc<Site>,
    phase: Phase,
    ending: Ending,
    decoder: Decoder<Request>,
    incoming: Option<Incoming>,
    /// To be done at the body store, one at a time.
    uploads: VecDeque<Upload>,
    home: Home,
    deliveries: Deliveries,
    /// Nothing for most: clients that show presence to nobody and are shown none.
    presence: Option<Box<Presence>>,
    /// Frames that overtake deliveries: acks, `info`, `quit`. Whole frames, one behind the other.
    replies: Vec<u8>,
    login_by: Duration,
    /// When the last octet came.
    heard: Duration,
    /// Since when the socket takes nothing, while something waits for it.
    stalled: Option<Duration>,
    /// Since when the link has taken something and not reported yet that all of it is written.
    writing: Option<Duration>,
    /// Until when the client's machine is asked whether it is still there.
    probed_until: Option<Duration>,
}

impl Session {
    /// A session that was accepted so long ago that its login has to end by `login_by`.
    pub fn new(id: SessionId, site: Arc<Site>, login_by: Duration) -> Self {
        Self {
            home: Home::new(site.id, id),
            site,
            phase: Phase::New,
            ending: Ending::No,
            decoder: Decoder::new(),
            incoming: None,
            uploads: VecDeque::new(),
            deliveries: Deliveries::default(),
            presence: None,
            replies: Vec::new(),
            login_by,
            heard: Duration::ZERO,
            stalled: None,
            writing: None,
            probed_until: None,
        }
    }
}

/// What the link does and asks.
impl Session {
    /// Takes octets off the front of `octets`, until they are used up or [`Self::wants_input`] says no. What a link
    /// that ends has not taken is thrown away.
    pub fn input(&mut self, t: &mut Turn<'_>, octets: &mut &[u8]) {
        if !octets.is_empty() {
            self.heard = t.now;
        }
        while self.wants_input(t) {
            match self.decoder.next(octets) {
                Ok(None) => return,
                Ok(Some(Item::Header { header, raw })) => {
                    t.host.count(Count::Frame(header.op()));
                    self.begin(t, header, &raw);
                }
                Ok(Some(Item::Data(piece))) => self.take_data(t, piece),
                Ok(Some(Item::End)) => self.end_data(t),
                Err(error) => self.quit(t, Reason::Header, error.quit_text()),
            }
        }
        if !matches!(self.ending, Ending::No) {
            *octets = &[];
        }
    }

    /// The socket is to be read. Within a frame only the body store holds it up; between frames also what the
    /// client has not been answered, or has not taken, and the command stream.
    pub fn wants_input(&self, t: &Turn<'_>) -> bool {
        let limits = t.limits;
        let waits = matches!(self.phase, Phase::SigningIn(_) | Phase::Opening(_));
        let open = self.is_serving() && !waits;
        let busy = matches!(&self.incoming, Some(Incoming::Post(post)) if post.is_busy());
        open && !busy
            && (!self.decoder.is_idle()
                || (self.is_taken_in(t.host)
                    && self.home.depth() < limits.unanswered_max
                    && self.home.octets() < limits.unanswered_octets_max
                    && self.replies.len() < limits.replies_octets_max))
    }

    fn is_serving(&self) -> bool {
        matches!(self.ending, Ending::No)
    }

    fn is_taken_in(&self, host: &dyn Host) -> bool {
        match host.intake(self.site.shard) {
            Intake::All => true,
            Intake::NoLogins => matches!(self.phase, Phase::Open { .. }),
            Intake::Nothing => false,
        }
    }

    /// What to do at the body store, if anything. Ask when nothing is under way there.
    pub fn take_upload(&mut self) -> Option<Upload> {
        let next = self.uploads.pop_front();
        if self.uploads.is_empty() {
            self.uploads = VecDeque::new();
        }
        next
    }

    /// A `Put` has ended.
    pub fn uploaded(&mut self, t: &mut Turn<'_>, success: bool) {
        let Some(Incoming::Post(post)) = &mut self.incoming else { return };
        self.uploads.extend(post.stored(success));
        // The decoder is idle when the whole frame has come, and then nothing else will drive the post on.
        let complete = self.decoder.is_idle();
        self.go_on_with_post(t, complete);
        // The end of the frame may be all that is left of it, and needs no octets that could bring it.
        self.input(t, &mut &[][..]);
        t.wake = true;
    }

    /// The next thing to write; see [`Output`]. The buffer has to be empty. `fetched` names the body whose first
    /// chunk is at hand.
    pub fn output(&mut self, t: &mut Turn<'_>, fetched: Option<BodyId>, buffer: &mut Vec<u8>) -> Output {
        if let Some(presence) = &mut self.presence {
            presence.write(&mut self.replies);
        }
        std::mem::swap(buffer, &mut self.replies);
        let output = self.deliveries.output(fetched, buffer, || t.host.count(Count::Unwritable));
        if matches!(output, Output::Frames | Output::Stream(_)) {
            self.writing.get_or_insert(t.now);
        }
        output
    }

    /// Something waits to be taken by [`Self::output`].
    pub fn has_output(&self) -> bool {
        !self.replies.is_empty()
            || self.deliveries.has_line()
            || self.presence.as_ref().is_some_and(|presence| presence.has_notices())
    }

    /// The data of the next message is gone from the body store.
    pub fn pass_over(&mut self, t: &Turn<'_>, body: BodyId) {
        t.host.count(Count::Unwritable);
        self.deliveries.pass_over(body);
    }

    /// All that was taken has been written and flushed.
    pub fn flushed(&mut self, now: Duration) {
        self.stalled = None;
        if let Some(since) = self.writing.take() {
            self.deliveries.note_written(since, now);
        }
    }

    /// The socket has taken nothing from this moment on, or has taken something again.
    pub fn set_stalled(&mut self, since: Option<Duration>) {
        self.stalled = since;
    }

    /// How to close, once the session wants that. With `Clean`, write first what is in line.
    pub fn exit(&self) -> Option<Exit> {
        match self.ending {
            Ending::Exit(exit) => Some(exit),
            _ => None,
        }
    }

    /// The client is gone, or will be: nothing more can be read. What it sent completely still counts.
    pub fn input_ended(&mut self, t: &mut Turn<'_>) {
        if matches!(self.ending, Ending::No) {
            self.leave(t);
            self.ending = Ending::Exit(Exit::Clean);
            t.wake = true;
        }
    }

    /// The socket is closed, whatever for. The link calls this last.
    pub fn socket_closed(&mut self, t: &mut Turn<'_>) {
        self.leave(t);
        self.replies = Vec::new();
        self.decoder = Decoder::new();
        self.probed_until = None;
        self.presence = None;
        self.ending = Ending::Gone { since: t.now };
    }
}

/// What the hub does and asks.
impl Session {
    /// The home has answered a command.
    pub fn answer(&mut self, t: &mut Turn<'_>, seq: u64, answer: Answer) {
        if self.home.is_attaching() && seq == self.home.opened() {
            match answer {
                Answer::Attached => self.home.attached(t.now),
                Answer::NotLoggedIn(refusal) => self.expel(t, refusal.text().into()),
                _ => {}
            }
            return;
        }
        match self.home.expects(seq) {
            Some(Expect::Opening) => self.opened(t, seq, answer),
            Some(Expect::Ack(id)) => {
                let Some(frame) = render_ack(id, &answer) else { return };
                if matches!(answer, Answer::Refused(_)) {
                    t.host.count(Count::Refused(Reason::Home));
                }
                self.home.settle(t, seq, frame, &mut self.replies);
                t.wake = true;
            }
            // An answer that came twice, or to a number that has been given up.
            Some(Expect::Done) | None => {}
        }
    }

    /// A message for the client. What belongs to another opening of the session is not taken: it comes again.
    pub fn deliver(&mut self, t: &mut Turn<'_>, opened: u64, message: Arc<Message>) {
        if !matches!((&self.ending, &self.phase), (Ending::No, Phase::Open { .. })) {
            return;
        }
        if opened == self.home.opened() {
            // Sent again before the home has heard of the ack: the client has it.
            if self.deliveries.has_ack_of(message.id) || self.home.has_ack_of(message.id) {
                return;
            }
            if self.deliveries.push(message) {
                t.host.count(Count::Delivery);
                t.wake = true;
            }
        } else if !self.home.is_attaching() {
            // The home answered our opening and yet delivers to another one: an older command overtook it.
            self.reattach(t, Cause::Stale);
        }
    }

    /// Who is online for this client, and who is not.
    pub fn ohi(&mut self, t: &mut Turn<'_>, opened: u64, online: &[Uid], offline: &[Uid]) {
        // What belongs to another opening is sorted out by the opening itself.
        if !self.is_open() || opened != self.home.opened() {
            return;
        }
        let presence = self.presence.get_or_insert_default();
        let dropped = presence.learn(online, offline);
        (0..dropped).for_each(|_| t.host.count(Count::NoticeDropped));
        t.wake |= presence.has_notices();
    }

    /// To whom this client's user shows presence.
    pub fn shows(&mut self, opened: u64, version: u64, full: bool, added: &[Uid], dropped: &[Uid]) {
        if self.is_open() && opened == self.home.opened() {
            self.presence.get_or_insert_default().shows(version, full, added, dropped);
        }
    }

    /// The home has ended the session.
    pub fn close(&mut self, t: &mut Turn<'_>, opened: u64, reason: String) {
        if opened == self.home.opened() {
            self.expel(t, reason.into());
        }
    }

    /// The home could not apply this command.
    pub fn lost(&mut self, t: &mut Turn<'_>, seq: u64) {
        if seq > self.home.opened() && self.home.opened() > 0 {
            self.reattach(t, Cause::Lost);
        }
    }

    /// The home has committed everything up to this number.
    pub fn done(&mut self, t: &mut Turn<'_>, up_to: u64) {
        let held_up = !self.wants_input(t);
        self.home.done(t.now, up_to);
        self.conclude_when_detached(t);
        self.pass_acks(t);
        t.wake |= held_up && self.wants_input(t);
    }

    /// Somebody wants this session's node: the link asks the client's machine whether it is still there.
    pub fn probe(&mut self, t: &mut Turn<'_>) {
        if matches!(self.ending, Ending::No) {
            self.probed_until = Some(t.now + PROBE_FOR);
            t.wake = true;
        }
    }

    /// The link is to ask the client's machine whether it is still there.
    pub fn is_probed(&self) -> bool {
        self.probed_until.is_some()
    }

    /// Opens the session again, because something may have been lost.
    pub fn reattach(&mut self, t: &mut Turn<'_>, cause: Cause) {
        // The bus may have been down, and a login not read.
        t.wake |= cause == Cause::Bus;
        if self.home.is_over() {
            return;
        }
        // A bus that comes and goes must not fill a stream that nobody empties.
        if cause == Cause::Bus && t.host.intake(self.site.shard) == Intake::Nothing {
            return self.home.suspend();
        }
        t.host.count(Count::Reattach(cause));
        let node = match self.phase {
            Phase::Open { uid, node } => Some((uid, node)),
            _ => None,
        };
        if self.deliveries.has_acked() && self.home.accepts_commands() {
            // Behind the opening with the rest, so that the home does not send again what the client has acked.
            self.home.hold(Command::Acks { ids: self.deliveries.take_acked() }, Expect::Done);
        }
        let (showing, seen) = self.presence.as_mut().map(|presence| presence.attach()).unwrap_or_default();
        let state = home::Resumed { in_flight: self.deliveries.in_flight(), showing, seen };
        self.home.attach_again(t, node, state);
    }

    /// The command stream has room again.
    pub fn resume(&mut self, t: &mut Turn<'_>) {
        t.wake = true;
        if self.home.is_suspended() {
            self.reattach(t, Cause::Bus);
        }
    }

    /// The gateway has lost its lease: nothing that is delivered now counts.
    pub fn suspend(&mut self) {
        self.home.suspend();
    }

    /// Ends the session without a word to the client, because this gateway stops.
    pub fn dismiss(&mut self, t: &mut Turn<'_>) {
        self.say_farewell(t, None);
    }

    /// Ends the session because its site is not served any more.
    pub fn evict(&mut self, t: &mut Turn<'_>) {
        self.say_farewell(t, Some(quit::LOGIN.into()));
    }

    /// Does what is due by now.
    pub fn tick(&mut self, t: &mut Turn<'_>) {
        // Time in which we do not listen is not the client's silence.
        if !self.wants_input(t) {
            self.heard = t.now;
        }
        if self.probed_until.is_some_and(|until| until <= t.now) {
            self.probed_until = None;
            t.wake = true;
        }
        if self.ending_due(t.limits).is_some_and(|due| due <= t.now) {
            self.end_by_time(t);
        }
        if self.home.republish_at(t.limits.republish_after).is_some_and(|due| due <= t.now) {
            self.end_silence(t);
        }
        if self.redeliver_due(t.limits).is_some_and(|due| due <= t.now) {
            self.deliveries.ask_again(t.now);
            self.reattach(t, Cause::Redelivery);
        }
    }

    /// No answer came in time. While the stream holds what was published, a repeat would only be one more of it.
    fn end_silence(&mut self, t: &mut Turn<'_>) {
        if !t.host.is_taken(self.site.shard, self.home.published()) {
            self.home.wait_again(t.now);
        } else if matches!(self.ending, Ending::Ghost) && self.home.is_unheard() {
            // The home has been told several times, and has nothing to say: it does not know the site any longer.
            self.home.end(t);
        } else {
            self.home.lengthen_pause(t.limits.republish_after);
            self.reattach(t, Cause::Silence);
        }
    }

    /// When [`Self::tick`] has something to do, unless something else happens first.
    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        let due = [
            self.ending_due(limits),
            self.home.republish_at(limits.republish_after),
            self.redeliver_due(limits),
            self.probed_until,
        ];
        due.into_iter().flatten().min()
    }

    /// The socket is gone, and the home holds nothing of this session: it can be forgotten.
    pub fn is_over(&self) -> bool {
        matches!(self.ending, Ending::Gone { .. } | Ending::Ghost) && self.home.is_over()
    }

    /// How much it holds.
    pub fn held(&self) -> Held {
        Held {
            commands: self.home.depth(),
            command_octets: self.home.octets(),
            reply_octets: self.replies.len(),
            in_flight: self.deliveries.depth(),
        }
    }

    /// The client is logged in and served.
    pub fn is_open(&self) -> bool {
        matches!((&self.ending, &self.phase), (Ending::No, Phase::Open { .. }))
    }
}
