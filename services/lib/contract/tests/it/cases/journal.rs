//! Journal entries and packed receipts of the present encoding, one or more for each effect.

use std::sync::Arc;

use bytes::Bytes;
use tmtp_contract::{Body, Effect, Ended, JournalEntry, Receipt, ReceiptKey};
use tmtp_domain::{MsgId, NodeNum, Owed, Posted, SiteId};

use super::message::message;
use super::{Case, Value, counting, uid, uuid, written};

pub(super) fn entry(effects: Vec<Effect>) -> JournalEntry {
    JournalEntry { v: 1, effects, at_ms: None }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = effects()
        .into_iter()
        .map(|(path, about, effect)| written(path, about, Value::Journal(entry(vec![effect]))))
        .collect();
    let all = effects().into_iter().map(|(_, _, effect)| effect).collect();
    cases.push(written("v1/journal/several", "several effects", Value::Journal(entry(all))));
    let dropped = Effect::Dropped { site: SiteId(uuid(0x20)), uid: uid(0x40), node: NodeNum(3) };
    cases.push(written(
        "v1/journal/dropped",
        "what a node is owed is forgotten",
        Value::Journal(entry(vec![dropped])),
    ));
    cases.push(written(
        "v1/journal/traced",
        "a message for nobody, and one that has waited too long, with what their traces need",
        Value::Journal(JournalEntry { at_ms: Some(1_790_000_000_001), ..entry(traced()) }),
    ));
    cases.push(written("v1/journal/none", "an entry without effects", Value::Journal(entry(Vec::new()))));
    cases.push(written(
        "v1/receipts/two",
        "two receipts in one row: a message's and an edit's",
        Value::Receipts(vec![receipt(), edit_receipt()]),
    ));
    cases.push(written("v1/receipts/none", "a row without receipts", Value::Receipts(Vec::new())));
    cases
}

fn effects() -> Vec<(&'static str, &'static str, Effect)> {
    let site = SiteId(uuid(0x20));
    vec![
        (
            "v1/journal/queued",
            "a message was queued for three nodes of two users",
            Effect::Queued {
                site,
                message: Arc::new(message(Body::Inline(Bytes::from_static(b"{}hello")))),
                owed: vec![
                    Owed { uid: uid(0x40), nodes: vec![NodeNum(1), NodeNum(100)] },
                    Owed { uid: uid(0x50), nodes: vec![NodeNum(2)] },
                ],
                node: None,
            },
        ),
        (
            "v1/journal/acked",
            "a node acked two messages",
            Effect::Acked {
                site,
                uid: uid(0x40),
                node: NodeNum(2),
                ids: vec![MsgId(1_790_000_000_000_000_000), MsgId(1_790_000_000_000_000_001)],
                ended: None,
            },
        ),
        (
            "v1/journal/copied",
            "a node gets what another is owed",
            Effect::Copied { site, uid: uid(0x40), from: NodeNum(1), to: NodeNum(3) },
        ),
        ("v1/journal/receipt", "the memory of a post that succeeded", Effect::Receipt(receipt())),
        (
            "v1/journal/receipt_of_edit",
            "the memory of an edit, which has no message id",
            Effect::Receipt(edit_receipt()),
        ),
    ]
}

fn traced() -> Vec<Effect> {
    let site = SiteId(uuid(0x20));
    let id = MsgId(1_790_000_000_000_000_000);
    let gone = |node, ended| Effect::Acked {
        site,
        uid: uid(0x40),
        node: NodeNum(node),
        ids: vec![id],
        ended: Some(ended),
    };
    let message = Arc::new(message(Body::Empty));
    vec![
        Effect::Queued { site, message, owed: Vec::new(), node: Some(NodeNum(2)) },
        gone(1, Ended::Returned),
        gone(2, Ended::Expired),
    ]
}

fn receipt() -> Receipt {
    Receipt {
        key: ReceiptKey(counting(0xC0)),
        posted: Posted(1_790_000_000_000),
        msg_id: MsgId(1_790_000_000_000_000_000),
    }
}

fn edit_receipt() -> Receipt {
    Receipt { key: ReceiptKey(counting(0xD0)), posted: Posted(-2), msg_id: MsgId(0) }
}
