//! How a session begins and ends: the answer to the login, and the many ways out. The home must hear of every end,
//! and the client must not hear of it before its node is free, unless that takes too long.

use std::borrow::Cow;
use std::time::Duration;

use tmtp_contract::{Answer, Command, LoginRefusal};
use tmtp_domain::SiteStatus;
use tmtp_wire::Response;

use super::frames::{push_frame, push_info, push_registered};
use super::home::Expect;
use super::post::Incoming;
use super::presence::Presence;
use super::{Count, Ending, Exit, Limits, Opening, Phase, Reason, Session, Turn, quit};

/// Beginning and end.
impl Session {
    /// The answer to the login. `info` is the first frame behind it, before every delivery.
    pub(super) fn opened(&mut self, t: &mut Turn<'_>, seq: u64, answer: Answer) {
        let (uid, node, ohi) = match (&self.phase, answer) {
            (_, Answer::NotLoggedIn(refusal)) => return self.refuse_login(t, refusal),
            (Phase::Opening(opening), Answer::Registered { node, alias_error }) => {
                let Opening::Register { uid, secret } = &**opening else { return };
                push_registered(&mut self.replies, *uid, secret, alias_error);
                (*uid, node, Vec::new())
            }
            (Phase::Opening(opening), Answer::Waiting { alias_error }) => {
                let Opening::Register { uid, secret } = &**opening else { return };
                push_registered(&mut self.replies, *uid, secret, alias_error);
                return self.expel(t, quit::WAITING.into());
            }
            (Phase::Opening(opening), Answer::LoggedIn { node, ohi }) => {
                let Opening::Login { uid } = &**opening else { return };
                (*uid, node, ohi)
            }
            _ => return,
        };
        // Suspended while this was on its way, to a home that had not heard of it yet.
        if let Some(site) = t.host.site(self.site.id).filter(|site| site.status != SiteStatus::Active) {
            self.phase = Phase::Open { uid, node };
            self.home.settle(t, seq, Vec::new(), &mut self.replies);
            return self.evict(t, site.notice.as_deref());
        }
        push_info(&mut self.replies, &ohi);
        if !ohi.is_empty() {
            self.presence = Some(Box::new(Presence::of(&ohi)));
        }
        self.phase = Phase::Open { uid, node };
        self.heard = t.now;
        self.home.settle(t, seq, Vec::new(), &mut self.replies);
        t.wake = true;
    }

    fn refuse_login(&mut self, t: &mut Turn<'_>, refusal: LoginRefusal) {
        t.host.count(Count::Refused(Reason::Login));
        self.expel(t, refusal.text().into());
    }

    /// The home holds nothing of this session: the client is told why, and goes.
    pub(super) fn expel(&mut self, t: &mut Turn<'_>, text: Cow<'static, str>) {
        self.home.end(t);
        self.abandon_input();
        match self.ending {
            Ending::No => self.write_quit(t, &text),
            Ending::Farewell { .. } => self.conclude_when_detached(t),
            Ending::Exit(_) | Ending::Gone { .. } | Ending::Ghost => {}
        }
    }

    /// A frame that a client must not send ends the link. Before the greeting it ends without a word.
    pub(super) fn quit(&mut self, t: &mut Turn<'_>, reason: Reason, text: &'static str) {
        t.host.count(Count::Refused(reason));
        self.say_farewell(t, Some(text.into()));
    }

    /// Frees the node, and then lets the client know (`quit`) or not, and closes.
    pub(super) fn say_farewell(&mut self, t: &mut Turn<'_>, quit: Option<Cow<'static, str>>) {
        if !matches!(self.ending, Ending::No) {
            return;
        }
        self.leave(t);
        t.wake = true;
        let quit = quit.filter(|_| !matches!(self.phase, Phase::New));
        if matches!(self.phase, Phase::Open { .. }) {
            self.ending = Ending::Farewell { quit, since: t.now };
            self.conclude_when_detached(t);
        } else {
            self.conclude(t, quit);
        }
    }

