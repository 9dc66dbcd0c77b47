//! What admins do about members, devices, names and groups.

use serde_json::json;
use tmtp_contract::{AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, Content, LoginRefusal, NewPlace};
use tmtp_domain::{GroupAct, Member, MemberStatus, NameHolder, Node, NodeNum, Uid};
use tmtp_store::Change;

use crate::admin::{ADMIN, NOBODY, answer, ask, closed, enveloped, records, request};
use crate::rig::{ANN, BEN, G1, G2, HERE, LIMITS, Rig, Told, acks, login, new_node, post, secret};

const GROUP: &str = "The group";
const ANNS: &str = "Ann Bell";
const BENS: &str = "Ben Bell";
const CATS: &str = "Cat Bell";

/// Has it done, and gives what everybody was told.
#[track_caller]
fn done(rig: &mut Rig, text: &str, change: AdminChange) -> (AdminOutcome, Told) {
    let told = ask(rig, request(text, change));
    let AdminAnswer::Done { outcome } = answer(&told) else { panic!("{:?}", answer(&told)) };
    (outcome, told)
}

#[track_caller]
fn refused(rig: &mut Rig, text: &str, change: AdminChange) -> AdminRefusal {
    let AdminAnswer::Refused { reason, .. } = answer(&ask(rig, request(text, change))) else {
        panic!("not refused")
    };
    reason
}

fn changes(rig: &Rig) -> Vec<&Change> {
    rig.commits.iter().flat_map(|commit| &commit.changes).collect()
}

fn drop_queue(node: i16) -> AdminChange {
    AdminChange::DropQueue { uid: BEN, node: NodeNum(node) }
}

