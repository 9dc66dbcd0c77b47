//! What a session does by time, and when that is due.

use std::time::Duration;

use super::{Cause, Ending, Limits, Session, Turn};

/// How long a client's machine is asked whether it is still there: a little more than it has to answer.
const PROBE_FOR: Duration = Duration::from_secs(6);

/// What the clock does and asks.
impl Session {
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
}
