//! What admins ask for, and what they are told.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tmtp_contract::{
    AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, AdminRequest, AskedPlace, AuditNote, NewPlace,
    Once, SetAway, TracePack,
};
use tmtp_domain::{Away, GroupMode, GroupRule, KeyId, MemberStatus, RequestId};

use super::{msg_id, node, steps, text, uid, uuid};

fn member_status() -> impl Strategy<Value = MemberStatus> {
    prop::sample::select(vec![
        MemberStatus::Active,
        MemberStatus::Suspended,
        MemberStatus::Deactivated,
        MemberStatus::Pending,
    ])
}

fn group_rule() -> impl Strategy<Value = GroupRule> {
    use GroupMode::{Announce, Closed, Free, Moderated, Open};
    (prop::sample::select(vec![Free, Closed, Moderated, Announce, Open]), vec(uid(), 0..3))
        .prop_map(|(mode, posters)| GroupRule { mode, posters: posters.into_iter().collect() })
}

fn set_away() -> impl Strategy<Value = SetAway> {
    let away = (text(), option::of(any::<i64>()), option::of(uid()))
        .prop_map(|(text, until, delegate)| SetAway::Away { away: Away { text, until, delegate } });
    prop_oneof![Just(SetAway::Back), away]
}

pub(super) fn admin_request() -> BoxedStrategy<AdminRequest> {
    let change = prop_oneof![
        Just(AdminChange::SiteChanged),
        (uid(), member_status()).prop_map(|(uid, status)| AdminChange::MemberStatus { uid, status }),
        (uid(), option::of(node())).prop_map(|(uid, node)| AdminChange::Disconnect { uid, node }),
        (uid(), text(), option::of(text()), option::of(any::<i64>()))
            .prop_map(|(uid, reason, notice, until)| AdminChange::Suspend { uid, reason, notice, until }),
        uid().prop_map(|uid| AdminChange::Online { uid }),
        msg_id().prop_map(|id| AdminChange::Trace { id }),
        uid().prop_map(|uid| AdminChange::Erase { uid }),
        text().prop_map(|gid| AdminChange::DeleteGroup { gid }),
        (uid(), any::<bool>(), vec(text(), 0..3), vec(text(), 0..3))
            .prop_map(|(uid, admits, names, groups)| AdminChange::Decide { uid, admits, names, groups }),
        (uid(), node()).prop_map(|(uid, node)| AdminChange::DropQueue { uid, node }),
        (uid(), node()).prop_map(|(uid, node)| AdminChange::RevokeNode { uid, node }),
        (uid(), text()).prop_map(|(uid, alias)| AdminChange::AddAlias { uid, alias }),
        (uid(), text()).prop_map(|(uid, alias)| AdminChange::DropAlias { uid, alias }),
        text().prop_map(|name| AdminChange::Reserve { name }),
        text().prop_map(|name| AdminChange::Release { name }),
        (text(), any::<bool>(), vec((uid(), text()), 0..3), vec(uid(), 0..3), asked_places()).prop_map(
            |(gid, founds, add, drop, asked)| {
                let add = add.into_iter().map(|(uid, alias)| NewPlace { uid, alias }).collect();
                AdminChange::Places { gid, founds, add, drop, asked }
            }
        ),
        (text(), group_rule()).prop_map(|(gid, rule)| AdminChange::GroupRule { gid, rule }),
        (uid(), option::of(any::<bool>()), option::of(set_away()))
            .prop_map(|(uid, receive_only, away)| AdminChange::MemberFlags { uid, receive_only, away }),
    ];
    let once = (uuid(), text(), any::<[u8; 32]>()).prop_map(|(key, text, digest)| Once {
        key: KeyId(key),
        text,
        digest,
    });
    let note = (text(), text(), text()).prop_map(|(action, target, from)| AuditNote { action, target, from });
    (uuid(), once, note, change)
        .prop_map(|(id, once, note, change)| AdminRequest { id: RequestId(id), once, note, change })
        .boxed()
}

fn asked_places() -> BoxedStrategy<Vec<AskedPlace>> {
    let asked =
        (option::of(uid()), option::of(text())).prop_map(|(uid, problem)| AskedPlace { uid, problem });
    vec(asked, 0..3).boxed()
}

pub(super) fn admin_answer() -> BoxedStrategy<AdminAnswer> {
    let reasons = [
        AdminRefusal::NotFound,
        AdminRefusal::Conflict,
        AdminRefusal::Invalid,
        AdminRefusal::Reused,
        AdminRefusal::Internal,
    ];
    prop_oneof![
        Just(AdminAnswer::Done { outcome: AdminOutcome::Site }),
        member_status().prop_map(|status| AdminAnswer::Done { outcome: AdminOutcome::Member { status } }),
        any::<u32>().prop_map(|sessions| AdminAnswer::Done { outcome: AdminOutcome::Closed { sessions } }),
        Just(AdminAnswer::Done { outcome: AdminOutcome::Changed }),
        (steps(), any::<(u32, u32)>()).prop_map(|(steps, (owed, acks))| AdminAnswer::Done {
            outcome: AdminOutcome::Trace { pack: Box::new(TracePack::new(&steps)), owed, acks }
        }),
        vec(node(), 0..3).prop_map(|nodes| AdminAnswer::Done { outcome: AdminOutcome::Online { nodes } }),
        (vec(option::of(text()), 0..3), asked_places()).prop_map(|(refusals, asked)| AdminAnswer::Done {
            outcome: AdminOutcome::Places { refusals, asked }
        }),
        (prop::sample::select(reasons.to_vec()), text())
            .prop_map(|(reason, text)| AdminAnswer::Refused { reason, text }),
    ]
    .boxed()
}
