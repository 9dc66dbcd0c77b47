//! All sessions of this gateway, and what they share: clock, budget, metrics, the way to the command streams.
//!
//! Everything that happens to a session is a *turn*: under the session's lock, with what it publishes queued before
//! the lock is let go. The lock must never be held across an await, and no other lock is taken inside of it but those of
//! the publisher and of what is known of the streams.

mod backlog;
mod bus;
mod events;
mod publisher;
mod registry;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tmtp_bodies::Bodies;
use tmtp_chassis::trace;
use tmtp_contract::{Command, Envelope};
use tmtp_domain::{BodyId, Epoch, GatewayId, NodeSecret, SessionId, ShardId, Site, SiteId, Uid};
use tmtp_wire::Op;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::session::{Cause, Count, Host, Intake, Limits, Session, Trace, Turn};
use crate::sign_in::SignIns;
use crate::sites::Sites;

pub use bus::{BEAT_EVERY, BusTask};
pub use publisher::publish;
pub use registry::Entry;

use backlog::Backlogs;
use publisher::Publisher;
use registry::{PARTS, Registry};

/// How often the clock looks at each session. No deadline of a session is finer.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// The sweep is spread over this many steps.
const SWEEP_STEPS: usize = 8;
/// How often a drain looks whether the last sessions are over.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// All sessions of this gateway. See the module's text.
pub struct Hub {
    /// This life of the gateway.
    pub gateway: GatewayId,
    /// What is counted.
    pub metrics: Metrics,
    /// Where larger bodies are.
    pub bodies: Bodies,
    /// Who checks sign-in tokens.
    pub sign_ins: Arc<SignIns>,
    sites: Arc<Sites>,
    started: Instant,
    registry: Registry,
    publisher: Publisher,
    backlogs: Backlogs,
    limits: Limits,
    /// Octets of unanswered commands, of all sessions together.
    unanswered: AtomicUsize,
    unanswered_max: usize,
}

impl Hub {
    /// An empty hub, under a new name.
    pub fn new(
        config: &Config,
        metrics: Metrics,
        bodies: Bodies,
        sign_ins: SignIns,
        sites: Arc<Sites>,
    ) -> Self {
        Self {
            gateway: GatewayId(Uuid::new_v4()),
            limits: config.limits.for_sessions(bodies.chunk_octets(), &config.sign_in),
            metrics,
            bodies,
            sign_ins: Arc::new(sign_ins),
            sites,
            started: Instant::now(),
            registry: Registry::new(),
            publisher: Publisher::new(),
            backlogs: Backlogs::new(config.limits.stream_entries_max),
            unanswered: AtomicUsize::new(0),
            unanswered_max: config.limits.unanswered_octets,
        }
    }