/// Goal: what one node is owed is forgotten in memory, in rows and for the next owner, and another node of the member
/// keeps it; method: messages in rows, acked rows, messages in memory and in flight, then a drop, a new owner, and the
/// next message.
#[test]
fn a_dropped_queue_is_forgotten() {
    let mut rig = Rig::new();
    rig.member(HERE, BEN, 2);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    let told = rig.run((G1, 1), post(1, &[BEN]));
    let first = told.delivered((G1, 2));
    rig.run((G1, 1), post(2, &[BEN]));
    rig.spill();
    assert!(rig.rows(BEN, 1) >= 2);
    rig.run((G1, 2), acks(&first));
    rig.run((G1, 1), post(3, &[BEN]));
    let others = rig.rows(BEN, 2);

    let (outcome, told) = done(&mut rig, "a", drop_queue(1));
    assert_eq!((outcome, closed(&told)), (AdminOutcome::Changed, vec![(G1, 2)]));
    assert_eq!((rig.rows(BEN, 1), rig.rows(BEN, 2)), (0, others), "only the one node's rows");
    assert!(rig.home.spill(rig.now).unwrap().acks.is_empty(), "an ack of a row that is gone");
    let noted = records(&rig)[0];
    // One in memory, and one fewer than there are rows: the store adds those.
    assert_eq!(noted.before.as_deref(), Some(r#"{"node":1,"waiting":0}"#));
    assert_eq!(noted.after.as_deref(), Some(r#"{"node":1,"waiting":0}"#));
    let told = rig.run((G2, 1), login(BEN, 1));
    let contents = told.contents((G2, 1));
    assert!(contents.iter().all(|content| *content == Content::Login), "{contents:?}");

    // The entries before the spill are replayed here, too: they come before the drop.
    let mut next = Rig::recovered(&rig.journal(), LIMITS, &[]);
    let spill = next.home.spill(next.now).unwrap();
    let left =
        |node: i16| spill.inbox.iter().filter(|row| row.uid == BEN && row.node == NodeNum(node)).count();
    assert_eq!(left(1), 1, "the login's notice alone");
    assert!(left(2) > 1);
    next.spill();
}

/// Goal: a revoked node is out for good, its queue is forgotten, and its number is not given again; method: revoke one of
/// two, then the last one, and write to the member.
#[test]
fn a_revoked_node_never_comes_back() {
    let mut rig = Rig::new();
    rig.member(HERE, BEN, 2);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    rig.log_in((G1, 3), BEN, 2);
    let revoke = |node| AdminChange::RevokeNode { uid: BEN, node: NodeNum(node) };
    let (_, told) = done(&mut rig, "a", revoke(2));
    assert_eq!(closed(&told), [(G1, 3)]);
    assert_eq!(rig.run((G2, 1), login(BEN, 2)).not_logged_in(), LoginRefusal::Failed);
    assert_eq!(refused(&mut rig, "b", revoke(2)), AdminRefusal::NotFound);
    rig.run((G1, 2), new_node(1, BEN, 3));
    let made = changes(&rig).into_iter().find_map(|change| match change {
        Change::Node { num, .. } => Some(*num),
        _ => None,
    });
    assert_eq!(made, Some(NodeNum(3)));
    done(&mut rig, "c", revoke(3));
    done(&mut rig, "d", revoke(1));
    assert_eq!(rig.run((G2, 2), login(BEN, 1)).not_logged_in(), LoginRefusal::Failed);
    rig.run((G1, 1), post(2, &[BEN])).posted();
    let spill = rig.home.spill(rig.now).unwrap();
    assert!(spill.inbox.iter().all(|row| row.uid != BEN), "nobody is owed what cannot be fetched");
    let (outcome, _) = done(&mut rig, "e", AdminChange::Online { uid: BEN });
    assert_eq!(outcome, AdminOutcome::Online { nodes: Vec::new() });
}

/// Goal: asking who is online leaves no trace; method: a node with a session among two, and the records.
#[test]
fn who_is_online() {
    let mut rig = Rig::new();
    rig.member(HERE, BEN, 2);
    rig.log_in((G1, 1), BEN, 2);
    let (outcome, _) = done(&mut rig, "a", AdminChange::Online { uid: BEN });
    assert_eq!(outcome, AdminOutcome::Online { nodes: vec![NodeNum(2)] });
    assert!(records(&rig).is_empty());
}

/// Goal: a suspension has its reason and its end in the row and in the audit log, and its notice reaches the client;
/// method: suspend somebody who is online.
#[test]
fn a_suspension_is_explained() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let suspend = AdminChange::Suspend {
        uid: ANN,
        reason: "unpaid".into(),
        notice: Some("call us".into()),
        until: Some(7),
    };
    let (outcome, told) = done(&mut rig, "a", suspend);
    assert_eq!(outcome, AdminOutcome::Member { status: MemberStatus::Suspended });
    let reasons: Vec<String> = told
        .0
        .pushes
        .iter()
        .filter_map(|(_, event)| match event {
            tmtp_contract::Event::Close { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["call us"]);
    assert!(changes(&rig).iter().any(|change| matches!(change,
        Change::Suspended { suspension, .. } if suspension.reason == "unpaid" && suspension.until == Some(7))));
    assert!(records(&rig)[0].after.as_ref().unwrap().contains("unpaid"));
}

/// Goal: who is deactivated receives nothing and gets nothing of what waited, and may be let in again; method: messages
/// before and while it is deactivated.
#[test]
fn who_is_deactivated_receives_nothing() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.run((G1, 1), post(1, &[BEN]));
    let status = |status| AdminChange::MemberStatus { uid: BEN, status };
    done(&mut rig, "a", status(MemberStatus::Deactivated));
    rig.run((G1, 1), post(2, &[BEN])).posted();
    assert_eq!(rig.waiting(), 0);
    assert_eq!(rig.run((G2, 1), login(BEN, 1)).not_logged_in(), LoginRefusal::Failed);
    done(&mut rig, "b", status(MemberStatus::Active));
    rig.run((G1, 1), post(3, &[BEN])).posted();
    let told = rig.run((G2, 2), login(BEN, 1));
    assert_eq!(told.delivered((G2, 2)).len(), 2, "the post and the login's notice");
}

/// Goal: who waits for approval is kept out and receives nothing, until it is let in and belongs to the groups of its
/// invite, or is turned away and others may have its alias; nothing else ends the wait but a deactivation; method: two who
/// wait, with a message to each, a resume, a suspension, an approval, a denial, and each decision again.
#[test]
fn who_waits_is_decided_about() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    for (uid, alias) in [(BEN, BENS), (NOBODY, CATS)] {
        let nodes = vec![Node { num: NodeNum(1), secret: secret(uid, 1) }];
        let member = Member {
            uid,
            status: MemberStatus::Pending,
            nodes,
            revoked: Vec::new(),
            flags: tmtp_domain::MemberFlags::default(),
            notice: None,
        };
        rig.home.learn(HERE, member);
        rig.facts.names.insert((HERE, alias.into()), NameHolder::Member(uid));
    }
    rig.facts.names.insert((HERE, GROUP.into()), NameHolder::Group);
    rig.run((G1, 1), post(1, &[BEN])).posted();
    assert_eq!(rig.waiting(), 0);
    assert_eq!(rig.run((G2, 1), login(BEN, 1)).not_logged_in(), LoginRefusal::Failed);
    let status = |status| AdminChange::MemberStatus { uid: BEN, status };
    assert_eq!(refused(&mut rig, "a", status(MemberStatus::Active)), AdminRefusal::Conflict);
    assert_eq!(refused(&mut rig, "b", status(MemberStatus::Suspended)), AdminRefusal::Conflict);
    let suspend = AdminChange::Suspend { uid: BEN, reason: "r".into(), notice: None, until: None };
    assert_eq!(refused(&mut rig, "c", suspend), AdminRefusal::Conflict);

    let decide = |uid, admits, names: &[&str]| AdminChange::Decide {
        uid,
        admits,
        names: names.iter().map(|&name| name.to_owned()).collect(),
        groups: vec!["No group".into(), GROUP.into()],
    };
    let (outcome, _) = done(&mut rig, "d", decide(BEN, true, &[BENS]));
    assert_eq!(outcome, AdminOutcome::Member { status: MemberStatus::Active });
    let groups: Vec<&Change> =
        changes(&rig).into_iter().filter(|change| matches!(change, Change::Place { .. })).collect();
    let entered =
        |change: &Change, name: &str| matches!(change, Change::Place { gid, uid: BEN, .. } if gid == name);
    // One of them did not exist before.
    assert!(
        matches!(groups[..], [new, old] if entered(new, "No group") && entered(old, GROUP)),
        "{groups:?}"
    );
    rig.run((G1, 1), post(2, &[BEN])).posted();
    let told = rig.run((G2, 2), login(BEN, 1));
    assert_eq!(told.delivered((G2, 2)).len(), 4, "the groups' notices, the post and the login's notice");
    assert_eq!(refused(&mut rig, "e", decide(BEN, true, &[BENS])), AdminRefusal::Conflict);

    // Ben's alias is not Nobody's.
    let (outcome, _) = done(&mut rig, "f", decide(NOBODY, false, &[CATS, BENS]));
    assert_eq!(outcome, AdminOutcome::Member { status: MemberStatus::Deactivated });
    let free: Vec<&Change> =
        changes(&rig).into_iter().filter(|change| matches!(change, Change::NameGone { .. })).collect();
    assert!(matches!(free[..], [Change::NameGone { name, .. }] if name == CATS), "{free:?}");
    assert_eq!(refused(&mut rig, "g", decide(NOBODY, false, &[CATS])), AdminRefusal::Conflict);
    assert!(records(&rig).iter().all(|record| record.before.as_deref() == Some(r#"{"status":"pending"}"#)));
}

/// Goal: an alias that an admin gives is told to the member's nodes, is refused where the member's own wish would be, and
/// goes unless a group knows the member by it; method: give, give again, give to another, take.
#[test]
fn aliases_are_given_and_taken() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let add = |uid, alias: &str| AdminChange::AddAlias { uid, alias: alias.into() };
    let (_, told) = done(&mut rig, "a", add(ANN, ANNS));
    assert_eq!(told.contents((G1, 1)), [Content::NewAlias { alias: ANNS.into() }]);
    let (_, told) = done(&mut rig, "b", add(ANN, ANNS));
    assert!(told.contents((G1, 1)).is_empty(), "it has it already");
    assert_eq!(refused(&mut rig, "c", add(BEN, ANNS)), AdminRefusal::Conflict);
    assert_eq!(refused(&mut rig, "d", add(BEN, "short")), AdminRefusal::Invalid);
    assert_eq!(refused(&mut rig, "e", add(NOBODY, BENS)), AdminRefusal::NotFound);

    let take = || AdminChange::DropAlias { uid: ANN, alias: ANNS.into() };
    rig.facts.known.insert((HERE, ANN, ANNS.into()));
    assert_eq!(refused(&mut rig, "f", take()), AdminRefusal::Conflict);
    rig.facts.known.clear();
    done(&mut rig, "g", take());
    assert_eq!(changes(&rig).iter().filter(|change| matches!(change, Change::NameGone { .. })).count(), 1);
    assert_eq!(refused(&mut rig, "h", add(BEN, ANNS)), AdminRefusal::Conflict, "in the same batch");
    rig.facts.names.clear();
    done(&mut rig, "i", add(BEN, ANNS));
}

/// Goal: a reserved name can be taken by nobody until it is released; method: reserve, claim, release, and a name that is
/// a member's.
#[test]
fn reserved_names_are_kept() {
    let mut rig = Rig::new();
    let name = || "postmaster".to_owned();
    done(&mut rig, "a", AdminChange::Reserve { name: name() });
    assert_eq!(rig.facts.names[&(HERE, name())], NameHolder::Reserved);
    let claim = AdminChange::AddAlias { uid: ANN, alias: name() };
    assert_eq!(refused(&mut rig, "b", claim), AdminRefusal::Conflict);
    let found = AdminChange::Places {
        gid: name(),
        founds: true,
        add: Vec::new(),
        drop: Vec::new(),
        asked: Vec::new(),
    };
    assert_eq!(refused(&mut rig, "c", found), AdminRefusal::Conflict);
    done(&mut rig, "d", AdminChange::Release { name: name() });
    rig.facts.names.clear();
    assert_eq!(refused(&mut rig, "e", AdminChange::Release { name: name() }), AdminRefusal::NotFound);
    rig.facts.names.insert((HERE, ANNS.into()), NameHolder::Member(ANN));
    assert_eq!(refused(&mut rig, "f", AdminChange::Reserve { name: ANNS.into() }), AdminRefusal::Conflict);
}

/// Goal: a group that an admin makes has its members at once, who are told as usual, and each of a request is answered
/// for; method: make one with two, of whom one is nobody; add and drop; write to it.
#[test]
fn groups_are_made_and_changed() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    rig.facts.names.insert((HERE, ANNS.into()), NameHolder::Member(ANN));
    rig.facts.names.insert((HERE, BENS.into()), NameHolder::Member(BEN));
    let place = |uid, alias: &str| NewPlace { uid, alias: alias.into() };
    let member =
        |act, alias: &str| Content::Member { act, gid: GROUP.into(), alias: alias.into(), new_alias: None };
    let change =
        |founds, add, drop| AdminChange::Places { gid: GROUP.into(), founds, add, drop, asked: Vec::new() };
    assert_eq!(refused(&mut rig, "a", change(false, vec![place(ANN, ANNS)], vec![])), AdminRefusal::NotFound);
    let add = vec![place(ANN, ANNS), place(NOBODY, ANNS), place(BEN, ANNS)];
    let (outcome, told) = done(&mut rig, "b", change(true, add, vec![]));
    let AdminOutcome::Places { refusals, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusals.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(told.contents((G1, 1)), [member(GroupAct::Join, ANNS)]);
    assert_eq!(refused(&mut rig, "c", change(true, vec![], vec![])), AdminRefusal::Conflict);

    let (_, told) = done(&mut rig, "d", change(false, vec![place(BEN, BENS)], vec![]));
    assert_eq!(told.contents((G1, 1)), [member(GroupAct::Join, BENS)]);
    assert_eq!(told.contents((G1, 2)), [member(GroupAct::Join, BENS)]);
    let (_, told) = done(&mut rig, "e", change(false, vec![], vec![BEN, BEN]));
    assert_eq!(told.contents((G1, 1)), [member(GroupAct::Drop, BENS)], "once");
    assert_eq!(told.contents((G1, 2)), [member(GroupAct::Drop, BENS)]);
    let alias = AdminChange::DropAlias { uid: ANN, alias: ANNS.into() };
    assert_eq!(refused(&mut rig, "f", alias), AdminRefusal::Conflict, "the group knows her by it");

    let noted: Vec<[serde_json::Value; 2]> = records(&rig)
        .iter()
        .map(|record| {
            [&record.before, &record.after]
                .map(|text| serde_json::from_str(text.as_deref().unwrap()).unwrap())
        })
        .collect();
    let texts = |uids: &[Uid]| uids.iter().map(Uid::to_string).collect::<Vec<_>>();
    let before = |joined: &[Uid]| json!({ "group": GROUP, "joined": texts(joined) });
    let after = |added: &[Uid], dropped: &[Uid], refused: &[Uid]| {
        let [added, dropped, refused] = [added, dropped, refused].map(texts);
        json!({ "group": GROUP, "added": added, "dropped": dropped, "refused": refused })
    };
    let expected = [
        [before(&[]), after(&[ANN], &[], &[NOBODY, BEN])],
        [before(&[]), after(&[BEN], &[], &[])],
        [before(&[BEN, BEN]), after(&[], &[BEN, BEN], &[])],
    ];
    assert_eq!(noted, expected);
}

/// Goal: who is erased is gone at once, with what waits, and its names and even its uid can be had again in the same batch,
/// while nothing is written of what the batch was to write about it before; method: a member with a session, messages and an
/// alias of this very batch, erased, written to, and registered anew.
#[test]
fn who_is_erased_is_gone() {
    let mut rig = Rig::new();
    rig.member(HERE, BEN, 2);
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    rig.run((G1, 1), post(1, &[BEN]));
    rig.facts.names.insert((HERE, BENS.into()), NameHolder::Member(BEN));
    let before = rig.commits.len();
    let erase = || AdminChange::Erase { uid: BEN };
    let alias = AdminChange::AddAlias { uid: BEN, alias: CATS.into() };
    for (text, change) in [("a", alias), ("b", erase())] {
        rig.decide(ADMIN, enveloped(request(text, change)));
    }
    let told = rig.settle();
    assert_eq!(closed(&told), [(G1, 2)]);
    assert_eq!(rig.waiting(), 0);
    let rows = |rig: &Rig| -> Vec<Change> {
        let rows = rig.commits[before..].iter().flat_map(|commit| &commit.changes);
        rows.filter(|change| change.is_about_member(HERE, BEN)).cloned().collect()
    };
    assert!(
        rows(&rig).iter().all(|change| matches!(change, Change::NodeSeen { .. } | Change::DropInbox { .. })),
        "{:?}",
        rows(&rig)
    );
    assert!(changes(&rig).contains(&&Change::MemberGone { site: HERE, uid: BEN }));
    assert_eq!(refused(&mut rig, "c", erase()), AdminRefusal::NotFound);
    assert_eq!(rig.run((G2, 1), login(BEN, 1)).not_logged_in(), LoginRefusal::Failed);
    let alias = AdminChange::AddAlias { uid: ANN, alias: BENS.into() };
    done(&mut rig, "d", alias);
}

/// Goal: a deleted group is gone, and each of its members is told once, of itself; method: a group of two and an invited
/// one, deleted and asked for.
#[test]
fn a_deleted_group_is_gone() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    rig.log_in((G1, 2), BEN, 1);
    for (uid, alias) in [(ANN, ANNS), (BEN, BENS)] {
        rig.facts.names.insert((HERE, alias.into()), NameHolder::Member(uid));
    }
    let place = |uid, alias: &str| NewPlace { uid, alias: alias.into() };
    let add = vec![place(ANN, ANNS), place(BEN, BENS)];
    done(
        &mut rig,
        "a",
        AdminChange::Places { gid: GROUP.into(), founds: true, add, drop: Vec::new(), asked: Vec::new() },
    );
    let delete = || AdminChange::DeleteGroup { gid: GROUP.into() };
    let (_, told) = done(&mut rig, "b", delete());
    let dropped = |alias: &str| {
        vec![Content::Member { act: GroupAct::Drop, gid: GROUP.into(), alias: alias.into(), new_alias: None }]
    };
    assert_eq!((told.contents((G1, 1)), told.contents((G1, 2))), (dropped(ANNS), dropped(BENS)));
    assert!(changes(&rig).contains(&&Change::GroupGone { site: HERE, gid: GROUP.into() }));
    assert_eq!(refused(&mut rig, "c", delete()), AdminRefusal::NotFound);
    let alias = AdminChange::AddAlias { uid: ANN, alias: GROUP.into() };
    done(&mut rig, "d", alias);
}

/// Goal: sessions that begin and end are seen; method: a login and its end.
#[test]
fn nodes_are_seen() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    let seen = |rig: &Rig| changes(rig).iter().filter(|c| matches!(c, Change::NodeSeen { .. })).count();
    assert_eq!(seen(&rig), 1);
    rig.run((G1, 1), tmtp_contract::Command::Detach);
    assert_eq!(seen(&rig), 2);
}
