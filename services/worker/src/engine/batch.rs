//! One batch: load, decide, commit, tell.

use std::collections::HashMap;
use std::time::Instant;

use tmtp_bus::Read;
use tmtp_contract::{AdminChange, Answer, Command, Envelope, Event};
use tmtp_domain::{GatewayId, ShardId, Uid};
use tracing::Span;

use super::isolate::Suspect;
use super::persist::Loaded;
use super::{Engine, kind, now};
use crate::home::{Facts, SessionKey, Wanted, World};

/// A command on its way to its home.
struct Incoming {
    shard: ShardId,
    gateway: GatewayId,
    envelope: Envelope,
    /// The entry of the stream that ends with this command. Only when it is decided has the shard come so far: commands
    /// behind it may be decided in a later batch, and what a commit names as applied is not read again.
    ends: Option<(u64, u64)>,
}

/// Messages whose traces are remembered until they are delivered.
const TRACES_MAX: usize = 10_000;

impl Engine {
    /// Applies the entries that are new to their homes.
    pub(super) async fn process(&mut self, batch: Vec<Read>) {
        let mut incoming: Vec<Incoming> = Vec::with_capacity(batch.len() * 4);
        let mut reached: HashMap<ShardId, (u64, u64)> = HashMap::new();
        for Read { shard, id, entry, .. } in batch {
            let Some(home) = self.homes.get_mut(&shard) else { continue };
            let id = (id.ms, id.seq);
            let reached = reached.entry(shard).or_insert(home.applied());
            if id <= *reached {
                continue;
            }
            *reached = id;
            let gateway = entry.gateway;
            incoming.extend(entry.commands.into_iter().map(|envelope| Incoming {
                shard,
                gateway,
                envelope,
                ends: None,
            }));
            match incoming.iter_mut().rev().find(|last| last.shard == shard) {
                Some(last) => last.ends = Some(id),
                None => {
                    home.advance(id);
                }
            }
        }
        self.decide(incoming).await;
    }

    /// Logins that had to wait for a gateway and need not any longer.
    pub(super) async fn resume_deferred(&mut self) {
        let mut incoming: Vec<Incoming> = Vec::new();
        for (shard, home) in &mut self.homes {
            let deferred = home.take_deferred().into_iter();
            incoming.extend(deferred.map(|(gateway, envelope)| Incoming {
                shard: *shard,
                gateway,
                envelope,
                ends: None,
            }));
        }
        if !incoming.is_empty() {
            self.decide(incoming).await;
        }
    }

    /// Decides what has come: in one batch, but one after the other for shards of which the database has refused
    /// something lately.
    async fn decide(&mut self, incoming: Vec<Incoming>) {
        self.isolation.forget(Instant::now());
        let (one_by_one, together): (Vec<Incoming>, Vec<Incoming>) =
            incoming.into_iter().partition(|one| self.isolation.is_careful(one.shard));
        self.decide_together(together).await;
        for one in one_by_one {
            self.isolation.begin(Suspect::new(one.shard, one.gateway, &one.envelope));
            self.decide_together(vec![one]).await;
            self.isolation.end();
        }
        // A gateway that was the last to be waited for sets logins free.
        if self.homes.values().any(|home| home.has_deferred() && !home.is_waiting()) {
            Box::pin(self.resume_deferred()).await;
        }
    }

