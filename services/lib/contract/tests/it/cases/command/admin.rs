//! Changes that admins ask for.

use tmtp_contract::{AdminChange, AdminRequest, AskedPlace, AuditNote, Command, NewPlace, Once, SetAway};
use tmtp_domain::{Away, GroupMode, GroupRule, KeyId, MemberStatus, MsgId, NodeNum, RequestId};

use super::super::{Case, counting, uid, uuid};
use super::one;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = members();
    cases.extend(places());
    cases.extend(rules());
    cases
}

fn asked(change: AdminChange) -> Command {
    Command::Admin(Box::new(AdminRequest {
        id: RequestId(uuid(0x70)),
        once: Once { key: KeyId(uuid(0x80)), text: "order 7".into(), digest: counting(0x90) },
        note: AuditNote {
            action: "member.suspend".into(),
            target: "the member".into(),
            from: "192.0.2.1".into(),
        },
        change,
    }))
}

fn members() -> Vec<Case> {
    vec![
        one("v1/command/admin_site", "the site's row has changed", asked(AdminChange::SiteChanged)),
        one(
            "v1/command/admin_member",
            "a member is suspended",
            asked(AdminChange::MemberStatus { uid: uid(0x40), status: MemberStatus::Suspended }),
        ),
        one(
            "v1/command/admin_disconnect",
            "the sessions of a member are closed",
            asked(AdminChange::Disconnect { uid: uid(0x40), node: None }),
        ),
        one(
            "v1/command/admin_disconnect_node",
            "the session of one node is closed",
            asked(AdminChange::Disconnect { uid: uid(0x40), node: Some(NodeNum(2)) }),
        ),
        one(
            "v1/command/admin_deactivate",
            "a member is deactivated",
            asked(AdminChange::MemberStatus { uid: uid(0x40), status: MemberStatus::Deactivated }),
        ),
        one(
            "v1/command/admin_approve",
            "a member that waits is let in",
            asked(AdminChange::Decide {
                uid: uid(0x40),
                admits: true,
                names: vec!["Ann Bell".into()],
                groups: vec!["The team".into()],
            }),
        ),
        one(
            "v1/command/admin_suspend",
            "a member is suspended for a while",
            asked(AdminChange::Suspend {
                uid: uid(0x40),
                reason: "unpaid".into(),
                notice: Some("call us".into()),
                until: Some(1_790_000_000_000),
            }),
        ),
    ]
}

fn places() -> Vec<Case> {
    vec![
        one("v1/command/admin_erase", "a member ends", asked(AdminChange::Erase { uid: uid(0x40) })),
        one(
            "v1/command/admin_ungroup",
            "a group ends",
            asked(AdminChange::DeleteGroup { gid: "The team".into() }),
        ),
        one(
            "v1/command/admin_online",
            "which nodes have a session?",
            asked(AdminChange::Online { uid: uid(0x40) }),
        ),
        one(
            "v1/command/admin_trace",
            "which steps of a message are not in rows yet?",
            asked(AdminChange::Trace { id: MsgId(1_790_000_000_000_000_000) }),
        ),
        one(
            "v1/command/admin_drop_queue",
            "what a node is owed is forgotten",
            asked(AdminChange::DropQueue { uid: uid(0x40), node: NodeNum(2) }),
        ),
        one(
            "v1/command/admin_revoke",
            "a node ends",
            asked(AdminChange::RevokeNode { uid: uid(0x40), node: NodeNum(2) }),
        ),
        one(
            "v1/command/admin_alias",
            "a member gets an alias",
            asked(AdminChange::AddAlias { uid: uid(0x40), alias: "Ann Bell".into() }),
        ),
        one(
            "v1/command/admin_unalias",
            "an alias is taken away",
            asked(AdminChange::DropAlias { uid: uid(0x40), alias: "Ann Bell".into() }),
        ),
        one(
            "v1/command/admin_reserve",
            "a name is reserved",
            asked(AdminChange::Reserve { name: "postmaster".into() }),
        ),
        one(
            "v1/command/admin_release",
            "a name is free again",
            asked(AdminChange::Release { name: "postmaster".into() }),
        ),
        one(
            "v1/command/admin_places",
            "a group is made",
            asked(AdminChange::Places {
                gid: "the group".into(),
                founds: true,
                add: vec![NewPlace { uid: uid(0x40), alias: "Ann Bell".into() }],
                drop: vec![uid(0x50)],
                asked: Vec::new(),
            }),
        ),
        one(
            "v1/command/admin_places_asked",
            "somebody leaves a group, and somebody who was asked for is not there",
            asked(AdminChange::Places {
                gid: "the group".into(),
                founds: false,
                add: Vec::new(),
                drop: vec![uid(0x50)],
                asked: vec![
                    AskedPlace { uid: None, problem: Some("there is no such member".into()) },
                    AskedPlace { uid: Some(uid(0x50)), problem: None },
                ],
            }),
        ),
    ]
}

fn rules() -> Vec<Case> {
    vec![
        one(
            "v1/command/admin_group_rule",
            "a group is one where only some post",
            asked(AdminChange::GroupRule {
                gid: "the group".into(),
                rule: GroupRule { mode: GroupMode::Announce, posters: [uid(0x40)].into() },
            }),
        ),
        one(
            "v1/command/admin_member_flags",
            "a member receives only, and is away",
            asked(AdminChange::MemberFlags {
                uid: uid(0x40),
                receive_only: Some(true),
                away: Some(SetAway::Away {
                    away: Away {
                        text: "back on Monday".into(),
                        until: Some(1_790_000_000_000),
                        delegate: Some(uid(0x50)),
                    },
                }),
            }),
        ),
        one(
            "v1/command/admin_member_back",
            "a member is there again",
            asked(AdminChange::MemberFlags { uid: uid(0x40), receive_only: None, away: Some(SetAway::Back) }),
        ),
    ]
}
