//! Makes values of the contract at random, and MessagePack of any shape. What it makes must encode; it need not make
//! sense. Strategies made of several others are boxed: they would not fit on the stack of a test otherwise.

mod admin;
mod msgpack;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tmtp_contract::{
    Answer, Attach, Body, BodyRef, Command, CommandEntry, Content, Credentials, DataInfo, Digest, Effect,
    Ended, Envelope, Event, EventEntry, JournalEntry, LoginRefusal, Message, MessageRecord, Receipt,
    ReceiptKey, Showing, Step, StepKind, TracePack, VERSION,
};
use tmtp_domain::{
    BodyId, Epoch, GatewayId, GroupAct, GroupEdit, Identity, InviteId, MsgId, NodeNum, OhiAct, OhiItem, Owed,
    Posted, Recipient, RecipientKind, RequestId, SecretHash, SessionId, ShardId, SiteId, Uid, WorkerId,
};
use uuid::Uuid;

use self::admin::{admin_answer, admin_request};
pub use self::msgpack::{any_msgpack, collection};
use crate::cases::Value;

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn uid() -> impl Strategy<Value = Uid> {
    any::<[u8; 20]>().prop_map(Uid)
}

fn hash() -> impl Strategy<Value = SecretHash> {
    any::<[u8; 32]>().prop_map(SecretHash)
}

fn node() -> impl Strategy<Value = NodeNum> {
    any::<i16>().prop_map(NodeNum)
}

fn msg_id() -> impl Strategy<Value = MsgId> {
    any::<u64>().prop_map(MsgId)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<u64>().prop_map(SessionId)
}

fn text() -> impl Strategy<Value = String> {
    any::<String>()
}

fn body() -> BoxedStrategy<Body> {
    let stored = (uuid(), any::<u64>(), any::<u32>())
        .prop_map(|(id, len, chunk)| Body::Stored(BodyRef { id: BodyId(id), len, chunk }));
    let inline = vec(any::<u8>(), 0..300).prop_map(|octets| Body::Inline(Bytes::from(octets)));
    prop_oneof![Just(Body::Empty), inline, stored].boxed()
}

fn data() -> impl Strategy<Value = DataInfo> {
    any::<(u64, u64, u64)>().prop_map(|(len, head, sum)| DataInfo { len, head, sum })
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let kinds = [RecipientKind::User, RecipientKind::Group, RecipientKind::GroupOthers];
    (text(), prop::sample::select(kinds.to_vec())).prop_map(|(id, kind)| Recipient { id, kind })
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 16]>().prop_map(Digest)
}

fn group_act() -> impl Strategy<Value = GroupAct> {
    prop::sample::select(vec![GroupAct::Invite, GroupAct::Join, GroupAct::Alias, GroupAct::Drop])
}

fn ohi_act() -> impl Strategy<Value = OhiAct> {
    prop::sample::select(vec![OhiAct::Init, OhiAct::Add, OhiAct::Drop])
}

fn ohi_list() -> impl Strategy<Value = Vec<OhiItem>> {
    vec((text(), any::<i8>()).prop_map(|(id, kind)| OhiItem { id, kind }), 0..4)
}

fn attach() -> BoxedStrategy<Attach> {
    let showing = (any::<u64>(), vec(uid(), 0..4)).prop_map(|(version, uids)| Showing { version, uids });
    (uid(), node(), vec(msg_id(), 0..4), any::<u64>(), option::of(showing), vec(uid(), 0..4))
        .prop_map(|(uid, node, in_flight, pending, showing, seen)| Attach {
            uid,
            node,
            in_flight,
            pending,
            showing,
            seen,
        })
        .boxed()
}

fn front() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..20).prop_map(Bytes::from))
}

