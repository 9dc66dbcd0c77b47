//! What admins change. A change is decided once: what it came to is committed with it under the request's own key, and
//! whoever repeats the request is told the same again.

mod approval;
mod devices;
mod erase;
mod groups;
mod members;
mod names;
mod needs;
mod rules;

use tmtp_contract::{AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, AdminRequest, Event};
use tmtp_domain::{SiteId, SiteStatus};
use tmtp_store::{AdminRecord, Change, Settled, Suspension};

pub(super) use self::needs::Needs;
use super::decide::Call;
use super::{Home, NodeKey, SessionKey, World};

/// What a client is told whose site is not served any more.
const SITE_SUSPENDED: &str = "site suspended";

/// What a change came to, with what the audit log says of it.
pub(super) struct Changed {
    outcome: AdminOutcome,
    /// As JSON.
    before: Option<String>,
    /// As JSON.
    after: Option<String>,
    /// It is to be remembered and noted.
    is_noted: bool,
}

impl Changed {
    /// What came of a change.
    fn new(outcome: AdminOutcome) -> Self {
        Self { outcome, before: None, after: None, is_noted: true }
    }

    /// What came of a request that changes nothing.
    pub(super) fn nothing(outcome: AdminOutcome) -> Self {
        Self { is_noted: false, ..Self::new(outcome) }
    }

    fn after(mut self, after: &serde_json::Value) -> Self {
        self.after = Some(after.to_string());
        self
    }

    fn before(mut self, before: &serde_json::Value) -> Self {
        self.before = Some(before.to_string());
        self
    }
}

/// Why a change was not made.
pub(super) struct Refused {
    reason: AdminRefusal,
    pub(super) text: String,
}

impl Refused {
    fn no_member() -> Self {
        Self::not_found("there is no member with this uid")
    }

    fn not_found(text: impl Into<String>) -> Self {
        Self { reason: AdminRefusal::NotFound, text: text.into() }
    }

    fn conflict(text: impl Into<String>) -> Self {
        Self { reason: AdminRefusal::Conflict, text: text.into() }
    }

    fn invalid(text: impl Into<String>) -> Self {
        Self { reason: AdminRefusal::Invalid, text: text.into() }
    }
}

impl Home {
    pub(super) fn admin(&mut self, call: Call, request: &AdminRequest, world: &mut World<'_>) {
        let key = (request.once.key, request.once.text.clone());
        let answer = match world.facts.settled.get(&key) {
            Some(settled) => repeated(settled, &request.once.digest),
            None => match self.change(call, request, world) {
                Ok(changed) if !changed.is_noted => AdminAnswer::Done { outcome: changed.outcome },
                Ok(changed) => {
                    let answer = AdminAnswer::Done { outcome: changed.outcome.clone() };
                    let settled = Settled { digest: request.once.digest, answer: written(&changed.outcome) };
                    self.record(call.site, request, changed, settled.answer.clone());
                    world.facts.settled.insert(key, settled);
                    answer
                }
                Err(Refused { reason, text }) => AdminAnswer::Refused { reason, text },
            },
        };
        self.answer_admin(call, request, answer);
    }

    /// Answers a change that the database does not take.
    pub(super) fn refuse_admin(&mut self, call: Call, request: &AdminRequest) {
        let text = "the database does not take this change".to_owned();
        self.answer_admin(call, request, AdminAnswer::Refused { reason: AdminRefusal::Internal, text });
    }

    fn answer_admin(&mut self, call: Call, request: &AdminRequest, answer: AdminAnswer) {
        self.outbox.answers.push((call.from.0, Event::Admin { request: request.id, answer }));
    }

    fn record(&mut self, site: SiteId, request: &AdminRequest, changed: Changed, answer: String) {
        self.changes.push(Change::Admin(Box::new(AdminRecord {
            site,
            key: request.once.key,
            once: request.once.text.clone(),
            digest: request.once.digest,
            answer,
            request: request.id,
            action: request.note.action.clone(),
            target: request.note.target.clone(),
            from: request.note.from.clone(),
            before: changed.before,
            after: changed.after,
        })));
    }

