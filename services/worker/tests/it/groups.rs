//! Groups, forwarding and pings at their home: who is told what, in which order, and once. What the rules themselves say
//! is tested in `tmtp-domain`.

use bytes::Bytes;
use tmtp_contract::{Body, Command, Content, DataInfo};
use tmtp_domain::{GroupAct, GroupEdit, GroupStatus, Membership, NameHolder, Recipient, RecipientKind, Uid};
use tmtp_store::Change;
use tmtp_worker::home::{Limits, Window};

use crate::rig::{ANN, BEN, G1, G2, HERE, LIMITS, Rig, THERE, digest, new_alias, user};

/// A third user.
const CID: Uid = Uid([3; 20]);
const GROUP: &str = "The Group";

/// Ann with two nodes, Ben and Cid with one, each with an alias; Ann's second node and Cid are at the other gateway.
fn three() -> Rig {
    // Nobody acks here.
    let window = Window { count: 100, bytes: 1 << 20 };
    let mut rig = Rig::with(Limits { window, ..LIMITS }, &[]);
    for (uid, nodes, name) in [(ANN, 2, "Ann Bell"), (BEN, 1, "Ben Bell"), (CID, 1, "Cid Bell")] {
        rig.member(HERE, uid, nodes);
        rig.facts.names.insert((HERE, name.into()), NameHolder::Member(uid));
    }
    for (who, uid, node) in [((G1, 1), ANN, 1), ((G2, 2), ANN, 2), ((G1, 3), BEN, 1), ((G2, 4), CID, 1)] {
        rig.run(who, crate::rig::attach(uid, node, &[], 0));
    }
    rig
}

fn text(octets: &'static str) -> (DataInfo, Body) {
    let data = DataInfo { len: octets.len() as u64, head: 0, sum: 7 };
    (data, Body::Inline(Bytes::from_static(octets.as_bytes())))
}

fn invite(n: u8, from: &str, to: &str) -> Command {
    let (data, body) = text("join us");
    Command::GroupInvite {
        digest: digest(n),
        gid: GROUP.into(),
        from: from.into(),
        to: to.into(),
        data,
        body,
    }
}

fn edit(n: u8, edit: GroupEdit) -> Command {
    Command::GroupEdit { digest: digest(n), gid: GROUP.into(), edit }
}

fn join() -> GroupEdit {
    GroupEdit::Join { new_alias: None }
}

fn group(kind: RecipientKind) -> Recipient {
    Recipient { id: GROUP.into(), kind }
}

fn post_to(n: u8, recipients: Vec<Recipient>) -> Command {
    let (data, body) = text("hello");
    Command::Post { digest: digest(n), recipients, data, body, front: None }
}

fn member(act: GroupAct, alias: &str) -> Content {
    Content::Member { act, gid: GROUP.into(), alias: alias.into(), new_alias: None }
}

/// The group of all three.
fn founded() -> Rig {
    let mut rig = three();
    for (n, to, who) in [(1, "Ben Bell", (G1, 3)), (2, "Cid Bell", (G2, 4))] {
        rig.run((G1, 1), invite(n, "Ann Bell", to)).posted();
        rig.run(who, edit(n, join()));
    }
    rig
}

/// Goal: founding, inviting and joining reach those whom they concern, the invitation first; method: Ann invites Ben, who
/// joins; all devices look.
#[test]
fn a_group_begins() {
    let mut rig = three();
    let told = rig.run((G1, 1), invite(1, "Ann Bell", "Ben Bell"));
    let (id, posted) = told.posted();
    let invitation = Content::Invite { gid: GROUP.into(), alias: "Ann Bell".into(), to: "Ben Bell".into() };
    let news = member(GroupAct::Invite, "Ben Bell");
    assert_eq!(told.contents((G1, 1)), std::slice::from_ref(&news), "the sending node is a member's");
    assert_eq!(told.contents((G2, 2)), [invitation.clone(), news], "the sender's other node");
    assert_eq!(told.contents((G1, 3)), [invitation], "the invitee is no member yet");
    assert!(told.contents((G2, 4)).is_empty());
    let first = &told.messages((G1, 3))[0];
    assert_eq!((first.id, first.posted, first.data.sum), (id, posted, 7));
    let changes = &rig.commits.last().unwrap().changes;
    let place = |status, alias: &str| Membership { status, alias: alias.into() };
    let gid = || GROUP.to_owned();
    assert!(changes.contains(&Change::Group { site: HERE, gid: gid() }));
    let ann =
        Change::Place { site: HERE, gid: gid(), uid: ANN, place: place(GroupStatus::Joined, "Ann Bell") };
    let ben =
        Change::Place { site: HERE, gid: gid(), uid: BEN, place: place(GroupStatus::Invited, "Ben Bell") };
    assert_eq!(changes[1..], [ann, ben]);

    let told = rig.run((G1, 3), edit(2, join()));
    let news = [member(GroupAct::Join, "Ben Bell")];
    for who in [(G1, 1), (G2, 2), (G1, 3)] {
        assert_eq!(told.contents(who), news, "{who:?}");
    }
    assert!(told.contents((G2, 4)).is_empty());
}

