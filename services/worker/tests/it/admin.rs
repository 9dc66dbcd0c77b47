//! Changes of admins: decided in order with members' requests, once each, and with their audit entry.

use tmtp_contract::{
    AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, AdminRequest, Answer, AuditNote, Command, Envelope,
    Event, LoginRefusal, Once,
};
use tmtp_domain::{GatewayId, KeyId, MemberStatus, NodeNum, RequestId, SessionId, SiteStatus, Uid};
use tmtp_store::{AdminRecord, Change};
use uuid::Uuid;

use crate::rig::{ANN, BEN, G1, G2, HERE, Rig, THERE, Told, login, post};

/// An admin server.
pub const ADMIN: GatewayId = GatewayId(Uuid::from_u128(31));
pub const NOBODY: Uid = Uid([9; 20]);

pub fn request(text: &str, change: AdminChange) -> AdminRequest {
    AdminRequest {
        id: RequestId(Uuid::from_u128(41)),
        once: Once { key: KeyId(Uuid::from_u128(51)), text: text.into(), digest: [7; 32] },
        note: AuditNote { action: "test".into(), target: "it".into(), from: "192.0.2.1".into() },
        change,
    }
}

pub fn ask(rig: &mut Rig, request: AdminRequest) -> Told {
    rig.run_envelope(ADMIN, enveloped(request))
}

pub fn enveloped(request: AdminRequest) -> Envelope {
    let command = Command::Admin(Box::new(request));
    Envelope { site: HERE, session: SessionId(0), seq: 0, trace: None, command }
}

