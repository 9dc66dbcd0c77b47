//! What a session needs from outside and cannot make up itself. A session must reach the outside only through here,
//! so that tests can replace all of it.

use std::sync::Arc;
use std::time::Duration;

use tmtp_contract::Envelope;
use tmtp_domain::{BodyId, NodeSecret, ShardId, Site, SiteId, Uid};
use tmtp_wire::Op;

/// Random values, shared budgets, counters and traces. Implementations must not block and must not lock a session.
pub trait Host {
    /// A site as it is now, if it is known.
    fn site(&self, site: SiteId) -> Option<Arc<Site>>;
    /// A new user's name; 160 random bits.
    fn uid(&self) -> Uid;
    /// A new node's password; 200 random bits.
    fn secret(&self) -> NodeSecret;
    /// A name for a body in the body store; 122 random bits.
    fn body_id(&self) -> BodyId;
    /// Takes octets from the gateway-wide budget for commands that wait for their answer. False: there are not enough.
    fn reserve(&self, octets: usize) -> bool;
    /// Gives them back.
    fn release(&self, octets: usize);
    /// What may be taken from clients of this shard now.
    fn intake(&self, shard: ShardId) -> Intake;
    /// What was published to this shard at that time is not in its stream any longer: its home has dealt with it, or
    /// it was lost.
    fn is_taken(&self, shard: ShardId, published: Duration) -> bool;
    /// Counts something for the metrics.
    fn count(&self, what: Count);
    /// Begins the span of a request, if this process traces.
    fn trace(&self, op: Op) -> Option<Box<Trace>>;
}

/// What may be taken from clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// Everything.
    All,
    /// Requests only: the bus is down. A login that nobody hears would leave a session behind that nobody needs, one
    /// more each time that a client comes back.
    NoLogins,
    /// Nothing: the command stream is full.
    Nothing,
}

/// What sessions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// A complete header from a client.
    Frame(Op),
    /// A frame that was refused, or that ended the link.
    Refused(Reason),
    /// A delivery that was put in line for the client; the first time or again.
    Delivery,
    /// A client's ack that was passed to the home.
    Ack,
    /// Octets of request data.
    BodyIn(usize),
    /// Sessions that were opened again.
    Reattach(Cause),
    /// A notice of presence that was dropped, because too many wait for the client.
    NoticeDropped,
    /// A message that cannot be written as a frame. Only a bug makes one.
    Unwritable,
}

/// Why a frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No TMTP, or against the rules of its operation.
    Header,
    /// Not allowed in the link's state.
    Order,
    /// The home did not open the session.
    Login,
    /// Its data is not what the operation takes.
    Data,
    /// Beyond a limit of this gateway.
    TooLarge,
    /// The gateway's budget is used up.
    Overloaded,
    /// The body store failed.
    Store,
    /// The home said so in the ack.
    Home,
}

impl Reason {
    /// All of them, as metric labels.
    pub const LABELS: &'static [&'static str] =
        &["header", "order", "login", "data", "too_large", "overloaded", "store", "home"];

    /// The label.
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// Why a session was opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The shard has a new owner.
    Rehome,
    /// The home does not know the session, or misses one of its commands.
    Lost,
    /// The bus was down, or lost data, or this gateway's lease had lapsed.
    Bus,
    /// Events were lost between the home and this gateway.
    Gap,
    /// No answer came in time.
    Silence,
    /// The client did not ack in time.
    Redelivery,
    /// The home delivered to an earlier opening of the session.
    Stale,
}

impl Cause {
    /// All of them, as metric labels.
    pub const LABELS: &'static [&'static str] =
        &["rehome", "lost", "bus", "gap", "silence", "redelivery", "stale"];

    /// The label.
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// What a session holds, to be held against its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Commands that are not answered, and answers that wait for earlier ones.
    pub commands: usize,
    /// Octets reserved for them.
    pub command_octets: usize,
    /// Octets of frames that wait for the client, without messages.
    pub reply_octets: usize,
    /// Messages that are not acked.
    pub in_flight: usize,
}

/// The span of a request, which ends when this is dropped.
#[derive(Debug)]
pub struct Trace {
    /// As W3C trace context, to travel with the command.
    pub context: String,
    _span: tracing::Span,
}

impl Trace {
    /// A span that has begun, and its trace context.
    pub fn new(span: tracing::Span, context: String) -> Self {
        Self { context, _span: span }
    }
}

/// What a session may use and how long it waits. All from the configuration.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From accept to the end of the login.
    pub login_within: Duration,
    /// Logged in: longest time without an octet from the client.
    pub silence_max: Duration,
    /// Longest time in which the client accepts nothing while something waits for it.
    pub write_wait: Duration,
    /// Time without an ack after which unacked messages are written again.
    pub redeliver_after: Duration,
    /// Time without an answer after which commands are published again, unless they are still in the stream; doubles
    /// each time.
    pub republish_after: Duration,
    /// How long a closing link waits until its node is free.
    pub detach_wait: Duration,
    /// How long a closing link waits for answers to requests that the client sent before.
    pub answers_wait: Duration,
    /// How long a session without socket tries to finish its commands; then only its goodbye.
    pub linger_max: Duration,
    /// Unanswered commands of a session beyond which its socket is not read.
    pub unanswered_max: usize,
    /// Octets of them beyond which its socket is not read.
    pub unanswered_octets_max: usize,
    /// Octets of written answers that the client has not taken beyond which its socket is not read.
    pub replies_octets_max: usize,
    /// Data of a request up to this size travels inside of the command.
    pub inline_max: u64,
    /// Largest data of a request.
    pub body_max: u64,
    /// Octets of each chunk but the last in the body store.
    pub chunk_octets: u32,
    /// Where the public reaches the built-in issuer of sign-in tokens for invites; `None`: there is none.
    pub public_url: Option<String>,
}

/// One turn of the machine: what it is given, and what it wants done when the turn is over.
pub struct Turn<'a> {
    /// The time, from any fixed point before the session's beginning.
    pub now: Duration,
    /// The outside.
    pub host: &'a dyn Host,
    /// The limits.
    pub limits: &'a Limits,
    /// Commands to publish, in this order.
    pub publish: Vec<Envelope>,
    /// The link has to look: something to write, an exit, or room for input.
    pub wake: bool,
}
