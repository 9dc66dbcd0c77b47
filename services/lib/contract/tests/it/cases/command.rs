//! Command entries of the present encoding, one or more for each command.

mod admin;

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use tmtp_contract::{
    Attach, Body, BodyRef, Command, CommandEntry, Credentials, DataInfo, Digest, Envelope, Showing, VERSION,
    Versioned,
};
use tmtp_domain::{
    BodyId, Epoch, GatewayId, GroupEdit, Identity, InviteId, MsgId, NodeNum, OhiAct, OhiItem, Recipient,
    RecipientKind, SessionId, SiteId,
};

use super::{Case, TRACE, Value, counting, hash, uid, uuid, written};

pub(super) fn envelope(command: Command) -> Envelope {
    Envelope { site: SiteId(uuid(0x20)), session: SessionId(7), seq: 300, trace: None, command }
}

pub(super) fn entry(commands: Vec<Envelope>) -> CommandEntry {
    let entry = CommandEntry { v: 1, gateway: GatewayId(uuid(0x10)), commands };
    assert!(entry.version() <= VERSION);
    entry
}

pub(super) fn one(path: &'static str, about: &'static str, command: Command) -> Case {
    written(path, about, Value::Command(entry(vec![envelope(command)])))
}

fn recipient(id: &str, kind: RecipientKind) -> Recipient {
    Recipient { id: id.into(), kind }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = registrations();
    cases.extend(sessions());
    cases.extend(edits());
    cases.extend(posts());
    cases.extend(posts_with_notes());
    cases.extend(texts());
    cases.extend(group_edits());
    cases.extend(ohi_edits());
    cases.extend(admin::cases());
    cases.extend(whole_entries());
    cases
}

fn registrations() -> Vec<Case> {
    vec![
        one(
            "v1/command/register",
            "a new user who wants an alias",
            Command::Register {
                credentials: None,
                uid: uid(0x40),
                secret: hash(0x60),
                label: "Ann's laptop".into(),
                alias: Some("Ann Léger".into()),
            },
        ),
        one(
            "v1/command/register_without_alias",
            "a new user who wants no alias and calls the node nothing",
            Command::Register {
                uid: uid(0x40),
                secret: hash(0x60),
                label: String::new(),
                alias: None,
                credentials: None,
            },
        ),
        one(
            "v1/command/register_with_credentials",
            "a new user who comes with a sign-in and the code of an invite",
            Command::Register {
                uid: uid(0x40),
                secret: hash(0x60),
                label: "phone".into(),
                alias: None,
                credentials: Some(Box::new(Credentials {
                    identity: Some(Identity {
                        provider: "invitation".into(),
                        issuer: "https://join.example/site".into(),
                        subject: "somebody".into(),
                        audience: "site".into(),
                        expires_at: 1_790_000_600,
                        token_digest: [0x21; 32],
                        alias: Some("Ann Bell".into()),
                        invite: Some(InviteId(uuid::Uuid::from_u128(0x33))),
                    }),
                    code: Some([0x44; 32]),
                    from: None,
                })),
            },
        ),
        one(
            "v1/command/register_from_an_address",
            "a new user who comes with the code of an invite, and from where",
            Command::Register {
                uid: uid(0x40),
                secret: hash(0x60),
                label: "phone".into(),
                alias: None,
                credentials: Some(Box::new(Credentials {
                    identity: None,
                    code: Some([0x44; 32]),
                    from: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
                })),
            },
        ),
        one(
            "v1/command/register_from_a_longer_address",
            "the same over IPv6",
            Command::Register {
                uid: uid(0x40),
                secret: hash(0x60),
                label: "phone".into(),
                alias: None,
                credentials: Some(Box::new(Credentials {
                    identity: None,
                    code: Some([0x44; 32]),
                    from: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into()),
                })),
            },
        ),
    ]
}

