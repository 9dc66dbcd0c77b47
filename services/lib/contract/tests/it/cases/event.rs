//! Event entries of the present encoding, one or more for each event and answer.

use std::sync::Arc;

use bytes::Bytes;
use tmtp_contract::{
    AdminAnswer, AdminOutcome, AdminRefusal, Answer, AskedPlace, Body, Event, EventEntry, LoginRefusal,
};
use tmtp_domain::{Epoch, MemberStatus, MsgId, NodeNum, Posted, RequestId, SessionId, ShardId, WorkerId};

use super::message::message;
use super::{Case, TRACE, Value, uid, uuid, written};

pub(super) fn entry(done: Vec<(SessionId, u64)>, events: Vec<Event>) -> EventEntry {
    EventEntry { v: 1, worker: WorkerId(uuid(0x30)), number: 9, done, events }
}

fn one(path: &'static str, about: &'static str, event: Event) -> Case {
    written(path, about, Value::Event(entry(vec![(SessionId(7), 300)], vec![event])))
}

fn answer(path: &'static str, about: &'static str, answer: Answer) -> Case {
    one(path, about, Event::Answer { session: SessionId(7), seq: 300, answer, trace: None })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = answers();
    cases.extend(refusals());
    cases.extend(presence());
    cases.extend(others());
    cases.extend(admin());
    cases.extend(whole_entries());
    cases
}

fn answers() -> Vec<Case> {
    vec![
        answer(
            "v1/event/answer_registered",
            "a new user",
            Answer::Registered { node: NodeNum(1), alias_error: None },
        ),
        answer(
            "v1/event/answer_registered_alias_refused",
            "a new user who does not get the alias",
            Answer::Registered {
                node: NodeNum(1),
                alias_error: Some("AddAlias: alias Ann Léger already taken".into()),
            },
        ),
        answer(
            "v1/event/answer_logged_in",
            "a login, with users who show their presence",
            Answer::LoggedIn { node: NodeNum(2), ohi: vec![uid(0x40), uid(0x50)] },
        ),
        answer(
            "v1/event/answer_waiting",
            "a new user who has to wait for approval",
            Answer::Waiting { alias_error: None },
        ),
        answer("v1/event/answer_attached", "a session goes on; the answer is a mere name", Answer::Attached),
        answer("v1/event/answer_done", "an edit succeeded", Answer::Done),
        answer(
            "v1/event/answer_posted",
            "a message was queued",
            Answer::Posted { msg_id: MsgId(1_790_000_000_000_000_000), posted: Posted(1_790_000_000_000) },
        ),
        one(
            "v1/event/answer_traced",
            "an answer with a trace",
            Event::Answer {
                session: SessionId(7),
                seq: 300,
                answer: Answer::Done,
                trace: Some(TRACE.into()),
            },
        ),
    ]
}

fn refusals() -> Vec<Case> {
    vec![
        answer(
            "v1/event/answer_invite_refused",
            "a registration with an invite that is used up",
            Answer::NotLoggedIn(LoginRefusal::Invite),
        ),
        answer(
            "v1/event/answer_already_member",
            "a registration of a person who is a member",
            Answer::NotLoggedIn(LoginRefusal::AlreadyMember),
        ),
        answer(
            "v1/event/answer_alias_needed",
            "a registration that needs another alias",
            Answer::NotLoggedIn(LoginRefusal::Alias),
        ),
        answer(
            "v1/event/answer_login_failed",
            "a login with a wrong password",
            Answer::NotLoggedIn(LoginRefusal::Failed),
        ),
        answer(
            "v1/event/answer_already_connected",
            "a login at a node that is connected",
            Answer::NotLoggedIn(LoginRefusal::AlreadyConnected),
        ),
        answer(
            "v1/event/answer_registration_closed",
            "a registration at a site that takes none",
            Answer::NotLoggedIn(LoginRefusal::RegistrationClosed),
        ),
        answer(
            "v1/event/answer_registration_failed",
            "a registration that the database refuses",
            Answer::NotLoggedIn(LoginRefusal::RegistrationFailed),
        ),
        answer(
            "v1/event/answer_refused",
            "a refused request",
            Answer::Refused("newalias must be 8+ characters".into()),
        ),
    ]
}

fn presence() -> Vec<Case> {
    let session = SessionId(70_000);
    vec![
        one(
            "v1/event/ohi",
            "somebody is online now, two others are not any more",
            Event::Ohi { session, opened: 1, online: vec![uid(0x40)], offline: vec![uid(0x50), uid(0x60)] },
        ),
        one(
            "v1/event/ohi_online",
            "somebody is online now",
            Event::Ohi { session, opened: 1, online: vec![uid(0x40)], offline: Vec::new() },
        ),
        one(
            "v1/event/shows",
            "the user shows presence to one more, and to another no more",
            Event::Shows {
                session,
                opened: 1,
                version: 1_790_000_000_000_000_000,
                full: false,
                added: vec![uid(0x40)],
                dropped: vec![uid(0x50)],
            },
        ),
        one(
            "v1/event/shows_full",
            "the user shows presence to nobody else than this one",
            Event::Shows {
                session,
                opened: 1,
                version: 1,
                full: true,
                added: vec![uid(0x40)],
                dropped: Vec::new(),
            },
        ),
    ]
}