/// Goal: a post to a group goes to its members, with or without the sender, and to nobody after an error; method: both
/// kinds, one who is invited only, one who is not.
#[test]
fn a_group_is_posted_to() {
    let mut rig = three();
    rig.run((G1, 1), invite(1, "Ann Bell", "Ben Bell")).posted();
    let all =
        |told: &crate::rig::Told| [(G1, 1), (G2, 2), (G1, 3), (G2, 4)].map(|who| told.contents(who).len());
    let told = rig.run((G1, 3), post_to(2, vec![group(RecipientKind::Group)]));
    assert_eq!(all(&told), [1, 1, 0, 0], "an invited one writes and does not receive");
    rig.run((G1, 3), edit(3, join()));
    let told = rig.run((G1, 1), post_to(4, vec![group(RecipientKind::Group)]));
    assert_eq!(all(&told), [1, 1, 1, 0]);
    let told = rig.run((G1, 1), post_to(5, vec![group(RecipientKind::GroupOthers), user(BEN)]));
    assert_eq!(all(&told), [0, 1, 1, 0]);
    let told = rig.run((G2, 4), post_to(6, vec![user(ANN), group(RecipientKind::Group)]));
    assert_eq!(told.refusal(), format!("GroupGetUsers: iByUid {CID} not a member"));
    assert_eq!(all(&told), [0; 4]);
}

/// Goal: who is dropped hears of it and gets nothing more; who leaves can come back; method: Ben drops Cid, Ann leaves
/// and joins again.
#[test]
fn members_go() {
    let mut rig = founded();
    let told = rig.run((G1, 3), edit(3, GroupEdit::Drop { to: "Cid Bell".into() }));
    let news = [member(GroupAct::Drop, "Cid Bell")];
    for who in [(G1, 1), (G2, 2), (G1, 3), (G2, 4)] {
        assert_eq!(told.contents(who), news, "{who:?}");
    }
    assert!(rig.run((G1, 1), post_to(4, vec![group(RecipientKind::Group)])).contents((G2, 4)).is_empty());
    let refusal = rig.run((G2, 4), edit(5, join())).refusal().to_owned();
    assert_eq!(refusal, format!("GroupJoin: iUid {CID} not invited"));
    let told = rig.run((G1, 1), edit(6, GroupEdit::Drop { to: "Ann Bell".into() }));
    assert_eq!(told.contents((G1, 1)), [member(GroupAct::Drop, "Ann Bell")], "the sending node is told, too");
    assert!(rig.run((G1, 3), post_to(7, vec![group(RecipientKind::Group)])).contents((G1, 1)).is_empty());
    rig.run((G1, 1), edit(8, join()));
    assert_eq!(rig.run((G1, 3), post_to(9, vec![group(RecipientKind::Group)])).contents((G1, 1)).len(), 1);
}