fn sessions() -> Vec<Case> {
    vec![
        one("v1/command/login", "a login", Command::Login { uid: uid(0x40), secret: hash(0x60) }),
        one(
            "v1/command/attach",
            "a session that goes on, with messages on their way and commands behind it",
            Command::Attach(Attach {
                uid: uid(0x40),
                node: NodeNum(2),
                in_flight: vec![MsgId(1_790_000_000_000_000_000), MsgId(1_790_000_000_000_000_001)],
                pending: 3,
                showing: None,
                seen: Vec::new(),
            }),
        ),
        one(
            "v1/command/attach_idle",
            "a session that goes on, with nothing open",
            Command::Attach(Attach {
                uid: uid(0x40),
                node: NodeNum(100),
                in_flight: Vec::new(),
                pending: 0,
                showing: None,
                seen: Vec::new(),
            }),
        ),
        one(
            "v1/command/attach_showing",
            "a session that goes on, shows presence to two users, and sees another",
            Command::Attach(Attach {
                uid: uid(0x40),
                node: NodeNum(2),
                in_flight: Vec::new(),
                pending: 1,
                showing: Some(Showing {
                    version: 1_790_000_000_000_000_000,
                    uids: vec![uid(0x50), uid(0x60)],
                }),
                seen: vec![uid(0x70)],
            }),
        ),
        one(
            "v1/command/attach_showing_nobody",
            "a session that goes on and shows presence to nobody any more",
            Command::Attach(Attach {
                uid: uid(0x40),
                node: NodeNum(2),
                in_flight: Vec::new(),
                pending: 0,
                showing: Some(Showing { version: 1, uids: Vec::new() }),
                seen: Vec::new(),
            }),
        ),
        one("v1/command/detach", "the end of a session; the command is a mere name", Command::Detach),
        one(
            "v1/command/present",
            "a gateway has attached its sessions",
            Command::Present { epoch: Epoch(70_000) },
        ),
        one(
            "v1/command/acks",
            "a node acked two messages",
            Command::Acks { ids: vec![MsgId(1_790_000_000_000_000_000), MsgId(u64::MAX)] },
        ),
    ]
}

fn edits() -> Vec<Case> {
    vec![
        one(
            "v1/command/alias",
            "a wanted alias, not checked yet: it may be longer than aliases are",
            Command::NewAlias { digest: Digest(counting(0x80)), alias: "x".repeat(300) },
        ),
        one(
            "v1/command/node",
            "a new node",
            Command::NewNode {
                digest: Digest(counting(0x80)),
                label: "phone".into(),
                node_id: "%+123456789BCDFGHJKLMNPQRSTVWXYZZZZZZZZZ".into(),
                secret: hash(0x60),
            },
        ),
    ]
}