fn others() -> Vec<Case> {
    let session = SessionId(70_000);
    let small = message(Body::Inline(Bytes::from_static(b"{}hello")));
    vec![
        one(
            "v1/event/deliver",
            "a message for a node",
            Event::Deliver { session, opened: 1, message: Arc::new(small.clone()), trace: None },
        ),
        one(
            "v1/event/deliver_traced",
            "a message for a node, with a trace",
            Event::Deliver { session, opened: 1, message: Arc::new(small), trace: Some(TRACE.into()) },
        ),
        one(
            "v1/event/close",
            "a session has to end",
            Event::Close { session, opened: 1, reason: "login failed".into() },
        ),
        one("v1/event/lost", "a command that nobody can apply", Event::Lost { session, seq: 301 }),
        one("v1/event/probe", "somebody wants a session's node", Event::Probe { session }),
        one(
            "v1/event/rehome",
            "a shard has a new owner",
            Event::Rehome { shard: ShardId(u16::MAX), epoch: Epoch(i64::MAX) },
        ),
    ]
}

fn admin() -> Vec<Case> {
    let answered =
        |path, about, answer| one(path, about, Event::Admin { request: RequestId(uuid(0x70)), answer });
    let refused = |path, about, reason, text: &str| {
        answered(path, about, AdminAnswer::Refused { reason, text: text.into() })
    };
    vec![
        answered(
            "v1/event/admin_site",
            "a site was read again for an admin",
            AdminAnswer::Done { outcome: AdminOutcome::Site },
        ),
        answered(
            "v1/event/admin_member",
            "an admin's change of a member was committed",
            AdminAnswer::Done { outcome: AdminOutcome::Member { status: MemberStatus::Suspended } },
        ),
        answered(
            "v1/event/admin_closed",
            "sessions were closed for an admin",
            AdminAnswer::Done { outcome: AdminOutcome::Closed { sessions: 3 } },
        ),
        answered(
            "v1/event/admin_trace",
            "steps of a message that are not in rows yet",
            AdminAnswer::Done {
                outcome: AdminOutcome::Trace { pack: Box::new(super::trace::pack()), owed: 2, acks: 1 },
            },
        ),
        answered(
            "v1/event/admin_changed",
            "an admin's change was committed",
            AdminAnswer::Done { outcome: AdminOutcome::Changed },
        ),
        answered(
            "v1/event/admin_online",
            "which nodes have a session",
            AdminAnswer::Done { outcome: AdminOutcome::Online { nodes: vec![NodeNum(1), NodeNum(4)] } },
        ),
        answered(
            "v1/event/admin_places",
            "who belongs to a group was changed, but for one",
            AdminAnswer::Done {
                outcome: AdminOutcome::Places {
                    refusals: vec![None, Some("no such member".into())],
                    asked: Vec::new(),
                },
            },
        ),
        answered(
            "v1/event/admin_places_asked",
            "the same, with whom the admin asked for",
            AdminAnswer::Done {
                outcome: AdminOutcome::Places {
                    refusals: vec![None],
                    asked: vec![
                        AskedPlace { uid: None, problem: Some("there is no such member".into()) },
                        AskedPlace { uid: Some(uid(0x40)), problem: None },
                    ],
                },
            },
        ),
        refused("v1/event/admin_not_found", "nothing to change", AdminRefusal::NotFound, "no such member"),
        refused("v1/event/admin_conflict", "does not go with the rest", AdminRefusal::Conflict, "taken"),
        refused("v1/event/admin_invalid", "makes no sense", AdminRefusal::Invalid, "too short"),
        refused("v1/event/admin_reused", "another request had its key", AdminRefusal::Reused, "used"),
        refused("v1/event/admin_internal", "the database does not take it", AdminRefusal::Internal, "no"),
    ]
}

fn whole_entries() -> Vec<Case> {
    let mut late = entry(vec![(SessionId(u64::MAX), u64::MAX), (SessionId(1), 0)], Vec::new());
    late.number = u64::MAX;
    let probes = (1..=20).map(|n| Event::Probe { session: SessionId(n) }).collect();
    vec![
        written("v1/event/none", "only commands that were committed; large numbers", Value::Event(late)),
        written(
            "v1/event/several",
            "so many events that the list has a longer head; nothing committed",
            Value::Event(entry(Vec::new(), probes)),
        ),
    ]
}
