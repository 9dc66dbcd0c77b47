//! What the home says to a session, and how the session is opened again when something of that, or of what it has said
//! itself, may have been lost.

use std::sync::Arc;

use tmtp_contract::{Answer, Command, Message};
use tmtp_domain::Uid;

use super::frames::render_ack;
use super::home::{self, Expect};
use super::{Cause, Count, Ending, Intake, Phase, Reason, Session, Turn};

/// What the home says.
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

    /// The home has ended the session, or says why it does not open it.
    pub fn close(&mut self, t: &mut Turn<'_>, opened: u64, reason: String) {
        if opened == self.home.opened() {
            if matches!(self.phase, Phase::Opening(_)) {
                t.host.count(Count::Refused(Reason::Login));
            }
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
}