/// Goal: a request that is repeated gets the same answer and has no second effect; method: each kind twice, the second
/// time after the state has moved on.
#[test]
fn repetitions_have_no_effect() {
    let mut rig = three();
    let first = rig.run((G1, 1), invite(1, "Ann Bell", "Ben Bell")).posted();
    rig.run((G1, 3), edit(2, join()));
    rig.run((G1, 1), edit(3, GroupEdit::Drop { to: "Ben Bell".into() }));
    let told = rig.run((G1, 1), invite(1, "Ann Bell", "Ben Bell"));
    assert_eq!(told.posted(), first);
    assert!(told.0.pushes.is_empty());
    assert!(rig.run((G1, 3), edit(2, join())).0.pushes.is_empty());
    assert_eq!(rig.run((G1, 3), edit(9, join())).refusal(), format!("GroupJoin: iUid {BEN} not invited"));
    let (data, body) = text("hi");
    let ping =
        Command::Ping { digest: digest(4), from: "Ann Bell".into(), to: "Cid Bell".into(), data, body };
    let told = rig.run((G1, 1), ping.clone());
    let content = [Content::Ping { alias: "Ann Bell".into(), to: "Cid Bell".into() }];
    assert_eq!((told.contents((G2, 4)), told.contents((G2, 2))), (content.to_vec(), content.to_vec()));
    assert!(told.contents((G1, 1)).is_empty());
    let again = rig.run((G1, 1), ping);
    assert_eq!(again.posted(), told.posted());
    assert!(again.0.pushes.is_empty());
}

/// Goal: a message and its note are one: ids, receivers, counts, and errors; method: every kind of list, then strangers in
/// either list, with stored bodies.
#[test]
fn a_message_and_its_note_are_one() {
    let mut rig = founded();
    let forward = |n, recipients, note_recipients, for_not_self| {
        let ((data, body), (note, note_body)) = (text("the message"), text("note"));
        Command::PostNotify {
            digest: digest(n),
            recipients,
            note_recipients,
            for_not_self,
            data,
            body,
            note,
            note_body,
            front: None,
            note_front: None,
        }
    };
    let told = rig.run((G1, 1), forward(3, vec![user(BEN)], vec![user(CID)], false));
    let (id, posted) = told.posted();
    let both = [Content::Delivery { notify: 3 }, Content::Notify { post_id: id }];
    assert_eq!(told.contents((G1, 3)), both);
    assert_eq!(told.contents((G2, 2)), both, "the sender's other node");
    assert_eq!(told.contents((G2, 4)), both[1..]);
    assert!(told.contents((G1, 1)).is_empty());
    let ben: Vec<_> = told.messages((G1, 3)).iter().map(|m| (m.id, m.posted, m.data.len)).collect();
    assert!(ben[0] == (id, posted, 11) && ben[1].0 > id && ben[1].1 == posted && ben[1].2 == 4, "{ben:?}");
    let told = rig.run((G1, 1), forward(3, vec![user(BEN)], vec![user(CID)], false));
    assert!(told.posted() == (id, posted) && told.0.pushes.is_empty());

    let told = rig.run((G1, 1), forward(4, vec![group(RecipientKind::GroupOthers)], vec![], true));
    let id = told.posted().0;
    let both = [Content::Delivery { notify: 1 }, Content::Notify { post_id: id }];
    assert_eq!(told.contents((G2, 2)), both[1..], "the note goes to one's own nodes in any case");
    assert_eq!(told.contents((G1, 3)), both);

    let nobody = Uid([9; 20]);
    for (n, lists) in [(5, (vec![user(nobody)], vec![])), (6, (vec![user(BEN)], vec![user(nobody)]))] {
        let told = rig.run((G1, 1), forward(n, lists.0, lists.1, false));
        assert_eq!(told.refusal(), format!("OpenNodes: iUid {nobody} not found"));
        assert!(told.0.pushes.is_empty());
    }
}

/// Goal: groups and aliases are one name space, within a batch, too, and none of another site; method: claim a group's
/// name, found a group under an alias, and try both from another site.
#[test]
fn names_are_of_one_kind() {
    let mut rig = founded();
    let refusal = rig.run((G1, 3), new_alias(3, GROUP)).refusal().to_owned();
    assert_eq!(refusal, format!("AddAlias: alias {GROUP} not available"));
    let (data, body) = text("x");
    let under_alias = Command::GroupInvite {
        digest: digest(4),
        gid: "Cid Bell".into(),
        from: "Ann Bell".into(),
        to: "Ben Bell".into(),
        data,
        body,
    };
    let refusal = rig.run((G1, 1), under_alias).refusal().to_owned();
    assert_eq!(refusal, "GroupInvite: gid Cid Bell not available");
    rig.member(THERE, ANN, 1);
    rig.run_in(THERE, (G1, 9), crate::rig::attach(ANN, 1, &[], 0));
    let refusal = rig.run_in(THERE, (G1, 9), edit(5, join())).refusal().to_owned();
    assert_eq!(refusal, format!("GroupJoin: iGid {GROUP} not found"));
}