fn post_notify() -> BoxedStrategy<Command> {
    let lists = (vec(recipient(), 0..4), vec(recipient(), 0..4), any::<bool>());
    (digest(), lists, data(), body(), data(), body(), (front(), front()))
        .prop_map(
            |(
                digest,
                (recipients, note_recipients, for_not_self),
                data,
                body,
                note,
                note_body,
                (front, note_front),
            )| {
                Command::PostNotify {
                    digest,
                    recipients,
                    note_recipients,
                    for_not_self,
                    data,
                    body,
                    note,
                    note_body,
                    front,
                    note_front,
                }
            },
        )
        .boxed()
}

fn talk() -> BoxedStrategy<Command> {
    let edit = prop_oneof![
        option::of(text()).prop_map(|new_alias| GroupEdit::Join { new_alias }),
        text().prop_map(|new_alias| GroupEdit::Alias { new_alias }),
        text().prop_map(|to| GroupEdit::Drop { to }),
    ];
    prop_oneof![
        (digest(), text(), text(), data(), body()).prop_map(|(digest, from, to, data, body)| Command::Ping {
            digest,
            from,
            to,
            data,
            body
        }),
        (digest(), text(), text(), text(), data(), body()).prop_map(|(digest, gid, from, to, data, body)| {
            Command::GroupInvite { digest, gid, from, to, data, body }
        }),
        (digest(), text(), edit).prop_map(|(digest, gid, edit)| Command::GroupEdit { digest, gid, edit }),
        (digest(), ohi_act(), ohi_list()).prop_map(|(digest, act, list)| Command::OhiEdit {
            digest,
            act,
            list
        }),
        post_notify(),
    ]
    .boxed()
}

fn credentials() -> BoxedStrategy<Credentials> {
    let identity =
        (text(), text(), any::<[u8; 32]>(), any::<i64>(), option::of(text()), option::of(any::<u128>()))
            .prop_map(|(issuer, subject, token_digest, expires_at, alias, invite)| Identity {
                provider: "p".into(),
                issuer,
                subject,
                audience: "a".into(),
                expires_at,
                token_digest,
                alias,
                invite: invite.map(|id| InviteId(Uuid::from_u128(id))),
            });
    (option::of(identity), option::of(any::<[u8; 32]>()), option::of(any::<IpAddr>()))
        .prop_map(|(identity, code, from)| Credentials { identity, code, from })
        .boxed()
}

fn command() -> BoxedStrategy<Command> {
    prop_oneof![
        (uid(), hash(), text(), option::of(text()), option::of(credentials())).prop_map(
            |(uid, secret, label, alias, credentials)| Command::Register {
                uid,
                secret,
                label,
                alias,
                credentials: credentials.map(Box::new)
            }
        ),
        (uid(), hash()).prop_map(|(uid, secret)| Command::Login { uid, secret }),
        attach().prop_map(Command::Attach),
        Just(Command::Detach),
        any::<i64>().prop_map(|epoch| Command::Present { epoch: Epoch(epoch) }),
        (digest(), text()).prop_map(|(digest, alias)| Command::NewAlias { digest, alias }),
        (digest(), text(), text(), hash()).prop_map(|(digest, label, node_id, secret)| Command::NewNode {
            digest,
            label,
            node_id,
            secret
        }),
        (digest(), vec(recipient(), 0..4), data(), body(), front()).prop_map(
            |(digest, recipients, data, body, front)| Command::Post { digest, recipients, data, body, front }
        ),
        vec(msg_id(), 0..20).prop_map(|ids| Command::Acks { ids }),
        admin_request().prop_map(|request| Command::Admin(Box::new(request))),
        talk(),
    ]
    .boxed()
}

fn command_entry() -> impl Strategy<Value = CommandEntry> {
    let envelope = (uuid(), session(), any::<u64>(), option::of(text()), command()).prop_map(
        |(site, session, seq, trace, command)| Envelope { site: SiteId(site), session, seq, trace, command },
    );
    (uuid(), vec(envelope.boxed(), 0..5))
        .prop_map(|(gateway, commands)| CommandEntry::new(GatewayId(gateway), commands))
}