    async fn decide_together(&mut self, incoming: Vec<Incoming>) {
        for Incoming { envelope, .. } in &incoming {
            if let Command::Admin(request) = &envelope.command
                && request.change == AdminChange::SiteChanged
            {
                // What is not known is read, so this batch and all later ones see the site as it is now.
                self.sites.remove(&envelope.site);
            }
        }
        let mut facts = match self.load_for(&incoming).await {
            Loaded::Ready(facts) => facts,
            Loaded::Ended => return,
            Loaded::Refused if incoming.len() > 1 => {
                for one in incoming {
                    Box::pin(self.decide_together(vec![one])).await;
                }
                return;
            }
            Loaded::Refused => {
                for one in &incoming {
                    self.refuse(one.shard, one.gateway, &one.envelope);
                    self.reach(one.shard, one.ends);
                }
                return self.commit_and_tell(false).await;
            }
        };

        let at = now();
        let mut spans = Vec::new();
        self.metrics.batch_commands.observe(f64::from(u32::try_from(incoming.len()).unwrap_or(u32::MAX)));
        for Incoming { shard, gateway, envelope, ends } in incoming {
            self.reach(shard, ends);
            if self.isolation.has_convicts()
                && self.isolation.is_convicted(&Suspect::new(shard, gateway, &envelope))
            {
                self.refuse(shard, gateway, &envelope);
                continue;
            }
            let Some(home) = self.homes.get_mut(&shard) else { continue };
            // A site lives on its own shard only: a gateway that says otherwise is out of date or wrong.
            let speaks_for_gateway =
                matches!(envelope.command, Command::Present { .. }) || envelope.is_gone();
            if !speaks_for_gateway && self.sites.get(&envelope.site).is_none_or(|site| site.shard != shard) {
                tracing::warn!(site.id = %envelope.site, %shard, "command for a site of another shard; dropped");
                continue;
            }
            let name = kind(&envelope.command);
            self.metrics.commands_total.with_label_values(&[name]).inc();
            let trace = envelope.trace.clone();
            let mut world = World { sites: &self.sites, facts: &mut facts };
            home.apply(at, gateway, envelope, &mut world);
            if let Some(trace) = trace {
                spans.push(self.trace(shard, name, &trace));
            }
        }
        self.commit_and_tell(false).await;
        // The spans end here: they cover the commit and the telling.
        drop(spans);
    }

    /// Loads what a batch needs, and then what that leads to: the members of its groups, the owners of its names.
    async fn load_for(&mut self, incoming: &[Incoming]) -> Loaded {
        let opened = incoming.iter().filter_map(|one| opened(one.gateway, &one.envelope));
        let mut facts = Facts { opening: opened.collect(), ..Facts::default() };
        let mut asked = Wanted::default();
        loop {
            let mut wanted = Wanted::default();
            for one in incoming {
                if let Some(home) = self.homes.get(&one.shard) {
                    home.wants(one.gateway, &one.envelope, &facts, &mut wanted);
                    home.wants_for_policy(one.gateway, &one.envelope, &self.sites, &facts, &mut wanted);
                }
            }
            // Nearly every batch ends here: what it needs is known.
            wanted.sites.retain(|site| !self.sites.contains_key(site));
            if !wanted.leave_out(&mut asked) {
                return Loaded::Ready(Box::new(facts));
            }
            match self.load(wanted).await {
                Loaded::Ready(more) => facts.extend(*more),
                other => return other,
            }
        }
    }

    /// The entries of a shard's stream up to this one are decided, when one ends here.
    fn reach(&mut self, shard: ShardId, ends: Option<(u64, u64)>) {
        if let (Some(home), Some(entry)) = (self.homes.get_mut(&shard), ends) {
            home.advance(entry);
        }
    }

    /// Ends a command that the database does not take.
    fn refuse(&mut self, shard: ShardId, gateway: GatewayId, envelope: &Envelope) {
        let command = kind(&envelope.command);
        tracing::error!(site.id = %envelope.site, %shard, %gateway, command, "command refused: the database does not take it");
        self.metrics.commands_poisoned_total.inc();
        if let Some(home) = self.homes.get_mut(&shard) {
            home.refuse_command(gateway, envelope, now());
        }
    }

    /// Continues the trace of the command that was just applied, and passes it on with its answer and its message.
    fn trace(&mut self, shard: ShardId, command: &'static str, parent: &str) -> Span {
        let span = tracing::info_span!("worker.decide", command, message.id = tracing::field::Empty);
        tmtp_chassis::trace::set_parent(&span, parent);
        let own = span.in_scope(tmtp_chassis::trace::current_traceparent);
        let Some(home) = self.homes.get_mut(&shard) else { return span };
        if let (Some(own), Some(Event::Answer { answer, trace, .. })) = (own, home.last_answer()) {
            if let Answer::Posted { msg_id, .. } = *answer {
                span.record("message.id", tracing::field::display(msg_id));
                if self.traces.len() >= TRACES_MAX {
                    self.traces.clear();
                }
                self.traces.insert(msg_id, own.clone());
            }
            *trace = Some(own);
        }
        span
    }
}

/// Whose session a command opens.
fn opened(gateway: GatewayId, envelope: &Envelope) -> Option<(SessionKey, Uid)> {
    let uid = match &envelope.command {
        Command::Register { uid, .. } | Command::Login { uid, .. } => *uid,
        Command::Attach(attach) => attach.uid,
        _ => return None,
    };
    Some(((gateway, envelope.session), uid))
}