    /// The time, since this hub began.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time that an instant was.
    pub fn time_of(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.started)
    }

    /// Takes a new session in, for a client at this address whose connection was accepted then.
    pub fn open(&self, site: Arc<Site>, client: IpAddr, accepted: Instant) -> Arc<Entry> {
        let login_by = self.time_of(accepted) + self.limits.login_within;
        let (shard, id) = (site.shard, site.id);
        let begin = |session| Session::new(session, site, login_by).coming_from(Some(client));
        let entry = self.registry.insert(shard, id, client, begin);
        self.metrics.sessions_kept.inc();
        self.turn(&entry, |_, _| {});
        entry
    }

    /// Does something with a session. The link calls this for its own session and then looks by itself what there is
    /// to do; everybody else calls [`Self::nudge`].
    pub fn turn<R>(&self, entry: &Entry, act: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        self.turn_and_wake(entry, false, act)
    }

    /// The same, and wakes the link if there is something for it to do.
    pub fn nudge<R>(&self, entry: &Entry, act: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        self.turn_and_wake(entry, true, act)
    }

    fn turn_and_wake<R>(
        &self,
        entry: &Entry,
        wake: bool,
        act: impl FnOnce(&mut Session, &mut Turn<'_>) -> R,
    ) -> R {
        let mut turn =
            Turn { now: self.now(), host: self, limits: &self.limits, publish: Vec::new(), wake: false };
        let mut session = entry.session.lock();
        let was_open = session.is_open();
        let result = act(&mut session, &mut turn);
        // Still under the session's lock: the publisher has its commands in the order of its turns.
        if !turn.publish.is_empty() {
            self.publisher.push(entry.shard, turn.publish);
        }
        entry.set_deadline(session.deadline(&self.limits));
        let (open, over) = (session.is_open(), session.is_over());
        drop(session);

        match (was_open, open) {
            (false, true) => self.metrics.sessions_open.inc(),
            (true, false) => self.metrics.sessions_open.dec(),
            _ => {}
        }
        if over && self.registry.remove(entry.id) {
            self.metrics.sessions_kept.dec();
        }
        if wake && turn.wake {
            entry.waker.wake();
        }
        result
    }

    /// Opens all sessions of a shard again, and then tells its new owner that these were all. Whatever a session of
    /// this gateway had published to an earlier owner, its `Attach` is in the queue before `Present` is.
    fn rehome(&self, shard: ShardId, epoch: Epoch) {
        self.registry.each(
            |entry| entry.shard == shard,
            |entry| {
                self.nudge(entry, |session, turn| session.reattach(turn, Cause::Rehome));
            },
        );
        self.present(shard, epoch);
    }

    /// Opens all sessions again. `Present` has to follow for each shard that has ever asked for it, because an
    /// earlier one may be among what was lost.
    fn reattach_all(&self, cause: Cause) {
        self.registry
            .each(|_| true, |entry| self.nudge(entry, |session, turn| session.reattach(turn, cause)));
    }

    fn present(&self, shard: ShardId, epoch: Epoch) {
        let command = Command::Present { epoch };
        let site = SiteId(Uuid::nil());
        self.publisher
            .push(shard, vec![Envelope { site, session: SessionId(0), seq: 0, trace: None, command }]);
    }

    /// A stream has room again: its sessions go on, and those that have waited to be opened again are.
    fn resume(&self, shard: ShardId) {
        self.registry.each(|entry| entry.shard == shard, |entry| self.nudge(entry, Session::resume));
    }

    /// The workers may take this gateway for dead: nothing they deliver counts until the sessions are open again.
    fn suspend_all(&self) {
        self.registry.each(|_| true, |entry| self.turn(entry, |session, _| session.suspend()));
    }

    /// Ends the sessions of sites that are not served any more; their members are told this.
    fn evict(&self, sites: &HashMap<SiteId, Option<String>>) {
        self.registry.each(
            |entry| sites.contains_key(&entry.site),
            |entry| {
                let notice = sites.get(&entry.site).and_then(Option::as_deref);
                self.nudge(entry, |session, turn| session.evict(turn, notice));
            },
        );
    }

    /// Lets all clients go, spread over this time, and waits until the workers know that their nodes are free.
    pub async fn drain(&self, over: Duration) {
        let mut leaving: Vec<(Duration, Arc<Entry>)> = Vec::new();
        self.registry.each(|_| true, |entry| leaving.push((over.mul_f64(fraction()), Arc::clone(entry))));
        leaving.sort_by_key(|(delay, _)| *delay);
        tracing::info!(sessions = leaving.len(), ?over, "letting clients go");
        let begin = Instant::now();
        for (delay, entry) in leaving {
            tokio::time::sleep_until(begin + delay).await;
            self.nudge(&entry, Session::dismiss);
        }
        // Links that were in the handshake when the drain began, and what clients had asked for.
        while !self.registry.is_empty() || !self.publisher.is_idle() {
            self.registry.each(|_| true, |entry| self.nudge(entry, Session::dismiss));
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}

/// The clock of all sessions. One task for all of them, because a timer for each would cost every link memory, and
/// every octet a turn of the timer wheel.
pub async fn sweep(hub: Arc<Hub>, stop: CancellationToken) -> anyhow::Result<()> {
    let steps = u32::try_from(SWEEP_STEPS).unwrap_or(u32::MAX);
    let mut clock = tokio::time::interval(SWEEP_EVERY / steps);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for step in (0..SWEEP_STEPS).cycle() {
        tokio::select! {
            _ = clock.tick() => {}
            () = stop.cancelled() => break,
        }
        for part in (step..PARTS).step_by(SWEEP_STEPS) {
            for entry in hub.registry.due(part, hub.now()) {
                hub.nudge(&entry, Session::tick);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
impl Hub {
    /// A hub that takes commands and hands them to nobody, for tests of what is in front of it.
    pub fn alone(config: &Config, sites: Arc<Sites>) -> Arc<Self> {
        let metrics = Metrics::register(&tmtp_chassis::prometheus::Registry::new()).expect("metrics");
        let sign_ins = SignIns::new(&config.sign_in, metrics.clone()).expect("root certificates");
        let bodies = Bodies::open(&config.bodies).expect("a body store");
        let hub = Self::new(config, metrics, bodies, sign_ins, sites);
        hub.publisher.go_up();
        Arc::new(hub)
    }

    /// Where the clients of its sessions are.
    pub fn clients(&self) -> Vec<IpAddr> {
        let mut clients = Vec::new();
        self.registry.each(|_| true, |entry| clients.push(entry.client));
        clients
    }
}

impl Host for Hub {
    fn site(&self, site: SiteId) -> Option<Arc<Site>> {
        self.sites.get(site)
    }

    fn uid(&self) -> Uid {
        Uid(random())
    }

    fn secret(&self) -> NodeSecret {
        NodeSecret(random())
    }

    fn body_id(&self) -> BodyId {
        BodyId(Uuid::new_v4())
    }

    fn reserve(&self, octets: usize) -> bool {
        let more = |used: usize| used.checked_add(octets).filter(|sum| *sum <= self.unanswered_max);
        self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn release(&self, octets: usize) {
        self.unanswered.fetch_sub(octets, Ordering::Relaxed);
    }

    fn intake(&self, shard: ShardId) -> Intake {
        if self.backlogs.is_full(shard) {
            Intake::Nothing
        } else if self.publisher.is_up() {
            Intake::All
        } else {
            Intake::NoLogins
        }
    }

    fn is_taken(&self, shard: ShardId, published: Duration) -> bool {
        self.backlogs.is_taken(shard, published)
    }

    fn count(&self, what: Count) {
        let metrics = &self.metrics;
        match what {
            Count::Frame(op) => metrics.frames_in_total.with_label_values(&[op.name()]).inc(),
            Count::Refused(reason) => metrics.frames_refused_total.with_label_values(&[reason.label()]).inc(),
            Count::Delivery => metrics.deliveries_total.inc(),
            Count::Ack => metrics.acks_total.inc(),
            Count::BodyIn(octets) => metrics.body_octets_in_total.inc_by(octets as u64),
            Count::Reattach(cause) => metrics.reattach_total.with_label_values(&[cause.label()]).inc(),
            Count::NoticeDropped => metrics.notices_dropped_total.inc(),
            Count::Unwritable => metrics.unwritable_total.inc(),
        }
    }

    fn trace(&self, op: Op) -> Option<Box<Trace>> {
        if !trace::enabled() {
            return None;
        }
        let span = match op {
            Op::Post => tracing::info_span!("session.post"),
            Op::UserEdit => tracing::info_span!("session.edit_user"),
            _ => tracing::info_span!("session.request", op = op.name()),
        };
        let context = span.in_scope(trace::current_traceparent)?;
        Some(Box::new(Trace::new(span, context)))
    }
}

/// Octets from the operating system's generator. Without it no password could be made, so there is no going on.
fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).expect("the operating system has random numbers");
    octets
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    f64::from(u32::from_le_bytes(random())) / f64::from(u32::MAX)
}