fn content() -> BoxedStrategy<Content> {
    prop_oneof![
        any::<u64>().prop_map(|notify| Content::Delivery { notify }),
        Just(Content::Login),
        text().prop_map(|alias| Content::NewAlias { alias }),
        (text(), text()).prop_map(|(label, node_id)| Content::NewNode { label, node_id }),
        msg_id().prop_map(|post_id| Content::Notify { post_id }),
        (text(), text()).prop_map(|(alias, to)| Content::Ping { alias, to }),
        (text(), text(), text()).prop_map(|(gid, alias, to)| Content::Invite { gid, alias, to }),
        (group_act(), text(), text(), option::of(text()))
            .prop_map(|(act, gid, alias, new_alias)| Content::Member { act, gid, alias, new_alias }),
        (ohi_act(), ohi_list()).prop_map(|(act, list)| Content::OhiEdit { act, list }),
    ]
    .boxed()
}

/// Any message.
pub fn message() -> BoxedStrategy<Message> {
    (msg_id(), any::<i64>(), uid(), content(), data(), body())
        .prop_map(|(id, posted, from, content, data, body)| Message {
            id,
            posted: Posted(posted),
            from,
            content,
            data,
            body,
        })
        .boxed()
}

fn answer() -> BoxedStrategy<Answer> {
    let refusals = [
        LoginRefusal::Failed,
        LoginRefusal::AlreadyConnected,
        LoginRefusal::RegistrationClosed,
        LoginRefusal::RegistrationFailed,
        LoginRefusal::Invite,
        LoginRefusal::AlreadyMember,
        LoginRefusal::Alias,
    ];
    prop_oneof![
        (node(), option::of(text())).prop_map(|(node, alias_error)| Answer::Registered { node, alias_error }),
        option::of(text()).prop_map(|alias_error| Answer::Waiting { alias_error }),
        (node(), vec(uid(), 0..4)).prop_map(|(node, ohi)| Answer::LoggedIn { node, ohi }),
        prop::sample::select(refusals.to_vec()).prop_map(Answer::NotLoggedIn),
        Just(Answer::Attached),
        Just(Answer::Done),
        (msg_id(), any::<i64>())
            .prop_map(|(msg_id, posted)| Answer::Posted { msg_id, posted: Posted(posted) }),
        text().prop_map(Answer::Refused),
    ]
    .boxed()
}

fn event() -> BoxedStrategy<Event> {
    prop_oneof![
        (session(), any::<u64>(), answer(), option::of(text()))
            .prop_map(|(session, seq, answer, trace)| Event::Answer { session, seq, answer, trace }),
        (session(), any::<u64>(), message().prop_map(Arc::new), option::of(text()))
            .prop_map(|(session, opened, message, trace)| Event::Deliver { session, opened, message, trace }),
        (session(), any::<u64>(), text()).prop_map(|(session, opened, reason)| Event::Close {
            session,
            opened,
            reason
        }),
        (session(), any::<u64>(), vec(uid(), 0..4), vec(uid(), 0..4))
            .prop_map(|(session, opened, online, offline)| Event::Ohi { session, opened, online, offline }),
        (session(), any::<[u64; 2]>(), any::<bool>(), vec(uid(), 0..4), vec(uid(), 0..4)).prop_map(
            |(session, [opened, version], full, added, dropped)| Event::Shows {
                session,
                opened,
                version,
                full,
                added,
                dropped
            }
        ),
        (session(), any::<u64>()).prop_map(|(session, seq)| Event::Lost { session, seq }),
        (uuid(), admin_answer())
            .prop_map(|(request, answer)| Event::Admin { request: RequestId(request), answer }),
        session().prop_map(|session| Event::Probe { session }),
        any::<(u16, i64)>()
            .prop_map(|(shard, epoch)| Event::Rehome { shard: ShardId(shard), epoch: Epoch(epoch) }),
    ]
    .boxed()
}

