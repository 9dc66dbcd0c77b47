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

mod clock;
mod deliveries;
mod ending;
mod events;
mod frames;
mod home;
mod host;
mod ops;
mod post;
mod presence;
mod registration;
mod requests;
mod socket;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tmtp_domain::{NodeNum, NodeSecret, SessionId, Site, Uid};
use tmtp_wire::{Decoder, Request};

use deliveries::Deliveries;
use home::Home;
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
    /// As it was when the connection came.
    site: Arc<Site>,
    /// Where the connection came from, for the audit log.
    from: Option<IpAddr>,
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
            from: None,
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

    /// The same, for a connection from this address.
    #[must_use]
    pub fn coming_from(self, from: Option<IpAddr>) -> Self {
        Self { from, ..self }
    }
}

/// What the hub does and asks.
impl Session {
    /// Ends the session without a word to the client, because this gateway stops.
    pub fn dismiss(&mut self, t: &mut Turn<'_>) {
        self.say_farewell(t, None);
    }

    /// Ends the session because its site is not served any more; a member is told the notice, if there is one. A login that
    /// is not answered hears it from the home, which knows whether it is a member's.
    pub fn evict(&mut self, t: &mut Turn<'_>, notice: Option<&str>) {
        match (&self.phase, notice) {
            (Phase::Open { .. }, Some(notice)) => self.say_farewell(t, Some(notice.to_owned().into())),
            (Phase::Opening(_), Some(_)) => {}
            _ => self.say_farewell(t, Some(quit::LOGIN.into())),
        }
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
