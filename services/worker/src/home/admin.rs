//! What admins change. A change is decided once: what it came to is committed with it under the request's own key, and
//! whoever repeats the request is told the same again.

use tmtp_contract::{AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, AdminRequest, Event};
use tmtp_domain::{MemberStatus, NodeNum, SiteId, SiteStatus, Uid};
use tmtp_store::{AdminRecord, Change, Settled};

use super::decide::Call;
use super::{Home, NodeKey, SessionKey, World};

/// What a client is told whose site is not served any more.
const SITE_SUSPENDED: &str = "site suspended";
/// What a client is told whose member may not log in any more.
const MEMBER_SUSPENDED: &str = "member suspended";
/// What a client is told that an admin has sent away.
const DISCONNECTED: &str = "disconnected by an admin";

/// What a change came to, with what the audit log says of it.
struct Changed {
    outcome: AdminOutcome,
    /// As JSON.
    before: Option<String>,
    /// As JSON.
    after: Option<String>,
}

/// Why a change was not made.
struct Refused {
    reason: AdminRefusal,
    text: String,
}

impl Refused {
    fn no_member() -> Self {
        Self { reason: AdminRefusal::NotFound, text: "there is no member with this uid".to_owned() }
    }
}

impl Home {
    pub(super) fn admin(&mut self, call: Call, request: &AdminRequest, world: &mut World<'_>) {
        let key = (request.once.key, request.once.text.clone());
        let answer = match world.facts.settled.get(&key) {
            Some(settled) => repeated(settled, &request.once.digest),
            None => match self.change(call, &request.change, world) {
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
        change: &AdminChange,
        world: &mut World<'_>,
    ) -> Result<Changed, Refused> {
        match change {
            AdminChange::SiteChanged => Ok(self.site_changed(call.site, world)),
            AdminChange::MemberStatus { uid, status } => self.member_status(call.site, *uid, *status),
            AdminChange::Disconnect { uid, node } => self.disconnect(call.site, *uid, *node),
        }
    }

    /// The engine has read the site anew.
    fn site_changed(&mut self, site: SiteId, world: &World<'_>) -> Changed {
        let served = world.sites.get(&site).is_some_and(|site| site.status == SiteStatus::Active);
        if !served {
            self.close_sessions(|node| node.site == site, SITE_SUSPENDED);
        }
        Changed { outcome: AdminOutcome::Site, before: None, after: None }
    }

    fn member_status(&mut self, site: SiteId, uid: Uid, status: MemberStatus) -> Result<Changed, Refused> {
        let member = self.members.get_mut(&(site, uid)).ok_or_else(Refused::no_member)?;
        let before = std::mem::replace(&mut member.status, status);
        if before != status {
            self.changes.push(Change::MemberStatus { site, uid, status });
        }
        if status != MemberStatus::Active {
            self.close_sessions(|node| node.site == site && node.uid == uid, MEMBER_SUSPENDED);
        }
        let shown = |status: MemberStatus| format!(r#"{{"status":"{}"}}"#, status.as_str());
        Ok(Changed {
            outcome: AdminOutcome::Member { status },
            before: Some(shown(before)),
            after: Some(shown(status)),
        })
    }

    fn disconnect(&mut self, site: SiteId, uid: Uid, node: Option<NodeNum>) -> Result<Changed, Refused> {
        if !self.members.contains_key(&(site, uid)) {
            return Err(Refused::no_member());
        }
        let one =
            |key: NodeKey| key.site == site && key.uid == uid && node.is_none_or(|wanted| wanted == key.node);
        let sessions = self.close_sessions(one, DISCONNECTED);
        Ok(Changed { outcome: AdminOutcome::Closed { sessions }, before: None, after: None })
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