fn posts() -> Vec<Case> {
    let post = |recipients, data, body| Command::Post {
        digest: Digest(counting(0x80)),
        recipients,
        data,
        body,
        front: None,
    };
    vec![
        one(
            "v1/command/post_empty",
            "a post to nobody but the own nodes, without data",
            post(Vec::new(), DataInfo::default(), Body::Empty),
        ),
        one(
            "v1/command/post_inline",
            "a post to recipients of every kind, its data here",
            post(
                vec![
                    recipient("%+123456789BCDFGHJKLMNPQRSTVWXYZ", RecipientKind::User),
                    recipient("the group", RecipientKind::Group),
                    recipient("", RecipientKind::GroupOthers),
                ],
                DataInfo { len: 7, head: 2, sum: u64::MAX },
                Body::Inline(Bytes::from_static(b"{}hello")),
            ),
        ),
        one(
            "v1/command/post_stored",
            "a post whose data is in the body store",
            post(
                vec![recipient("not checked yet: \u{fffd}", RecipientKind::User)],
                DataInfo { len: 5_000_000_000, head: 0, sum: 0 },
                Body::Stored(BodyRef { id: BodyId(uuid(0xA0)), len: 5_000_000_000, chunk: 1_048_576 }),
            ),
        ),
        one(
            "v1/command/post_front",
            "a post whose data is in the body store, with its datahead",
            Command::Post {
                digest: Digest(counting(0x80)),
                recipients: Vec::new(),
                data: DataInfo { len: 70_000, head: 15, sum: 0 },
                body: Body::Stored(BodyRef { id: BodyId(uuid(0xA0)), len: 70_000, chunk: 1_048_576 }),
                front: Some(Bytes::from_static(br#"{"Alias":"Ann"}"#)),
            },
        ),
    ]
}

fn posts_with_notes() -> Vec<Case> {
    vec![
        one(
            "v1/command/both",
            "a message to a user and the own nodes, and a note to two groups besides",
            Command::PostNotify {
                digest: Digest(counting(0x80)),
                recipients: vec![recipient("%+123456789BCDFGHJKLMNPQRSTVWXYZ", RecipientKind::User)],
                note_recipients: vec![
                    recipient("the group", RecipientKind::Group),
                    recipient("the others", RecipientKind::GroupOthers),
                ],
                for_not_self: false,
                data: DataInfo { len: 7, head: 2, sum: 123_456_789_012 },
                body: Body::Inline(Bytes::from_static(b"{}hello")),
                note: DataInfo { len: 3, head: 3, sum: 1 },
                note_body: Body::Inline(Bytes::from_static(b"[1]")),
                front: None,
                note_front: None,
            },
        ),
        one(
            "v1/command/both_stored",
            "a message that is not for the own nodes, and its note, both in the body store",
            Command::PostNotify {
                digest: Digest(counting(0x80)),
                recipients: Vec::new(),
                note_recipients: Vec::new(),
                for_not_self: true,
                data: DataInfo { len: 5_000_000_000, head: 0, sum: 0 },
                body: Body::Stored(BodyRef { id: BodyId(uuid(0xA0)), len: 5_000_000_000, chunk: 1_048_576 }),
                note: DataInfo { len: 70_000, head: 0, sum: 0 },
                note_body: Body::Stored(BodyRef { id: BodyId(uuid(0xB0)), len: 70_000, chunk: 1_048_576 }),
                front: None,
                note_front: None,
            },
        ),
        one(
            "v1/command/both_front",
            "a message and its note, both in the body store, with their dataheads",
            Command::PostNotify {
                digest: Digest(counting(0x80)),
                recipients: Vec::new(),
                note_recipients: Vec::new(),
                for_not_self: false,
                data: DataInfo { len: 80_000, head: 15, sum: 0 },
                body: Body::Stored(BodyRef { id: BodyId(uuid(0xA0)), len: 80_000, chunk: 1_048_576 }),
                note: DataInfo { len: 70_000, head: 2, sum: 0 },
                note_body: Body::Stored(BodyRef { id: BodyId(uuid(0xB0)), len: 70_000, chunk: 1_048_576 }),
                front: Some(Bytes::from_static(br#"{"Alias":"Ann"}"#)),
                note_front: Some(Bytes::from_static(b"{}")),
            },
        ),
    ]
}

fn texts() -> Vec<Case> {
    vec![
        one(
            "v1/command/ping",
            "a ping",
            Command::Ping {
                digest: Digest(counting(0x80)),
                from: "Ann Léger".into(),
                to: "Ben Lee B".into(),
                data: DataInfo { len: 2, head: 0, sum: 7 },
                body: Body::Inline(Bytes::from_static(b"hi")),
            },
        ),
        one(
            "v1/command/ping_empty",
            "a ping without text, its names not checked yet",
            Command::Ping {
                digest: Digest(counting(0x80)),
                from: ".".into(),
                to: "\0".into(),
                data: DataInfo::default(),
                body: Body::Empty,
            },
        ),
        one(
            "v1/command/invite",
            "an invitation into a group",
            Command::GroupInvite {
                digest: Digest(counting(0x80)),
                gid: "the group".into(),
                from: "Ann Léger".into(),
                to: "Ben Lee B".into(),
                data: DataInfo { len: 2, head: 0, sum: 7 },
                body: Body::Inline(Bytes::from_static(b"hi")),
            },
        ),
    ]
}

fn group_edits() -> Vec<Case> {
    let edit = |path, about, edit| {
        let command = Command::GroupEdit { digest: Digest(counting(0x80)), gid: "the group".into(), edit };
        one(path, about, command)
    };
    vec![
        edit(
            "v1/command/group_join",
            "joining a group under the alias that it knows",
            GroupEdit::Join { new_alias: None },
        ),
        edit(
            "v1/command/group_join_as",
            "joining a group under another alias",
            GroupEdit::Join { new_alias: Some("Ann Léger".into()) },
        ),
        edit(
            "v1/command/group_alias",
            "another alias in a group",
            GroupEdit::Alias { new_alias: "Ann Léger".into() },
        ),
        edit("v1/command/group_drop", "dropping a member", GroupEdit::Drop { to: "Ben Lee B".into() }),
    ]
}

fn ohi_edits() -> Vec<Case> {
    let edit = |path, about, act, list| {
        one(path, about, Command::OhiEdit { digest: Digest(counting(0x80)), act, list })
    };
    let item = |id: &str, kind| OhiItem { id: id.into(), kind };
    vec![
        edit(
            "v1/command/ohi_init",
            "a client shows presence to two users, of which one is not checked yet",
            OhiAct::Init,
            vec![item("%+123456789BCDFGHJKLMNPQRSTVWXYZ", 1), item("nobody", 0)],
        ),
        edit("v1/command/ohi_add", "one more, of an odd kind", OhiAct::Add, vec![item("V", -128)]),
        edit("v1/command/ohi_drop", "one less", OhiAct::Drop, vec![item("V", 0)]),
    ]
}

fn whole_entries() -> Vec<Case> {
    let mut traced = envelope(Command::Detach);
    traced.trace = Some(TRACE.into());
    let mut of_gateway = envelope(Command::Present { epoch: Epoch(1) });
    of_gateway.session = SessionId(0);
    of_gateway.seq = 0;
    let mut late = envelope(Command::Detach);
    late.session = SessionId(u64::MAX);
    late.seq = 5_000_000_000;
    vec![
        written(
            "v1/command/several",
            "several commands: one with a trace, one of the gateway itself, one with large numbers",
            Value::Command(entry(vec![traced, of_gateway, late])),
        ),
        written("v1/command/none", "an entry without commands", Value::Command(entry(Vec::new()))),
    ]
}
