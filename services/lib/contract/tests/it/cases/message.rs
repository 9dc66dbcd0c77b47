//! Message records of the present encoding, one or more for each content and body.

use bytes::Bytes;
use tmtp_contract::{Body, BodyRef, Content, DataInfo, Message, MessageRecord};
use tmtp_domain::{BodyId, GroupAct, MsgId, OhiAct, OhiItem, Posted};

use super::{Case, Value, uid, uuid, written};

/// A plain delivery.
pub(super) fn message(body: Body) -> Message {
    Message {
        id: MsgId(1_790_000_000_000_000_000),
        posted: Posted(1_790_000_000_000),
        from: uid(0x40),
        content: Content::Delivery { notify: 0 },
        data: DataInfo { len: 7, head: 2, sum: 123_456_789_012 },
        body,
    }
}

fn one(path: &'static str, about: &'static str, message: Message) -> Case {
    written(path, about, Value::Message(MessageRecord { v: 1, message }))
}

fn of_server(content: Content) -> Message {
    Message { content, data: DataInfo::default(), ..message(Body::Empty) }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(notes_and_texts());
    cases.extend(changes());
    cases
}

fn notes_and_texts() -> Vec<Case> {
    let with_text = |content| Message { content, ..message(Body::Inline(Bytes::from_static(b"hi"))) };
    vec![
        one(
            "v1/message/notify",
            "a note of a message",
            with_text(Content::Notify { post_id: MsgId(1_789_999_999_999_999_999) }),
        ),
        one(
            "v1/message/ping",
            "a ping",
            with_text(Content::Ping { alias: "Ann Léger".into(), to: "Ben Lee B".into() }),
        ),
        one(
            "v1/message/invite",
            "an invitation",
            with_text(Content::Invite {
                gid: "the group".into(),
                alias: "Ann Léger".into(),
                to: "Ben Lee B".into(),
            }),
        ),
    ]
}

fn changes() -> Vec<Case> {
    let member = |path, about, act, new_alias: Option<&str>| {
        let content = Content::Member {
            act,
            gid: "the group".into(),
            alias: "Ben Lee B".into(),
            new_alias: new_alias.map(Into::into),
        };
        one(path, about, of_server(content))
    };
    vec![
        member("v1/message/member_invite", "somebody is invited into a group", GroupAct::Invite, None),
        member("v1/message/member_join", "somebody joined a group", GroupAct::Join, None),
        member("v1/message/member_alias", "a member is known otherwise", GroupAct::Alias, Some("Benjamin")),
        member("v1/message/member_drop", "somebody left a group", GroupAct::Drop, None),
        one(
            "v1/message/ohiedit_add",
            "the user shows presence to one more",
            of_server(Content::OhiEdit {
                act: OhiAct::Add,
                list: vec![OhiItem { id: "%+123456789BCDFGHJKLMNPQRSTVWXYZ".into(), kind: 1 }],
            }),
        ),
        one(
            "v1/message/ohiedit_drop",
            "the user shows presence to one less",
            of_server(Content::OhiEdit {
                act: OhiAct::Drop,
                list: vec![OhiItem { id: "%+123456789BCDFGHJKLMNPQRSTVWXYZ".into(), kind: 0 }],
            }),
        ),
    ]
}

fn plain() -> Vec<Case> {
    let stored = BodyRef { id: BodyId(uuid(0xA0)), len: 5_000_000_000, chunk: 1_048_576 };
    let mut noted = message(Body::Stored(stored));
    noted.content = Content::Delivery { notify: 3 };
    noted.data.len = stored.len;
    vec![
        one(
            "v1/message/delivery",
            "a delivery whose data is in a column of its own, or absent",
            message(Body::Empty),
        ),
        one(
            "v1/message/delivery_inline",
            "a delivery with its data here, which has octets that are no text",
            message(Body::Inline(Bytes::from_static(&[b'{', b'}', 0x00, 0xff, 0xc1, 0x80, b'.']))),
        ),
        one(
            "v1/message/delivery_inline_long",
            "a delivery with more data than a one-octet length can tell",
            message(Body::Inline(Bytes::from(vec![b'~'; 300]))),
        ),
        one("v1/message/delivery_stored", "a delivery with data in the body store, and with notes", noted),
        one("v1/message/login", "a login; the content is a mere name", of_server(Content::Login)),
        one("v1/message/alias", "a new alias", of_server(Content::NewAlias { alias: "Ann Léger".into() })),
        one(
            "v1/message/node",
            "a new node",
            of_server(Content::NewNode {
                label: "phone".into(),
                node_id: "%+123456789BCDFGHJKLMNPQRSTVWXYZZZZZZZZZ".into(),
            }),
        ),
    ]
}