fn event_entry() -> impl Strategy<Value = EventEntry> {
    (uuid(), any::<u64>(), vec((session(), any::<u64>()), 0..4), vec(event(), 0..5))
        .prop_map(|(worker, number, done, events)| EventEntry::new(WorkerId(worker), number, done, events))
}

fn receipt() -> impl Strategy<Value = Receipt> {
    any::<([u8; 16], i64, u64)>().prop_map(|(key, posted, id)| Receipt {
        key: ReceiptKey(key),
        posted: Posted(posted),
        msg_id: MsgId(id),
    })
}

fn ended() -> impl Strategy<Value = Option<Ended>> {
    prop::sample::select(vec![None, Some(Ended::Expired), Some(Ended::Returned)])
}

/// Any steps: at devices that are named or not, and by users.
pub fn step() -> BoxedStrategy<Step> {
    let kind = || prop::sample::select(StepKind::ALL.to_vec());
    let device = (kind(), -9_i64..9_000, uid(), 0..i16::MAX).prop_map(|(kind, at_ms, uid, node)| Step {
        gateway: (kind == StepKind::Sent).then_some(GatewayId(Uuid::from_u128(7))),
        ..Step::at_device(kind, at_ms, uid, NodeNum(node))
    });
    let device = device.prop_map(|step| match step.kind {
        StepKind::Queued | StepKind::Sent | StepKind::Acked | StepKind::Expired => step,
        StepKind::Accepted | StepKind::Committed | StepKind::Returned => Step { devices: 0, ..step },
    });
    let many = (kind(), any::<i64>(), any::<u32>());
    prop_oneof![device, many.prop_map(|(kind, at_ms, devices)| Step::at_devices(kind, at_ms, devices))]
        .boxed()
}

/// Steps in the order of their messages.
pub fn steps() -> BoxedStrategy<Vec<(MsgId, Step)>> {
    let steps = vec((prop_oneof![0..9_u64, any::<u64>()].prop_map(MsgId), step()), 0..40);
    steps
        .prop_map(|mut steps| {
            steps.sort_by_key(|(id, _)| *id);
            steps
        })
        .boxed()
}

fn effect() -> BoxedStrategy<Effect> {
    let owed = (uid(), vec(node(), 0..4)).prop_map(|(uid, nodes)| Owed { uid, nodes });
    let site = || uuid().prop_map(SiteId);
    prop_oneof![
        (site(), message().prop_map(Arc::new), vec(owed, 0..4), option::of(node()))
            .prop_map(|(site, message, owed, node)| Effect::Queued { site, message, owed, node }),
        (site(), uid(), node(), vec(msg_id(), 0..4), ended())
            .prop_map(|(site, uid, node, ids, ended)| Effect::Acked { site, uid, node, ids, ended }),
        (site(), uid(), node(), node()).prop_map(|(site, uid, from, to)| Effect::Copied {
            site,
            uid,
            from,
            to
        }),
        (site(), uid(), node()).prop_map(|(site, uid, node)| Effect::Dropped { site, uid, node }),
        receipt().prop_map(Effect::Receipt),
    ]
    .boxed()
}

/// A value of any kind that is stored or sent.
pub fn value() -> BoxedStrategy<Value> {
    prop_oneof![
        command_entry().prop_map(Value::Command),
        event_entry().prop_map(Value::Event),
        (vec(effect(), 0..5), option::of(any::<i64>())).prop_map(|(effects, at_ms)| Value::Journal(
            JournalEntry { at_ms, ..JournalEntry::new(effects) }
        )),
        steps().prop_map(|steps| Value::Trace(TracePack::new(&steps))),
        message().prop_map(|message| Value::Message(MessageRecord { v: VERSION, message })),
        vec(receipt(), 0..5).prop_map(Value::Receipts),
    ]
    .boxed()
}