/// What the admin server was told.
pub fn answer(told: &Told) -> AdminAnswer {
    let answers: Vec<_> = told
        .0
        .answers
        .iter()
        .filter_map(|(to, event)| match event {
            Event::Admin { answer, .. } => Some((*to, answer.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "{:?}", told.0.answers);
    assert_eq!(answers[0].0, ADMIN);
    answers[0].1.clone()
}

/// Whose sessions were closed.
pub fn closed(told: &Told) -> Vec<(GatewayId, u64)> {
    let closed = |(gateway, event): &(GatewayId, Event)| match event {
        Event::Close { session, .. } => Some((*gateway, session.0)),
        _ => None,
    };
    let mut closed: Vec<_> = told.0.pushes.iter().filter_map(closed).collect();
    closed.sort_unstable();
    closed
}

pub fn records(rig: &Rig) -> Vec<&AdminRecord> {
    let changes = rig.commits.iter().flat_map(|commit| &commit.changes);
    changes
        .filter_map(|change| match change {
            Change::Admin(record) => Some(&**record),
            _ => None,
        })
        .collect()
}

fn suspend(text: &str) -> AdminRequest {
    request(text, AdminChange::MemberStatus { uid: ANN, status: MemberStatus::Suspended })
}

/// Goal: a suspended member is out at once and stays out, others are not disturbed, messages to it wait, and it comes
/// back to them; method: suspend somebody with two sessions, write to her, try to log in, resume, log in.
#[test]
fn a_suspended_member_is_out() {
    let mut rig = Rig::new();
    rig.member(HERE, ANN, 2);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G2, 1), ANN, 2);
    rig.log_in((G2, 2), BEN, 1);
    let told = ask(&mut rig, suspend("a"));
    assert_eq!(closed(&told), [(G1, 1), (G2, 1)]);
    let outcome = AdminOutcome::Member { status: MemberStatus::Suspended };
    assert_eq!(answer(&told), AdminAnswer::Done { outcome });
    let told = rig.run((G2, 2), post(1, &[ANN]));
    told.posted();
    assert_eq!(rig.run((G1, 2), login(ANN, 1)).not_logged_in(), LoginRefusal::Failed);

    let resume = request("b", AdminChange::MemberStatus { uid: ANN, status: MemberStatus::Active });
    let told = ask(&mut rig, resume);
    assert_eq!(closed(&told), []);
    let told = rig.run((G1, 3), login(ANN, 1));
    assert!(!told.delivered((G1, 3)).is_empty(), "what was posted meanwhile");
    let records = records(&rig);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].before.as_deref(), Some(r#"{"status":"active"}"#));
    assert_eq!(records[0].after.as_deref(), Some(r#"{"status":"suspended"}"#));
}

/// Goal: a change that comes again is told its first answer and does nothing; method: repeat a suspension behind a
/// resumption, in a batch of its own as a new owner loads it, and with other contents under the same key.
#[test]
fn a_change_happens_once() {
    let mut rig = Rig::new();
    let first = answer(&ask(&mut rig, suspend("a")));
    ask(&mut rig, request("b", AdminChange::MemberStatus { uid: ANN, status: MemberStatus::Active }));
    assert_eq!(answer(&ask(&mut rig, suspend("a"))), first);
    rig.log_in((G1, 1), ANN, 1);
    assert_eq!(records(&rig).len(), 2);

    let mut other = suspend("a");
    other.once.digest = [8; 32];
    let AdminAnswer::Refused { reason, .. } = answer(&ask(&mut rig, other)) else { panic!("not refused") };
    assert_eq!(reason, AdminRefusal::Reused);
    assert_eq!(records(&rig).len(), 2);
}

/// Goal: what is refused leaves no trace and may be tried again; method: an unknown member, who then comes to be.
#[test]
fn refusals_are_not_remembered() {
    let mut rig = Rig::new();
    let change = || AdminChange::Disconnect { uid: NOBODY, node: None };
    let AdminAnswer::Refused { reason, .. } = answer(&ask(&mut rig, request("a", change()))) else {
        panic!("not refused")
    };
    assert_eq!(reason, AdminRefusal::NotFound);
    assert!(records(&rig).is_empty());
    rig.member(HERE, NOBODY, 1);
    let done = AdminAnswer::Done { outcome: AdminOutcome::Closed { sessions: 0 } };
    assert_eq!(answer(&ask(&mut rig, request("a", change()))), done);
}

/// Goal: a session can be sent away, its node is free at once, and another of the same user stays; method: disconnect
/// one of two nodes and log in there again.
#[test]
fn a_disconnected_node_is_free() {
    let mut rig = Rig::new();
    rig.member(HERE, ANN, 2);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), ANN, 2);
    let told = ask(&mut rig, request("a", AdminChange::Disconnect { uid: ANN, node: Some(NodeNum(2)) }));
    assert_eq!(closed(&told), [(G1, 2)]);
    assert_eq!(answer(&told), AdminAnswer::Done { outcome: AdminOutcome::Closed { sessions: 1 } });
    rig.log_in((G2, 1), ANN, 2);
    assert_eq!(rig.run((G2, 2), login(ANN, 1)).not_logged_in(), LoginRefusal::AlreadyConnected);
    ask(&mut rig, request("b", AdminChange::Disconnect { uid: ANN, node: None }));
    let noted = records(&rig);
    let noted: Vec<_> =
        noted.iter().map(|record| (record.before.as_deref(), record.after.as_deref())).collect();
    let nobody = Some(r#"{"online":[]}"#);
    assert_eq!(noted, [(Some(r#"{"online":[2]}"#), nobody), (Some(r#"{"online":[1,2]}"#), nobody)]);
}

/// Goal: the sessions of a site that is not served any more are closed, and no others; method: two sites with the same
/// member, of which one is suspended.
#[test]
fn a_suspended_site_closes_its_sessions() {
    let mut rig = Rig::new();
    rig.member(THERE, ANN, 1);
    rig.log_in((G1, 1), ANN, 1);
    rig.run_in(THERE, (G1, 2), login(ANN, 1));
    assert_eq!(rig.home.sessions(), 2);
    let told = ask(&mut rig, request("a", AdminChange::SiteChanged));
    assert_eq!(closed(&told), [], "still served");
    rig.sites.get_mut(&HERE).unwrap().status = SiteStatus::Suspended;
    let told = ask(&mut rig, request("b", AdminChange::SiteChanged));
    assert_eq!((closed(&told), reasons(&told)), (vec![(G1, 1)], vec!["site suspended".to_owned()]));
    assert_eq!(rig.home.sessions(), 1);
}

/// What those were told whose sessions were closed.
fn reasons(told: &Told) -> Vec<String> {
    let reason = |(_, event): &(GatewayId, Event)| match event {
        Event::Close { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    told.0.pushes.iter().filter_map(reason).collect()
}

/// What somebody hears whose login fails; `None` for no more than that.
#[track_caller]
fn heard(told: &Told, who: (GatewayId, u64)) -> Option<String> {
    let failed = |event: &Event| {
        matches!(event, Event::Answer { answer: Answer::NotLoggedIn(LoginRefusal::Failed), .. })
    };
    match &told.0.answers[..] {
        [(_, answer)] if failed(answer) => None,
        // The first of them ends the link, if it is for the session that is being opened.
        [(gateway, Event::Close { session, opened: 1, reason }), (_, answer)] if failed(answer) => {
            assert_eq!((*gateway, session.0), who);
            Some(reason.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// Goal: members hear why their site is suspended, at once and when they log in, and nobody else does; method: a session
/// that is closed, then logins with the right password, with a wrong one, of nobody, and of somebody who is deactivated;
/// then the site is deleted, and is back.
#[test]
fn a_sites_notice_is_told() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let change = AdminChange::MemberStatus { uid: BEN, status: MemberStatus::Deactivated };
    ask(&mut rig, request("a", change));
    let site = rig.sites.get_mut(&HERE).unwrap();
    (site.status, site.notice) = (SiteStatus::Suspended, Some("back on Monday".into()));
    let told = ask(&mut rig, request("b", AdminChange::SiteChanged));
    assert_eq!((closed(&told), reasons(&told)), (vec![(G1, 1)], vec!["back on Monday".to_owned()]));
    for (n, command, expected) in [
        (2, login(ANN, 1), Some("back on Monday".to_owned())),
        (3, login(ANN, 2), None),
        (4, login(NOBODY, 1), None),
        (5, login(BEN, 1), None),
    ] {
        let told = rig.run((G1, n), command);
        assert_eq!(heard(&told, (G1, n)), expected, "{n}");
    }
    assert_eq!(rig.home.sessions(), 0);
    rig.sites.get_mut(&HERE).unwrap().status = SiteStatus::Deleted;
    let told = rig.run((G1, 6), login(ANN, 1));
    assert_eq!(heard(&told, (G1, 6)), None);
    let site = rig.sites.get_mut(&HERE).unwrap();
    (site.status, site.notice) = (SiteStatus::Active, None);
    rig.log_in((G1, 7), ANN, 1);
}

/// Goal: a suspended member hears why whenever it logs in with its password, also at another worker, and nobody else does;
/// without a notice it hears that the login failed, and nothing of it is left when it is back. Method: all of that.
#[test]
fn a_members_notice_is_told() {
    let mut rig = Rig::new();
    let suspend = |notice: Option<&str>| AdminChange::Suspend {
        uid: ANN,
        reason: "r".into(),
        notice: notice.map(str::to_owned),
        until: None,
    };
    let resume = || AdminChange::MemberStatus { uid: ANN, status: MemberStatus::Active };
    ask(&mut rig, request("a", suspend(Some("call us"))));
    for (n, command, expected) in [
        (1, login(ANN, 1), Some("call us".to_owned())),
        (2, login(ANN, 2), None),
        (3, login(NOBODY, 1), None),
    ] {
        let told = rig.run((G1, n), command);
        assert_eq!(heard(&told, (G1, n)), expected, "{n}");
    }
    let kept = |change: &Change| matches!(change, Change::Suspended { suspension, .. } if suspension.notice.as_deref() == Some("call us"));
    assert!(rig.commits.iter().flat_map(|commit| &commit.changes).any(kept));
    assert!(records(&rig)[0].after.as_ref().unwrap().contains("call us"));
    ask(&mut rig, request("b", suspend(None)));
    let told = rig.run((G1, 4), login(ANN, 1));
    assert_eq!(heard(&told, (G1, 4)), None);
    ask(&mut rig, request("c", suspend(Some("call us"))));
    ask(&mut rig, request("d", resume()));
    rig.log_in((G1, 5), ANN, 1);
    ask(&mut rig, request("e", AdminChange::MemberStatus { uid: ANN, status: MemberStatus::Suspended }));
    let told = rig.run((G1, 6), login(ANN, 1));
    assert_eq!(heard(&told, (G1, 6)), None);
}
