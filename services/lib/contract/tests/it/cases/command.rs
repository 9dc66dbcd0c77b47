//! Command entries of the present encoding, one or more for each command.

use bytes::Bytes;
use tmtp_contract::{
    Attach, Body, BodyRef, Command, CommandEntry, DataInfo, Digest, Envelope, VERSION, Versioned,
};
use tmtp_domain::{BodyId, Epoch, GatewayId, MsgId, NodeNum, Recipient, RecipientKind, SessionId, SiteId};

use super::{Case, TRACE, Value, counting, hash, uid, uuid, written};

pub(super) fn envelope(command: Command) -> Envelope {
    Envelope { site: SiteId(uuid(0x20)), session: SessionId(7), seq: 300, trace: None, command }
}

pub(super) fn entry(commands: Vec<Envelope>) -> CommandEntry {
    let entry = CommandEntry { v: 1, gateway: GatewayId(uuid(0x10)), commands };
    assert!(entry.version() <= VERSION);
    entry
}

fn one(path: &'static str, about: &'static str, command: Command) -> Case {
    written(path, about, Value::Command(entry(vec![envelope(command)])))
}

fn recipient(id: &str, kind: RecipientKind) -> Recipient {
    Recipient { id: id.into(), kind }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sessions();
    cases.extend(edits());
    cases.extend(posts());
    cases.extend(whole_entries());
    cases
}

fn sessions() -> Vec<Case> {
    vec![
        one(
            "v1/command/register",
            "a new user who wants an alias",
            Command::Register {
                uid: uid(0x40),
                secret: hash(0x60),
                label: "Ann's laptop".into(),
                alias: Some("Ann Léger".into()),
            },
        ),
        one(
            "v1/command/register_without_alias",
            "a new user who wants no alias and calls the node nothing",
            Command::Register { uid: uid(0x40), secret: hash(0x60), label: String::new(), alias: None },
        ),
        one("v1/command/login", "a login", Command::Login { uid: uid(0x40), secret: hash(0x60) }),
        one(
            "v1/command/attach",
            "a session that goes on, with messages on their way and commands behind it",
            Command::Attach(Attach {
                uid: uid(0x40),
                node: NodeNum(2),
                in_flight: vec![MsgId(1_790_000_000_000_000_000), MsgId(1_790_000_000_000_000_001)],
                pending: 3,
            }),
        ),
        one(
            "v1/command/attach_idle",
            "a session that goes on, with nothing open",
            Command::Attach(Attach { uid: uid(0x40), node: NodeNum(100), in_flight: Vec::new(), pending: 0 }),
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
    let post =
        |recipients, data, body| Command::Post { digest: Digest(counting(0x80)), recipients, data, body };
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