    fn change(
        &mut self,
        call: Call,
        request: &AdminRequest,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        let site = call.site;
        match &request.change {
            AdminChange::SiteChanged => Ok(self.site_changed(site, world)),
            AdminChange::MemberStatus { uid, status } => self.member_status(site, *uid, *status),
            AdminChange::Suspend { uid, reason, notice, until } => {
                let (reason, notice) = (reason.clone(), notice.clone());
                let suspension = Suspension { reason, notice, until: *until, by: request.once.key };
                self.suspend(site, *uid, suspension)
            }
            AdminChange::Decide { uid, admits: true, names, groups } => {
                self.admit(call, *uid, names.first(), groups, world)
            }
            AdminChange::Decide { uid, admits: false, names, .. } => self.turn_away(site, *uid, names, world),
            AdminChange::Erase { uid } => self.erase(site, *uid, world),
            AdminChange::DeleteGroup { gid } => self.delete_group(call, gid, world),
            AdminChange::Online { uid } => Ok(self.online(site, *uid)),
            AdminChange::Trace { id } => Ok(self.trace_of(site, *id)),
            AdminChange::Disconnect { uid, node } => self.disconnect(site, *uid, *node),
            AdminChange::DropQueue { uid, node } => self.drop_queue_of(site, *uid, *node),
            AdminChange::RevokeNode { uid, node } => self.revoke_node(site, *uid, *node),
            AdminChange::AddAlias { uid, alias } => self.add_alias(call, *uid, alias, world),
            AdminChange::DropAlias { uid, alias } => self.drop_alias(site, *uid, alias, world),
            AdminChange::Reserve { name } => self.reserve(site, name, world),
            AdminChange::Release { name } => self.release(site, name, world),
            AdminChange::GroupRule { gid, rule } => self.rule_group(site, gid, rule, world),
            AdminChange::MemberFlags { uid, receive_only, away } => {
                self.flag_member(site, *uid, *receive_only, away.as_ref())
            }
            AdminChange::Places { gid, founds, add, drop, asked } => {
                if *founds {
                    self.found_group(site, gid, world)?;
                }
                self.change_places(call, gid, (add, drop), asked, world)
            }
        }
    }

    /// The engine has read the site anew.
    fn site_changed(&mut self, site: SiteId, world: &World<'_>) -> Changed {
        let place = world.sites.get(&site);
        if place.is_none_or(|site| site.status != SiteStatus::Active) {
            let notice = place.and_then(|site| site.notice.as_deref());
            self.close_sessions(|node| node.site == site, notice.unwrap_or(SITE_SUSPENDED));
        }
        Changed::nothing(AdminOutcome::Site)
    }

    /// Ends the sessions of these nodes; their clients are told why. Says how many there were.
    fn close_sessions(&mut self, of: impl Fn(NodeKey) -> bool, reason: &str) -> u32 {
        let keys: Vec<SessionKey> =
            self.occupied.iter().filter(|(node, _)| of(**node)).map(|(_, key)| *key).collect();
        for key in &keys {
            if let Some(session) = self.sessions.get(key) {
                let event =
                    Event::Close { session: key.1, opened: session.opened, reason: reason.to_owned() };
                self.outbox.pushes.push((key.0, event));
            }
            self.end_session(*key);
        }
        u32::try_from(keys.len()).unwrap_or(u32::MAX)
    }
}

/// An outcome as the row of the request keeps it.
fn written(outcome: &AdminOutcome) -> String {
    // Maps of strings and numbers always encode.
    serde_json::to_string(outcome).unwrap_or_default()
}

/// The answer to a request whose key was used before.
fn repeated(settled: &Settled, digest: &[u8; 32]) -> AdminAnswer {
    if settled.digest != *digest {
        return AdminAnswer::Refused {
            reason: AdminRefusal::Reused,
            text: "another request came with this idempotency key".to_owned(),
        };
    }
    match serde_json::from_str(&settled.answer) {
        Ok(outcome) => AdminAnswer::Done { outcome },
        Err(_) => AdminAnswer::Refused {
            reason: AdminRefusal::Reused,
            text: "another kind of request came with this idempotency key".to_owned(),
        },
    }
}