    /// Tells the home that the session ends, and stops everything else.
    pub(super) fn leave(&mut self, t: &mut Turn<'_>) {
        self.abandon_input();
        if !self.home.is_over() && !self.home.is_leaving() {
            let ids = self.deliveries.take_acked();
            if !ids.is_empty() {
                self.home.publish(t, Command::Acks { ids }, Expect::Done, 0, None);
            }
            self.home.publish(t, Command::Detach, Expect::Done, 0, None);
        }
    }

    /// A request that has not come completely leaves no trace; what waits for the client is not written.
    fn abandon_input(&mut self) {
        if let Some(Incoming::Post(post)) = self.incoming.take() {
            self.uploads.extend(post.discard());
        }
        self.deliveries.drop_line();
    }

    /// Ends a farewell when the node is free.
    pub(super) fn conclude_when_detached(&mut self, t: &mut Turn<'_>) {
        if self.home.is_over()
            && let Ending::Farewell { quit, .. } = &mut self.ending
        {
            let quit = quit.take();
            self.conclude(t, quit);
        }
    }

    fn conclude(&mut self, t: &mut Turn<'_>, quit: Option<Cow<'static, str>>) {
        match quit {
            Some(text) => self.write_quit(t, &text),
            None => self.ending = Ending::Exit(Exit::Clean),
        }
        t.wake = true;
    }

    fn write_quit(&mut self, t: &mut Turn<'_>, text: &str) {
        push_frame(&mut self.replies, &Response::Quit { error: text.into() });
        self.ending = Ending::Exit(Exit::Clean);
        t.wake = true;
    }

    /// When the link, or what is left of the session, ends by time.
    pub(super) fn ending_due(&self, limits: &Limits) -> Option<Duration> {
        let stalled = self.stalled.map(|since| since + limits.write_wait);
        let due = match &self.ending {
            Ending::No if matches!(self.phase, Phase::Open { .. }) => Some(self.heard + limits.silence_max),
            Ending::No => Some(self.login_by),
            Ending::Farewell { since, .. } if self.home.owes_answers() => Some(*since + limits.answers_wait),
            Ending::Farewell { since, .. } => Some(*since + limits.detach_wait),
            Ending::Exit(Exit::Clean) => None,
            Ending::Exit(Exit::Cut) | Ending::Ghost => return None,
            Ending::Gone { since } => return Some(*since + limits.linger_max),
        };
        due.into_iter().chain(stalled).min()
    }

    pub(super) fn end_by_time(&mut self, t: &mut Turn<'_>) {
        t.wake = true;
        let stalled = self.stalled.is_some_and(|since| since + t.limits.write_wait <= t.now);
        let registering = self.is_registering();
        match &mut self.ending {
            // Nobody knows the name of this user, or ever will: its session holds up nobody.
            Ending::Gone { .. } if registering => self.home.end(t),
            // But a node would stay taken for ever if the home were not told: it holds sessions until they are
            // ended, and this gateway lives on.
            Ending::Gone { .. } => {
                self.home.keep_goodbye(t);
                self.ending = Ending::Ghost;
            }
            _ if stalled => {
                self.leave(t);
                self.ending = Ending::Exit(Exit::Cut);
            }
            Ending::Farewell { quit, .. } => {
                let quit = quit.take();
                self.conclude(t, quit);
            }
            _ => self.input_ended(t),
        }
    }

    fn is_registering(&self) -> bool {
        matches!(&self.phase, Phase::Opening(opening) if matches!(**opening, Opening::Register { .. }))
    }

    /// When to have unacked messages sent again: only when the client has been written everything, and the home is
    /// not about to send anyway.
    pub(super) fn redeliver_due(&self, limits: &Limits) -> Option<Duration> {
        let quiet =
            self.is_open() && self.writing.is_none() && !self.has_output() && !self.home.is_attaching();
        quiet.then(|| self.deliveries.redeliver_at(limits.redeliver_after)).flatten()
    }
}
