//! Cases that this release reads and does not write: octets of peers that leave out, add or order fields differently.
//! Here, too, goes a case whose octets a new field has changed, when it moves out of the other files.

use tmtp_contract::{
    Answer, Attach, Body, Command, Content, DataInfo, Event, LoginRefusal, Message, MessageRecord,
};
use tmtp_domain::{MsgId, NodeNum, Posted, SessionId};

use super::{Case, Promise, Value, command, event, hash, uid};

fn read(path: &'static str, about: &'static str, value: Value) -> Case {
    Case { path, about, promise: Promise::Reads, value }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        read(
            "v1/command/without_defaults",
            "a registration and a resumed session, without the fields that have a default",
            Value::Command(command::entry(vec![
                command::envelope(Command::Register {
                    credentials: None,
                    uid: uid(0x40),
                    secret: hash(0x60),
                    label: String::new(),
                    alias: None,
                }),
                command::envelope(Command::Attach(Attach {
                    uid: uid(0x40),
                    node: NodeNum(2),
                    in_flight: Vec::new(),
                    pending: 0,
                    showing: None,
                    seen: Vec::new(),
                })),
            ])),
        ),
        read(
            "v1/command/other_spelling",
            "fields in another order, one that nobody knows, and longer heads than needed",
            Value::Command(command::entry(vec![command::envelope(Command::Acks { ids: vec![MsgId(1)] })])),
        ),
        read(
            "v1/event/without_defaults",
            "answers without the fields that have a default",
            Value::Event(event::entry(
                Vec::new(),
                [
                    Answer::Registered { node: NodeNum(1), alias_error: None },
                    Answer::LoggedIn { node: NodeNum(2), ohi: Vec::new() },
                    Answer::NotLoggedIn(LoginRefusal::Failed),
                ]
                .map(|answer| Event::Answer { session: SessionId(7), seq: 300, answer, trace: None })
                .into(),
            )),
        ),
        read("v1/message/without_defaults", "a delivery without the fields that have a default", plain(0)),
        read("v1/message/without_data_fields", "a delivery that says nothing about its data", plain(3)),
    ]
}

fn plain(notify: u64) -> Value {
    Value::Message(MessageRecord {
        v: 1,
        message: Message {
            id: MsgId(1),
            posted: Posted(2),
            from: uid(0x40),
            content: Content::Delivery { notify },
            data: DataInfo::default(),
            body: Body::Empty,
        },
    })
}
