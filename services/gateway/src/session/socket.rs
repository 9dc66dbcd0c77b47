//! A session as its link sees it: octets in, frames out, bodies on their way into the store, and the end of the socket.

use std::collections::VecDeque;
use std::time::Duration;

use tmtp_domain::BodyId;
use tmtp_wire::{Decoder, Item};

use super::post::Incoming;
use super::{Count, Ending, Exit, Host, Intake, Output, Phase, Reason, Session, Turn, Upload};

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

    pub(super) fn is_serving(&self) -> bool {
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
